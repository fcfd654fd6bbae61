//! Sampling whole chains and keeping everything that training needs.

use burn::Tensor;
use burn::tensor::Device;

use crate::error::check_count;
use crate::rows::read;
use crate::scheduler::{stochastic_steps, transition};
use crate::{
    Address, Condition, Denoiser, Epoch, Error, Noise, PromptId, Reduction, Result, SampleId, Scheduler, StepIndex,
    Stream, Timestep, Transition,
};

/// Which chains to sample. All slices have one entry per sample.
#[derive(Clone, Copy, Debug)]
pub struct RolloutRequest<'a, const D: usize> {
    /// The shape of a state; its first entry, the batch, is taken from the number of samples.
    pub shape: [usize; D],
    /// The samples' numbers within the epoch: with the noise and the epoch, their identity.
    pub samples: &'a [SampleId],
    /// The prompt of each sample.
    pub prompts: &'a [PromptId],
    /// What each sample is conditioned on.
    pub condition: &'a Condition,
    /// The source of the initial states and of every step's noise.
    pub noise: Noise,
    /// The epoch.
    pub epoch: Epoch,
    /// How log-probabilities add up.
    pub reduction: Reduction,
    /// Where the states live.
    pub device: &'a Device,
}

/// Sampled chains: every state, and the log-probability of every step that drew something.
#[derive(Clone, Debug)]
pub struct Rollout<const D: usize> {
    epoch: Epoch,
    samples: Vec<SampleId>,
    prompts: Vec<PromptId>,
    condition: Condition,
    /// T + 1 states `[N, ..]`, from noise to data.
    states: Vec<Tensor<D>>,
    /// The steps that drew something.
    steps: Vec<StepIndex>,
    /// `[N, steps]`.
    log_probs: Vec<f32>,
}

/// The distribution of the next state under a model: the only path from a model to a log-probability.
///
/// # Shapes
/// `sample` `[B, ..]` and `condition` `[B, ..]`, one step a row.
///
/// # Errors
/// Those of the model and of [`transition`].
pub fn propose<const D: usize>(
    denoiser: &dyn Denoiser<D>,
    scheduler: &dyn Scheduler,
    steps: &[StepIndex],
    sample: &Tensor<D>,
    condition: &Condition,
) -> Result<Transition<D>> {
    check_count("propose a step", "conditions", condition.batch(), sample.dims()[0])?;
    let timesteps = steps.iter().map(|&step| timestep(scheduler, step)).collect::<Result<Vec<_>>>()?;
    let prediction = denoiser.predict(sample, &timesteps, condition)?;
    transition(scheduler, steps, sample, &prediction)
}

/// Samples chains from noise to data. `on_step` hears of each step when it is done.
///
/// # Errors
/// [`Error::Count`] if the request's slices differ in length, and those of [`propose`].
pub fn rollout<const D: usize>(
    denoiser: &dyn Denoiser<D>,
    scheduler: &dyn Scheduler,
    request: &RolloutRequest<'_, D>,
    on_step: &mut dyn FnMut(StepIndex),
) -> Result<Rollout<D>> {
    let next = &mut |proposal: &Transition<D>, step| request.draw_next(proposal, step);
    rollout_by(denoiser, scheduler, request, request.draw_start(), next, on_step)
}

/// [`rollout`] from the noise `start`, in which `next` says what state a step's distribution leads to.
pub(crate) fn rollout_by<const D: usize>(
    denoiser: &dyn Denoiser<D>,
    scheduler: &dyn Scheduler,
    request: &RolloutRequest<'_, D>,
    start: Tensor<D>,
    next: &mut dyn FnMut(&Transition<D>, StepIndex) -> Result<Tensor<D>>,
    on_step: &mut dyn FnMut(StepIndex),
) -> Result<Rollout<D>> {
    let batch = request.samples.len();
    check_count("roll out", "prompts", request.prompts.len(), batch)?;
    check_count("roll out", "conditions", request.condition.batch(), batch)?;
    let mut states = vec![start];
    let mut log_probs = Vec::new();
    for step in (0..scheduler.timesteps().len()).map(StepIndex) {
        let sample = &states[step.0];
        let proposal = propose(denoiser, scheduler, &vec![step; batch], sample, request.condition)?;
        let next = next(&proposal, step)?;
        if !proposal.is_deterministic() {
            log_probs.push(proposal.log_prob(&next, request.reduction)?);
        }
        states.push(next);
        on_step(step);
    }
    Ok(Rollout {
        epoch: request.epoch,
        samples: request.samples.to_vec(),
        prompts: request.prompts.to_vec(),
        condition: request.condition.clone(),
        states,
        steps: stochastic_steps(scheduler)?,
        log_probs: read_columns(log_probs)?,
    })
}

impl<const D: usize> RolloutRequest<'_, D> {
    fn draw(&self, stream: Stream, step: u64) -> Tensor<D> {
        let address = Address { stream, epoch: self.epoch, sample: SampleId(0), step };
        self.noise.normal_batch(address, self.samples, self.shape, self.device)
    }

    /// The noise that the chains begin with.
    pub(crate) fn draw_start(&self) -> Tensor<D> {
        self.draw(Stream::InitialState, 0)
    }

    /// The next state, without a graph: an action is data, whatever drew it.
    pub(crate) fn draw_next(&self, proposal: &Transition<D>, step: StepIndex) -> Result<Tensor<D>> {
        if proposal.is_deterministic() {
            return Ok(proposal.mean().clone().detach());
        }
        Ok(proposal.sample(self.draw(Stream::Transition, step.0 as u64))?.detach())
    }
}

