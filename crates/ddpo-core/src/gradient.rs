//! How much of an estimated gradient is signal: what independent estimates of the same gradient have in common.

use crate::error::check_count;
use crate::{Error, Result};

/// Independent estimates `g_i = μ + noise` of one gradient μ, as numbers in any order that they share.
///
/// ```
/// use ddpo_core::gradient::GradientSamples;
///
/// let mut samples = GradientSamples::new();
/// for gradient in [[3.0, 1.0], [3.0, -1.0], [3.0, 0.0]] {
///     samples.push(gradient.to_vec())?;
/// }
/// let found = samples.statistics()?;
/// assert!(found.signal > 8.0 && found.noise_to_signal() < 0.2 && found.cosine.mean > 0.8);
/// # Ok::<(), ddpo_core::Error>(())
/// ```
///
/// Memory: 4 bytes a number of each estimate.
#[derive(Clone, Debug, Default)]
pub struct GradientSamples {
    gradients: Vec<Vec<f32>>,
    /// ⟨g_i, g_j⟩ for j ≤ i, a row an estimate.
    products: Vec<Vec<f64>>,
}

/// What independent estimates of a gradient say of their estimator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientStatistics {
    /// The number of estimates.
    pub batches: usize,
    /// The root mean square of their norms.
    pub norm: f64,
    /// The cosine of two estimates, a mean over all pairs: 1 without noise, 0 without signal. An estimate that is 0 has the cosine 0
    /// with all others.
    pub cosine: Estimate,
    /// ‖μ‖², the squared norm of what all estimates have in common: the mean of ⟨g_i, g_j⟩ over all pairs, unbiased, and so below 0
    /// by chance where there is little of it. (The squared norm of the mean would be too large by tr Σ / B.)
    pub signal: f64,
    /// tr Σ, the variance of an estimate summed over its numbers, unbiased.
    pub noise: f64,
    /// `‖μ‖² / (‖μ‖² + tr Σ)`.
    pub signal_share: Estimate,
}

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The ends of the interval, by the jackknife over estimates with Student's quantiles; none of fewer than three. It is
    /// too wide rather than too narrow: where there is no signal at all, by a factor of √2.
    pub interval: Option<[f64; 2]>,
}

impl GradientSamples {
    /// No estimates yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an estimate.
    ///
    /// # Errors
    /// [`Error::Count`] if it has not as many numbers as those before, [`Error::Parameter`] if one is not finite.
    pub fn push(&mut self, gradient: Vec<f32>) -> Result<()> {
        const OPERATION: &str = "compare gradients";
        if let Some(first) = self.gradients.first() {
            check_count(OPERATION, "numbers", gradient.len(), first.len())?;
        }
        if let Some(value) = gradient.iter().find(|value| !value.is_finite()) {
            return Err(Error::parameter("a number of a gradient", value, "a finite one"));
        }
        self.gradients.push(gradient);
        let last = &self.gradients[self.gradients.len() - 1];
        self.products.push(self.gradients.iter().map(|other| dot(last, other)).collect());
        Ok(())
    }

    /// The number of estimates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.gradients.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gradients.is_empty()
    }

    /// The mean of the estimates, in f64.
    #[must_use]
    pub fn mean(&self) -> Vec<f64> {
        let count = self.len().max(1) as f64;
        let mut mean = vec![0.0; self.gradients.first().map_or(0, Vec::len)];
        for gradient in &self.gradients {
            mean.iter_mut().zip(gradient).for_each(|(sum, &value)| *sum += f64::from(value) / count);
        }
        mean
    }

    /// What the estimates say of their estimator.
    ///
    /// # Errors
    /// [`Error::Parameter`] for fewer than two, which have nothing in common.
    pub fn statistics(&self) -> Result<GradientStatistics> {
        let batches = self.len();
        if batches < 2 {
            return Err(Error::parameter("gradients", batches, "at least 2 to compare"));
        }
        let moments = self.moments(None);
        Ok(GradientStatistics {
            batches,
            norm: moments.square.sqrt(),
            cosine: self.estimate(|moments| moments.cosine),
            signal: moments.product,
            noise: moments.square - moments.product,
            signal_share: self.estimate(Moments::signal_share),
        })
    }

    /// Means over all estimates, or all but one.
    fn moments(&self, without: Option<usize>) -> Moments {
        let rows: Vec<usize> = (0..self.len()).filter(|row| Some(*row) != without).collect();
        let mut sums = Moments::default();
        for (place, &i) in rows.iter().enumerate() {
            sums.square += self.products[i][i];
            for &j in &rows[..place] {
                let (product, norms) = (self.products[i][j], (self.products[i][i] * self.products[j][j]).sqrt());
                sums.product += product;
                sums.cosine += if norms > 0.0 { product / norms } else { 0.0 };
            }
        }
        let (count, pairs) = (rows.len() as f64, (rows.len() * rows.len().saturating_sub(1) / 2).max(1) as f64);
        Moments { square: sums.square / count, product: sums.product / pairs, cosine: sums.cosine / pairs }
    }

    /// A function of the means, with its interval.
    fn estimate(&self, of: impl Fn(&Moments) -> f64) -> Estimate {
        let (batches, mean) = (self.len(), of(&self.moments(None)));
        if batches < 3 {
            return Estimate { mean, interval: None };
        }
        let count = batches as f64;
        let without: Vec<f64> = (0..batches).map(|row| of(&self.moments(Some(row)))).collect();
        let centre = without.iter().sum::<f64>() / count;
        let squares: f64 = without.iter().map(|value| (value - centre).powi(2)).sum();
        let half = students_quantile(batches - 1) * ((count - 1.0) / count * squares).sqrt();
        // No cosine and no share is outside.
        Estimate { mean, interval: Some([mean - half, mean + half].map(|end| end.clamp(-1.0, 1.0))) }
    }
}

