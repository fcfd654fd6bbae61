//! The regression of a round: gradients of the weighted denoising error, and the optimizer's steps.

use burn::tensor::{Int, Tensor, TensorData};
use ddpo_core::{Address, Epoch, Guided, Noise, PromptId, SampleId, Stream, denoising_error};

use super::failed::Failed;
use super::fork::ForkPolicy;
use super::rwr::RwrTrainer;
use super::trainer_core::{read, total};
use crate::error::{Error, Location, Result};
use crate::events::{Progress, Record, RegressionRecord, Stage};
use crate::non_finite::{BatchMembers, NonFiniteBatch};
use crate::observer::Observer;
use crate::optimizer::{GradientSum, gradients_of};

/// What a round regresses on: clean states `[N, ..]` with the prompt and the weight of each, N at least 1.
pub(super) struct RegressionSet<const D: usize> {
    pub states: Tensor<D>,
    /// The number of each within the round.
    pub samples: Vec<usize>,
    pub prompts: Vec<PromptId>,
    /// All above 0.
    pub weights: Vec<f32>,
}

/// What one forward and backward pass leaves.
struct Pass {
    rows: f64,
    loss: f64,
    error: f64,
    gradients: Vec<Tensor<1>>,
}

/// One row of an optimizer step.
#[derive(Clone, Copy)]
struct Slot {
    /// The place within the step, which names the row's noise and timestep.
    place: u64,
    /// The row of the set.
    row: usize,
}

impl<P: ForkPolicy<D>, const D: usize> RwrTrainer<P, D> {
    /// The optimizer steps of a round; without a set there is nothing to learn, and there are none.
    pub(super) fn regress(
        &mut self,
        set: Option<&RegressionSet<D>>,
        round: Epoch,
        observer: &mut Observer<'_>,
    ) -> Result<()> {
        let Some(set) = set else { return Ok(()) };
        for update in 0..self.plan.updates_per_round as u64 {
            self.regression_step(set, round, update, observer)?;
        }
        Ok(())
    }

    /// One step of the optimizer against the mean gradient over the update's rows, unless a number of them is not finite
    /// and the plan says to leave the step out.
    fn regression_step(
        &mut self,
        set: &RegressionSet<D>,
        round: Epoch,
        update: u64,
        observer: &mut Observer<'_>,
    ) -> Result<()> {
        let slots = self.slots(set, round, update);
        let outcome = self.mean_error_gradient(set, &slots, round, update, observer).and_then(|(gradients, means)| {
            let (step, grad_norm) = self.core.step(gradients, round)?;
            Ok(RegressionRecord { step, grad_norm, ..means })
        });
        match outcome {
            Ok(record) => observer.record(&Record::Regression(record)),
            Err(failed) if failed.is_non_finite() => {
                let rows = failed.piece.and_then(|piece| slots.chunks(self.plan.train_batch).nth(piece));
                let batch_record = self.batch_record(&failed.error, set, rows.unwrap_or(&slots), round)?;
                self.core.leave_out_update(failed.error, &batch_record, observer)?;
            }
            Err(failed) => return Err(failed.error),
        }
        Ok(())
    }

    /// The gradient over the update's rows, summed in their order, and a record of all but the optimizer's part.
    fn mean_error_gradient(
        &self,
        set: &RegressionSet<D>,
        slots: &[Slot],
        round: Epoch,
        update: u64,
        observer: &mut Observer<'_>,
    ) -> Result<(GradientSum, RegressionRecord), Failed> {
        let (mut gradients, mut loss, mut error) = (GradientSum::new(), 0.0, 0.0);
        let policies = self.core.policies()?;
        let total = self.plan.updates_per_round * self.plan.accumulation;
        let mut done = update as usize * self.plan.accumulation;
        self.core.lanes.each(
            slots.chunks(self.plan.train_batch).enumerate().collect(),
            |lane, (piece, slots): (usize, &[Slot]), _| {
                let pass = self.pass(&policies[lane], set, slots, round, update);
                pass.map_err(|error| Failed { piece: Some(piece), error })
            },
            &mut || {},
            |pass: Pass| {
                loss += pass.rows * pass.loss;
                error += pass.rows * pass.error;
                gradients.add_tensors(pass.gradients, pass.rows)?;
                done += 1;
                observer.progress(Progress { stage: Stage::Training, epoch: round.0, done, total });
                Ok(observer.check(round.0)?)
            },
        )?;
        let rows = slots.len() as f64;
        let record = RegressionRecord {
            epoch: round.0,
            loss: loss / rows,
            denoising_error: error / rows,
            effective_samples: set.effective_samples(),
            ..RegressionRecord::default()
        };
        Ok((gradients, record))
    }

