//! Chains with their advantages, handed out as minibatches.

use burn::Tensor;
use burn::tensor::TensorData;

use super::minibatch::Minibatch;
use crate::error::check_count;
use crate::{Address, Error, Noise, PromptId, Result, Rollout, ScoredRollout, StepIndex, Stream};

/// One action of one chain: what a policy gradient sums over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// The chain, as a row of the training set.
    pub row: usize,
    /// The step.
    pub step: StepIndex,
}

/// Chains, each with an advantage.
#[derive(Clone, Debug)]
pub struct TrainingSet<const D: usize> {
    rollout: Rollout<D>,
    advantages: Vec<f32>,
}

impl<const D: usize> ScoredRollout<D> {
    /// The chains with their advantages, one each, ready for training.
    ///
    /// # Errors
    /// [`Error::Count`] if there are more or fewer.
    pub fn into_training_set(self, advantages: Vec<f32>) -> Result<TrainingSet<D>> {
        check_count("make a training set", "advantages", advantages.len(), self.rollout.len())?;
        Ok(TrainingSet { rollout: self.rollout, advantages })
    }
}

impl<const D: usize> TrainingSet<D> {
    /// The number of chains.
    pub fn len(&self) -> usize {
        self.rollout.len()
    }

    /// Whether there are no chains.
    pub fn is_empty(&self) -> bool {
        self.rollout.is_empty()
    }

    /// The prompt of each chain.
    pub fn prompts(&self) -> &[PromptId] {
        self.rollout.prompts()
    }

    /// The steps that can be trained on, in order.
    pub fn steps(&self) -> &[StepIndex] {
        self.rollout.steps()
    }

    /// The advantage of each chain.
    pub fn advantages(&self) -> &[f32] {
        &self.advantages
    }

    /// The chains in a random order, a new one for each pass over them; every `unit` consecutive chains stay together, in
    /// their order.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the chains do not fill units.
    pub fn row_order(&self, noise: Noise, pass: u64, unit: usize) -> Result<Vec<usize>> {
        if unit == 0 || !self.len().is_multiple_of(unit) {
            return Err(Error::parameter("chains", self.len(), format!("a multiple of {unit}, the chains of a unit")));
        }
        let order = noise.at(self.address(Stream::SampleOrder, 0, pass)).permutation(self.len() / unit);
        Ok(order.into_iter().flat_map(|first| first * unit..(first + 1) * unit).collect())
    }

    /// For each chain the steps to train on, in an order that it shares with its unit alone: the first `fraction` of a random
    /// permutation of `steps`, a new one for each pass. `steps` are those of [`steps`](Self::steps), or some of them.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the fraction leaves no step, or is more than 1, or a unit has no chain.
    pub fn step_orders(
        &self,
        noise: Noise,
        pass: u64,
        steps: &[StepIndex],
        fraction: f64,
        unit: usize,
    ) -> Result<Vec<Vec<StepIndex>>> {
        if unit == 0 {
            return Err(Error::parameter("chains of a unit", unit, "at least 1"));
        }
        let kept = (steps.len() as f64 * fraction) as usize;
        if kept == 0 || fraction > 1.0 {
            let wanted = format!("at most 1 and enough for one of {} steps", steps.len());
            return Err(Error::parameter("timestep fraction", fraction, wanted));
        }
        let order = |row: usize| {
            let first = row - row % unit;
            let permutation = noise.at(self.address(Stream::TimestepOrder, first, pass)).permutation(steps.len());
            permutation.into_iter().take(kept).map(|i| steps[i]).collect()
        };
        Ok((0..self.len()).map(order).collect())
    }

    /// The tensors of these actions, an action a row, in their order.
    ///
    /// # Errors
    /// [`Error::Index`] for a row or a step past the end, [`Error::DeterministicStep`] for a step that drew nothing,
    /// [`Error::Count`] for no actions.
    pub fn minibatch(&self, actions: &[Action]) -> Result<Minibatch<D>> {
        if actions.is_empty() {
            return Err(Error::Count { operation: "make a minibatch", what: "actions", found: 0, wanted: 1 });
        }
        let columns = actions.iter().map(|&action| self.column(action)).collect::<Result<Vec<_>>>()?;
        let rows: Vec<usize> = actions.iter().map(|action| action.row).collect();
        let width = self.steps().len();
        let old =
            rows.iter().zip(columns).map(|(row, column)| self.rollout.log_probs()[row * width + column]).collect();
        Ok(Minibatch {
            steps: actions.iter().map(|action| action.step).collect(),
            sample: self.gather(actions, 0),
            next: self.gather(actions, 1),
            old_log_prob: self.vector(old),
            advantage: self.vector(rows.iter().map(|&row| self.advantages[row]).collect()),
            condition: self.rollout.condition().select(&rows)?,
        })
    }

    /// The noise `[B, ..]` that drew what followed each of these actions, an action a row; `noise` is the one that the chains were
    /// sampled with.
    pub fn drawn_noise(&self, noise: Noise, actions: &[Action]) -> Tensor<D> {
        let state = self.rollout.last_state();
        let draw = |action: &Action| {
            let address = self.address(Stream::Transition, action.row, action.step.0 as u64);
            noise.normal_batch(address, &[address.sample], state.dims(), &state.device())
        };
        Tensor::cat(actions.iter().map(draw).collect(), 0)
    }

    /// The place of an action's step among the steps that drew something.
    fn column(&self, action: Action) -> Result<usize> {
        let steps = self.rollout.states().len() - 1;
        if action.row >= self.len() {
            return Err(Error::Index { what: "chain", found: action.row, len: self.len() });
        }
        if action.step.0 >= steps {
            return Err(Error::Index { what: "step", found: action.step.0, len: steps });
        }
        let column = self.steps().iter().position(|step| *step == action.step);
        column.ok_or(Error::DeterministicStep { operation: "make a minibatch", row: action.row })
    }

    /// The states `offset` steps after those of the actions. Slices are joined rather than picked from one large tensor: an
    /// epoch of chains is too large to hold twice.
    fn gather(&self, actions: &[Action], offset: usize) -> Tensor<D> {
        let state = |action: &Action| self.rollout.states()[action.step.0 + offset].clone().narrow(0, action.row, 1);
        Tensor::cat(actions.iter().map(state).collect(), 0)
    }

    fn vector(&self, values: Vec<f32>) -> Tensor<1> {
        let len = values.len();
        Tensor::from_data(TensorData::new(values, [len]), &self.rollout.last_state().device())
    }

    fn address(&self, stream: Stream, row: usize, step: u64) -> Address {
        let sample = self.rollout.samples().get(row).copied().unwrap_or(crate::SampleId(0));
        Address { stream, epoch: self.rollout.epoch(), sample, step }
    }
}
