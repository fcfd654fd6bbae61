//! The loss of the forward process: the distance from corrected targets at noised samples.

use burn::tensor::{Int, Tensor, TensorData};
use ddpo_core::correction::{CorrectedLoss, Models, NoisedStates};
use ddpo_core::{Address, Denoiser, Epoch, Guided, Noise, NoiseSchedule, PromptId, SampleId, Stream};

use super::fork::ForkPolicy;
use super::optimise::{BatchLoss, Pass, Reading};
use super::trainer_core::TrainerCore;
use crate::error::{Location, Result};
use crate::non_finite::NonFiniteBatch;
use crate::plan::{ForwardPlan, TimestepDensity};
use crate::record::{CorrectionRecord, Record};

/// What an epoch learns from: the clean states `[N, ..]` that chains ended in, with the prompt and the advantage of each.
pub(super) struct CorrectionSet<const D: usize> {
    pub states: Tensor<D>,
    pub prompts: Vec<PromptId>,
    /// Consecutive rows which share a prompt.
    pub samples_per_prompt: usize,
    pub advantages: Vec<f32>,
}

/// The distance from corrected targets on a set.
pub(super) struct CorrectionLoss<'a, P, const D: usize> {
    pub plan: &'a ForwardPlan,
    pub schedule: &'a NoiseSchedule,
    pub set: &'a CorrectionSet<D>,
    pub epoch: Epoch,
    /// The policy that drew the samples, where it is neither the trainer's old one nor the policy as it is.
    pub drawn_by: Option<P>,
}

/// One noising of one sample.
#[derive(Clone, Copy)]
pub(super) struct Noising {
    /// The sample, as a row of the set.
    row: usize,
    /// The noising's number over all inner epochs: with the sample's group it names the timestep and the noise.
    number: u64,
}

impl<P, const D: usize> CorrectionLoss<'_, P, D> {
    /// The noisings of each pass of each optimizer step of an epoch: all samples in each of the inner epochs, minibatch by minibatch;
    /// the k-th pass over a minibatch has the k-th noising of each sample.
    pub fn steps(&self, noise: Noise) -> Vec<Vec<Vec<Noising>>> {
        let (plan, count) = (self.plan, self.plan.noisings as u64);
        let mut steps = Vec::with_capacity(plan.updates_per_epoch());
        for inner in 0..plan.inner_epochs as u64 {
            let rows = noise.at(self.address(Stream::SampleOrder, 0, inner)).permutation(self.set.advantages.len());
            let pass =
                |batch: &[usize], k| batch.iter().map(|&row| Noising { row, number: inner * count + k }).collect();
            let passes = |rows: &[usize]| {
                rows.chunks(plan.train_batch).flat_map(|batch| (0..count).map(move |k| pass(batch, k))).collect()
            };
            steps.extend(rows.chunks(plan.train_batch * plan.accumulation).map(passes));
        }
        steps
    }

    /// The address of a number of a group of samples: those of one prompt that are drawn one after the other share their noisings, so
    /// that what differs between them is what they show.
    fn address(&self, stream: Stream, row: usize, step: u64) -> Address {
        let group = SampleId((row / self.set.samples_per_prompt) as u64);
        Address { stream, epoch: self.epoch, sample: group, step }
    }

    /// The timestep of a noising: one in each of as many parts of equal probability as a sample has noisings.
    fn timestep_of(&self, noise: Noise, noising: Noising) -> usize {
        let address = self.address(Stream::DenoisingTimestep, noising.row, noising.number);
        let part = (noising.number % self.plan.noisings as u64) as f64;
        let within = noise.at(address).uniforms(1).first().copied().unwrap_or_default();
        let quantile = (part + within) / self.plan.noisings as f64;
        self.plan.density.timestep(quantile, self.plan.first_timestep, self.schedule.train_steps())
    }

    fn epsilon(&self, noise: Noise, rows: &[Noising], like: &Tensor<D>) -> Tensor<D> {
        let draw = |noising: &Noising| {
            let address = self.address(Stream::DenoisingNoise, noising.row, noising.number);
            noise.normal_batch(address, &[address.sample], like.dims(), &like.device())
        };
        Tensor::cat(rows.iter().map(draw).collect(), 0)
    }

    fn advantages_of(&self, rows: &[Noising]) -> Vec<f32> {
        rows.iter().map(|noising| self.set.advantages[noising.row]).collect()
    }
}

