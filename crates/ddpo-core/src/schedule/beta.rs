//! The variances β_t that a model was trained with.

use std::f64::consts::FRAC_PI_2;

use crate::{Error, Result};

/// The largest β of the cosine schedule: it keeps the last α away from 0.
const MAX_COSINE_BETA: f64 = 0.999;

/// A schedule of variances over the training timesteps, named as in diffusers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum BetaSchedule {
    /// β grows linearly (Ho et al., arXiv 2006.11239: 1e-4 to 0.02).
    Linear {
        /// β of the first timestep.
        start: f64,
        /// β of the last timestep.
        end: f64,
    },
    /// √β grows linearly (Stable Diffusion: 0.00085 to 0.012).
    ScaledLinear {
        /// β of the first timestep.
        start: f64,
        /// β of the last timestep.
        end: f64,
    },
    /// ᾱ follows a squared cosine (Nichol and Dhariwal, arXiv 2102.09672, equation 17).
    SquaredCosCapV2,
}

impl BetaSchedule {
    /// The schedule of Stable Diffusion 1 and 2.
    pub const STABLE_DIFFUSION: Self = Self::ScaledLinear { start: 0.00085, end: 0.012 };

    /// β of each of `count` training timesteps.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there are no timesteps, or if β leaves the open interval from 0 to 1.
    pub fn betas(self, count: usize) -> Result<Vec<f64>> {
        if count == 0 {
            return Err(Error::parameter("training timesteps", count, "at least 1"));
        }
        let betas: Vec<f64> = match self {
            Self::Linear { start, end } => linspace(start, end, count).collect(),
            Self::ScaledLinear { start, end } => {
                linspace(start.sqrt(), end.sqrt(), count).map(|root| root * root).collect()
            }
            Self::SquaredCosCapV2 => (0..count).map(|i| squared_cosine_beta(i, count)).collect(),
        };
        match betas.iter().find(|beta| !(**beta > 0.0 && **beta < 1.0)) {
            Some(beta) => Err(Error::parameter("beta", beta, "a number between 0 and 1, both excluded")),
            None => Ok(betas),
        }
    }
}

/// `count` numbers from `start` to `end`, both included; only `start` if one is asked for.
pub(super) fn linspace(start: f64, end: f64, count: usize) -> impl Iterator<Item = f64> {
    let step = if count > 1 { (end - start) / (count - 1) as f64 } else { 0.0 };
    (0..count).map(move |i| if i > 0 && i + 1 == count { end } else { start + step * i as f64 })
}

/// The division is in floating point: a copy of this schedule with an integer division has 999 betas of zero.
fn squared_cosine_beta(i: usize, count: usize) -> f64 {
    let alpha_bar = |i: usize| ((i as f64 / count as f64 + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
    (1.0 - alpha_bar(i + 1) / alpha_bar(i)).min(MAX_COSINE_BETA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_stable_diffusions_schedule_are_the_published_ones() {
        let betas = BetaSchedule::STABLE_DIFFUSION.betas(1000).unwrap();
        assert!((betas[0] - 0.00085).abs() < 1e-15 && (betas[999] - 0.012).abs() < 1e-15);
    }

    #[test]
    fn the_cosine_schedule_has_no_zero_betas() {
        let betas = BetaSchedule::SquaredCosCapV2.betas(1000).unwrap();
        assert!(betas.iter().all(|&beta| beta > 1e-6));
        assert_eq!(betas[999], MAX_COSINE_BETA);
    }

    #[test]
    fn betas_outside_of_the_unit_interval_are_refused() {
        for (start, end) in [(0.0, 0.5), (0.1, 1.0), (f64::NAN, 0.5), (-0.1, 0.2)] {
            assert!(BetaSchedule::Linear { start, end }.betas(10).is_err(), "{start} to {end}");
        }
        assert!(BetaSchedule::STABLE_DIFFUSION.betas(0).is_err());
    }
}
