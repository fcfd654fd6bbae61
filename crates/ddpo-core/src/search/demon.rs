//! Chains whose every noise was chosen.

use burn::Tensor;
use burn::tensor::TensorData;

use super::lookahead::Lookahead;
use super::synthesis::Synthesis;
use crate::data::rollout::{Rollout, RolloutRequest, rollout_by};
use crate::error::check_count;
use crate::{Address, Denoiser, Error, PromptId, Result, SampleId, Scheduler, StepIndex, Stream, Timestep, Transition};

/// How a search is set up.
#[derive(Clone, Copy, Debug)]
pub struct Demon {
    /// Candidates of a step, at least 1; with 1 nothing is searched for.
    pub candidates: usize,
    /// How they become one noise.
    pub synthesis: Synthesis,
    /// How what they may become is guessed.
    pub lookahead: Lookahead,
    /// Noises that a chain may begin with, at least 1, of which the best is taken; with 1, as in the paper, it is drawn.
    pub starts: usize,
    /// The timestep below which steps are drawn plainly; 0 searches at all of them.
    pub last_timestep: f64,
}

/// What the candidates of a step, or of a chain's beginning, were worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DemonStep {
    /// The sample.
    pub sample: SampleId,
    /// The step and its timestep; none of the noise that the chain begins with.
    pub step: Option<(StepIndex, Timestep)>,
    /// The mean reward of the candidates.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
    /// The best of them.
    pub best: f64,
    /// Rewards asked for.
    pub queries: usize,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Searched<const D: usize> {
    /// The chains.
    pub rollout: Rollout<D>,
    /// What was seen on the way: every searched step of every chain.
    pub steps: Vec<DemonStep>,
}

/// A number for each of some clean samples of a prompt, `[K, ..]`: what is searched for.
pub type Value<'a, const D: usize> = &'a mut dyn FnMut(&Tensor<D>, PromptId) -> Result<Vec<f32>>;

/// Samples chains from noise to data, taking at each step the noise that its candidates' rewards speak for, and beginning with the
/// best of some.
///
/// The first candidate's noise is that of plain sampling, so that a search among one of each is [`rollout`](crate::rollout()) to
/// the bit, and the candidates of a sample depend on nothing but its own address. `on_step` hears of each step of each chain.
///
/// # Errors
/// [`Error::Parameter`] for no candidate, [`Error::Count`] if `value` gives another number of values, and those of
/// [`rollout`](crate::rollout()).
pub fn demon<const D: usize>(
    denoiser: &dyn Denoiser<D>,
    scheduler: &dyn Scheduler,
    request: &RolloutRequest<'_, D>,
    search: &Demon,
    value: Value<'_, D>,
    on_step: &mut dyn FnMut(StepIndex),
) -> Result<Searched<D>> {
    if search.candidates == 0 || search.starts == 0 {
        return Err(Error::parameter("candidates of a search", 0, "at least 1"));
    }
    check_count("search", "prompts", request.prompts.len(), request.samples.len())?;
    check_count("search", "conditions", request.condition.batch(), request.samples.len())?;
    let (mut chains, mut seen) = (Vec::new(), Vec::new());
    for row in 0..request.samples.len() {
        let condition = request.condition.select(&[row])?;
        let one = RolloutRequest {
            samples: &request.samples[row..=row],
            prompts: &request.prompts[row..=row],
            condition: &condition,
            ..*request
        };
        let chain = Chain { denoiser, scheduler, request: &one, search };
        let mut start = one.draw_start();
        if search.starts > 1 && scheduler.timesteps().iter().any(|at| at.0 >= search.last_timestep) {
            let prior = Transition::new(start.zeros_like(), vec![1.0])?;
            let (state, record) = chain.choose(&prior, None, (search.starts, Synthesis::Best), value)?;
            seen.push(record);
            start = state;
        }
        let mut next = |proposal: &Transition<D>, step: StepIndex| {
            let timestep = scheduler.timesteps()[step.0];
            let is_plain = search.candidates == 1 || timestep.0 < search.last_timestep;
            if is_plain || proposal.is_deterministic() {
                return one.draw_next(proposal, step);
            }
            let (state, record) = chain.choose(proposal, Some(step), (search.candidates, search.synthesis), value)?;
            seen.push(DemonStep { step: Some((step, timestep)), ..record });
            Ok(state)
        };
        chains.push(rollout_by(denoiser, scheduler, &one, start, &mut next, on_step)?);
    }
    Ok(Searched { rollout: Rollout::concat(chains)?, steps: seen })
}

/// A chain of one sample.
struct Chain<'a, const D: usize> {
    denoiser: &'a dyn Denoiser<D>,
    scheduler: &'a dyn Scheduler,
    request: &'a RolloutRequest<'a, D>,
    search: &'a Demon,
}

impl<const D: usize> Chain<'_, D> {
    /// The next state by the candidates of a step, or the first by those of the beginning, and what they were worth.
    fn choose(
        &self,
        proposal: &Transition<D>,
        step: Option<StepIndex>,
        (count, synthesis): (usize, Synthesis),
        value: Value<'_, D>,
    ) -> Result<(Tensor<D>, DemonStep)> {
        let mut shape = proposal.mean().dims();
        let len: usize = shape[1..].iter().product();
        let noises: Vec<Vec<f32>> = (0..count).map(|k| self.noise(step, k, len)).collect();
        let device = proposal.mean().device();
        shape[0] = count;
        let noise = Tensor::from_data(TensorData::new(noises.concat(), shape), &device);
        let many = Transition::new(proposal.mean().clone().repeat_dim(0, count), vec![proposal.std()[0]; count])?;
        let candidates = many.sample(noise)?.detach();
        let condition = self.request.condition.select(&vec![0; count])?;
        let first = step.map_or(0, |step| step.0 + 1);
        let clean = self.search.lookahead.clean(self.denoiser, self.scheduler, first, candidates, &condition)?;
        let rewards = value(&clean, self.request.prompts[0])?;
        check_count("search", "values", rewards.len(), count)?;
        let chosen = synthesis.noise(&rewards, &noises);
        shape[0] = 1;
        let state = proposal.sample(Tensor::from_data(TensorData::new(chosen, shape), &device))?.detach();
        Ok((state, DemonStep::of(self.request.samples[0], &rewards)))
    }

    /// The noise of candidate `k`: that of plain sampling for the first.
    fn noise(&self, step: Option<StepIndex>, k: usize, len: usize) -> Vec<f32> {
        let (stream, number) = match (k, step) {
            (0, None) => (Stream::InitialState, 0),
            (0, Some(step)) => (Stream::Transition, step.0 as u64),
            (_, None) => (Stream::Search, (u64::from(u32::MAX) << 32) + k as u64),
            (_, Some(step)) => (Stream::Search, ((step.0 as u64) << 32) + k as u64),
        };
        let address = Address { stream, epoch: self.request.epoch, sample: self.request.samples[0], step: number };
        self.request.noise.at(address).normals(len)
    }
}

impl DemonStep {
    /// What candidates of these rewards were worth; NaN has no say.
    #[must_use]
    pub fn of(sample: SampleId, rewards: &[f32]) -> Self {
        let values: Vec<f64> =
            rewards.iter().map(|value| f64::from(*value)).filter(|value| value.is_finite()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
        Self {
            sample,
            step: None,
            mean,
            std: variance.sqrt(),
            best: values.iter().copied().fold(f64::NAN, f64::max),
            queries: rewards.len(),
        }
    }
}
