//! The vision transformer as a function of its weights (transformers' `CLIPVisionTransformer`).

use burn::tensor::Tensor;
use ddpo_kernels::Mask;

use super::config::VisionConfig;
use crate::{
    error::{Error, Result},
    layers::{ClipLayer, LayerNorm},
    params::{Init, Layout, ParamId, ParamScope, Specs, Weights},
};

/// A vision transformer without weights: the layers and what they need.
#[derive(Clone, Debug)]
pub struct VisionTower {
    config: VisionConfig,
    specs: Specs,
    class: ParamId,
    patches: ParamId,
    patch_bias: Option<ParamId>,
    positions: ParamId,
    pre_norm: Option<LayerNorm>,
    layers: Vec<ClipLayer>,
    post_norm: LayerNorm,
}

/// What a vision transformer makes of a batch of pictures.
#[derive(Clone, Debug)]
pub struct VisionOutput {
    /// The hidden states after the last layer, `[B, 1 + patches, hidden_size]`, the class token's first.
    pub hidden: Tensor<3>,
}

impl VisionTower {
    /// Describes the vision transformer of `config`.
    ///
    /// # Errors
    ///
    /// If the configuration's sizes do not fit each other.
    pub fn new(config: VisionConfig) -> Result<Self> {
        config.validate()?;
        let (width, patch) = (config.hidden_size, config.patch_size);
        let mut specs = Vec::new();
        let mut root = ParamScope::root(&mut specs);
        let mut scope = root.child("vision_model");
        let std = 1.0 / (width as f64).sqrt();
        let mut embeddings = scope.child("embeddings");
        let class = embeddings.param("class_embedding", &[width], Layout::Vector, Init::Normal(std));
        let shape = [width, 3, patch, patch];
        let mut projection = embeddings.child("patch_embedding");
        let patches = projection.param("weight", &shape, Layout::Conv, Init::Normal(0.02));
        let patch_bias = config.patch_bias.then(|| projection.param("bias", &[width], Layout::Vector, Init::Zeros));
        let tokens = config.grid() * config.grid() + 1;
        let positions = embeddings.child("position_embedding").param(
            "weight",
            &[tokens, width],
            Layout::Embedding,
            Init::Normal(0.02),
        );
        let norm = |scope: &mut ParamScope<'_>, name: &str| {
            LayerNorm::new(&mut scope.child(name), width, config.layer_norm_eps)
        };
        // The name is misspelt in transformers and therefore in all files.
        let pre_norm = config.pre_norm.then(|| norm(&mut scope, "pre_layrnorm"));
        let layers = (0..config.num_hidden_layers)
            .map(|i| ClipLayer::new(&mut scope.child("encoder").child("layers").child(i), config.layer_shape()))
            .collect();
        let post_norm = norm(&mut scope, "post_layernorm");
        Ok(Self { config, specs: specs.into(), class, patches, patch_bias, positions, pre_norm, layers, post_norm })
    }

    /// The shape of the network.
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// The parameters of the network.
    pub fn specs(&self) -> &Specs {
        &self.specs
    }

    /// The states of normalised pictures.
    ///
    /// # Shapes
    ///
    /// `[B, image_size, image_size, 3] -> [B, 1 + patches, hidden_size]`
    ///
    /// # Errors
    ///
    /// If the pictures have another size, or the weights are of another model.
    pub fn forward(&self, weights: &Weights, pixels: Tensor<4>) -> Result<VisionOutput> {
        self.check(weights, pixels.dims())?;
        let mut x = self.embed(weights, pixels);
        if let Some(norm) = &self.pre_norm {
            x = norm.forward(weights, x);
        }
        for layer in &self.layers {
            x = layer.forward(weights, x, Mask::None);
        }
        Ok(VisionOutput { hidden: x })
    }

    /// What stands for a whole picture: the class token's state, normalised (transformers' `pooler_output`).
    ///
    /// # Shapes
    ///
    /// `[B, 1 + patches, hidden_size] -> [B, hidden_size]`
    pub fn pooled(&self, weights: &Weights, output: VisionOutput) -> Tensor<2> {
        let [batch, _, width] = output.hidden.dims();
        self.post_norm.forward(weights, output.hidden.narrow(1, 0, 1).reshape([batch, width]))
    }

    /// All states, normalised: what a text attends to in BLIP.
    pub fn normalised(&self, weights: &Weights, output: VisionOutput) -> Tensor<3> {
        self.post_norm.forward(weights, output.hidden)
    }

    /// The class token and the patches, with their positions.
    fn embed(&self, weights: &Weights, pixels: Tensor<4>) -> Tensor<3> {
        let (grid, patch, width) = (self.config.grid(), self.config.patch_size, self.config.hidden_size);
        let [batch, ..] = pixels.dims();
        let seen = grid * patch;
        let pixels = pixels.narrow(1, 0, seen).narrow(2, 0, seen);
        let rows = pixels.reshape([batch, grid, patch, grid, patch * 3]).swap_dims(2, 3);
        let patches = rows.reshape([batch, grid * grid, patch * patch * 3]);
        let bias = self.patch_bias.map(|id| weights.vector(id));
        let patches = ddpo_kernels::linear(patches, &weights.matrix(self.patches), bias.as_ref());
        let class = weights.vector(self.class).reshape([1, 1, width]).repeat_dim(0, batch);
        let positions = weights.vector(self.positions).reshape([1, grid * grid + 1, width]);
        Tensor::cat(vec![class, patches], 1) + positions
    }

    fn check(&self, weights: &Weights, [_, height, width, channels]: [usize; 4]) -> Result<()> {
        let size = self.config.image_size;
        if [height, width, channels] != [size, size, 3] {
            let found = format!("{height}x{width}x{channels}");
            return Err(Error::input("encode pictures", "shape", found, format!("{size}x{size}x3")));
        }
        if !weights.fits(&self.specs) {
            let wanted = format!("the vision tower's own {}", self.specs.len());
            return Err(Error::input("encode pictures", "number of parameters", weights.specs().len(), wanted));
        }
        Ok(())
    }
}
