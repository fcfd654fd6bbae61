//! An objective that needs all that an objective may ask for.

use ddpo_core::objective::Needs;
use ddpo_core::{LogProbTerms, Loss, Objective, Result};

/// Direct preference optimization of two chains of one prompt (Wallace et al., arXiv 2311.12908, equation 14, with exact
/// log-probabilities of the chains' own steps in place of bounds): `−ln σ(β (ℓ_w − ℓ_ref,w − ℓ_l + ℓ_ref,l))`, where the
/// winner w has the larger advantage. Equal ones say nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairwisePreference {
    /// β: how much a preference is worth against the distance from the reference.
    pub beta: f64,
}

impl Objective for PairwisePreference {
    fn needs(&self) -> Needs {
        Needs { reference: true, unit: 2, ..Needs::default() }
    }

    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        let gain = terms.new.clone() - terms.needed_reference()?.log_prob.clone();
        let pairs = gain.dims()[0] / 2;
        let difference = |values: burn::Tensor<1>| {
            let both = values.reshape([pairs, 2]);
            (both.clone().narrow(1, 0, 1) - both.narrow(1, 1, 1)).reshape([pairs])
        };
        let preferred = difference(terms.advantage.clone()).sign();
        let margin = (preferred * difference(gain)).mul_scalar(self.beta);
        // −ln σ(x) = ln(1 + e^−x).
        Ok(Loss::new(burn::tensor::activation::softplus(-margin, 1.0).mean()))
    }
}
