//! The loss of a regression: the weighted denoising error of a round's pictures.

use burn::tensor::{Int, Tensor, TensorData};
use ddpo_core::{Address, Epoch, Guided, Noise, NoiseSchedule, PromptId, SampleId, Stream, denoising_error};

use super::fork::ForkPolicy;
use super::optimise::{BatchLoss, Pass, Reading};
use super::trainer_core::TrainerCore;
use crate::error::{Location, Result};
use crate::non_finite::NonFiniteBatch;
use crate::plan::RwrPlan;
use crate::record::{Record, RegressionRecord};

/// What a round regresses on: clean states `[N, ..]` with the prompt and the weight of each, N at least 1.
pub(super) struct RegressionSet<const D: usize> {
    pub states: Tensor<D>,
    /// The number of each within the round.
    pub samples: Vec<usize>,
    pub prompts: Vec<PromptId>,
    /// All above 0.
    pub weights: Vec<f32>,
}

/// The weighted denoising error on a regression set.
pub(super) struct RegressionLoss<'a, const D: usize> {
    pub plan: &'a RwrPlan,
    pub schedule: &'a NoiseSchedule,
    pub set: &'a RegressionSet<D>,
    pub round: Epoch,
}

/// One row of an optimizer step.
#[derive(Clone, Copy)]
pub(super) struct RegressionRow {
    /// The optimizer step of the round, and the place within it: they name the row's noise and timestep.
    update: u64,
    place: u64,
    /// The row of the set.
    row: usize,
}

impl<const D: usize> RegressionLoss<'_, D> {
    /// The rows of each pass of each optimizer step of the round.
    pub fn steps(&self, noise: Noise) -> Vec<Vec<Vec<RegressionRow>>> {
        let passes = |update| self.rows(noise, update).chunks(self.plan.train_batch).map(<[_]>::to_vec).collect();
        (0..self.plan.updates_per_round as u64).map(passes).collect()
    }

    /// The rows of an update: the set in a random order, a new one for each pass over it, cut into updates.
    fn rows(&self, noise: Noise, update: u64) -> Vec<RegressionRow> {
        let count = self.set.weights.len() as u64;
        let size = (self.plan.train_batch * self.plan.accumulation) as u64;
        let order = |pass| {
            let address = Address { stream: Stream::SampleOrder, epoch: self.round, sample: SampleId(0), step: pass };
            noise.at(address).permutation(count as usize)
        };
        let first = update * size;
        let passes = first / count..=(first + size - 1) / count;
        let rows = passes.flat_map(order).skip((first % count) as usize);
        (0..size).zip(rows).map(|(place, row)| RegressionRow { update, place, row }).collect()
    }

    /// A row's own timestep, uniform over all of the model's.
    fn timestep_of(&self, noise: Noise, row: RegressionRow) -> usize {
        let stream = Stream::DenoisingTimestep;
        let address = Address { stream, epoch: self.round, sample: SampleId(row.place), step: row.update };
        noise.at(address).index(self.schedule.train_steps())
    }

    /// The denoising error of each row at a timestep and with a noise of its own, through the guided policy; `[B]`.
    fn errors<P: ForkPolicy<D>>(
        &self,
        core: &TrainerCore<P, D>,
        policy: &P,
        rows: &[RegressionRow],
    ) -> Result<Tensor<1>> {
        let (parts, noise) = (&core.parts, core.noise());
        let guided = Guided::new(policy, parts.prompts.unconditional().clone(), self.plan.train_guidance)?;
        let update = rows.first().map_or(0, |row| row.update);
        let address = Address { stream: Stream::DenoisingNoise, epoch: self.round, sample: SampleId(0), step: update };
        let samples: Vec<SampleId> = rows.iter().map(|row| SampleId(row.place)).collect();
        let timesteps: Vec<usize> = rows.iter().map(|&row| self.timestep_of(noise, row)).collect();
        let epsilon = noise.normal_batch(address, &samples, parts.shape, &parts.device);
        let prompts: Vec<PromptId> = rows.iter().map(|row| self.set.prompts[row.row]).collect();
        let condition = parts.prompts.condition(&prompts)?;
        Ok(denoising_error(&guided, self.schedule, &self.set.states_of(rows), &epsilon, &timesteps, &condition)?)
    }
}

impl<P: ForkPolicy<D>, const D: usize> BatchLoss<P, D> for RegressionLoss<'_, D> {
    type Row = RegressionRow;

    fn pass(&self, core: &TrainerCore<P, D>, policy: &P, rows: &[RegressionRow]) -> Result<Pass> {
        let errors = self.errors(core, policy, rows)?;
        let weights = Tensor::from_data(TensorData::new(self.set.weights_of(rows), [rows.len()]), &core.parts.device);
        let weighted = (errors.clone() * weights).mean();
        Pass::backward(policy, rows.len(), weighted, &errors, [errors.clone().mean().inner()])
    }

    fn record(&self, epoch: Epoch, step: u64, grad_norm: f64, passes: &[Reading]) -> Record {
        let rows: f64 = passes.iter().map(|pass| pass.rows).sum();
        let error = |pass: &Reading| pass.others.first().and_then(|error| error.first()).map_or(0.0, |&x| f64::from(x));
        Record::Regression(RegressionRecord {
            epoch: epoch.0,
            step,
            loss: passes.iter().map(|pass| pass.rows * pass.loss).sum::<f64>() / rows,
            denoising_error: passes.iter().map(|pass| pass.rows * error(pass)).sum::<f64>() / rows,
            effective_samples: self.set.effective_samples(),
            grad_norm,
        })
    }

    fn timestep(&self, core: &TrainerCore<P, D>, row: RegressionRow) -> f64 {
        self.timestep_of(core.noise(), row) as f64
    }

    fn location(&self, core: &TrainerCore<P, D>, row: RegressionRow) -> Location {
        let prompt = core.parts.prompts.texts(&self.set.prompts[row.row..=row.row]).pop();
        Location { sample: Some(self.set.samples[row.row]), prompt, ..Location::default() }
    }

    fn describe(
        &self,
        _: &TrainerCore<P, D>,
        rows: &[RegressionRow],
        record: NonFiniteBatch,
    ) -> Result<NonFiniteBatch> {
        Ok(record.with("clean", &self.set.states_of(rows)).with_values("weight", &self.set.weights_of(rows)))
    }
}

impl<const D: usize> RegressionSet<D> {
    fn states_of(&self, rows: &[RegressionRow]) -> Tensor<D> {
        let indices: Vec<i64> = rows.iter().map(|row| row.row as i64).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [rows.len()]), &self.states.device());
        self.states.clone().select(0, indices)
    }

    fn weights_of(&self, rows: &[RegressionRow]) -> Vec<f32> {
        rows.iter().map(|row| self.weights[row.row]).collect()
    }

    /// (Σw)²/Σw² (Kish): N for equal weights, 1 where one sample has them all.
    fn effective_samples(&self) -> f64 {
        let weights = || self.weights.iter().map(|&weight| f64::from(weight));
        weights().sum::<f64>().powi(2) / weights().map(|weight| weight * weight).sum::<f64>()
    }
}
