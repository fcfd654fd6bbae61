//! The gradient of an epoch's first update, looked at and not followed.

use ddpo_core::Epoch;
use ddpo_core::scheduler::trained_steps;

use super::correction::CorrectionLoss;
use super::ddpo::DdpoTrainer;
use super::distill::DistillTrainer;
use super::distill_loss::DistillLoss;
use super::fork::ForkPolicy;
use super::forward::ForwardTrainer;
use super::optimise::BatchLoss;
use super::policy_gradient::PolicyGradientLoss;
use super::preference::PreferenceTrainer;
use super::preference_loss::PairLoss;
use super::regression::RegressionLoss;
use super::rwr::RwrTrainer;
use super::trainer_core::{Counters, LeftOut, TrainerCore, locate};
use crate::error::{Error, Result};
use crate::events::{Progress, Stage};
use crate::observer::Observer;
use crate::record::EpochRecord;

/// A trainer whose next gradient can be seen without being followed.
///
/// ```
/// use ddpo_core::gradient::{GradientSamples, GradientStatistics};
/// use ddpo_train::{GradientProbe, Observer, Result};
///
/// /// What the gradients of epochs of these seeds have in common.
/// fn measure(trainer: &mut dyn GradientProbe, seeds: &[u64], observer: &mut Observer<'_>) -> Result<GradientStatistics> {
///     let mut samples = GradientSamples::new();
///     for &seed in seeds {
///         samples.push(trainer.first_gradient(seed, 1, observer)?.whole)?;
///     }
///     Ok(samples.statistics()?)
/// }
/// ```
pub trait GradientProbe {
    /// Samples and scores the epoch that would be next, with the randomness of `seed`, and computes the gradient that its first
    /// optimizer step would follow, before clipping. Nothing of the trainer changes: neither parameters nor counters nor what
    /// is remembered of rewards.
    ///
    /// The gradient comes in parts besides, from the noisiest on: one a denoising step where the algorithm learns from steps, else one
    /// for each of `bands` equal bands of the timesteps that it draws from.
    ///
    /// # Errors
    /// Those of an epoch; [`Error::NonFinite`] for a loss or a gradient, whatever the plan does about such.
    fn first_gradient(&mut self, seed: u64, bands: usize, observer: &mut Observer<'_>) -> Result<FirstGradient>;
}

/// The gradient of a first update, in the parameters' order.
#[derive(Clone, Debug, PartialEq)]
pub struct FirstGradient {
    /// All of it.
    pub whole: Vec<f32>,
    /// What it is the sum of, the noisiest timesteps first.
    pub parts: Vec<GradientPart>,
    /// The mean reward of the epoch's samples.
    pub reward_mean: f64,
}

/// What some timesteps add to a gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientPart {
    /// The timesteps.
    pub timesteps: TimestepRange,
    /// The rows of the update that are there: (sample, step) pairs, or noisings. Without any, the gradient is 0.
    pub rows: usize,
    /// The sum over these rows, divided by the number of all rows of the update.
    pub gradient: Vec<f32>,
}

/// Timesteps from the least to the greatest, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimestepRange {
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

impl TimestepRange {
    fn contains(self, timestep: f64) -> bool {
        (self.least..=self.greatest).contains(&timestep)
    }

    /// The whole timesteps from `first` on, below `end`, in bands that differ by one in size at most, the noisiest first.
    fn bands(first: usize, end: usize, bands: usize) -> Vec<Self> {
        let bands = bands.clamp(1, (end - first).max(1));
        let edge = |band: usize| first + band * (end - first) / bands;
        let band = |band| Self { least: edge(band) as f64, greatest: edge(band + 1) as f64 - 1.0 };
        (0..bands).rev().map(band).collect()
    }
}

impl<P: ForkPolicy<D>, const D: usize> GradientProbe for DdpoTrainer<P, D> {
    fn first_gradient(&mut self, seed: u64, _bands: usize, observer: &mut Observer<'_>) -> Result<FirstGradient> {
        let (before, memory) = (self.core.begin_probe(seed), self.advantage.state());
        let gradient = self.probe(observer);
        self.core.end_probe(before);
        self.advantage.restore(memory)?;
        gradient
    }
}

impl<P: ForkPolicy<D>, const D: usize> DdpoTrainer<P, D> {
    fn probe(&mut self, observer: &mut Observer<'_>) -> Result<FirstGradient> {
        let (epoch, mut record) = (self.core.next_epoch(), EpochRecord::default());
        let (scored, _) = self.core.sample_and_score(epoch, &mut record, observer)?;
        let set = self.advantages(scored)?;
        let scheduler = &*self.core.parts.scheduler;
        let ranges = trained_steps(scheduler, self.plan.first_timestep)?.into_iter().map(|step| {
            let timestep = scheduler.timesteps()[step.0].0;
            TimestepRange { least: timestep, greatest: timestep }
        });
        let loss = PolicyGradientLoss::new(&self.plan, &*self.objective, &set, scheduler)?;
        let steps = loss.steps(self.core.noise())?;
        self.core.first_gradient(&loss, &steps, ranges.collect(), &record, observer)
    }
}

