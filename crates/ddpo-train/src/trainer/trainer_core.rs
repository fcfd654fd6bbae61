//! What all trainers share: the model, what judges it, the optimizer, and how far they are.

use std::time::Instant;

use burn::tensor::Tensor;
use ddpo_core::Epoch;

use super::early_stopping::EarlyStopping;
use super::fork::ForkPolicy;
use super::parts::Parts;
use super::scores::Scores;
use crate::error::{Error, Location, Result};
use crate::histogram::Histogram;
use crate::lanes::Lanes;
use crate::observer::Observer;
use crate::optimizer::{AdamW, AdamWConfig, GradientSum};
use crate::plan::SamplePlan;
use crate::record::{EpochRecord, Record};

/// What all trainers share. Sampling, scoring, evaluation and the snapshot of it are in files of their own.
pub(super) struct TrainerCore<P, const D: usize> {
    pub plan: SamplePlan,
    pub parts: Parts<P, D>,
    pub optimizer: AdamW,
    pub learning_rate: f64,
    pub counters: Counters,
    pub early_stopping: EarlyStopping,
    pub lanes: Lanes,
    pub left_out: LeftOut,
    /// Who draws the samples of training, where it is not the policy.
    pub old: Option<P>,
    /// The moving average of the policy, where one is kept.
    pub average: Option<P>,
}

/// What an epoch goes without because a number was not finite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Samples whose reward was not.
    pub samples: Vec<usize>,
    /// Optimizer steps whose loss or gradient was not.
    pub updates: u64,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Epochs done.
    pub epochs: u64,
    /// Optimizer steps done.
    pub updates: u64,
    /// Rewards asked for in training.
    pub reward_queries: u64,
    /// The epochs done at the last evaluation, plus 1; 0 for none.
    pub evaluated: u64,
}

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// A trainer in which nothing has been done yet.
    ///
    /// # Errors
    /// [`Error::Plan`] for impossible tasks or an impossible evaluation, anchor or average, [`Error::Count`] where not each task has a
    /// list of prompts, [`Error::Threads`] where there are no threads for its lanes.
    pub fn new(plan: SamplePlan, parts: Parts<P, D>, adamw: AdamWConfig, learning_rate: f64) -> Result<Self> {
        parts.check_tasks(&plan)?;
        parts.evaluation.as_ref().map_or(Ok(()), |evaluation| evaluation.validate())?;
        parts.anchor.as_ref().map_or(Ok(()), |anchor| anchor.validate())?;
        let (counters, early_stopping, lanes) =
            (Counters::default(), EarlyStopping::default(), Lanes::new(parts.lanes)?);
        if let Some(decay) = parts.average_decay.filter(|decay| !(0.0..1.0).contains(decay)) {
            return Err(Error::plan("decay of the policy's average", decay, "at least 0 and below 1"));
        }
        let (optimizer, left_out) = (AdamW::new(adamw), LeftOut::default());
        let (old, average) = (None, parts.average_decay.map(|_| parts.policy.clone()));
        Ok(Self { plan, parts, optimizer, learning_rate, counters, early_stopping, lanes, left_out, old, average })
    }

    /// The policy for each lane.
    pub fn policies(&self) -> Result<Vec<P>> {
        match self.lanes.count() {
            1 => Ok(vec![self.parts.policy.clone()]),
            lanes => (0..lanes).map(|_| self.parts.policy.fork()).collect(),
        }
    }

    /// The epoch that is to be done.
    pub fn next_epoch(&self) -> Epoch {
        Epoch(self.counters.epochs + 1)
    }

    /// Counts the rewards and notes how they are distributed.
    pub fn describe(&mut self, scores: &Scores, record: &mut EpochRecord) {
        let rewards: Vec<f64> = scores.reported.iter().map(|&r| f64::from(r)).collect();
        let n = rewards.len().max(1) as f64;
        let mean = rewards.iter().sum::<f64>() / n;
        self.counters.reward_queries += rewards.len() as u64;
        record.reward_queries = self.counters.reward_queries;
        record.reward_mean = mean;
        record.reward_std = (rewards.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n).sqrt();
        record.reward_histogram = Histogram::of(&scores.reported);
        record.reward_parts = scores.parts.clone();
    }

    /// One step of the optimizer against the mean of `gradients`: the step's number and the gradient's norm.
    pub fn step(&mut self, gradients: GradientSum, epoch: Epoch) -> Result<(u64, f64)> {
        let step = self.counters.updates + 1;
        let values = self.parts.policy.parameters().into_iter().map(|parameter| parameter.value).collect();
        let update = self.optimizer.step(self.learning_rate, values, gradients);
        let update = update.map_err(|error| locate(error, epoch, step))?;
        self.parts.policy.set_parameters(update.values)?;
        self.counters.updates = step;
        self.average_follows(step)?;
        Ok((step, update.grad_norm))
    }

    /// Gives no weight to the samples whose reward is not finite.
    pub fn leave_out_samples(&self, weights: &mut [f32]) {
        for &sample in &self.left_out.samples {
            weights[sample] = 0.0;
        }
    }

    /// The epoch is done.
    pub fn finish(&mut self, mut record: EpochRecord, observer: &mut Observer<'_>) {
        let LeftOut { samples, updates } = std::mem::take(&mut self.left_out);
        record.left_out = samples.len() as u64 + updates;
        let exchange = self.parts.ranks.take_time().as_secs_f64();
        record.exchange_seconds = (!self.parts.ranks.is_alone()).then_some(exchange);
        self.counters.epochs = record.epoch;
        observer.record(&Record::Epoch(record.with_throughput(self.plan.samples_per_epoch())));
    }
}

/// Says where a gradient that is not finite was.
pub(super) fn locate(error: Error, epoch: Epoch, update: u64) -> Error {
    match error {
        Error::NonFiniteNorm(value) => {
            let location = Location { update: Some(update), ..Location::default() };
            Error::NonFinite { what: "the gradient norm", value, epoch: epoch.0, location }
        }
        other => other,
    }
}

/// The values of a tensor.
pub(super) fn read(tensor: &Tensor<1>) -> Result<Vec<f32>> {
    tensor.clone().inner().try_into_vec_as::<f32>().map_err(Error::device)
}

/// Adds the seconds `f` takes to `seconds`.
pub(super) fn timed<T>(seconds: &mut f64, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    *seconds += start.elapsed().as_secs_f64();
    result
}