impl<P: ForkPolicy<D>, const D: usize> CorrectionLoss<'_, P, D> {
    fn loss(&self, core: &TrainerCore<P, D>, policy: &P, rows: &[Noising]) -> Result<CorrectedLoss> {
        let (parts, noise) = (&core.parts, core.noise());
        let guided = |model| Guided::new(model, parts.prompts.unconditional().clone(), self.plan.train_guidance);
        let drawn_by = core.old.as_ref().or(self.drawn_by.as_ref()).map(|old| old.sampler());
        let (base, policy) = (policy.reference(), guided(policy)?);
        let (old, base) = (drawn_by.as_deref().map(guided).transpose()?, guided(&*base)?);
        let clean = self.set.states_of(rows);
        let prompts: Vec<PromptId> = rows.iter().map(|noising| self.set.prompts[noising.row]).collect();
        let states = NoisedStates {
            clean: &clean,
            epsilon: &self.epsilon(noise, rows, &clean),
            timesteps: &rows.iter().map(|&noising| self.timestep_of(noise, noising)).collect::<Vec<_>>(),
            condition: &parts.prompts.condition(&prompts)?,
            advantages: &self.advantages_of(rows),
        };
        let old = old.as_ref().map(|old| old as &dyn Denoiser<D>);
        Ok(self.plan.target.loss(self.schedule, &states, &Models { policy: &policy, old, base: &base })?)
    }
}

impl<P: ForkPolicy<D>, const D: usize> BatchLoss<P, D> for CorrectionLoss<'_, P, D> {
    type Row = Noising;

    fn pass(&self, core: &TrainerCore<P, D>, policy: &P, rows: &[Noising]) -> Result<Pass> {
        let CorrectedLoss { loss, denoising_error, distance_to_old, distance_to_base } =
            self.loss(core, policy, rows)?;
        let others = [denoising_error, distance_to_old].into_iter().chain(distance_to_base).map(|values| values.mean());
        Pass::backward(policy, rows.len(), loss.clone().mean(), &loss, others)
    }

    fn record(&self, epoch: Epoch, step: u64, grad_norm: f64, passes: &[Reading]) -> Record {
        let rows: f64 = passes.iter().map(|pass| pass.rows).sum();
        let mean = |value: &dyn Fn(&Reading) -> Option<f64>| {
            let values: Option<Vec<f64>> = passes.iter().map(|pass| Some(pass.rows * value(pass)?)).collect();
            values.map(|values| values.iter().sum::<f64>() / rows)
        };
        let other = |i: usize| mean(&|pass| pass.others.get(i)?.first().map(|&value| f64::from(value)));
        Record::Correction(CorrectionRecord {
            epoch: epoch.0,
            step,
            loss: mean(&|pass| Some(pass.loss)).unwrap_or(f64::NAN),
            denoising_error: other(0).unwrap_or(f64::NAN),
            distance_to_old: other(1).unwrap_or(f64::NAN),
            distance_to_base: other(2),
            grad_norm,
        })
    }

    fn timestep(&self, core: &TrainerCore<P, D>, noising: Noising) -> f64 {
        self.timestep_of(core.noise(), noising) as f64
    }

    fn location(&self, core: &TrainerCore<P, D>, noising: Noising) -> Location {
        let prompt = core.parts.prompts.texts(&self.set.prompts[noising.row..=noising.row]).pop();
        Location { sample: Some(noising.row), prompt, ..Location::default() }
    }

    fn describe(&self, core: &TrainerCore<P, D>, rows: &[Noising], record: NonFiniteBatch) -> Result<NonFiniteBatch> {
        let timesteps: Vec<f32> = rows.iter().map(|&noising| self.timestep_of(core.noise(), noising) as f32).collect();
        let record = record.with("clean", &self.set.states_of(rows)).with_values("timestep", &timesteps);
        Ok(record.with_values("advantage", &self.advantages_of(rows)))
    }
}