impl<P: ForkPolicy<D>, const D: usize> GradientProbe for RwrTrainer<P, D> {
    fn first_gradient(&mut self, seed: u64, bands: usize, observer: &mut Observer<'_>) -> Result<FirstGradient> {
        let (before, memory) = (self.core.begin_probe(seed), self.weighting.state());
        let gradient = self.probe(bands, observer);
        self.core.end_probe(before);
        self.weighting.restore(memory)?;
        gradient
    }
}

impl<P: ForkPolicy<D>, const D: usize> RwrTrainer<P, D> {
    fn probe(&mut self, bands: usize, observer: &mut Observer<'_>) -> Result<FirstGradient> {
        let (round, mut record) = (self.core.next_epoch(), EpochRecord::default());
        let (scored, images) = self.core.sample_and_score(round, &mut record, observer)?;
        let ranges = TimestepRange::bands(0, self.schedule.train_steps(), bands);
        let Some(set) = &self.weigh(&scored, &images)? else { return self.core.no_gradient(ranges, &record) };
        let loss = RegressionLoss { plan: &self.plan, schedule: &self.schedule, set, round };
        self.core.first_gradient(&loss, &loss.steps(self.core.noise()), ranges, &record, observer)
    }
}

impl<P: ForkPolicy<D>, const D: usize> GradientProbe for ForwardTrainer<P, D> {
    fn first_gradient(&mut self, seed: u64, bands: usize, observer: &mut Observer<'_>) -> Result<FirstGradient> {
        let (before, memory) = (self.core.begin_probe(seed), self.advantage.state());
        let gradient = self.probe(bands, observer);
        self.core.end_probe(before);
        self.advantage.restore(memory)?;
        gradient
    }
}

impl<P: ForkPolicy<D>, const D: usize> ForwardTrainer<P, D> {
    fn probe(&mut self, bands: usize, observer: &mut Observer<'_>) -> Result<FirstGradient> {
        let (epoch, mut record) = (self.core.next_epoch(), EpochRecord::default());
        let (scored, _) = self.core.sample_and_score(epoch, &mut record, observer)?;
        let set = &self.advantages(&scored)?;
        drop(scored);
        let ranges = TimestepRange::bands(self.plan.first_timestep, self.schedule.train_steps(), bands);
        // Before the first update the policy is still the one that drew the samples.
        let loss = CorrectionLoss { plan: &self.plan, schedule: &self.schedule, set, epoch, drawn_by: None };
        self.core.first_gradient(&loss, &loss.steps(self.core.noise()), ranges, &record, observer)
    }
}

impl<P: ForkPolicy<D>, const D: usize> GradientProbe for DistillTrainer<P, D> {
    /// No reward is asked for: `reward_mean` is NaN.
    fn first_gradient(&mut self, seed: u64, bands: usize, observer: &mut Observer<'_>) -> Result<FirstGradient> {
        let before = self.core.begin_probe(seed);
        let gradient = self.probe(bands, observer);
        self.core.end_probe(before);
        gradient
    }
}

impl<P: ForkPolicy<D>, const D: usize> DistillTrainer<P, D> {
    fn probe(&mut self, bands: usize, observer: &mut Observer<'_>) -> Result<FirstGradient> {
        let epoch = self.core.next_epoch();
        let record = EpochRecord { reward_mean: f64::NAN, ..EpochRecord::default() };
        let pictures = &self.draw(epoch, observer)?;
        let (first, last) = self.plan.grid.iter().fold((usize::MAX, 0), |(a, b), &t| (a.min(t), b.max(t)));
        let ranges = TimestepRange::bands(first, last + 1, bands);
        let loss = DistillLoss { plan: &self.plan, schedule: &self.schedule, pictures, epoch };
        self.core.first_gradient(&loss, &loss.steps(self.core.noise()), ranges, &record, observer)
    }
}

impl<P: ForkPolicy<D>, const D: usize> GradientProbe for PreferenceTrainer<P, D> {
    /// No reward is asked for: `reward_mean` is NaN.
    fn first_gradient(&mut self, seed: u64, bands: usize, observer: &mut Observer<'_>) -> Result<FirstGradient> {
        let before = self.core.begin_probe(seed);
        let record = EpochRecord { reward_mean: f64::NAN, ..EpochRecord::default() };
        let (first, last) = self.plan.timesteps.iter().fold((usize::MAX, 0), |(a, b), &t| (a.min(t), b.max(t)));
        let ranges = TimestepRange::bands(first, last + 1, bands);
        let epoch = self.core.next_epoch();
        let loss = PairLoss { plan: &self.plan, schedule: &self.schedule, pairs: &self.pairs, epoch };
        let gradient = self.core.first_gradient(&loss, &loss.steps(self.core.noise()), ranges, &record, observer);
        self.core.end_probe(before);
        gradient
    }
}

