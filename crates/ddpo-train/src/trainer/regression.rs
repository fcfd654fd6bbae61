//! The regression of a round: gradients of the weighted denoising error, and the optimizer's steps.

use burn::tensor::{Int, Tensor, TensorData};
use ddpo_core::{Address, Epoch, Guided, Noise, PromptId, SampleId, Stream, denoising_error};

use super::fork::ForkPolicy;
use super::rwr::RwrTrainer;
use crate::error::{Error, Place, Result};
use crate::events::{Progress, Record, RegressionRecord, Stage};
use crate::observer::Observer;
use crate::optimizer::{GradientSum, gradients_of};

/// What a round regresses on: clean states `[N, ..]` with the prompt and the weight of each, N at least 1.
pub(super) struct Corpus<const D: usize> {
    pub states: Tensor<D>,
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
    /// The row of the corpus.
    row: usize,
}

impl<P: ForkPolicy<D>, const D: usize> RwrTrainer<P, D> {
    /// The optimizer steps of a round; without a corpus there is nothing to learn, and there are none.
    pub(super) fn regress(
        &mut self,
        corpus: Option<&Corpus<D>>,
        round: Epoch,
        observer: &mut Observer<'_>,
    ) -> Result<()> {
        let Some(corpus) = corpus else { return Ok(()) };
        for update in 0..self.plan.updates_per_round as u64 {
            self.regression_step(corpus, round, update, observer)?;
        }
        Ok(())
    }

    /// One step of the optimizer against the mean gradient over the update's rows.
    fn regression_step(
        &mut self,
        corpus: &Corpus<D>,
        round: Epoch,
        update: u64,
        observer: &mut Observer<'_>,
    ) -> Result<()> {
        let slots = self.slots(corpus, round, update);
        let (mut gradients, mut loss, mut error) = (GradientSum::new(), 0.0, 0.0);
        let policies = self.shop.policies()?;
        let total = self.plan.updates_per_round * self.plan.accumulation;
        let mut done = update as usize * self.plan.accumulation;
        self.shop.lanes.each(
            slots.chunks(self.plan.train_batch).collect(),
            |lane, slots: &[Slot], _| self.pass(&policies[lane], corpus, slots, round, update),
            &mut || {},
            |pass: Pass| {
                loss += pass.rows * pass.loss;
                error += pass.rows * pass.error;
                gradients.add_tensors(pass.gradients, pass.rows)?;
                done += 1;
                observer.progress(Progress { stage: Stage::Training, epoch: round.0, done, total });
                observer.check(round.0)
            },
        )?;
        let rows = slots.len() as f64;
        let (step, grad_norm) = self.shop.step(gradients, round)?;
        observer.record(&Record::Regression(RegressionRecord {
            epoch: round.0,
            step,
            loss: loss / rows,
            error: error / rows,
            effective_samples: corpus.effective_samples(),
            grad_norm,
        }));
        Ok(())
    }

    /// The gradient of the weighted error's sum over some rows of an update.
    fn pass(&self, policy: &P, corpus: &Corpus<D>, slots: &[Slot], round: Epoch, update: u64) -> Result<Pass> {
        let rows = slots.len() as f64;
        let errors = self.errors(policy, corpus, slots, round, update)?;
        let weighted = (errors.clone() * self.weights(corpus, slots)).mean();
        let (loss, error) = (self.finite(&weighted, round)?, self.finite(&errors.mean(), round)?);
        let gradients = gradients_of(&policy.parameters(), weighted.mul_scalar(rows).backward())?;
        Ok(Pass { rows, loss, error, gradients })
    }

    /// The rows of an update: the corpus in a random order, a new one for each pass over it, cut into updates.
    fn slots(&self, corpus: &Corpus<D>, round: Epoch, update: u64) -> Vec<Slot> {
        let (count, size) = (corpus.weights.len() as u64, (self.plan.train_batch * self.plan.accumulation) as u64);
        let order = |pass| {
            let address = Address { stream: Stream::SampleOrder, epoch: round, sample: SampleId(0), step: pass };
            self.shop.noise().at(address).permutation(count as usize)
        };
        let first = update * size;
        let passes = first / count..=(first + size - 1) / count;
        let rows = passes.flat_map(order).skip((first % count) as usize);
        (0..size).zip(rows).map(|(place, row)| Slot { place, row }).collect()
    }

    /// The denoising error of each row at a timestep and with a noise of its own, through the guided policy; `[B]`.
    fn errors(&self, policy: &P, corpus: &Corpus<D>, slots: &[Slot], round: Epoch, update: u64) -> Result<Tensor<1>> {
        let parts = &self.shop.parts;
        let guided = Guided::new(policy, parts.prompts.unconditional().clone(), self.plan.train_guidance)?;
        let (noise, samples): (Noise, Vec<SampleId>) =
            (self.shop.noise(), slots.iter().map(|slot| SampleId(slot.place)).collect());
        let address = |stream| Address { stream, epoch: round, sample: SampleId(0), step: update };
        let timestep = |&sample: &SampleId| {
            let address = Address { sample, ..address(Stream::DenoisingTimestep) };
            noise.at(address).index(self.schedule.train_steps())
        };
        let timesteps: Vec<usize> = samples.iter().map(timestep).collect();
        let epsilon = noise.normal_batch(address(Stream::DenoisingNoise), &samples, parts.shape, &parts.device);
        let prompts: Vec<PromptId> = slots.iter().map(|slot| corpus.prompts[slot.row]).collect();
        let condition = parts.prompts.condition(&prompts)?;
        let clean = corpus.rows(slots);
        Ok(denoising_error(&guided, &self.schedule, &clean, &epsilon, &timesteps, &condition)?)
    }

    fn weights(&self, corpus: &Corpus<D>, slots: &[Slot]) -> Tensor<1> {
        let weights: Vec<f32> = slots.iter().map(|slot| corpus.weights[slot.row]).collect();
        Tensor::from_data(TensorData::new(weights, [slots.len()]), &self.shop.parts.device)
    }

    /// The value of a loss, which must be finite.
    fn finite(&self, loss: &Tensor<1>, round: Epoch) -> Result<f64> {
        let values = loss.clone().inner().try_into_vec_as::<f32>().map_err(Error::device)?;
        let value: f64 = values.into_iter().map(f64::from).sum();
        if value.is_finite() {
            return Ok(value);
        }
        let place = Place { update: Some(self.shop.counters.updates + 1), ..Place::default() };
        Err(Error::NonFinite { what: "the loss", value, epoch: round.0, place })
    }
}

impl<const D: usize> Corpus<D> {
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
