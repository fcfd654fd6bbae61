//! Measuring the gradient of a run's first update before anybody trains with it.

use ddpo_core::gradient::{GradientSamples, GradientStatistics};
use ddpo_train::{Broadcast, FirstGradient, GradientProbe, Observer, StopFlag, TimestepRange};

use crate::config::{AlgorithmPlan, RunPlan};
use crate::error::Result;

use super::assembly::{parts, policy_gradient};
use super::loaded::LoadedModel;
use super::rewards::Rewards;
use super::run_prompts::RunPrompts;

/// How a gradient is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GradientRequest {
    /// Independent epochs, at least 2: the first has the seed of the run, each other one the next seed.
    pub batches: usize,
    /// Bands of timesteps, for algorithms that do not learn from denoising steps.
    pub bands: usize,
}

/// What the gradients of first updates have in common.
#[derive(Clone, Debug)]
pub struct GradientMeasurement {
    /// The numbers of the gradient: parameters that are trained.
    pub parameters: usize,
    /// The mean reward of each epoch.
    pub rewards: Vec<f64>,
    /// The norm of each epoch's gradient: the first is that of the run's own first update, before clipping.
    pub norms: Vec<f64>,
    /// Of the whole gradient.
    pub whole: GradientStatistics,
    /// Of what it is the sum of, the noisiest timesteps first.
    pub parts: Vec<PartMeasurement>,
}

/// What some timesteps add to the gradients.
#[derive(Clone, Copy, Debug)]
pub struct PartMeasurement {
    /// The timesteps: one for a denoising step.
    pub timesteps: TimestepRange,
    /// Rows of an update there, a mean over epochs.
    pub rows: f64,
    /// Of what they add.
    pub statistics: GradientStatistics,
}

/// Measures the gradient that a run of `plan` would follow first, at the model it would start from, without following it.
/// `trackers` hear how far each epoch is.
///
/// Memory: 4 bytes for each trained parameter, epoch and denoising step or band, and as much for one more.
///
/// # Errors
///
/// Whatever keeps a run of the plan from starting or from doing its first update; with [`ddpo_core::Error::Parameter`] for fewer than
/// two epochs.
pub fn measure_gradient(
    plan: &RunPlan,
    loaded: &LoadedModel,
    request: GradientRequest,
    trackers: &mut Broadcast,
    stop: &StopFlag,
) -> Result<GradientMeasurement> {
    let mut probe = probe(plan, loaded)?;
    let mut observer = Observer::new(trackers, stop);
    let mut found = Found::default();
    for batch in 0..request.batches as u64 {
        let seed = plan.config.run.seed.wrapping_add(batch);
        found.add(probe.first_gradient(seed, request.bands, &mut observer)?)?;
    }
    found.measurement()
}

/// The trainer of a plan, which evaluates nothing.
fn probe(plan: &RunPlan, loaded: &LoadedModel) -> Result<Box<dyn GradientProbe>> {
    let mut plan = plan.clone();
    plan.config.eval.every = 0;
    plan.held_out.clear();
    let prompts = RunPrompts::load(&plan)?;
    let loaded = loaded.clone().with_clip_skip(plan.config.sample.clip_skip)?;
    let loaded = &loaded.with_embeddings(&plan.config.model.embeddings())?;
    loaded.check(&plan)?;
    let rewards = Rewards::open(&plan, None, loaded, &prompts)?;
    let shared = parts(&plan, loaded, &prompts, rewards, ddpo_train::Ranks::default())?;
    Ok(match &plan.algorithm {
        AlgorithmPlan::PolicyGradient(gradient) => Box::new(policy_gradient(&plan, gradient, shared)?),
        AlgorithmPlan::Regression(regression) => Box::new(super::rwr::trainer(&plan, regression, loaded, shared)?),
        AlgorithmPlan::Forward(forward) => Box::new(super::forward::trainer(&plan, forward, loaded, shared)?),
        AlgorithmPlan::Distillation(distillation) => {
            Box::new(super::distill::trainer(&plan, distillation, loaded, shared)?)
        }
        AlgorithmPlan::Preference(given) => Box::new(super::preference::trainer(&plan, given, loaded, shared)?),
    })
}

/// The gradients so far.
#[derive(Default)]
struct Found {
    rewards: Vec<f64>,
    norms: Vec<f64>,
    whole: GradientSamples,
    parts: Vec<FoundPart>,
    parameters: usize,
}

struct FoundPart {
    timesteps: TimestepRange,
    rows: usize,
    samples: GradientSamples,
}

impl Found {
    fn add(&mut self, gradient: FirstGradient) -> Result<()> {
        self.parameters = gradient.whole.len();
        self.rewards.push(gradient.reward_mean);
        self.norms.push(gradient.whole.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt());
        self.whole.push(gradient.whole)?;
        if self.parts.is_empty() {
            let part = |timesteps| FoundPart { timesteps, rows: 0, samples: GradientSamples::new() };
            self.parts = gradient.parts.iter().map(|found| part(found.timesteps)).collect();
        }
        for (part, found) in self.parts.iter_mut().zip(gradient.parts) {
            part.rows += found.rows;
            part.samples.push(found.gradient)?;
        }
        Ok(())
    }

    fn measurement(self) -> Result<GradientMeasurement> {
        let batches = self.rewards.len().max(1) as f64;
        let part = |part: FoundPart| {
            let statistics = part.samples.statistics()?;
            Ok(PartMeasurement { timesteps: part.timesteps, rows: part.rows as f64 / batches, statistics })
        };
        Ok(GradientMeasurement {
            parameters: self.parameters,
            whole: self.whole.statistics()?,
            rewards: self.rewards,
            norms: self.norms,
            parts: self.parts.into_iter().map(part).collect::<Result<_>>()?,
        })
    }
}