/// What a probe changes on the way.
struct Before {
    seed: u64,
    counters: Counters,
    left_out: LeftOut,
}

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    fn begin_probe(&mut self, seed: u64) -> Before {
        let seed = std::mem::replace(&mut self.plan.seed, seed);
        Before { seed, counters: self.counters, left_out: self.left_out.clone() }
    }

    fn end_probe(&mut self, before: Before) {
        (self.plan.seed, self.counters, self.left_out) = (before.seed, before.counters, before.left_out);
    }

    /// The gradient of the first of these optimizer steps, by the timesteps of its rows.
    fn first_gradient<L: BatchLoss<P, D>>(
        &self,
        loss: &L,
        steps: &[Vec<Vec<L::Row>>],
        ranges: Vec<TimestepRange>,
        record: &EpochRecord,
        observer: &mut Observer<'_>,
    ) -> Result<FirstGradient> {
        let Some(passes) = steps.first() else { return self.no_gradient(ranges, record) };
        let (rows, batch) = (passes.concat(), passes.iter().map(Vec::len).max().unwrap_or(1));
        let rows_of = |range: &TimestepRange| -> Vec<Vec<L::Row>> {
            let own: Vec<L::Row> =
                rows.iter().copied().filter(|row| range.contains(loss.timestep(self, *row))).collect();
            own.chunks(batch).map(<[_]>::to_vec).collect()
        };
        let parts: Vec<_> = ranges.iter().map(rows_of).collect();
        let covered = parts.iter().flatten().map(Vec::len).sum();
        if covered != rows.len() {
            return Err(Error::Count { what: "rows of the parts of a gradient", found: covered, wanted: rows.len() });
        }
        let total = parts.iter().map(Vec::len).sum();
        let mut progress = Progress { stage: Stage::Training, epoch: self.next_epoch().0, done: 0, total };
        let mut whole = vec![0.0; self.parameter_count()];
        let mut found = Vec::with_capacity(parts.len());
        for (timesteps, passes) in ranges.into_iter().zip(parts) {
            let gradient = self.part(loss, &passes, rows.len(), &mut progress, observer)?;
            whole.iter_mut().zip(&gradient).for_each(|(sum, &value)| *sum += f64::from(value));
            found.push(GradientPart { timesteps, rows: passes.iter().map(Vec::len).sum(), gradient });
        }
        let whole = whole.into_iter().map(|value| value as f32).collect();
        Ok(FirstGradient { whole, parts: found, reward_mean: record.reward_mean })
    }

    /// The gradient of some passes of an update of `rows` rows.
    fn part<L: BatchLoss<P, D>>(
        &self,
        loss: &L,
        passes: &[Vec<L::Row>],
        rows: usize,
        progress: &mut Progress,
        observer: &mut Observer<'_>,
    ) -> Result<Vec<f32>> {
        if passes.is_empty() {
            return Ok(vec![0.0; self.parameter_count()]);
        }
        let sums = self.finite_loss_gradient(loss, passes, progress, observer).map_err(|failure| failure.error)?.0;
        let norm = sums.norm()?;
        if !norm.is_finite() {
            return Err(locate(Error::NonFiniteNorm(norm), Epoch(progress.epoch), self.counters.updates + 1));
        }
        let sums = sums.values()?;
        Ok(sums.into_iter().map(|sum| (f64::from(sum) / rows as f64) as f32).collect())
    }

    /// That of an epoch without an update.
    fn no_gradient(&self, ranges: Vec<TimestepRange>, record: &EpochRecord) -> Result<FirstGradient> {
        let zero = vec![0.0; self.parameter_count()];
        let part = |timesteps| GradientPart { timesteps, rows: 0, gradient: zero.clone() };
        Ok(FirstGradient {
            parts: ranges.into_iter().map(part).collect(),
            whole: zero.clone(),
            reward_mean: record.reward_mean,
        })
    }

    fn parameter_count(&self) -> usize {
        self.parts.policy.parameters().iter().map(|parameter| parameter.value.dims()[0]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_hold_every_timestep_once() {
        for (first, end, count) in [(0, 1000, 10), (200, 1000, 7), (5, 8, 10), (999, 1000, 1)] {
            let bands = TimestepRange::bands(first, end, count);
            assert_eq!(bands.len(), count.min(end - first));
            for timestep in first..end {
                assert_eq!(bands.iter().filter(|band| band.contains(timestep as f64)).count(), 1, "{timestep}");
            }
            assert!(bands.windows(2).all(|pair| pair[0].least > pair[1].greatest), "{bands:?}");
            assert_eq!((bands[0].greatest, bands[bands.len() - 1].least), (end as f64 - 1.0, first as f64));
        }
    }
}