    /// The gradient of the weighted error's sum over some rows of an update.
    fn pass(&self, policy: &P, set: &RegressionSet<D>, slots: &[Slot], round: Epoch, update: u64) -> Result<Pass> {
        let rows = slots.len() as f64;
        let errors = self.errors(policy, set, slots, round, update)?;
        let weighted = (errors.clone() * self.weights(set, slots)).mean();
        self.check(&errors, set, slots, round)?;
        let (loss, error) = (total(&weighted)?, total(&errors.mean())?);
        let gradients = gradients_of(&policy.parameters(), weighted.mul_scalar(rows).backward())?;
        Ok(Pass { rows, loss, error, gradients })
    }

    /// The rows of an update: the set in a random order, a new one for each pass over it, cut into updates.
    fn slots(&self, set: &RegressionSet<D>, round: Epoch, update: u64) -> Vec<Slot> {
        let (count, size) = (set.weights.len() as u64, (self.plan.train_batch * self.plan.accumulation) as u64);
        let order = |pass| {
            let address = Address { stream: Stream::SampleOrder, epoch: round, sample: SampleId(0), step: pass };
            self.core.noise().at(address).permutation(count as usize)
        };
        let first = update * size;
        let passes = first / count..=(first + size - 1) / count;
        let rows = passes.flat_map(order).skip((first % count) as usize);
        (0..size).zip(rows).map(|(place, row)| Slot { place, row }).collect()
    }

    /// The denoising error of each row at a timestep and with a noise of its own, through the guided policy; `[B]`.
    fn errors(
        &self,
        policy: &P,
        set: &RegressionSet<D>,
        slots: &[Slot],
        round: Epoch,
        update: u64,
    ) -> Result<Tensor<1>> {
        let parts = &self.core.parts;
        let guided = Guided::new(policy, parts.prompts.unconditional().clone(), self.plan.train_guidance)?;
        let (noise, samples): (Noise, Vec<SampleId>) =
            (self.core.noise(), slots.iter().map(|slot| SampleId(slot.place)).collect());
        let address = |stream| Address { stream, epoch: round, sample: SampleId(0), step: update };
        let timestep = |&sample: &SampleId| {
            let address = Address { sample, ..address(Stream::DenoisingTimestep) };
            noise.at(address).index(self.schedule.train_steps())
        };
        let timesteps: Vec<usize> = samples.iter().map(timestep).collect();
        let epsilon = noise.normal_batch(address(Stream::DenoisingNoise), &samples, parts.shape, &parts.device);
        let prompts: Vec<PromptId> = slots.iter().map(|slot| set.prompts[slot.row]).collect();
        let condition = parts.prompts.condition(&prompts)?;
        let clean = set.rows(slots);
        Ok(denoising_error(&guided, &self.schedule, &clean, &epsilon, &timesteps, &condition)?)
    }

    fn weights(&self, set: &RegressionSet<D>, slots: &[Slot]) -> Tensor<1> {
        let weights: Vec<f32> = slots.iter().map(|slot| set.weights[slot.row]).collect();
        Tensor::from_data(TensorData::new(weights, [slots.len()]), &self.core.parts.device)
    }

    /// Every row's error must be finite; the first which is not is named.
    fn check(&self, errors: &Tensor<1>, set: &RegressionSet<D>, slots: &[Slot], round: Epoch) -> Result<()> {
        let errors = read(errors)?;
        let Some(i) = errors.iter().position(|error| !error.is_finite()) else { return Ok(()) };
        let row = slots[i].row;
        let location = Location {
            sample: Some(set.samples[row]),
            step: None,
            update: Some(self.core.counters.updates + 1),
            prompt: self.core.parts.prompts.texts(&set.prompts[row..=row]).pop(),
        };
        Err(Error::NonFinite { what: "the loss", value: errors[i].into(), epoch: round.0, location })
    }

    fn batch_record(
        &self,
        error: &Error,
        set: &RegressionSet<D>,
        slots: &[Slot],
        round: Epoch,
    ) -> Result<NonFiniteBatch> {
        let rows = || slots.iter().map(|slot| slot.row);
        let prompts: Vec<PromptId> = rows().map(|row| set.prompts[row]).collect();
        let weights: Vec<f32> = rows().map(|row| set.weights[row]).collect();
        let members = BatchMembers {
            error: error.to_string(),
            epoch: round.0,
            update: Some(self.core.counters.updates + 1),
            samples: rows().map(|row| set.samples[row]).collect(),
            steps: Vec::new(),
            prompts: self.core.parts.prompts.texts(&prompts),
        };
        Ok(NonFiniteBatch::new(members).with("clean", &set.rows(slots)).with_values("weight", &weights))
    }
}

impl<const D: usize> RegressionSet<D> {
    fn rows(&self, slots: &[Slot]) -> Tensor<D> {
        let rows: Vec<i64> = slots.iter().map(|slot| slot.row as i64).collect();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [slots.len()]), &self.states.device());
        self.states.clone().select(0, rows)
    }

    /// (Σw)²/Σw² (Kish): N for equal weights, 1 where one sample has them all.
    fn effective_samples(&self) -> f64 {
        let weights = || self.weights.iter().map(|&weight| f64::from(weight));
        weights().sum::<f64>().powi(2) / weights().map(|weight| weight * weight).sum::<f64>()
    }
}
