//! Preference between two pictures that are given: Diffusion-DPO.

use burn::Tensor;
use burn::tensor::activation::softplus;

use crate::error::check_shape;
use crate::{Error, Result};

/// Diffusion-DPO (Wallace et al., arXiv 2311.12908, equation 14 as its code has it) on a pair of pictures of one prompt, which are mixed
/// with the same noise at the same timestep; e are the denoising errors, means over elements, w of the preferred picture and l of the other:
///
/// `L = −ln σ(−(β/2) [(e_θ^w − ν e_θ^l) − (e_ref^w − ν e_ref^l)]) + λ e_θ^l`.
///
/// With ν = 1 and λ = 0 it is Diffusion-DPO's loss; PSO's code for given pairs (arXiv 2410.03190) has ν = 0.1 and λ = 0.5, at the timesteps that
/// the few-step sampler visits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiffusionDpo {
    /// β: how much a preference is worth against the distance from the reference.
    pub beta: f64,
    /// ν: how much the other picture's error counts beside that of the preferred one.
    pub loser_weight: f64,
    /// λ: the weight of the other picture's denoising error itself, which keeps the model from unlearning what it shows.
    pub loser_denoising: f64,
}

/// The loss of some pairs.
#[derive(Clone, Debug)]
pub struct PreferenceLoss {
    /// A number a pair, `[P]`; tracked.
    pub loss: Tensor<1>,
    /// 1 for each pair whose preferred picture the policy prefers by more than the reference does, `[P]`; not tracked.
    pub is_ranked: Tensor<1>,
}

impl Default for DiffusionDpo {
    /// Diffusion-DPO's numbers for Stable Diffusion 1.5.
    fn default() -> Self {
        Self { beta: 5000.0, loser_weight: 1.0, loser_denoising: 0.0 }
    }
}

impl DiffusionDpo {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first that does not fit.
    pub fn validate(&self) -> Result<()> {
        if !(self.beta.is_finite() && self.beta > 0.0) {
            return Err(Error::parameter("beta of a preference", self.beta, "a finite number above 0"));
        }
        for (what, weight) in [
            ("weight of the other picture", self.loser_weight),
            ("weight of the other picture's denoising", self.loser_denoising),
        ] {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(Error::parameter(what, weight, "a finite number of at least 0"));
            }
        }
        Ok(())
    }

    /// The loss of pairs from the denoising errors of the policy, tracked, and of the reference.
    ///
    /// # Shapes
    /// `[2 P]` both, in pairs: first the preferred picture, then the other.
    ///
    /// # Errors
    /// [`Error::Shape`] if they differ in length, [`Error::Parameter`] for an odd number.
    pub fn loss(&self, policy: &Tensor<1>, reference: &Tensor<1>) -> Result<PreferenceLoss> {
        check_shape("loss: denoising errors of the reference", &reference.dims(), &policy.dims())?;
        let rows = policy.dims()[0];
        if !rows.is_multiple_of(2) {
            return Err(Error::parameter("denoising errors of pairs", rows, "an even number"));
        }
        let difference = |errors: &Tensor<1>| {
            let [preferred, other] = halves(errors);
            preferred - other.mul_scalar(self.loser_weight)
        };
        let gain = difference(reference) - difference(policy);
        let is_ranked = gain.clone().inner().greater_elem(0.0).float();
        // −ln σ(x) = ln(1 + e^−x).
        let preference = softplus(gain.mul_scalar(-0.5 * self.beta), 1.0);
        let loss = match self.loser_denoising > 0.0 {
            true => preference + halves(policy)[1].clone().mul_scalar(self.loser_denoising),
            false => preference,
        };
        Ok(PreferenceLoss { loss, is_ranked })
    }
}

/// The first and the second of each pair, `[P]` each of `[2 P]`.
fn halves(values: &Tensor<1>) -> [Tensor<1>; 2] {
    let pairs = values.dims()[0] / 2;
    let both = values.clone().reshape([pairs, 2]);
    [0, 1].map(|i| both.clone().narrow(1, i, 1).reshape([pairs]))
}
