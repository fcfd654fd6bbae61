//! What pretraining is told: the sizes of the three networks and how each stage is optimised.

use serde::Serialize;

use super::compose::CompositorConfig;

/// The whole recipe. The defaults are for a model of compositions; the embedded model's card says what made it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PretrainConfig {
    /// Seed of the initial weights, the batches and the noise.
    pub seed: u64,
    /// The autoencoder's stage.
    pub autoencoder: AutoencoderConfig,
    /// The stage of the autoencoder's second half alone.
    pub decoder: DecoderConfig,
    /// The stage of the UNet and the text encoder.
    pub denoiser: DenoiserConfig,
    /// How pictures are composed, where the data are cut-outs; half of those of the autoencoder's stage are not on the lattice.
    pub composition: CompositorConfig,
    /// The stage of the judge, where the data are cut-outs.
    pub judge: JudgeConfig,
    /// How many times as often a picture with a label is drawn as one without.
    pub label_weight: f64,
    /// Optimizer steps between two checkpoints.
    pub checkpoint_every: u64,
    /// Optimizer steps between two lines of metrics.
    pub log_every: u64,
}

/// How one stage is optimised: AdamW with a linear warm-up and a cosine decay to zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StageConfig {
    /// Optimizer steps.
    pub steps: u64,
    /// Pictures a step.
    pub batch_size: usize,
    /// The largest learning rate.
    pub learning_rate: f64,
    /// Steps until the learning rate is reached.
    pub warmup: u64,
    /// The decay of the averaged weights, which are the ones that are kept.
    pub ema_decay: f64,
}

/// The autoencoder: its shape and its loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AutoencoderConfig {
    /// How it is optimised.
    pub stage: StageConfig,
    /// Channels at each resolution, the finest first; each but the first halves the picture.
    pub channels: Vec<usize>,
    /// Channels of a latent.
    pub latent_channels: usize,
    /// Weight of the KL term, per latent element, beside the mean squared and the mean absolute error.
    pub kl_weight: f64,
}

/// The decoder once more, behind an encoder that no longer changes: latents that a denoiser has made are never quite clean, and a decoder
/// that has only seen clean ones shows what is left as grain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecoderConfig {
    /// How it is optimised.
    pub stage: StageConfig,
    /// The most noise in the latents, in standard deviations of theirs; each picture has a part of it, evenly drawn.
    pub noise: f64,
}

/// The UNet and its text encoder: their shapes and their loss.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DenoiserConfig {
    /// How they are optimised.
    pub stage: StageConfig,
    /// Channels at each resolution of the latent.
    pub channels: Vec<usize>,
    /// The largest side of a resolution with attention.
    pub attention_side: usize,
    /// Attention heads in every block with attention.
    pub heads: usize,
    /// Width of the text encoder and of its states.
    pub text_width: usize,
    /// Layers of the text encoder.
    pub text_layers: usize,
    /// Tokens a prompt is padded or cut to, both ends included.
    pub text_length: usize,
    /// Largest size of the vocabulary.
    pub vocabulary: usize,
    /// Share of captions replaced by the empty one, so that guidance has something to guide away from.
    pub caption_dropout: f64,
    /// Rows of a batch that share a picture, each with a timestep and a noise of its own: encoding a picture costs as much as
    /// learning from it once. Compositions alone; a folder's pictures are encoded before the first step.
    pub noisings: usize,
    /// γ of Min-SNR weighting (Hang et al., arXiv 2303.09556): the squared error of the velocity at a timestep is weighted by
    /// (min(SNR, γ) + 1)/(SNR + 1), that of the clean latent so by min(SNR, γ) + 1, which is not nothing at pure noise.
    pub snr_gamma: f64,
}

/// The judge: its shape, and the pictures it learns from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgeConfig {
    /// How it is optimised.
    pub stage: StageConfig,
    /// Channels at a half, a quarter and an eighth of the picture's side.
    pub channels: [usize; 3],
    /// How its pictures are composed: as the model's, but for the outlines.
    pub composition: CompositorConfig,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            autoencoder: AutoencoderConfig::default(),
            decoder: DecoderConfig::default(),
            denoiser: DenoiserConfig::default(),
            composition: CompositorConfig { lattice: LATTICE, ..CompositorConfig::default() },
            judge: JudgeConfig::default(),
            label_weight: 8.0,
            checkpoint_every: 500,
            log_every: 20,
        }
    }
}

/// The lattice of the denoiser's pictures: what the default autoencoder and the two halvings of the default UNet together look at as
/// one.
const LATTICE: usize = 16;

impl Default for AutoencoderConfig {
    fn default() -> Self {
        let stage = StageConfig { steps: 16_000, batch_size: 4, learning_rate: 2e-3, warmup: 100, ema_decay: 0.999 };
        Self { stage, channels: vec![16, 32, 64], latent_channels: 4, kl_weight: 1e-4 }
    }
}

impl Default for DecoderConfig {
    fn default() -> Self {
        let stage = StageConfig { steps: 6000, batch_size: 4, learning_rate: 1e-3, warmup: 100, ema_decay: 0.999 };
        Self { stage, noise: 0.3 }
    }
}

impl Default for DenoiserConfig {
    fn default() -> Self {
        let stage =
            StageConfig { steps: 16_000, batch_size: 128, learning_rate: 1.5e-3, warmup: 200, ema_decay: 0.999 };
        Self {
            stage,
            channels: vec![32, 64, 128],
            attention_side: 8,
            heads: 4,
            text_width: 96,
            text_layers: 2,
            text_length: 16,
            vocabulary: 2048,
            caption_dropout: 0.1,
            noisings: 4,
            snr_gamma: 5.0,
        }
    }
}

impl Default for JudgeConfig {
    fn default() -> Self {
        let stage = StageConfig { steps: 8000, batch_size: 64, learning_rate: 2e-3, warmup: 200, ema_decay: 0.998 };
        let composition = CompositorConfig { outlined: 0.25, beside: 0.4, ..CompositorConfig::default() };
        Self { stage, channels: [24, 48, 80], composition }
    }
}

impl StageConfig {
    /// The learning rate of the step with this 0-based number.
    #[must_use]
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        let warm = ((step + 1) as f64 / self.warmup.max(1) as f64).min(1.0);
        let done = step as f64 / self.steps.max(1) as f64;
        self.learning_rate * warm * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }

    /// The decay of the average at this 0-based step: small at first, so that the average forgets the random start.
    #[must_use]
    pub fn decay_at(&self, step: u64) -> f64 {
        ((1 + step) as f64 / (10 + step) as f64).min(self.ema_decay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_and_then_falls_to_nothing() {
        let stage = StageConfig { steps: 100, batch_size: 1, learning_rate: 1.0, warmup: 10, ema_decay: 0.9 };
        assert!(stage.learning_rate_at(0) < 0.11);
        assert!(stage.learning_rate_at(9) > 0.95);
        assert!(stage.learning_rate_at(99) < 1e-3);
    }

    #[test]
    fn the_average_forgets_the_start() {
        let stage = DenoiserConfig::default().stage;
        assert!(stage.decay_at(0) < 0.11);
        assert_eq!(stage.decay_at(1_000_000), stage.ema_decay);
    }
}
