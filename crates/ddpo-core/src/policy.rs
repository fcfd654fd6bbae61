//! The contract of a model that learns.

use burn::Tensor;

use crate::{Denoiser, Parameter, Result};

/// A denoiser with trainable parameters: an adapter over a frozen base, or a whole network.
///
/// ```
/// # use burn::tensor::Device;
/// # use ddpo_core::objective::DdpoSf;
/// # use ddpo_core::scheduler::{Ddim, DdimConfig};
/// # use ddpo_core::{
/// #     Action, Condition, Domain, Epoch, LogProbTerms, Noise, Objective, Policy, PromptId, Reduction, RolloutRequest, SampleId,
/// #     StepIndex, propose, rollout,
/// # };
/// # use ddpo_testing::{ToyPolicy, ToyPolicyConfig, stable_diffusion_schedule};
/// # let device = Device::flex();
/// # let scheduler = Ddim::new(&stable_diffusion_schedule(), DdimConfig { steps: 5, ..DdimConfig::default() })?;
/// # let mut policy = ToyPolicy::new(ToyPolicyConfig { elements: 4, hidden: 3, seed: 0 }, &device);
/// # let (condition, samples) = (Condition::none(2, &device), [SampleId(0), SampleId(1)]);
/// # let request = RolloutRequest {
/// #     shape: [1, 4], samples: &samples, prompts: &[PromptId(0); 2], condition: &condition,
/// #     noise: Noise::new(0, Domain::Training), epoch: Epoch(1), reduction: Reduction::Mean, device: &device,
/// # };
/// let sampler = Policy::<2>::sampler(&policy);
/// let chains = rollout(&*sampler, &scheduler, &request, &mut |_| {})?; // no graph
/// # drop(sampler);
/// let set = chains.score(vec![0.0, 1.0])?.into_training_set(vec![-1.0, 1.0])?;
/// let batch = set.minibatch(&[0, 1].map(|row| Action { row, step: StepIndex(0) }))?;
/// let next = propose(&policy, &scheduler, &batch.steps, &batch.sample, &batch.condition)?; // a graph that ends in the parameters
/// let new = next.log_prob(&batch.next, Reduction::Mean)?;
/// let loss = DdpoSf::default().loss(&LogProbTerms::new(&new, &batch.old_log_prob, &batch.advantage))?;
/// let gradients = loss.value.backward();
/// let parameters = Policy::<2>::parameters(&policy);
/// let values = parameters.iter().map(|p| p.value.clone().inner() - p.value.grad(&gradients).unwrap() * 0.1).collect();
/// Policy::<2>::set_parameters(&mut policy, values)?;
/// # Ok::<(), ddpo_core::Error>(())
/// ```
///
/// `predict` of the policy itself is tracked and has the same values, to the bit, as `predict` of its sampler.
pub trait Policy<const D: usize>: Denoiser<D> {
    /// The trainable parameters, always in the same order: leaves of the graph that `predict` builds.
    fn parameters(&self) -> Vec<Parameter>;

    /// Replaces the parameters by plain values `[n]`, in the order of [`parameters`](Self::parameters).
    ///
    /// # Errors
    /// [`Error::Count`](crate::Error::Count) or [`Error::Shape`](crate::Error::Shape) if they do not fit.
    fn set_parameters(&mut self, values: Vec<Tensor<1>>) -> Result<()>;

    /// The same model with the same parameters, building no graph.
    fn sampler(&self) -> Box<dyn Denoiser<D> + '_>;

    /// The model that training started from, frozen adapters included: the anchor of the KL divergence.
    fn reference(&self) -> Box<dyn Denoiser<D> + '_>;
}
