//! The loss of given pairs: the denoising errors of two pictures of one prompt at the same noise and timestep.

use burn::tensor::{Int, Tensor, TensorData};
use ddpo_core::preference::PreferenceLoss;
use ddpo_core::{Address, Denoiser, Epoch, Guided, Noise, NoiseSchedule, PromptId, SampleId, Stream, denoising_error};

use super::fork::ForkPolicy;
use super::optimise::{BatchLoss, Pass, Reading};
use super::parts::PicturePairs;
use super::trainer_core::TrainerCore;
use crate::error::{Location, Result};
use crate::non_finite::NonFiniteBatch;
use crate::plan::PreferencePlan;
use crate::record::{PreferenceRecord, Record};

/// Diffusion-DPO on pairs.
pub(super) struct PairLoss<'a, const D: usize> {
    pub plan: &'a PreferencePlan,
    pub schedule: &'a NoiseSchedule,
    pub pairs: &'a PicturePairs<D>,
    pub epoch: Epoch,
}

/// One pair of an epoch.
#[derive(Clone, Copy)]
pub(super) struct PairRow {
    /// The place within the epoch: it names the noise and the timestep.
    place: u64,
    /// The pair.
    pair: usize,
}

impl<const D: usize> PairLoss<'_, D> {
    /// The pairs of each pass of each optimizer step of the epoch.
    pub fn steps(&self, noise: Noise) -> Vec<Vec<Vec<PairRow>>> {
        let (batch, update) = (self.plan.train_batch, self.plan.train_batch * self.plan.accumulation);
        let rows = self.rows(noise);
        rows.chunks(update).map(|rows| rows.chunks(batch).map(<[_]>::to_vec).collect()).collect()
    }

    /// The pairs of the epoch: all there are in a random order, a new one for each pass over them, cut into epochs.
    fn rows(&self, noise: Noise) -> Vec<PairRow> {
        let (count, size) = (self.pairs.prompts.len() as u64, self.plan.pairs_per_epoch as u64);
        let first = (self.epoch.0.saturating_sub(1)) * size;
        // The order of a pass belongs to no epoch.
        let order = |pass| {
            let address = Address { stream: Stream::SampleOrder, epoch: Epoch(0), sample: SampleId(0), step: pass };
            noise.at(address).permutation(count as usize)
        };
        let passes = first / count..=(first + size - 1) / count;
        let pairs = passes.flat_map(order).skip((first % count) as usize);
        (0..size).zip(pairs).map(|(place, pair)| PairRow { place, pair }).collect()
    }

    fn address(&self, stream: Stream, row: PairRow) -> Address {
        Address { stream, epoch: self.epoch, sample: SampleId(row.place), step: 0 }
    }

    fn timestep_of(&self, noise: Noise, row: PairRow) -> usize {
        let draw = noise.at(self.address(Stream::DenoisingTimestep, row));
        self.plan.timesteps[draw.index(self.plan.timesteps.len())]
    }

    /// The timestep of each of both pictures of these pairs.
    fn timesteps(&self, noise: Noise, rows: &[PairRow]) -> Vec<usize> {
        rows.iter().flat_map(|&row| [self.timestep_of(noise, row); 2]).collect()
    }

    /// The noise of both pictures of these pairs, the same for both; `[2 B, ..]`.
    fn epsilon(&self, noise: Noise, rows: &[PairRow]) -> Tensor<D> {
        let state = &self.pairs.states;
        let samples: Vec<SampleId> = rows.iter().flat_map(|row| [SampleId(row.place); 2]).collect();
        let address = Address { stream: Stream::DenoisingNoise, epoch: self.epoch, sample: SampleId(0), step: 0 };
        noise.normal_batch(address, &samples, state.dims(), &state.device())
    }

    /// The clean states of both pictures of these pairs, `[2 B, ..]`.
    fn states_of(&self, rows: &[PairRow]) -> Tensor<D> {
        let places: Vec<i64> = rows.iter().flat_map(|row| [2 * row.pair as i64, 2 * row.pair as i64 + 1]).collect();
        let places =
            Tensor::<1, Int>::from_data(TensorData::new(places, [2 * rows.len()]), &self.pairs.states.device());
        self.pairs.states.clone().select(0, places)
    }

    fn prompts_of(&self, rows: &[PairRow]) -> Vec<PromptId> {
        rows.iter().flat_map(|row| [self.pairs.prompts[row.pair]; 2]).collect()
    }

    /// The denoising errors `[2 B]` of a model.
    fn errors<P: ForkPolicy<D>>(
        &self,
        core: &TrainerCore<P, D>,
        model: &dyn Denoiser<D>,
        rows: &[PairRow],
    ) -> Result<Tensor<1>> {
        let (prompts, noise) = (&core.parts.prompts, core.noise());
        let guided = Guided::new(model, prompts.unconditional().clone(), self.plan.train_guidance)?;
        let condition = prompts.condition(&self.prompts_of(rows))?;
        let (epsilon, timesteps) = (self.epsilon(noise, rows), self.timesteps(noise, rows));
        Ok(denoising_error(&guided, self.schedule, &self.states_of(rows), &epsilon, &timesteps, &condition)?)
    }
}

