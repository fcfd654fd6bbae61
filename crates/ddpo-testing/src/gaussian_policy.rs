//! A perfect model of Gaussian data that can learn other means.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use ddpo_core::{Condition, Denoiser, NoiseSchedule, Parameter, Policy, Prediction, PredictionKind, Result, Timestep};

/// The exact denoiser of data whose elements are drawn from `N(mean, std²)`, each with its own, as a policy whose parameters are the
/// means: `ε̂ = √(1−ᾱ) (x_t − √ᾱ m) / (ᾱ s² + 1 − ᾱ)`. Training starts from means of 0.
#[derive(Clone, Debug)]
pub struct GaussianPolicy {
    means: Tensor<1>,
    stds: Vec<f64>,
    schedule: NoiseSchedule,
}

impl GaussianPolicy {
    /// A policy with these standard deviations, one an element.
    pub fn new(stds: Vec<f64>, schedule: NoiseSchedule, device: &Device) -> Self {
        let means = Tensor::zeros([stds.len()], &device.clone().without_autodiff());
        Self { means, stds, schedule }.leaf()
    }

    fn leaf(self) -> Self {
        Self { means: self.means.inner().autodiff().require_grad(), ..self }
    }

    fn with_means(&self, means: Tensor<1>) -> Self {
        Self { means, ..self.clone() }
    }
}

impl<const D: usize> Denoiser<D> for GaussianPolicy {
    fn predict(&self, sample: &Tensor<D>, timesteps: &[Timestep], _: &Condition) -> Result<Prediction<D>> {
        let alphas = timesteps.iter().map(|t| self.schedule.alpha_cumprod_at(*t)).collect::<Result<Vec<_>>>()?;
        let shape = [timesteps.len(), self.stds.len()];
        let matrix = |f: &dyn Fn(f64, f64) -> f64| {
            let row = |&alpha: &f64| self.stds.iter().map(move |&std| f(alpha, std) as f32).collect::<Vec<f32>>();
            Tensor::<2>::from_data(TensorData::new(alphas.iter().flat_map(row).collect(), shape), &sample.device())
        };
        let scale = matrix(&|alpha, std| (1.0 - alpha).sqrt() / (alpha * std * std + 1.0 - alpha));
        let centre = self.means.clone().reshape([1, self.stds.len()]) * matrix(&|alpha, _| alpha.sqrt());
        let epsilon = (sample.clone().reshape(shape) - centre) * scale;
        Ok(Prediction::new(PredictionKind::Epsilon, epsilon.reshape(sample.dims())))
    }
}

impl<const D: usize> Policy<D> for GaussianPolicy {
    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter { name: "means".into(), shape: vec![self.stds.len()], value: self.means.clone() }]
    }

    fn set_parameters(&mut self, values: Vec<Tensor<1>>) -> Result<()> {
        if let Some(means) = values.into_iter().next() {
            *self = self.with_means(means).leaf();
        }
        Ok(())
    }

    fn sampler(&self) -> Box<dyn Denoiser<D> + '_> {
        Box::new(self.with_means(self.means.clone().inner()))
    }

    fn reference(&self) -> Box<dyn Denoiser<D> + '_> {
        Box::new(self.with_means(self.means.clone().inner().zeros_like()))
    }
}
