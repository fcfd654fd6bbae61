//! The anchor: pictures that a policy is held to while it learns.

use burn::tensor::Tensor;
use ddpo_core::{Address, Noise, NoiseSchedule, PromptId};

use crate::error::{Error, Result};
use crate::prompts::EncodedPrompts;

/// What the prediction at an anchor's noised picture is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorTarget {
    /// The noise that the picture was mixed with: the loss of pretraining, for pictures of the model's training data.
    Noise,
    /// What the base model predicts there: exactly 0 while the policy is the base model, for pictures of its own.
    Base,
}

/// Pictures that the policy is held to while it follows the reward.
pub struct Anchor<const D: usize> {
    /// The pictures as clean states `[N, ..]`, without autodiff; N is at least 1.
    pub states: Tensor<D>,
    /// The prompts of the pictures.
    pub prompts: EncodedPrompts,
    /// The prompt of each.
    pub ids: Vec<PromptId>,
    /// The noise levels the model was trained with.
    pub schedule: NoiseSchedule,
    /// What predictions are held to.
    pub target: AnchorTarget,
    /// What its gradient counts beside that of the algorithm's loss; above 0.
    pub weight: f64,
    /// Pictures drawn for an optimizer step, each with a timestep and a noise of its own.
    pub batch: usize,
    /// The least timestep it holds.
    pub first_timestep: usize,
}

impl<const D: usize> Anchor<D> {
    pub(super) fn validate(&self) -> Result<()> {
        let pictures = self.states.dims()[0];
        if pictures == 0 || pictures != self.ids.len() {
            return Err(Error::plan(
                "anchor",
                pictures,
                format!("pictures for {} prompts, at least 1", self.ids.len()),
            ));
        }
        if !(self.weight > 0.0 && self.weight.is_finite()) {
            return Err(Error::plan("weight of the anchor", self.weight, "above 0"));
        }
        if self.batch == 0 {
            return Err(Error::plan("pictures of the anchor an update", 0, "at least 1"));
        }
        let steps = self.schedule.train_steps();
        if self.first_timestep >= steps {
            let wanted = format!("below {steps}, the timesteps of the model");
            return Err(Error::plan("first timestep of the anchor", self.first_timestep, wanted));
        }
        Ok(())
    }

    /// The picture and the timestep of a row.
    pub(super) fn draw(&self, noise: Noise, row: Address) -> (usize, usize) {
        let numbers = noise.at(row).uniforms(2);
        let index = |i: usize, count: usize| {
            let at = numbers.get(i).copied().unwrap_or_default() * count as f64;
            (at as usize).min(count.saturating_sub(1))
        };
        let first = self.first_timestep;
        (index(0, self.ids.len()), first + index(1, self.schedule.train_steps() - first))
    }
}
