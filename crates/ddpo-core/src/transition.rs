//! One step of the chain as a distribution: drawing, density and divergence, each once.

use std::f64::consts::PI;

use burn::Tensor;

use crate::error::{check_count, check_shape};
use crate::rows::{per_row, sum_rows};
use crate::{Error, Result};

/// How a log-probability adds up over the elements of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// The mean over elements, as both reference implementations of DDPO have it; clip ranges of 1e-4 go with it.
    #[default]
    Mean,
    /// The sum over elements: the true log-density of the row.
    Sum,
}

/// The Gaussian `N(mean, std² I)` that a scheduler draws the next state from, one standard deviation a row.
#[derive(Clone, Debug)]
pub struct Transition<const D: usize> {
    mean: Tensor<D>,
    std: Vec<f64>,
}

impl<const D: usize> Transition<D> {
    /// The Gaussian around `mean` `[B, ..]` with one `std` a row.
    ///
    /// # Errors
    /// [`Error::Count`] if there is not one `std` a row, [`Error::Parameter`] if one is negative or not finite.
    pub fn new(mean: Tensor<D>, std: Vec<f64>) -> Result<Self> {
        check_count("make a transition", "standard deviations", std.len(), mean.dims()[0])?;
        match std.iter().find(|std| !std.is_finite() || **std < 0.0) {
            Some(std) => {
                Err(Error::parameter("standard deviation of a transition", std, "a finite number of at least 0"))
            }
            None => Ok(Self { mean, std }),
        }
    }

    /// The mean `[B, ..]`.
    pub fn mean(&self) -> &Tensor<D> {
        &self.mean
    }

    /// The standard deviation of each row.
    pub fn std(&self) -> &[f64] {
        &self.std
    }

    /// Whether no row draws anything: `sample` is the mean, and there is no density.
    pub fn is_deterministic(&self) -> bool {
        self.std.iter().all(|&std| std == 0.0)
    }

    /// The next state `mean + std · noise`.
    ///
    /// # Shapes
    /// `noise` `[B, ..]`, standard normal; the result has the same shape.
    ///
    /// # Errors
    /// [`Error::Shape`] if the noise has another shape.
    pub fn sample(&self, noise: Tensor<D>) -> Result<Tensor<D>> {
        check_shape("sample a transition", &noise.dims(), &self.mean.dims())?;
        if self.is_deterministic() {
            return Ok(self.mean.clone());
        }
        Ok(self.mean.clone() + noise * per_row(self.std.iter().copied(), &self.mean.device()))
    }

    /// The log-density of `next`, a row at a time: with n elements a row and for `Reduction::Sum`
    /// `−‖next − mean‖² / 2σ² − n (ln σ + ½ ln 2π)`, an n-th of it for `Reduction::Mean`.
    ///
    /// Law: a row's value does not depend on the other rows, to the bit.
    ///
    /// # Shapes
    /// `next` `[B, ..]`; the result `[B]`.
    ///
    /// # Errors
    /// [`Error::DeterministicStep`] if a row has no density, [`Error::Shape`] if `next` has another shape.
    pub fn log_prob(&self, next: &Tensor<D>, reduction: Reduction) -> Result<Tensor<1>> {
        check_shape("log-probability", &next.dims(), &self.mean.dims())?;
        self.check_stochastic("log-probability")?;
        let difference = next.clone() - self.mean.clone();
        let squares = sum_rows(difference.clone() * difference);
        let n = self.row_len() as f64;
        let (per_square, per_row_constant) = match reduction {
            Reduction::Mean => (1.0 / n, 1.0),
            Reduction::Sum => (1.0, n),
        };
        let scale = self.std.iter().map(|std| -0.5 * per_square / (std * std));
        let offset = self.std.iter().map(|std| -per_row_constant * (std.ln() + 0.5 * (2.0 * PI).ln()));
        let device = squares.device();
        Ok(squares * per_row(scale, &device) + per_row(offset, &device))
    }

    /// The divergence `KL(self ‖ other)` in nats, a row at a time, summed over elements (Reduction::Sum) or their mean:
    /// `ln(σ₂/σ₁) + (σ₁² + (μ₁−μ₂)²) / 2σ₂² − ½` per element.
    ///
    /// # Shapes
    /// The result is `[B]`.
    ///
    /// # Errors
    /// [`Error::DeterministicStep`] if a row of either has no density, [`Error::Shape`] if the shapes differ.
    pub fn kl(&self, other: &Self, reduction: Reduction) -> Result<Tensor<1>> {
        check_shape("kl divergence", &other.mean.dims(), &self.mean.dims())?;
        self.check_stochastic("kl divergence")?;
        other.check_stochastic("kl divergence")?;
        let difference = self.mean.clone() - other.mean.clone();
        let squares = sum_rows(difference.clone() * difference);
        let n = self.row_len() as f64;
        let elements = match reduction {
            Reduction::Mean => 1.0,
            Reduction::Sum => n,
        };
        let pairs = || self.std.iter().zip(&other.std);
        let scale = pairs().map(|(_, s2)| elements / (n * 2.0 * s2 * s2));
        let offset = pairs().map(|(s1, s2)| elements * ((s2 / s1).ln() + 0.5 * (s1 / s2).powi(2) - 0.5));
        let device = squares.device();
        Ok(squares * per_row(scale, &device) + per_row(offset, &device))
    }

    /// `KL(old ‖ self)` from the Gaussian of the same standard deviation that drew `next` by `noise`, whose mean was
    /// `next − σ noise`: `‖(next − μ)/σ − noise‖² / 2`.
    ///
    /// # Shapes
    /// `next` and `noise` `[B, ..]`, without a graph of their own; the result is `[B]`.
    ///
    /// # Errors
    /// [`Error::DeterministicStep`] if a row has no density, [`Error::Shape`] if the shapes differ.
    pub fn kl_from_draw(&self, next: &Tensor<D>, noise: &Tensor<D>, reduction: Reduction) -> Result<Tensor<1>> {
        check_shape("kl divergence", &next.dims(), &self.mean.dims())?;
        check_shape("kl divergence", &noise.dims(), &self.mean.dims())?;
        self.check_stochastic("kl divergence")?;
        let scale = per_row(self.std.iter().map(|std| 1.0 / std), &next.device());
        let moved = (next.clone() - self.mean.clone()) * scale - noise.clone();
        let elements = match reduction {
            Reduction::Mean => self.row_len() as f64,
            Reduction::Sum => 1.0,
        };
        Ok(sum_rows(moved.clone() * moved).div_scalar(2.0 * elements))
    }

    fn row_len(&self) -> usize {
        self.mean.dims()[1..].iter().product()
    }

    fn check_stochastic(&self, operation: &'static str) -> Result<()> {
        match self.std.iter().position(|&std| std == 0.0) {
            Some(row) => Err(Error::DeterministicStep { operation, row }),
            None => Ok(()),
        }
    }
}
