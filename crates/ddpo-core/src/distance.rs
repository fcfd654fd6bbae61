//! How far a model is from another on given samples, whatever sampler draws with either.

use burn::Tensor;

use crate::error::check_count;
use crate::rows::{mean_rows, read};
use crate::schedule::moments;
use crate::{Address, Condition, Denoiser, Epoch, Noise, NoiseSchedule, Result, SampleId, Stream};

/// The largest weight of a step in x₀-space: where next to nothing of a sample is left, what a model says of it counts no more.
const MOST_NOISE_TO_SIGNAL: f64 = 25.0;

/// The mean squared difference of two models' predictions about noised samples, over timesteps, noise and elements.
///
/// The divergence of whole chains depends on the sampler's timesteps and on its η as much as on the models; this does not, so
/// that runs with different samplers can be compared by it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelDistance {
    /// Of the predicted noise: `E ‖ε_θ(x_t) − ε_ref(x_t)‖² / n`.
    pub epsilon: f64,
    /// Of the predicted clean sample: the same with `(1 − ᾱ_t) / ᾱ_t`, at most 25, as the weight of each timestep.
    pub x0: f64,
}

/// How a [`ModelDistance`] is measured.
#[derive(Clone, Copy, Debug)]
pub struct DistanceMeasure<'a> {
    /// The noise levels the models were trained with.
    pub schedule: &'a NoiseSchedule,
    /// Where timesteps and noise come from.
    pub noise: Noise,
    /// Noised copies of each sample, at least 1: one in each of so many equal parts of the training timesteps.
    pub draws: usize,
}

impl ModelDistance {
    /// The mean over samples; `None` of none.
    pub fn mean(distances: &[Self]) -> Option<Self> {
        let count = distances.len() as f64;
        let mean = |part: fn(&Self) -> f64| distances.iter().map(part).sum::<f64>() / count;
        (!distances.is_empty()).then(|| Self { epsilon: mean(|of| of.epsilon), x0: mean(|of| of.x0) })
    }
}

impl DistanceMeasure<'_> {
    /// Draws of an evaluation: with them a sample costs as much as four steps without guidance.
    pub const DRAWS: usize = 4;

    /// The distance of `model` from `reference` on each sample. A sample's is the same in any batch.
    ///
    /// # Shapes
    /// `clean` `[B, ..]`; `condition` and `samples` one a row.
    ///
    /// # Errors
    /// [`Error::Count`](crate::Error::Count) if the arguments do not fit together; those of the models.
    pub fn between<const D: usize>(
        &self,
        model: &dyn Denoiser<D>,
        reference: &dyn Denoiser<D>,
        clean: &Tensor<D>,
        condition: &Condition,
        samples: &[SampleId],
    ) -> Result<Vec<ModelDistance>> {
        check_count("measure a distance", "samples", samples.len(), clean.dims()[0])?;
        check_count("measure a distance", "conditions", condition.batch(), clean.dims()[0])?;
        let mut sums = vec![ModelDistance::default(); samples.len()];
        for draw in 0..self.draws {
            let timesteps = self.timesteps(samples, draw);
            let levels = timesteps.iter().map(|&timestep| self.schedule.level(timestep)).collect::<Result<Vec<_>>>()?;
            let address = Address { stream: Stream::DenoisingNoise, ..at(draw) };
            let epsilon = self.noise.normal_batch(address, samples, clean.dims(), &clean.device());
            let noisy = self.schedule.diffuse(clean.clone(), epsilon, &timesteps)?;
            let predicted = |denoiser: &dyn Denoiser<D>| {
                let prediction = denoiser.predict(&noisy, &moments(&timesteps), condition)?;
                Ok::<_, crate::Error>(prediction.split(&noisy, &levels)?.1)
            };
            let difference = predicted(model)? - predicted(reference)?;
            let differences = read(mean_rows(difference.clone() * difference))?;
            for ((sum, difference), level) in sums.iter_mut().zip(differences).zip(levels) {
                let share = f64::from(difference) / self.draws as f64;
                let weight = (level.noise / level.signal).powi(2).min(MOST_NOISE_TO_SIGNAL);
                sum.epsilon += share;
                sum.x0 += weight * share;
            }
        }
        Ok(sums)
    }

    /// A timestep of the draw's part for each sample.
    fn timesteps(&self, samples: &[SampleId], draw: usize) -> Vec<usize> {
        let steps = self.schedule.train_steps();
        let start = |part: usize| part * steps / self.draws;
        let (first, next) = (start(draw), start(draw + 1));
        let timestep = |&sample: &SampleId| {
            let within = self.noise.at(Address { sample, ..at(draw) }).index((next - first).max(1));
            (first + within).min(steps - 1)
        };
        samples.iter().map(timestep).collect()
    }
}

fn at(draw: usize) -> Address {
    Address { stream: Stream::DenoisingTimestep, epoch: Epoch(0), sample: SampleId(0), step: draw as u64 }
}
