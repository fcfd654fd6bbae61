//! An objective to which all steps of a chain count alike.

use super::{LogProbTerms, Loss, Needs, Objective};
use crate::Result;

/// Any objective with log-probabilities times `λ_t = w*/w_t` (PCPO, arXiv 2509.25774), where w_t is how much the predicted noise moves a
/// step ([`sensitivity`](crate::Coefficients::sensitivity)) and w* its mean over the steps that are trained on.
///
/// The log-ratio of a step is `w_t mean(z ⊙ Δε)` to first order, so that the step with the largest w has most of the gradient, and its
/// ratios are the first to be clipped. With the weights it is `w* mean(z ⊙ Δε)` at every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EqualSteps<O> {
    objective: O,
}

impl<O: Objective> EqualSteps<O> {
    /// The objective with equal steps.
    pub fn new(objective: O) -> Self {
        Self { objective }
    }
}

impl<O: Objective> Objective for EqualSteps<O> {
    fn needs(&self) -> Needs {
        Needs { steps: true, ..self.objective.needs() }
    }

    fn clip_range(&self) -> f64 {
        self.objective.clip_range()
    }

    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        terms.check()?;
        let sensitivity = terms.needed_steps()?.sensitivity;
        let (new, old) = (terms.new.clone() / sensitivity.clone(), terms.old.clone() / sensitivity.clone());
        let mut loss = self.objective.loss(&LogProbTerms { new: &new, old: &old, ..*terms })?;
        loss.clipped.get_or_insert_with(|| {
            let deviation = (new.inner() - old).exp().sub_scalar(1.0).abs();
            deviation.greater_elem(self.clip_range()).float().mean()
        });
        Ok(loss)
    }
}
