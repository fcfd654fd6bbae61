//! What a model's output means. Everything behind this module knows `x̂₀` and `ε̂` only.

use burn::Tensor;

use crate::rows::per_row;
use crate::{Coefficients, Error, Result};

/// The quantity a model was trained to predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PredictionKind {
    /// The noise ε (Ho et al., arXiv 2006.11239).
    Epsilon,
    /// The clean sample x₀.
    Sample,
    /// The velocity v = √ᾱ ε − √(1−ᾱ) x₀ (Salimans and Ho, arXiv 2202.00512).
    Velocity,
}

/// A model's output together with its meaning.
#[derive(Clone, Debug)]
pub struct Prediction<const D: usize> {
    /// What `value` is.
    pub kind: PredictionKind,
    /// The output, in the shape of the sample, f32.
    pub value: Tensor<D>,
}

/// What to do to the predicted clean sample before it is used. Off for latent models.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Clipping {
    /// Nothing.
    None,
    /// Clamp to `[-range, range]` (`clip_sample` of diffusers).
    Range(f64),
}

impl<const D: usize> Prediction<D> {
    /// An output of this kind.
    pub fn new(kind: PredictionKind, value: Tensor<D>) -> Self {
        Self { kind, value }
    }

    /// The clean sample and the noise that this output implies, `(x̂₀, ε̂)`, with
    /// `sample = √ᾱ x̂₀ + √(1−ᾱ) ε̂` in each row.
    ///
    /// # Errors
    /// [`Error::UndefinedPrediction`] if the kind does not determine them, such as ε where nothing of the signal is left.
    pub(crate) fn split(&self, sample: &Tensor<D>, rows: &[Coefficients]) -> Result<(Tensor<D>, Tensor<D>)> {
        rows.iter().try_for_each(|row| self.kind.check(row))?;
        let column = |f: fn(&Coefficients) -> f64| per_row::<D>(rows.iter().map(f), &sample.device());
        let (x, out) = (sample.clone(), self.value.clone());
        Ok(match self.kind {
            PredictionKind::Epsilon => {
                let x0 = (x - out.clone() * column(|c| c.noise)) * column(|c| 1.0 / c.signal);
                (x0, out)
            }
            PredictionKind::Sample => {
                let epsilon = (x - out.clone() * column(|c| c.signal)) * column(|c| 1.0 / c.noise);
                (out, epsilon)
            }
            PredictionKind::Velocity => {
                let x0 = x.clone() * column(|c| c.signal) - out.clone() * column(|c| c.noise);
                (x0, out * column(|c| c.signal) + x * column(|c| c.noise))
            }
        })
    }
}

impl PredictionKind {
    /// The value a perfect model would predict, given the clean sample and the noise: the target of pretraining.
    pub fn target<const D: usize>(self, x0: Tensor<D>, epsilon: Tensor<D>, rows: &[Coefficients]) -> Tensor<D> {
        let column = |f: fn(&Coefficients) -> f64| per_row::<D>(rows.iter().map(f), &x0.device());
        match self {
            Self::Epsilon => epsilon,
            Self::Sample => x0,
            Self::Velocity => epsilon * column(|c| c.signal) - x0.clone() * column(|c| c.noise),
        }
    }

    /// The error of the noise that an error of 1 of this prediction implies, but for its sign.
    pub(crate) fn noise_error(self, row: &Coefficients) -> f64 {
        match self {
            Self::Epsilon => 1.0,
            Self::Sample => row.signal / row.noise,
            Self::Velocity => row.signal,
        }
    }

    fn check(self, row: &Coefficients) -> Result<()> {
        let (defined, kind, wanted) = match self {
            Self::Epsilon => (row.signal > 0.0, "epsilon", "a signal above 0 (or a model that predicts v or x0)"),
            Self::Sample => (row.noise > 0.0, "sample", "a signal below 1"),
            Self::Velocity => (true, "velocity", ""),
        };
        if defined {
            return Ok(());
        }
        Err(Error::UndefinedPrediction { kind, signal: row.signal, wanted })
    }
}

impl Clipping {
    pub(crate) fn apply<const D: usize>(self, x0: Tensor<D>) -> Tensor<D> {
        match self {
            Self::None => x0,
            Self::Range(range) => x0.clamp(-range, range),
        }
    }
}
