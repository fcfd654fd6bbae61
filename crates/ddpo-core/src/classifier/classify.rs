//! The classifier: whose prompt makes the model predict the noise in a sample best?

use burn::Tensor;

use super::classification::Classification;
use super::elimination::Elimination;
use crate::error::check_count;
use crate::rows::{read, select_rows};
use crate::{Address, Condition, Denoiser, Epoch, Noise, NoiseSchedule, Result, SampleId, Stream, denoising_error};

/// The golden ratio's fractional part: its multiples fill the unit interval evenly, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// A model that names the class under which a sample is likeliest:
/// `argmin_c E_{t,ε} ‖ε − ε_θ(√ᾱ_t x₀ + √(1−ᾱ_t) ε, t, c)‖²` (Li et al., arXiv 2303.16203).
///
/// All classes are tried at the same pairs (t, ε), because only differences between classes matter and most of an error
/// is common to all. Timesteps are spread evenly over those of training from a first one on, whatever the number of trials.
pub struct DiffusionClassifier<'a, const D: usize> {
    /// The model. Without guidance: a guided prediction is no likelihood.
    pub denoiser: &'a dyn Denoiser<D>,
    /// The noise levels it was trained with.
    pub schedule: &'a NoiseSchedule,
    /// Where the pairs' noise comes from; the same for every sample.
    pub noise: Noise,
    /// The least timestep of a pair. Where a sample is not quite like the data, the errors at little noise only tell how sure
    /// the model is of each class's details, and the most vague class wins.
    pub first_timestep: usize,
    /// Rows of a forward pass; changes no number.
    pub batch: usize,
}

/// A class at a pair.
#[derive(Clone, Copy)]
struct Trial {
    class: usize,
    pair: usize,
}

impl<const D: usize> DiffusionClassifier<'_, D> {
    /// The evidence for each class.
    ///
    /// # Shapes
    /// `clean` `[1, ..]`, one row of `classes` a class.
    ///
    /// # Errors
    /// [`Error::Count`](crate::Error::Count) if there is not one sample, and those of the model.
    pub fn classify(
        &self,
        clean: &Tensor<D>,
        classes: &Condition,
        elimination: &Elimination,
    ) -> Result<Classification> {
        check_count("classify", "samples", clean.dims()[0], 1)?;
        let (mut sums, mut trials) = (vec![0.0; classes.batch()], vec![0; classes.batch()]);
        let (mut left, mut tried): (Vec<usize>, usize) = ((0..classes.batch()).collect(), 0);
        for stage in elimination.stages() {
            let pairs = tried..stage.trials.max(tried);
            let round: Vec<Trial> =
                pairs.clone().flat_map(|pair| left.iter().map(move |&class| Trial { class, pair })).collect();
            for batch in round.chunks(self.batch.max(1)) {
                for (trial, error) in batch.iter().zip(self.errors(clean, classes, batch)?) {
                    sums[trial.class] += f64::from(error);
                }
            }
            tried = pairs.end;
            left.iter().for_each(|&class| trials[class] = tried);
            // Those that are left were tried equally often, so that sums compare like means.
            left.sort_by(|&a, &b| f64::total_cmp(&sums[a], &sums[b]));
            left.truncate(stage.keep);
        }
        let elements = clean.dims()[1..].iter().product::<usize>() as f64;
        let errors = sums.iter().zip(&trials).map(|(sum, &n)| elements * sum / (n as f64).max(1.0)).collect();
        Ok(Classification { errors, trials })
    }

    /// The mean squared error of each trial.
    fn errors(&self, clean: &Tensor<D>, classes: &Condition, trials: &[Trial]) -> Result<Vec<f32>> {
        let timesteps: Vec<usize> = trials.iter().map(|trial| self.timestep(trial.pair)).collect();
        let pairs: Vec<SampleId> = trials.iter().map(|trial| SampleId(trial.pair as u64)).collect();
        let address = Address { stream: Stream::DenoisingNoise, epoch: Epoch(0), sample: SampleId(0), step: 0 };
        let epsilon = self.noise.normal_batch(address, &pairs, clean.dims(), &clean.device());
        let clean = select_rows("sample", clean, &vec![0; trials.len()])?;
        let condition = classes.select(&trials.iter().map(|trial| trial.class).collect::<Vec<_>>())?;
        read(denoising_error(self.denoiser, self.schedule, &clean, &epsilon, &timesteps, &condition)?)
    }

    fn timestep(&self, pair: usize) -> usize {
        let last = self.schedule.train_steps() - 1;
        let first = self.first_timestep.min(last);
        let share = (0.5 + pair as f64 * GOLDEN).fract();
        (first + (share * (last + 1 - first) as f64) as usize).min(last)
    }
}