fn timestep(scheduler: &dyn Scheduler, step: StepIndex) -> Result<Timestep> {
    let timesteps = scheduler.timesteps();
    timesteps.get(step.0).copied().ok_or(Error::Index { what: "step", found: step.0, len: timesteps.len() })
}

/// Columns `[N]` on a device as rows on the host, read in one go.
fn read_columns(columns: Vec<Tensor<1>>) -> Result<Vec<f32>> {
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    read(Tensor::stack::<2>(columns, 1))
}

impl<const D: usize> Rollout<D> {
    /// All chains of several rollouts of one epoch, in order.
    ///
    /// # Errors
    /// [`Error::Count`] for an empty list, or if two differ in steps; [`Error::Parameter`] if two differ in epoch.
    pub fn concat(rollouts: Vec<Self>) -> Result<Self> {
        let Some(first) = rollouts.first() else {
            return Err(Error::Count { operation: "join rollouts", what: "rollouts", found: 0, wanted: 1 });
        };
        let (epoch, steps, len) = (first.epoch, first.steps.clone(), first.states.len());
        for rollout in &rollouts {
            check_count("join rollouts", "states", rollout.states.len(), len)?;
            check_count("join rollouts", "stochastic steps", rollout.steps.len(), steps.len())?;
            if rollout.epoch != epoch {
                return Err(Error::parameter("epoch of a rollout", rollout.epoch.0, epoch.0));
            }
        }
        let conditions: Vec<Condition> = rollouts.iter().map(|rollout| rollout.condition.clone()).collect();
        let column = |i: usize| Tensor::cat(rollouts.iter().map(|rollout| rollout.states[i].clone()).collect(), 0);
        Ok(Self {
            epoch,
            condition: Condition::cat(&conditions)?,
            states: (0..len).map(column).collect(),
            samples: rollouts.iter().flat_map(|rollout| rollout.samples.iter().copied()).collect(),
            prompts: rollouts.iter().flat_map(|rollout| rollout.prompts.iter().copied()).collect(),
            log_probs: rollouts.iter().flat_map(|rollout| rollout.log_probs.iter().copied()).collect(),
            steps,
        })
    }

    /// A rollout of chains that were sampled elsewhere: what they went through, and the log-probabilities `[N, steps]` of the steps
    /// that drew something.
    ///
    /// # Errors
    /// [`Error::Count`] if there is not one prompt, condition, row of every state and log-probability of every step a sample.
    pub fn from_chains(
        epoch: Epoch,
        samples: Vec<SampleId>,
        prompts: Vec<PromptId>,
        condition: Condition,
        states: Vec<Tensor<D>>,
        (steps, log_probs): (Vec<StepIndex>, Vec<f32>),
    ) -> Result<Self> {
        let count = samples.len();
        check_count("make a rollout", "prompts", prompts.len(), count)?;
        check_count("make a rollout", "conditions", condition.batch(), count)?;
        check_count("make a rollout", "log-probabilities", log_probs.len(), count * steps.len())?;
        if states.is_empty() {
            return Err(Error::Count { operation: "make a rollout", what: "states", found: 0, wanted: 1 });
        }
        for state in &states {
            check_count("make a rollout", "rows of a state", state.dims()[0], count)?;
        }
        Ok(Self { epoch, samples, prompts, condition, states, steps, log_probs })
    }

    /// One of the chains.
    ///
    /// # Errors
    /// [`Error::Index`] if there are not so many.
    pub fn row(&self, row: usize) -> Result<Self> {
        let condition = self.condition.select(&[row])?;
        let steps = self.steps.len();
        Ok(Self {
            epoch: self.epoch,
            samples: self.samples[row..=row].to_vec(),
            prompts: self.prompts[row..=row].to_vec(),
            condition,
            states: self.states.iter().map(|state| state.clone().narrow(0, row, 1)).collect(),
            steps: self.steps.clone(),
            log_probs: self.log_probs[row * steps..(row + 1) * steps].to_vec(),
        })
    }

    /// The number of chains.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are no chains.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The epoch the chains belong to.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The samples' numbers within the epoch.
    pub fn samples(&self) -> &[SampleId] {
        &self.samples
    }

    /// The prompt of each chain.
    pub fn prompts(&self) -> &[PromptId] {
        &self.prompts
    }

    /// What each chain is conditioned on.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// The states `[N, ..]` from noise to data, one more than there are steps.
    pub fn states(&self) -> &[Tensor<D>] {
        &self.states
    }

    /// What the chains arrived at, `[N, ..]`.
    pub fn last_state(&self) -> &Tensor<D> {
        &self.states[self.states.len() - 1]
    }

    /// The steps that drew something, in order: all of them for DDIM with η > 0 as DDPO uses it.
    pub fn steps(&self) -> &[StepIndex] {
        &self.steps
    }

    /// The log-probabilities of these steps, `[N, steps]` in rows.
    pub fn log_probs(&self) -> &[f32] {
        &self.log_probs
    }
}
