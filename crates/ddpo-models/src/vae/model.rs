//! The autoencoder as a function of its weights.

use burn::tensor::Tensor;
use ddpo_nn::{Error, Linear, ParamScope, Result, Specs, Weights};

use super::{
    coder::{Decoder, Encoder},
    config::VaeConfig,
};

/// An autoencoder without weights: the layers and what they need.
#[derive(Clone, Debug)]
pub struct Vae {
    config: VaeConfig,
    specs: Specs,
    encoder: Encoder,
    decoder: Decoder,
    quant: Option<Linear>,
    post_quant: Option<Linear>,
}

/// The diagonal Gaussian over latents that an image is encoded to, `[B, h, w, latent_channels]` each.
#[derive(Clone, Debug)]
pub struct LatentDistribution {
    /// The mean, which is the latent that encoding without noise gives.
    pub mean: Tensor<4>,
    /// The logarithm of the variance, within `[-30, 20]`.
    pub log_variance: Tensor<4>,
}

impl Vae {
    /// Describes the autoencoder of `config`.
    ///
    /// # Errors
    ///
    /// If the configuration's sizes do not fit each other.
    pub fn new(config: VaeConfig) -> Result<Self> {
        config.validate()?;
        let mut specs = Vec::new();
        let mut scope = ParamScope::root(&mut specs);
        let latent = config.latent_channels;
        let encoder = Encoder::new(&mut scope.child("encoder"), &config);
        let decoder = Decoder::new(&mut scope.child("decoder"), &config);
        let quant =
            config.use_quant_conv.then(|| Linear::pointwise(&mut scope.child("quant_conv"), 2 * latent, 2 * latent));
        let post_quant =
            config.use_post_quant_conv.then(|| Linear::pointwise(&mut scope.child("post_quant_conv"), latent, latent));
        Ok(Self { config, specs: specs.into(), encoder, decoder, quant, post_quant })
    }

    /// The shape of the network.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// The parameters of the network.
    pub fn specs(&self) -> &Specs {
        &self.specs
    }

    /// The distribution of an image's latents, unscaled.
    ///
    /// # Shapes
    ///
    /// `[B, H, W, in_channels]` in `[-1, 1]`, `H` and `W` multiples of [`VaeConfig::downscale`]
    ///
    /// # Errors
    ///
    /// If a shape does not fit, or the weights are of another model.
    pub fn encode(&self, weights: &Weights, images: Tensor<4>) -> Result<LatentDistribution> {
        let [_, height, width, channels] = images.dims();
        self.check("encode images", weights, channels, self.config.in_channels)?;
        let factor = self.config.downscale();
        for (what, size) in [("height", height), ("width", width)] {
            if size == 0 || !size.is_multiple_of(factor) {
                return Err(Error::input("encode images", what, size, format!("a multiple of {factor}")));
            }
        }
        let mut moments = self.encoder.forward(weights, images);
        if let Some(quant) = &self.quant {
            moments = quant.forward(weights, moments);
        }
        let latent = self.config.latent_channels;
        let mean = moments.clone().narrow(3, 0, latent);
        let log_variance = moments.narrow(3, latent, latent).clamp(-30.0, 20.0);
        Ok(LatentDistribution { mean, log_variance })
    }

    /// The images of unscaled latents.
    ///
    /// # Shapes
    ///
    /// `[B, h, w, latent_channels] -> [B, f h, f w, out_channels]`, about `[-1, 1]`, not clamped
    ///
    /// # Errors
    ///
    /// If a shape does not fit, or the weights are of another model.
    pub fn decode(&self, weights: &Weights, latents: Tensor<4>) -> Result<Tensor<4>> {
        self.check("decode latents", weights, latents.dims()[3], self.config.latent_channels)?;
        let latents = match &self.post_quant {
            Some(layer) => layer.forward(weights, latents),
            None => latents,
        };
        Ok(self.decoder.forward(weights, latents))
    }

    /// From what [`Vae::encode`] gives to what the UNet works on.
    pub fn scale(&self, latents: Tensor<4>) -> Tensor<4> {
        latents.sub_scalar(self.config.shift_factor.unwrap_or(0.0)).mul_scalar(self.config.scaling_factor)
    }

    /// From what the UNet works on to what [`Vae::decode`] takes.
    pub fn unscale(&self, latents: Tensor<4>) -> Tensor<4> {
        latents.div_scalar(self.config.scaling_factor).add_scalar(self.config.shift_factor.unwrap_or(0.0))
    }

    fn check(&self, action: &'static str, weights: &Weights, channels: usize, wanted: usize) -> Result<()> {
        if !weights.fits(&self.specs) {
            let wanted = format!("the autoencoder's own {}", self.specs.len());
            return Err(Error::input(action, "number of parameters", weights.specs().len(), wanted));
        }
        if channels != wanted {
            return Err(Error::input(action, "number of channels", channels, wanted));
        }
        Ok(())
    }
}