impl GradientStatistics {
    /// `tr Σ / ‖μ‖²`, how many times the noise of one estimate is its signal, in squares: a mean over as many estimates has as much of
    /// both. Infinite where no signal was found.
    #[must_use]
    pub fn noise_to_signal(&self) -> f64 {
        noise_to_signal(self.signal_share.mean)
    }

    /// The ends of its 95 % interval; the upper one is infinite where no signal is among what is likely.
    #[must_use]
    pub fn noise_to_signal_interval(&self) -> Option<[f64; 2]> {
        self.signal_share.interval.map(|[low, high]| [noise_to_signal(high), noise_to_signal(low)])
    }
}

fn noise_to_signal(share: f64) -> f64 {
    if share > 0.0 { (1.0 / share - 1.0).max(0.0) } else { f64::INFINITY }
}

/// Means over estimates and over their pairs.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    /// Of ‖g_i‖².
    square: f64,
    /// Of ⟨g_i, g_j⟩.
    product: f64,
    /// Of the cosine.
    cosine: f64,
}

impl Moments {
    fn signal_share(&self) -> f64 {
        if self.square > 0.0 { self.product / self.square } else { 0.0 }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// The 97.5 % quantile of Student's distribution.
fn students_quantile(degrees_of_freedom: usize) -> f64 {
    const QUANTILES: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    let tabulated = degrees_of_freedom.checked_sub(1).and_then(|place| QUANTILES.get(place));
    tabulated.copied().unwrap_or(1.96 + 2.4 / degrees_of_freedom.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, Domain, Epoch, Noise, SampleId, Stream};

    /// `count` draws around `mean` with the standard deviations `std`; `experiment` names them.
    fn draws(mean: &[f64], std: &[f64], count: usize, experiment: u64) -> GradientSamples {
        let noise = Noise::new(5, Domain::Training);
        let mut samples = GradientSamples::new();
        for batch in 0..count as u64 {
            let address =
                Address { stream: Stream::Transition, epoch: Epoch(experiment), sample: SampleId(batch), step: 0 };
            let z = noise.at(address).normals(mean.len());
            let numbers = mean.iter().zip(std).zip(z).map(|((mean, std), z)| (mean + std * f64::from(z)) as f32);
            samples.push(numbers.collect()).unwrap();
        }
        samples
    }

    fn statistics(gradients: &[&[f32]]) -> GradientStatistics {
        let mut samples = GradientSamples::new();
        gradients.iter().for_each(|gradient| samples.push(gradient.to_vec()).unwrap());
        samples.statistics().unwrap()
    }

    #[test]
    fn signal_and_noise_are_those_of_the_distribution_without_bias() {
        const REPETITIONS: u64 = 2000;
        // ‖μ‖² = 1.25 and tr Σ = 14; and the same noise around nothing.
        for (scale, signal) in [(1.0, 1.25), (0.0, 0.0)] {
            let mean = [scale, 0.0, 0.5 * scale];
            let found: Vec<_> =
                (0..REPETITIONS).map(|i| draws(&mean, &[1.0, 2.0, 3.0], 4, i).statistics().unwrap()).collect();
            let average = |of: fn(&GradientStatistics) -> f64| found.iter().map(of).sum::<f64>() / REPETITIONS as f64;
            let spread = |of: fn(&GradientStatistics) -> f64| {
                let centre = average(of);
                let variance = found.iter().map(|found| (of(found) - centre).powi(2)).sum::<f64>() / REPETITIONS as f64;
                4.0 * (variance / REPETITIONS as f64).sqrt()
            };
            let (measured, error) = (average(|found| found.signal), spread(|found| found.signal));
            assert!((measured - signal).abs() < error, "signal {measured} ± {error}, {signal} wanted");
            let (measured, error) = (average(|found| found.noise), spread(|found| found.noise));
            assert!((measured - 14.0).abs() < error, "noise {measured} ± {error}");
            // What the squared norm of the mean would have said is off by a quarter of the noise, more than the error.
            assert!(14.0 / 4.0 > 4.0 * spread(|found| found.signal));
        }
    }

    #[test]
    fn many_estimates_find_the_ratio_and_the_cosine_approaches_the_share_in_many_dimensions() {
        let (mean, std) = (vec![0.1; 1000], vec![0.3; 1000]);
        let found = draws(&mean, &std, 60, 0).statistics().unwrap();
        assert!((found.noise_to_signal() - 9.0).abs() < 0.3, "{found:?}");
        assert!((found.cosine.mean - 0.1).abs() < 3e-3 && (found.norm - 10.0).abs() < 0.1, "{found:?}");
        let [low, high] = found.noise_to_signal_interval().unwrap();
        assert!(low < found.noise_to_signal() && found.noise_to_signal() < high && high < 10.0, "{low} {high}");
    }

    #[test]
    fn the_interval_holds_the_truth_nineteen_times_in_twenty() {
        let (mean, std) = (vec![0.1; 100], vec![0.3; 100]);
        let holds = |found: Estimate, truth: f64| found.interval.is_some_and(|[low, high]| low < truth && truth < high);
        let found: Vec<_> = (0..400).map(|i| draws(&mean, &std, 8, i).statistics().unwrap()).collect();
        let covered = found.iter().filter(|found| holds(found.signal_share, 0.1)).count();
        assert!((370..=396).contains(&covered), "{covered} of 400");
        let nothing: Vec<_> = (0..400).map(|i| draws(&[0.0; 100], &std, 8, i).statistics().unwrap()).collect();
        let covered = nothing.iter().filter(|found| holds(found.cosine, 0.0)).count();
        assert!(covered >= 376, "{covered} of 400");
    }

    #[test]
    fn estimates_that_agree_have_no_noise_and_opposite_ones_no_signal() {
        let same = statistics(&[[3.0, 4.0].as_slice(); 4]);
        assert_eq!((same.norm, same.signal, same.noise, same.noise_to_signal()), (5.0, 25.0, 0.0, 0.0));
        assert_eq!(same.cosine, Estimate { mean: 1.0, interval: Some([1.0, 1.0]) });
        let opposite = statistics(&[&[3.0, 4.0], &[-3.0, -4.0]]);
        assert_eq!((opposite.cosine.mean, opposite.signal, opposite.noise), (-1.0, -25.0, 50.0));
        assert_eq!((opposite.noise_to_signal(), opposite.cosine.interval), (f64::INFINITY, None));
        let orthogonal = statistics(&[&[2.0, 0.0, 0.0], &[0.0, 2.0, 0.0], &[0.0, 0.0, 2.0]]);
        assert_eq!((orthogonal.cosine.mean, orthogonal.signal, orthogonal.noise), (0.0, 0.0, 4.0));
        let zero = statistics(&[&[0.0], &[0.0], &[0.0]]);
        assert_eq!((zero.norm, zero.cosine.mean, zero.noise_to_signal()), (0.0, 0.0, f64::INFINITY));
    }

    #[test]
    fn the_scale_of_gradients_changes_norms_alone() {
        let one = draws(&[1.0, -2.0, 0.5], &[1.0; 3], 5, 9);
        let mut scaled = GradientSamples::new();
        one.gradients.iter().for_each(|g| scaled.push(g.iter().map(|x| 64.0 * x).collect()).unwrap());
        let (one, scaled) = (one.statistics().unwrap(), scaled.statistics().unwrap());
        assert_eq!((scaled.norm, scaled.signal), (64.0 * one.norm, 4096.0 * one.signal));
        assert_eq!((scaled.cosine, scaled.signal_share), (one.cosine, one.signal_share));
    }

    #[test]
    fn gradients_that_do_not_fit_are_refused() {
        let mut samples = GradientSamples::new();
        samples.push(vec![1.0, 2.0]).unwrap();
        assert!(samples.statistics().is_err());
        assert!(samples.push(vec![1.0]).is_err() && samples.push(vec![1.0, f32::NAN]).is_err());
        samples.push(vec![2.0, 4.0]).unwrap();
        assert_eq!((samples.len(), samples.mean()), (2, vec![1.5, 3.0]));
    }
}