impl<P: ForkPolicy<D>, const D: usize> BatchLoss<P, D> for PairLoss<'_, D> {
    type Row = PairRow;

    fn pass(&self, core: &TrainerCore<P, D>, policy: &P, rows: &[PairRow]) -> Result<Pass> {
        let errors = self.errors(core, policy, rows)?;
        let reference = self.errors(core, &*policy.reference(), rows)?;
        let PreferenceLoss { loss, is_ranked } = self.plan.objective.loss(&errors, &reference)?;
        let others = [errors.inner().mean(), is_ranked.mean()];
        Pass::backward(policy, rows.len(), loss.clone().mean(), &loss, others)
    }

    fn record(&self, epoch: Epoch, step: u64, grad_norm: f64, passes: &[Reading]) -> Record {
        let rows: f64 = passes.iter().map(|pass| pass.rows).sum();
        let mean =
            |value: &dyn Fn(&Reading) -> f64| passes.iter().map(|pass| pass.rows * value(pass)).sum::<f64>() / rows;
        let other = |i: usize| {
            mean(&|pass| pass.others.get(i).and_then(|values| values.first()).map_or(f64::NAN, |&value| value.into()))
        };
        Record::Preference(PreferenceRecord {
            epoch: epoch.0,
            step,
            loss: mean(&|pass| pass.loss),
            denoising_error: other(0),
            pair_accuracy: other(1),
            grad_norm,
        })
    }

    fn timestep(&self, core: &TrainerCore<P, D>, row: PairRow) -> f64 {
        self.timestep_of(core.noise(), row) as f64
    }

    fn location(&self, core: &TrainerCore<P, D>, row: PairRow) -> Location {
        let prompt = core.parts.prompts.texts(&self.pairs.prompts[row.pair..=row.pair]).pop();
        Location { sample: Some(row.pair), prompt, ..Location::default() }
    }

    fn describe(&self, core: &TrainerCore<P, D>, rows: &[PairRow], record: NonFiniteBatch) -> Result<NonFiniteBatch> {
        let timesteps: Vec<f32> = self.timesteps(core.noise(), rows).into_iter().map(|t| t as f32).collect();
        Ok(record.with("clean", &self.states_of(rows)).with_values("timestep", &timesteps))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use ddpo_core::Domain;
    use ddpo_core::schedule::BetaSchedule;

    use super::*;

    #[test]
    fn every_pair_comes_before_one_comes_again_and_its_pictures_share_their_noise() {
        let schedule = NoiseSchedule::new(BetaSchedule::STABLE_DIFFUSION, 1000).unwrap();
        let plan = PreferencePlan {
            pairs_per_epoch: 4,
            train_batch: 2,
            accumulation: 1,
            timesteps: vec![249, 499, 999],
            ..PreferencePlan::default()
        };
        let states = Tensor::<2>::from_floats([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]], &Device::flex());
        let pairs = PicturePairs { states, prompts: [0, 1, 2].map(PromptId).to_vec() };
        let noise = Noise::new(1, Domain::Training);
        let mut seen = Vec::new();
        for epoch in 1..=3 {
            let loss = PairLoss { plan: &plan, schedule: &schedule, pairs: &pairs, epoch: Epoch(epoch) };
            let steps = loss.steps(noise);
            assert_eq!(
                steps.iter().map(|passes| passes.iter().map(Vec::len).collect()).collect::<Vec<Vec<_>>>(),
                [[2], [2]]
            );
            let rows: Vec<PairRow> = steps.into_iter().flatten().flatten().collect();
            seen.extend(rows.iter().map(|row| row.pair));
            let (timesteps, epsilon) = (loss.timesteps(noise, &rows), loss.epsilon(noise, &rows));
            let epsilon: Vec<f32> = epsilon.into_data().try_into_vec().unwrap();
            assert!(timesteps.chunks(2).all(|pair| pair[0] == pair[1] && plan.timesteps.contains(&pair[0])));
            assert!(epsilon.chunks(2).all(|pair| pair[0] == pair[1]) && epsilon[0] != epsilon[2]);
            let clean: Vec<f32> = loss.states_of(&rows).into_data().try_into_vec().unwrap();
            let wanted: Vec<f32> =
                rows.iter().flat_map(|row| [2.0 * row.pair as f32, 2.0 * row.pair as f32 + 1.0]).collect();
            assert_eq!(clean, wanted);
        }
        for pass in seen.chunks(3) {
            assert_eq!(pass.iter().collect::<std::collections::BTreeSet<_>>().len(), 3, "{seen:?}");
        }
    }
}
