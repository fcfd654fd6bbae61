//! An objective that holds the policy near the model it started from.

use super::{LogProbTerms, Loss, Needs, Objective};
use crate::{Error, Result};

/// `L + β mean(KL(π_θ(·|x_t, c) ‖ π_ref(·|x_t, c)))` of any objective L: the penalty of DPOK (Fan et al., arXiv 2305.16381),
/// with the exact divergence of the two transitions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KlPenalised<O> {
    objective: O,
    weight: f64,
}

impl<O: Objective> KlPenalised<O> {
    /// The objective with β = `weight`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the weight is negative or not finite: it would drive the policy away.
    pub fn new(objective: O, weight: f64) -> Result<Self> {
        match weight.is_finite() && weight >= 0.0 {
            true => Ok(Self { objective, weight }),
            false => Err(Error::parameter("weight of the divergence", weight, "a finite number of at least 0")),
        }
    }
}

impl<O: Objective> Objective for KlPenalised<O> {
    fn needs(&self) -> Needs {
        Needs { reference: true, ..self.objective.needs() }
    }

    fn clip_range(&self) -> f64 {
        self.objective.clip_range()
    }

    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        let divergence = terms.needed_reference()?.kl.clone().mean();
        let mut loss = self.objective.loss(terms)?;
        loss.kl_to_base = Some(divergence.clone().inner());
        loss.value = loss.value + divergence.mul_scalar(self.weight);
        Ok(loss)
    }
}
