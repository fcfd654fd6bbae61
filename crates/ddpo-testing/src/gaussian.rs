//! A perfect model of Gaussian data.

use burn::Tensor;
use burn::tensor::TensorData;
use ddpo_core::{Condition, Denoiser, NoiseSchedule, Prediction, PredictionKind, Result, Timestep};

/// The exact denoiser of data whose every element is drawn from `N(mean, std²)`.
///
/// `E[x₀ | x_t] = m + √ᾱ s² / (ᾱ s² + 1 − ᾱ) · (x_t − √ᾱ m)` is linear in `x_t`, so a sampler's marginals can be followed in
/// closed form.
#[derive(Clone, Debug)]
pub struct GaussianDenoiser {
    /// The mean m of the data.
    pub mean: f64,
    /// The standard deviation s of the data.
    pub std: f64,
    /// What the prediction is.
    pub kind: PredictionKind,
    /// The noise levels of the timesteps.
    pub schedule: NoiseSchedule,
}

impl GaussianDenoiser {
    /// The prediction as `slope · x_t + intercept` at noise level ᾱ.
    pub fn line(&self, alpha_bar: f64) -> (f64, f64) {
        let (signal, noise) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        let variance = self.std * self.std;
        let slope = signal * variance / (alpha_bar * variance + 1.0 - alpha_bar);
        let intercept = self.mean * (1.0 - slope * signal);
        let epsilon = ((1.0 - signal * slope) / noise, -signal * intercept / noise);
        match self.kind {
            PredictionKind::Epsilon => epsilon,
            PredictionKind::Velocity => (signal * epsilon.0 - noise * slope, signal * epsilon.1 - noise * intercept),
            _ => (slope, intercept),
        }
    }
}

impl<const D: usize> Denoiser<D> for GaussianDenoiser {
    fn predict(&self, sample: &Tensor<D>, timesteps: &[Timestep], _: &Condition) -> Result<Prediction<D>> {
        let lines = timesteps.iter().map(|t| Ok(self.line(self.schedule.alpha_cumprod_at(*t)?)));
        let lines = lines.collect::<Result<Vec<_>>>()?;
        let mut shape = [1; D];
        shape[0] = lines.len();
        let column = |pick: fn(&(f64, f64)) -> f64| {
            let values: Vec<f32> = lines.iter().map(|line| pick(line) as f32).collect();
            Tensor::<D>::from_data(TensorData::new(values, shape), &sample.device())
        };
        Ok(Prediction::new(self.kind, sample.clone() * column(|line| line.0) + column(|line| line.1)))
    }
}
