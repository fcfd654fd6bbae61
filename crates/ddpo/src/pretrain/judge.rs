//! The last stage, of composed pictures alone: a recogniser that is shipped beside the model and judges its samples.

use std::ops::Range;

use burn::tensor::activation::{log_softmax, sigmoid};
use burn::tensor::{Device, Tensor};
use ddpo_nn::{RecogniserConfig, RecogniserNetwork, Weights};

use super::augment::Example;
use super::compose::{Compositor, Ground};
use super::draws::Draws;
use super::recipe::JudgeConfig;
use super::stage::{Losses, Stage};
use super::tensors::tensor;
use crate::Result;

/// The name of the network in checkpoints.
const PART: &str = "judge";

/// How much style and ground count beside the nouns.
const SIDE_WEIGHT: f64 = 0.3;

/// What the stage reads and never changes.
pub(super) struct JudgeStage<'a> {
    pub(super) recipe: &'a JudgeConfig,
    pub(super) network: RecogniserNetwork,
    pub(super) compositor: &'a Compositor,
    pub(super) device: Device,
}

impl<'a> JudgeStage<'a> {
    pub(super) fn new(recipe: &'a JudgeConfig, compositor: &'a Compositor, device: &Device) -> Self {
        let drawings = &compositor.drawings;
        let config = RecogniserConfig {
            size: compositor.config.size,
            channels: recipe.channels,
            subjects: drawings.subjects.clone(),
            things: drawings.things.clone(),
            styles: drawings.styles.clone(),
            grounds: Ground::ALL.iter().map(|ground| ground.name().to_owned()).collect(),
        };
        Self { recipe, network: RecogniserNetwork::new(config), compositor, device: device.clone() }
    }

    /// A fresh stage.
    pub(super) fn stage(&self, seed: u64) -> Stage {
        Stage::new(self.recipe.stage, vec![(PART, self.network.specs().clone())], seed, &self.device)
    }

    /// The cross entropy of every noun by itself, of the subject among subjects, and of style and ground, on some rows of one
    /// random batch; and the mean squared error of the nouns' probabilities.
    pub(super) fn loss(&self, weights: &Weights, draws: &mut Draws, rows: Range<usize>) -> Result<Losses> {
        let examples: Vec<Example> = rows.map(|row| Example::draw(self.compositor, &mut draws.row(row))).collect();
        let (count, config) = (examples.len(), self.network.config());
        let side = config.size;
        let nouns = config.subjects.len() + config.things.len();
        let hot = |columns: usize, of: &dyn Fn(&Example) -> Vec<usize>| -> Tensor<2> {
            let mut values = vec![0.0; count * columns];
            for (row, example) in examples.iter().enumerate() {
                of(example).into_iter().for_each(|column| values[row * columns + column] = 1.0);
            }
            tensor(values, [count, columns], &self.device)
        };
        let subjects = config.subjects.len();
        let targets = hot(nouns, &|example| example.nouns.clone());
        let subject = hot(subjects, &|example| example.nouns.iter().copied().filter(|&noun| noun < subjects).collect());
        let style = hot(config.styles.len(), &|example| example.style.into_iter().collect());
        let ground = hot(config.grounds.len(), &|example| example.ground.into_iter().collect());
        let pixels = examples.iter().flat_map(|example| example.pixels.iter().copied()).collect();
        let seen = self.network.forward(weights, tensor(pixels, [count, side, side, 3], &self.device));
        let leading: Tensor<2> = seen.nouns.clone().narrow(1, 0, subjects);
        let sides = cross_entropy(seen.styles, style) + cross_entropy(seen.grounds, ground);
        let loss = binary_cross_entropy(seen.nouns.clone(), targets.clone())
            + cross_entropy(leading, subject)
            + sides.mul_scalar(SIDE_WEIGHT);
        let error = sigmoid(seen.nouns) - targets;
        Ok(Losses { loss, mse: error.square().mean() })
    }
}

/// Summed over columns, a mean over rows.
fn binary_cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let columns = targets.dims()[1] as f64;
    let softplus = logits.clone().clamp_min(0.0) + logits.clone().abs().neg().exp().add_scalar(1.0).log();
    (softplus - logits * targets).mean().mul_scalar(columns)
}

/// A mean over rows; rows of zeros count nothing.
fn cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let columns = targets.dims()[1] as f64;
    (log_softmax(logits, 1) * targets).mean().mul_scalar(-columns)
}
