//! The table ᾱ_t that a model was trained with.

use burn::Tensor;

use super::{BetaSchedule, Spacing};
use crate::error::check_count;
use crate::rows::per_row;
use crate::{Coefficients, Error, Result, Timestep};

/// The noise levels of a model's training timesteps: `x_t = √ᾱ_t x₀ + √(1−ᾱ_t) ε`. Tables are f64 whatever the model's type.
///
/// Invariant: ᾱ is strictly decreasing, below 1, and at least 0 (0 only at the last timestep).
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseSchedule {
    alphas_cumprod: Vec<f64>,
}

impl NoiseSchedule {
    /// The table of `train_steps` timesteps with these variances.
    ///
    /// # Errors
    /// Those of [`BetaSchedule::betas`].
    pub fn new(betas: BetaSchedule, train_steps: usize) -> Result<Self> {
        let mut product = 1.0;
        let cumulate = |beta: f64| {
            product *= 1.0 - beta;
            product
        };
        Self::from_alphas_cumprod(betas.betas(train_steps)?.into_iter().map(cumulate).collect())
    }

    /// A table given as ᾱ itself.
    ///
    /// # Errors
    /// [`Error::Parameter`] if ᾱ is empty, leaves `[0, 1)`, or does not decrease strictly.
    pub fn from_alphas_cumprod(alphas_cumprod: Vec<f64>) -> Result<Self> {
        let mut previous = 1.0;
        for &alpha in &alphas_cumprod {
            if !(0.0..previous).contains(&alpha) {
                return Err(Error::parameter("cumulated alpha", alpha, format!("at least 0 and below {previous}")));
            }
            previous = alpha;
        }
        if alphas_cumprod.is_empty() {
            return Err(Error::parameter("training timesteps", 0, "at least 1"));
        }
        Ok(Self { alphas_cumprod })
    }

    /// The same table shifted and scaled so that nothing of the signal is left at the last timestep (Lin et al.,
    /// arXiv 2305.08891, algorithm 1). Such a model must predict v or x₀.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is only one timestep.
    pub fn rescale_zero_terminal_snr(&self) -> Result<Self> {
        let roots: Vec<f64> = self.alphas_cumprod.iter().map(|alpha| alpha.sqrt()).collect();
        let (Some(&first), Some(&last)) = (roots.first(), roots.last()) else {
            return Err(Error::parameter("training timesteps", 0, "at least 2"));
        };
        let scale = first / (first - last);
        Self::from_alphas_cumprod(roots.iter().map(|root| ((root - last) * scale).powi(2)).collect())
    }

    /// ᾱ of every training timestep.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// ᾱ at a moment, also between two training timesteps: there `σ = √((1−ᾱ)/ᾱ)` is linear, as in k-diffusion.
    ///
    /// # Errors
    /// [`Error::Index`] for a moment past the last timestep.
    pub fn alpha_cumprod_at(&self, moment: Timestep) -> Result<f64> {
        let (below, share) = (moment.0.floor(), moment.0 - moment.0.floor());
        let len = self.train_steps();
        let alpha = |timestep: f64| {
            let (found, table) = (timestep as usize, &self.alphas_cumprod);
            table.get(found).copied().ok_or(Error::Index { what: "timestep", found, len })
        };
        if share == 0.0 {
            return alpha(below);
        }
        let sigma = |alpha: f64| ((1.0 - alpha) / alpha).sqrt();
        let sigma = sigma(alpha(below)?) * (1.0 - share) + sigma(alpha(below + 1.0)?) * share;
        Ok(1.0 / (1.0 + sigma * sigma))
    }

    /// The number of training timesteps.
    pub fn train_steps(&self) -> usize {
        self.alphas_cumprod.len()
    }

    /// The timesteps of a sampler, strictly decreasing.
    ///
    /// # Errors
    /// Those of [`Spacing::timesteps`].
    pub fn timesteps(&self, spacing: Spacing, steps: usize) -> Result<Vec<usize>> {
        spacing.timesteps(steps, &self.alphas_cumprod)
    }

    /// Signal and noise at a training timestep, as a row of coefficients that says nothing of any sampler.
    ///
    /// # Errors
    /// [`Error::Index`] for a timestep past the last one.
    pub fn level(&self, timestep: usize) -> Result<Coefficients> {
        let len = self.train_steps();
        let alpha =
            *self.alphas_cumprod.get(timestep).ok_or(Error::Index { what: "timestep", found: timestep, len })?;
        Ok(Coefficients::level(alpha))
    }

    /// The forward process: `√ᾱ_t x₀ + √(1−ᾱ_t) ε`, each row at its own timestep.
    ///
    /// # Shapes
    /// `x0` and `epsilon` `[B, ..]`, `timesteps` one a row.
    ///
    /// # Errors
    /// [`Error::Index`] for a timestep past the last one, [`Error::Count`] if there is not one a row.
    pub fn diffuse<const D: usize>(&self, x0: Tensor<D>, epsilon: Tensor<D>, timesteps: &[usize]) -> Result<Tensor<D>> {
        check_count("add noise", "timesteps", timesteps.len(), x0.dims()[0])?;
        let levels = timesteps.iter().map(|&t| self.level(t)).collect::<Result<Vec<_>>>()?;
        let device = x0.device();
        let signal = per_row(levels.iter().map(|level| level.signal), &device);
        let noise = per_row(levels.iter().map(|level| level.noise), &device);
        Ok(x0 * signal + epsilon * noise)
    }
}

/// Indices into the table as moments of the model.
pub(crate) fn moments(timesteps: &[usize]) -> Vec<Timestep> {
    timesteps.iter().map(|&timestep| Timestep(timestep as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rescaled_table_ends_in_pure_noise_and_keeps_its_start() {
        let table = NoiseSchedule::new(BetaSchedule::STABLE_DIFFUSION, 1000).unwrap();
        let rescaled = table.rescale_zero_terminal_snr().unwrap();
        assert_eq!(rescaled.alphas_cumprod()[999], 0.0);
        assert!((rescaled.alphas_cumprod()[0] - table.alphas_cumprod()[0]).abs() < 1e-12);
    }

    #[test]
    fn tables_that_do_not_decrease_are_refused() {
        for table in [vec![], vec![0.5, 0.5], vec![1.0], vec![0.5, -0.1], vec![f64::NAN]] {
            assert!(NoiseSchedule::from_alphas_cumprod(table.clone()).is_err(), "{table:?}");
        }
    }
}
