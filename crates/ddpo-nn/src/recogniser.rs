//! A small classifier of pictures: residual blocks down to an eighth of the side, and what they find there.

use burn::tensor::Tensor;
use ddpo_kernels::{Activation, Padding};
use serde::{Deserialize, Serialize};

use crate::{Conv, GroupNorm, Linear, ParamScope, Resnet, ResnetShape, Specs, Weights};

/// What the network knows, and its shape: the `config.json` beside its weights.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct RecogniserConfig {
    /// Side of a picture, in pixels.
    pub size: usize,
    /// Channels at a half, a quarter and an eighth of the picture's side.
    pub channels: [usize; 3],
    /// Nouns of which a picture mostly shows one.
    pub subjects: Vec<String>,
    /// Nouns of what stands beside a subject, and sometimes alone.
    pub things: Vec<String>,
    /// The hands that drew them.
    pub styles: Vec<String>,
    /// The grounds.
    pub grounds: Vec<String>,
}

/// The layers.
#[derive(Clone, Debug)]
pub struct RecogniserNetwork {
    config: RecogniserConfig,
    specs: Specs,
    stem: Conv,
    stages: Vec<Stage>,
    norm: GroupNorm,
    nouns: Linear,
    styles: Linear,
    grounds: Linear,
}

#[derive(Clone, Debug)]
struct Stage {
    down: Option<Conv>,
    blocks: Vec<Resnet>,
}

/// Logits of a batch.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `[B, nouns]`; each for itself, through a sigmoid.
    pub nouns: Tensor<2>,
    /// `[B, styles]`; one of them, through a softmax.
    pub styles: Tensor<2>,
    /// `[B, grounds]`; one of them, through a softmax.
    pub grounds: Tensor<2>,
}

impl RecogniserNetwork {
    /// The network of this shape.
    #[must_use]
    pub fn new(config: RecogniserConfig) -> Self {
        let mut specs = Vec::new();
        let mut scope = ParamScope::root(&mut specs);
        let [first, .., last] = config.channels;
        let groups = GroupNorm::common_groups(&config.channels);
        let stem = Conv::new(&mut scope.child("stem"), 3, first, 3, 2, Padding::same(1));
        let mut inputs = first;
        let mut stages = Vec::new();
        for (number, outputs) in config.channels.into_iter().enumerate() {
            let mut scope = scope.child(format!("stages.{number}"));
            let down =
                (number > 0).then(|| Conv::new(&mut scope.child("down"), inputs, outputs, 3, 2, Padding::same(1)));
            let count = if number == 0 { 1 } else { 2 };
            let shape = ResnetShape { inputs: outputs, outputs, time: None, groups, epsilon: 1e-5, output_scale: 1.0 };
            let blocks = (0..count).map(|block| Resnet::new(&mut scope.child(format!("blocks.{block}")), shape));
            stages.push(Stage { down, blocks: blocks.collect() });
            inputs = outputs;
        }
        let norm = GroupNorm::new(&mut scope.child("norm"), last, groups, 1e-5);
        let count = config.subjects.len() + config.things.len();
        let nouns = Linear::new(&mut scope.child("nouns"), last, count);
        let styles = Linear::new(&mut scope.child("styles"), last, config.styles.len());
        let grounds = Linear::new(&mut scope.child("grounds"), last, config.grounds.len());
        Self { config, specs: specs.into(), stem, stages, norm, nouns, styles, grounds }
    }

    /// What it knows, and its shape.
    pub fn config(&self) -> &RecogniserConfig {
        &self.config
    }

    /// Its parameters.
    pub fn specs(&self) -> &Specs {
        &self.specs
    }

    /// A noun is looked for at every place, and the picture has the logarithm of the mean of the exponentials of what was found;
    /// style and ground are read from the mean of all places.
    ///
    /// # Shapes
    ///
    /// `[B, size, size, 3]`, with colours in [−1, 1].
    pub fn forward(&self, weights: &Weights, images: Tensor<4>) -> Seen {
        let mut hidden = self.stem.forward(weights, images);
        for stage in &self.stages {
            if let Some(down) = &stage.down {
                hidden = down.forward(weights, hidden);
            }
            hidden = stage.blocks.iter().fold(hidden, |hidden, block| block.forward(weights, hidden, None));
        }
        let hidden = self.norm.forward(weights, hidden, Activation::Silu);
        let [batch, height, width, channels] = hidden.dims();
        let places: Tensor<3> = hidden.reshape([batch, height * width, channels]);
        let mean: Tensor<2> = places.clone().mean_dim(1).reshape([batch, channels]);
        Seen {
            nouns: log_mean_exp(self.nouns.forward(weights, places)),
            styles: self.styles.forward(weights, mean.clone()),
            grounds: self.grounds.forward(weights, mean),
        }
    }
}

/// `[B, places, C] -> [B, C]`
fn log_mean_exp(logits: Tensor<3>) -> Tensor<2> {
    let [batch, _, columns] = logits.dims();
    let largest = logits.clone().detach().max_dim(1);
    let mean = (logits - largest.clone()).exp().mean_dim(1);
    (mean.log() + largest).reshape([batch, columns])
}
