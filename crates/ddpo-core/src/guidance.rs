//! Classifier-free guidance as a denoiser around a denoiser.

use burn::Tensor;

use crate::{Condition, Denoiser, Error, Prediction, Result, Timestep};

/// Classifier-free guidance (Ho and Salimans, arXiv 2207.12598): `u + w (c − u)` of the unconditional prediction `u` and the
/// conditional one `c`. Both go through the model in one batch, the unconditional half first.
///
/// The same wrapper serves sampling and training: without guidance in training the policy decays from the second round on
/// (arXiv 2305.13301, appendix E).
pub struct Guided<'a, const D: usize> {
    inner: &'a dyn Denoiser<D>,
    unconditional: Condition,
    weight: f64,
}

impl<'a, const D: usize> Guided<'a, D> {
    /// Guidance of `inner` with weight `weight`. `unconditional` is the encoded empty (or negative) prompt: one row. With a
    /// weight of 1 the unconditional half cancels, and is not computed.
    ///
    /// # Errors
    /// [`Error::Count`] if `unconditional` has not exactly one row, [`Error::Parameter`] if the weight is not finite.
    pub fn new(inner: &'a dyn Denoiser<D>, unconditional: Condition, weight: f64) -> Result<Self> {
        crate::error::check_count("guide a model", "unconditional rows", unconditional.batch(), 1)?;
        if !weight.is_finite() {
            return Err(Error::parameter("guidance weight", weight, "a finite number"));
        }
        Ok(Self { inner, unconditional, weight })
    }
}

impl<const D: usize> Denoiser<D> for Guided<'_, D> {
    fn predict(&self, sample: &Tensor<D>, timesteps: &[Timestep], condition: &Condition) -> Result<Prediction<D>> {
        if self.weight == 1.0 {
            return self.inner.predict(sample, timesteps, condition);
        }
        let batch = sample.dims()[0];
        let both = Condition::cat(&[self.unconditional.repeat(batch)?, condition.clone()])?;
        let twice = Tensor::cat(vec![sample.clone(), sample.clone()], 0);
        let prediction = self.inner.predict(&twice, &timesteps.repeat(2), &both)?;
        let unconditional = prediction.value.clone().narrow(0, 0, batch);
        let conditional = prediction.value.narrow(0, batch, batch);
        let value = unconditional.clone() + (conditional - unconditional) * self.weight;
        Ok(Prediction::new(prediction.kind, value))
    }
}
