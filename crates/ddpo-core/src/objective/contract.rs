//! The contract of an objective.

use burn::Tensor;

use crate::error::check_shape;
use crate::{Error, Result};

/// What an objective may look at: one entry per (sample, step) action of a minibatch, all `[B]` and f32.
#[derive(Clone, Copy, Debug)]
pub struct LogProbTerms<'a> {
    /// ℓ, the log-probability of the action under the policy as it is now; tracked.
    pub new: &'a Tensor<1>,
    /// ℓ_old, the same when the action was drawn.
    pub old: &'a Tensor<1>,
    /// A, how much better than its peers the sample turned out.
    pub advantage: &'a Tensor<1>,
    /// The same actions under the model that training started from, for objectives that [need](Needs) it.
    pub reference: Option<ReferenceTerms<'a>>,
    /// The steps of the actions, for objectives that [need](Needs) to know them.
    pub steps: Option<StepTerms<'a>>,
    /// So many consecutive rows are a unit: samples of one prompt at the same step.
    pub unit: usize,
}

/// What the steps of a minibatch's actions are like, and how far the policy has moved at each.
#[derive(Clone, Copy, Debug)]
pub struct StepTerms<'a> {
    /// `KL(π_old(·|x_t, c) ‖ π_θ(·|x_t, c))`, exact, `[B]`; tracked. It adds up over elements as log-probabilities do.
    pub kl_to_old: &'a Tensor<1>,
    /// σ, the standard deviation of each step, `[B]`.
    pub std: &'a Tensor<1>,
    /// How much the predicted noise moves each step, [`Coefficients::sensitivity`](crate::Coefficients::sensitivity), over the mean of
    /// all steps that are trained on; `[B]`.
    pub sensitivity: &'a Tensor<1>,
}

/// What the reference model says of a minibatch.
#[derive(Clone, Copy, Debug)]
pub struct ReferenceTerms<'a> {
    /// ℓ_ref, the log-probability of the actions, `[B]`; not tracked.
    pub log_prob: &'a Tensor<1>,
    /// `KL(π_θ(·|x_t, c) ‖ π_ref(·|x_t, c))`, exact, `[B]`; tracked. It adds up over elements as log-probabilities do.
    pub kl: &'a Tensor<1>,
}

/// What an objective needs besides log-probabilities and advantages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// [`ReferenceTerms`], which cost a second forward pass.
    pub reference: bool,
    /// [`StepTerms`].
    pub steps: bool,
    /// Samples that are compared with each other and must not be separated: they share a prompt, are drawn one after the other
    /// and come at the same steps. 1 for objectives of single samples, 2 for pairs.
    pub unit: usize,
}

impl Default for Needs {
    /// Single samples, no reference, and nothing of the steps.
    fn default() -> Self {
        Self { reference: false, steps: false, unit: 1 }
    }
}

/// A loss, on its device: an objective reads no number, since a device that is asked for one waits.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The number to minimise, `[1]`, tracked.
    pub value: Tensor<1>,
    /// The mean divergence from the reference `[1]`, of objectives that penalise it; not tracked.
    pub kl_to_base: Option<Tensor<1>>,
    /// The share of actions `[1]` that were clipped or left out, of objectives that do not clip `exp(ℓ − ℓ_old)`; not tracked.
    pub clipped: Option<Tensor<1>>,
    /// What the pairs were like, of objectives that compare two samples.
    pub pairs: Option<PairCounts>,
}

/// The pairs of a minibatch, counted on its device; `[1]` each, not tracked.
#[derive(Clone, Debug)]
pub struct PairCounts {
    /// Pairs of which neither sample is better: nothing is learnt from them.
    pub tied: Tensor<1>,
    /// Pairs whose better sample the policy prefers to the other by more than the reference does.
    pub ranked: Tensor<1>,
    /// Samples whose ratio is clipped on the side that it ought to come back from, so that no gradient pulls it.
    pub stranded: Tensor<1>,
}

/// A surrogate whose gradient improves the policy. A pure function.
///
/// ```
/// # use burn::tensor::{Device, Tensor};
/// # use ddpo_core::objective::DdpoIs;
/// # use ddpo_core::{LogProbTerms, Objective};
/// # let device = Device::flex();
/// // Two actions whose probability has not changed since they were drawn; the first turned out well.
/// let new = Tensor::<1>::from_data([-1.0_f32, -1.0], &device).autodiff().require_grad();
/// let (old, advantage) = (new.clone().inner(), Tensor::from_data([1.0_f32, -1.0], &device));
/// let loss = DdpoIs::default().loss(&LogProbTerms::new(&new, &old, &advantage))?;
/// let gradient = new.grad(&loss.value.backward()).unwrap();
/// assert_eq!(gradient.try_into_vec_as::<f32>().unwrap(), [-0.5, 0.5]);
/// # Ok::<(), ddpo_core::Error>(())
/// ```
pub trait Objective: Send + Sync {
    /// What [`loss`](Self::loss) needs to be given.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Ratios that differ from 1 by more than this are clipped. The default is of objectives that clip nothing, whose clip
    /// fraction is then the share of ratios that are not 1.
    fn clip_range(&self) -> f64 {
        0.0
    }

    /// The loss of a minibatch: a mean over its actions.
    ///
    /// # Errors
    /// [`Error::Shape`] if the terms differ in length, [`Error::Parameter`] if there is no reference, or nothing of the steps, and it is needed.
    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss>;
}

impl<O: Objective + ?Sized> Objective for Box<O> {
    fn needs(&self) -> Needs {
        (**self).needs()
    }

    fn clip_range(&self) -> f64 {
        (**self).clip_range()
    }

    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        (**self).loss(terms)
    }
}

impl Loss {
    /// A loss without a penalty.
    pub fn new(value: Tensor<1>) -> Self {
        Self { value, kl_to_base: None, clipped: None, pairs: None }
    }
}

impl<'a> LogProbTerms<'a> {
    /// Terms of single samples without a reference.
    pub fn new(new: &'a Tensor<1>, old: &'a Tensor<1>, advantage: &'a Tensor<1>) -> Self {
        Self { new, old, advantage, reference: None, steps: None, unit: 1 }
    }

    /// What the steps are like.
    ///
    /// # Errors
    /// [`Error::Parameter`] where nobody has looked.
    pub fn needed_steps(&self) -> Result<StepTerms<'a>> {
        self.steps.ok_or_else(|| Error::parameter("steps of the actions", "none", "those of the minibatch"))
    }

    /// What the reference model says.
    ///
    /// # Errors
    /// [`Error::Parameter`] where nobody has asked it.
    pub fn needed_reference(&self) -> Result<ReferenceTerms<'a>> {
        self.reference.ok_or_else(|| Error::parameter("reference log-probabilities", "none", "those of the minibatch"))
    }

    pub(super) fn check(&self) -> Result<()> {
        check_shape("loss: old log-probabilities", &self.old.dims(), &self.new.dims())?;
        check_shape("loss: advantages", &self.advantage.dims(), &self.new.dims())
    }
}