impl<const D: usize> CorrectionSet<D> {
    fn states_of(&self, rows: &[Noising]) -> Tensor<D> {
        let indices: Vec<i64> = rows.iter().map(|noising| noising.row as i64).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [rows.len()]), &self.states.device());
        self.states.clone().select(0, indices)
    }
}

impl TimestepDensity {
    /// The timestep from `first` on, below `end`, of a quantile from 0 to 1.
    fn timestep(self, quantile: f64, first: usize, end: usize) -> usize {
        let (low, high) = (first as f64, end as f64);
        let timestep = match self {
            Self::Uniform => low + quantile * (high - low),
            Self::Linear => (low * low + quantile * (high * high - low * low)).sqrt(),
        };
        (timestep as usize).clamp(first, end - 1)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use ddpo_core::Domain;
    use ddpo_core::schedule::BetaSchedule;

    use super::*;
    use crate::plan::SamplePlan;

    #[test]
    fn samples_of_a_group_share_noisings_and_each_has_a_timestep_of_every_part() {
        let sampling =
            SamplePlan { sample_batch: 12, batches_per_epoch: 1, samples_per_prompt: 4, ..SamplePlan::default() };
        let plan = ForwardPlan { sampling, accumulation: 3, inner_epochs: 2, noisings: 5, ..ForwardPlan::default() };
        let schedule = NoiseSchedule::new(BetaSchedule::STABLE_DIFFUSION, 1000).unwrap();
        let states = Tensor::<2>::zeros([12, 3], &Device::flex());
        let (states_of, prompts) = (states.clone(), vec![PromptId(0); 12]);
        let set = CorrectionSet { states: states_of, prompts, samples_per_prompt: 4, advantages: vec![0.0; 12] };
        let loss =
            CorrectionLoss::<(), 2> { plan: &plan, schedule: &schedule, set: &set, epoch: Epoch(1), drawn_by: None };
        let noise = Noise::new(1, Domain::Training);
        let steps = loss.steps(noise);
        // An update an inner epoch, each of three batches with five noisings; every sample has each noising once.
        assert_eq!(steps.iter().map(Vec::len).collect::<Vec<_>>(), [15, 15]);
        let mut noisings: Vec<(usize, u64)> = steps.concat().concat().iter().map(|n| (n.row, n.number)).collect();
        noisings.sort_unstable();
        assert_eq!(noisings, (0..12).flat_map(|row| (0..10).map(move |number| (row, number))).collect::<Vec<_>>());
        let draw = |row, number| {
            let noising = Noising { row, number };
            let epsilon: Vec<f32> = loss.epsilon(noise, &[noising], &states).into_data().try_into_vec().unwrap();
            (loss.timestep_of(noise, noising), epsilon)
        };
        for number in 0..10 {
            assert_eq!(draw(4, number), draw(7, number));
            assert_ne!(draw(3, number).1, draw(4, number).1);
            assert_eq!(draw(0, number).0 / 200, number as usize % 5);
        }
        assert_ne!(draw(0, 0), draw(0, 5), "the noisings of the second inner epoch are others");
    }

    #[test]
    fn densities_are_those_of_their_names() {
        let shares = |density: TimestepDensity| {
            let timesteps = (0..1000).map(|i| density.timestep((f64::from(i) + 0.5) / 1000.0, 200, 1000));
            timesteps.filter(|&timestep| timestep >= 600).count()
        };
        // From 600 on are half of the timesteps from 200 on, and (1000² − 600²) of (1000² − 200²) where they count by their number.
        assert_eq!(shares(TimestepDensity::Uniform), 500);
        assert_eq!(shares(TimestepDensity::Linear), 667);
        for density in [TimestepDensity::Uniform, TimestepDensity::Linear] {
            assert_eq!([0.0, 1.0].map(|quantile| density.timestep(quantile, 200, 1000)), [200, 999]);
        }
    }
}
