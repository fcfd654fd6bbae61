//! How much an error of a prediction counts, whatever the prediction is of.

use burn::Tensor;

use crate::rows::{mean_rows, per_row};
use crate::{Coefficients, Error, PredictionKind, Result};

/// The mean absolute error below which errors are not divided by it: where a prediction is exact, its error says nothing.
const LEAST_ERROR: f64 = 1e-5;

/// The quantity whose squared error is counted. At one noise level all three are multiples of each other, so that what a model
/// predicts decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorSpace {
    /// The clean sample: an error of the predicted noise counts √(1−ᾱ)/√ᾱ times, so that noisy timesteps count most.
    Sample,
    /// The velocity √ᾱ ε − √(1−ᾱ) x₀: 1/√ᾱ times.
    Velocity,
    /// The noise: all timesteps alike. Reported to collapse (V-GRPO, arXiv 2604.23380).
    Noise,
}

/// The weight of an error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorWeight {
    /// The quantity whose error is counted.
    pub space: ErrorSpace,
    /// An error of the predicted noise counts at most so many times. √(1−ᾱ)/√ᾱ reaches 14.6 for Stable Diffusion, and has no end
    /// where nothing of the signal is left.
    pub cap: f64,
    /// Divide the squared error of each row by the mean absolute error of the old policy in it, in the same space (DiffusionNFT,
    /// arXiv 2509.16117): then rows of all timesteps count about alike, and so do models of all sizes of error.
    pub is_normalised: bool,
}

impl Default for ErrorWeight {
    /// DiffusionNFT's, with a cap.
    fn default() -> Self {
        Self { space: ErrorSpace::Sample, cap: 5.0, is_normalised: true }
    }
}

impl ErrorWeight {
    /// Checks the cap.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the cap is not a finite number above 0.
    pub fn validate(&self) -> Result<()> {
        match self.cap.is_finite() && self.cap > 0.0 {
            true => Ok(()),
            false => Err(Error::parameter("cap of an error's weight", self.cap, "a finite number above 0")),
        }
    }

    /// The error of each row, a mean over its elements: `q² mean(d²)`, or normalised `q² mean(d²) / (q mean|e|)`, where q turns
    /// an error of the prediction into one of this space.
    ///
    /// # Shapes
    /// `difference` d, which is to become small, and `old_error` e `[B, ..]`, one level a row; the result `[B]`.
    pub(super) fn apply<const D: usize>(
        &self,
        kind: PredictionKind,
        levels: &[Coefficients],
        difference: Tensor<D>,
        old_error: Tensor<D>,
    ) -> Tensor<1> {
        let device = difference.device();
        let column = |power: i32| {
            let scale = levels.iter().map(move |level| self.scale(kind, level).powi(power));
            per_row::<1>(scale, &device)
        };
        let squares = mean_rows(difference.clone() * difference) * column(2);
        if !self.is_normalised {
            return squares;
        }
        squares / (mean_rows(old_error.abs()) * column(1)).clamp_min(LEAST_ERROR)
    }

    /// q: an error of 1 of the prediction is an error of q in this space, or at the cap.
    fn scale(&self, kind: PredictionKind, level: &Coefficients) -> f64 {
        let of_noise = match self.space {
            ErrorSpace::Sample => level.noise / level.signal,
            ErrorSpace::Velocity => 1.0 / level.signal,
            ErrorSpace::Noise => 1.0,
        };
        of_noise.min(self.cap) * kind.noise_error(level)
    }
}
