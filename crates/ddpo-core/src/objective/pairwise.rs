//! Preference between two chains of one prompt.

use burn::Tensor;
use burn::tensor::activation::softplus;

use super::{LogProbTerms, Loss, Needs, Objective, PairCounts};
use crate::error::check_shape;
use crate::{Error, Result};

/// Pairwise sample optimization (PSO: Miao et al., arXiv 2410.03190; D3PO: Yang et al., arXiv 2311.13231), a step of two chains at a
/// time, w of the better sample and l of the other:
///
/// `L = −ln σ(β (ln ρ_w − ln ρ_l))`, `ρ = clip(exp(ℓ − ℓ_ref), 1 − ε, 1 + ε)`, a mean over pairs and steps.
///
/// Which is the better one, the sign of the advantage says; [`PairAdvantage`](crate::advantage::PairAdvantage) makes it of rewards. Pairs of
/// which neither is better, or one has an advantage of 0, count as 0 in the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pairwise {
    /// β: how much a preference is worth against the distance from the reference, in units of log-probabilities.
    pub beta: f64,
    /// ε: ratios to the reference are clipped to `[1 − ε, 1 + ε]`.
    pub clip_range: f64,
    /// On which sides.
    pub clip: PairClip,
}

/// On which sides the ratios of a pair are clipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PairClip {
    /// On both, as the papers have it: a winner that has become less likely than `1 − ε`, or a loser more likely than `1 + ε`, has no
    /// gradient either, and nothing pulls it back.
    #[default]
    TwoSided,
    /// Where it has gone as far as it should, as PPO does: a winner above `1 + ε`, a loser below `1 − ε`.
    OneSided,
}

impl Default for Pairwise {
    /// PSO's numbers, for the mean log-probability over elements.
    fn default() -> Self {
        Self { beta: 50.0, clip_range: 0.1, clip: PairClip::TwoSided }
    }
}

impl Pairwise {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first that does not fit.
    pub fn validate(&self) -> Result<()> {
        if !(self.beta.is_finite() && self.beta > 0.0) {
            return Err(Error::parameter("beta of a preference", self.beta, "a finite number above 0"));
        }
        if !(self.clip_range > 0.0 && self.clip_range < 1.0) {
            return Err(Error::parameter("clip range of a preference", self.clip_range, "above 0 and below 1"));
        }
        Ok(())
    }
}

impl Objective for Pairwise {
    fn needs(&self) -> Needs {
        Needs { reference: true, unit: 2, ..Needs::default() }
    }

    fn clip_range(&self) -> f64 {
        self.clip_range
    }

    /// What is clipped is judged by the logarithm, which has more digits near 1.
    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        terms.check()?;
        let reference = terms.needed_reference()?.log_prob;
        check_shape("loss: reference log-probabilities", &reference.dims(), &terms.new.dims())?;
        let rows = terms.new.dims()[0];
        if !rows.is_multiple_of(2) {
            return Err(Error::parameter("rows of a pairwise loss", rows, "an even number"));
        }
        let [first, second] = halves(terms.advantage.clone().sign());
        // A pair counts where one is better and the other worse.
        let counts = (first.clone() * second).lower_elem(0.0).float();
        let preferred = first * counts.clone();
        let better = interleaved(&preferred);
        let log_ratio = terms.new.clone() - reference.clone();
        let (clipped, is_stranded) = self.clipped(&log_ratio, &better);
        let is_clipped = clipped.clone().inner().not_equal(log_ratio.clone().inner()).float();
        let margin = preferred.clone() * difference(clipped).mul_scalar(self.beta);
        // −ln σ(x) = ln(1 + e^−x).
        let value = (softplus(-margin, 1.0) * counts.clone()).mean();
        let ranked = (preferred * difference(log_ratio.inner())).greater_elem(0.0).float().sum();
        let tied = counts.mul_scalar(-1.0).add_scalar(1.0).sum();
        let pairs = PairCounts { tied, ranked, stranded: is_stranded.sum() };
        Ok(Loss { clipped: Some(is_clipped.mean()), pairs: Some(pairs), ..Loss::new(value) })
    }
}

impl Pairwise {
    /// The clipped log-ratios, and 1 for each that is beyond the range on the side that it ought to come back from and has no
    /// gradient there. `better` is 1 for the better of two, −1 for the worse.
    fn clipped(&self, log_ratio: &Tensor<1>, better: &Tensor<1>) -> (Tensor<1>, Tensor<1>) {
        let (low, high) = ((1.0 - self.clip_range).ln(), (1.0 + self.clip_range).ln());
        match self.clip {
            PairClip::TwoSided => {
                let clipped = log_ratio.clone().clamp(low, high);
                let beyond = log_ratio.clone().inner() - clipped.clone().inner();
                (clipped, (beyond * better.clone()).lower_elem(0.0).float())
            }
            PairClip::OneSided => {
                let is_better = better.clone().greater_elem(0.0).float();
                let is_other = is_better.clone().mul_scalar(-1.0).add_scalar(1.0);
                let of_better = log_ratio.clone().clamp_max(high) * is_better;
                (of_better + log_ratio.clone().clamp_min(low) * is_other, better.zeros_like())
            }
        }
    }
}

/// The first and the second of each pair, `[P]` each of `[2 P]`.
fn halves(values: Tensor<1>) -> [Tensor<1>; 2] {
    let pairs = values.dims()[0] / 2;
    let both = values.reshape([pairs, 2]);
    [0, 1].map(|i| both.clone().narrow(1, i, 1).reshape([pairs]))
}

/// By how much the first of each pair is above the second.
fn difference(values: Tensor<1>) -> Tensor<1> {
    let [first, second] = halves(values);
    first - second
}

/// A number for the first of each pair and its negative for the second, `[2 P]` of `[P]`.
fn interleaved(values: &Tensor<1>) -> Tensor<1> {
    let rows = 2 * values.dims()[0];
    Tensor::stack::<2>(vec![values.clone(), -values.clone()], 1).reshape([rows])
}
