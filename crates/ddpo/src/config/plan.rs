//! A configuration that has been checked, with everything that follows from it.

use ddpo_rewards::{RewardPlan, RewardRegistry};

use crate::adapter::AdapterSource;
use crate::device::DeviceName;
use crate::error::Result;
use crate::hub::Hub;
use crate::model::ModelSource;
use crate::prompts::PromptSource;

use super::advantage::AdvantagePlan;
use super::algorithm::{AlgorithmPlan, ObjectivePlan};
use super::check::{at_least_one, at_most, invalid, positive, within};
use super::choices::{Dtype, PairJudge, Parameters, SchedulerKind};
use super::prompt_sources::{eval_source, prompt_source};
use super::rewards::RewardTerm;
use super::run::{AnchorOptions, EvalOptions, RunConfig, SampleOptions, TrainOptions};
use super::tasks::{TaskPlan, check_credit, task_plans};

/// A run that can be started: every value is in range, every number divides what it must.
///
/// The constructor touches no file and no device.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunPlan {
    /// The configuration this is the plan of.
    pub config: RunConfig,
    /// Where the model comes from.
    pub model: ModelSource,
    /// Where to compute.
    pub device: DeviceName,
    /// The terms of the optimised reward; of a run with tasks, of those that have none of their own.
    pub reward: Vec<RewardTerm>,
    /// Rewards that are measured and never optimised.
    pub held_out: Vec<RewardPlan>,
    /// Where training prompts come from; of a run with tasks, those of tasks that have none of their own.
    pub prompts: PromptSource,
    /// Where evaluation prompts come from; `None`: a part of the training prompts, set aside.
    pub eval_prompts: Option<PromptSource>,
    /// What is optimised in turns, an epoch each, with what each task takes from the run; none for a run without tasks.
    pub tasks: Vec<TaskPlan>,
    /// The adapters below the trained one, the lowest first.
    pub frozen: Vec<AdapterSource>,
    /// What the samples are learnt from by.
    pub algorithm: AlgorithmPlan,
    /// Images an epoch: batch size times batches.
    pub samples_per_epoch: usize,
    /// Consecutive samples that share a prompt, in tasks that say no other number.
    pub samples_per_prompt: usize,
}

impl RunPlan {
    /// Checks `config` and derives what follows from it.
    ///
    /// # Errors
    ///
    /// Names the first option that does not fit, its value and what it may be.
    pub fn new(config: RunConfig) -> Result<Self> {
        Self::with_rewards(config, &RewardRegistry::default())
    }

    /// The same, where the configuration may name rewards of the kinds in `registry`.
    ///
    /// # Errors
    ///
    /// Those of [`RunPlan::new`].
    pub fn with_rewards(config: RunConfig, registry: &RewardRegistry) -> Result<Self> {
        at_least_one("run.epochs", config.run.epochs)?;
        at_most("run.threads", config.run.threads, 1 << 10)?;
        check_model(&config)?;
        check_sample(&config.sample)?;
        check_train(&config.train)?;
        check_timestep_fraction(&config)?;
        check_anchor(&config.anchor)?;
        check_eval(&config.eval)?;
        check_deterministic(&config)?;
        let samples_per_epoch = samples_per_epoch(&config.sample)?;
        let advantage = AdvantagePlan::new(&config, samples_per_epoch)?;
        let reward = config.reward.terms(registry)?;
        let tasks = task_plans(&config, registry, samples_per_epoch)?;
        if tasks.is_empty() {
            check_credit(&reward, advantage)?;
        }
        Ok(Self {
            model: ModelSource::parse(&config.model.path, config.model.revision.as_deref())?
                .with_config(config.model.config.as_deref())?,
            device: DeviceName::parse(&config.run.device)?,
            reward,
            held_out: config.eval.held_out.held_out(registry)?,
            prompts: match &config.pairs.path {
                Some(path) => PromptSource::Pairs(path.into()),
                None => prompt_source(&config.prompts)?,
            },
            eval_prompts: eval_source(&config.eval.prompts)?,
            tasks,
            frozen: frozen(&config)?,
            algorithm: AlgorithmPlan::new(&config, advantage, samples_per_epoch)?,
            samples_per_epoch,
            samples_per_prompt: advantage.samples_per_prompt(),
            config,
        })
    }
}

impl RunPlan {
    /// Every reward: those that are optimised, then those that are only measured.
    pub fn rewards(&self) -> impl Iterator<Item = &RewardPlan> {
        self.optimised().into_iter().flatten().map(|term| &term.reward).chain(&self.held_out)
    }

    /// The terms of what each task optimises, or without tasks the run.
    pub fn optimised(&self) -> Vec<&[RewardTerm]> {
        match self.tasks.as_slice() {
            [] => vec![&self.reward],
            tasks => tasks.iter().map(|task| task.reward.as_slice()).collect(),
        }
    }

    /// How many lists of prompts it is evaluated on, each with pictures of its own.
    pub(crate) fn evaluated_lists(&self) -> usize {
        let mut lists: Vec<_> = Vec::new();
        for list in self.tasks.iter().map(TaskPlan::evaluated) {
            if !lists.contains(&list) {
                lists.push(list);
            }
        }
        lists.len().max(1)
    }

    /// Puts the commit that a model of the hub is at in the place of its branch, so that a run goes on with the weights that it
    /// began with. A model that is not in the cache stays as it is.
    pub fn pin_model(&mut self, hub: &Hub) {
        let Some(commit) = self.model.commit(hub, self.config.model.variant.as_deref()) else { return };
        if let ModelSource::Hub { id, revision } = &mut self.model {
            (self.config.model.path, self.config.model.revision) = (id.clone(), Some(commit.clone()));
            *revision = Some(commit);
        }
    }

    /// Of how many consecutive samples a term of the reward is drawn that they are compared by; `None` for the sum.
    pub fn samples_per_term(&self) -> Option<usize> {
        match &self.algorithm {
            AlgorithmPlan::PolicyGradient(plan) if matches!(plan.objective, ObjectivePlan::Pairwise(_)) => {
                (self.config.pairs.judge == PairJudge::OneTerm).then_some(2)
            }
            _ => None,
        }
    }

    /// Images whose gradients make one update.
    pub fn images_per_update(&self) -> usize {
        match &self.algorithm {
            AlgorithmPlan::PolicyGradient(plan) => plan.batch * plan.accumulation,
            AlgorithmPlan::Regression(plan) => plan.batch * plan.passes,
            AlgorithmPlan::Forward(plan) => plan.batch * plan.accumulation,
            AlgorithmPlan::Preference(plan) => plan.batch * plan.accumulation,
            AlgorithmPlan::Distillation(plan) => plan.batch * plan.accumulation,
        }
    }

    /// Optimizer steps an epoch, over all inner epochs; of a regression, those of a round.
    pub fn updates_per_epoch(&self) -> usize {
        match &self.algorithm {
            AlgorithmPlan::PolicyGradient(plan) => plan.updates_per_epoch,
            AlgorithmPlan::Regression(plan) => plan.updates_per_round,
            AlgorithmPlan::Forward(plan) => plan.updates_per_epoch,
            AlgorithmPlan::Preference(plan) => plan.updates_per_epoch,
            AlgorithmPlan::Distillation(plan) => plan.updates_per_epoch,
        }
    }
}

fn frozen(config: &RunConfig) -> Result<Vec<AdapterSource>> {
    let frozen = config.lora.frozen_adapters()?;
    match frozen.first().filter(|_| config.train.parameters == Parameters::Full) {
        Some(adapter) => Err(invalid("lora.frozen", adapter, "none where train.parameters is \"full\"")),
        None => Ok(frozen),
    }
}

fn check_model(config: &RunConfig) -> Result<()> {
    at_least_one("lora.rank", config.lora.rank)?;
    at_most("lora.rank", config.lora.rank, 1 << 12)?;
    positive("lora.alpha", config.lora.alpha)?;
    if config.lora.targets.is_empty() {
        return Err(invalid("lora.targets", "[]", "at least one projection"));
    }
    match config.model.dtype {
        Dtype::F32 => Ok(()),
        half if config.train.parameters == Parameters::Full => {
            Err(invalid("model.dtype", half, "f32 where train.parameters is \"full\": what is trained is in f32"))
        }
        _ => Ok(()),
    }
}

fn check_sample(sample: &SampleOptions) -> Result<()> {
    at_least_one("sample.steps", sample.steps)?;
    at_least_one("sample.batch-size", sample.batch_size)?;
    at_least_one("sample.batches-per-epoch", sample.batches_per_epoch)?;
    within("sample.guidance", sample.guidance, 0.0, 1000.0)?;
    within("sample.eta", sample.eta, 0.0, 1.0)?;
    if let Some(etas) = &sample.eta_by_step {
        let found = format!("{etas:?}");
        if sample.scheduler != SchedulerKind::Ddim || sample.eta != 1.0 {
            return Err(invalid(
                "sample.eta-by-step",
                found,
                "none beside another scheduler than \"ddim\" or beside sample.eta",
            ));
        }
        if etas.len() != sample.steps || etas.iter().any(|eta| !(0.0..=1.0).contains(eta)) {
            let expected = format_args!("{} numbers from 0 to 1, one a step", sample.steps);
            return Err(invalid("sample.eta-by-step", found, expected));
        }
    }
    if sample.scheduler != SchedulerKind::Ddim && sample.eta != 1.0 {
        let expected = format_args!("1 with scheduler = \"{}\", whose noise is its own", sample.scheduler);
        return Err(invalid("sample.eta", sample.eta, expected));
    }
    for (key, size) in [("sample.height", sample.height), ("sample.width", sample.width)] {
        size.map_or(Ok(()), |size| at_least_one(key, size).and_then(|()| at_most(key, size, 1 << 14)))?;
    }
    Ok(())
}

/// A sampler that draws nothing may collect for whoever looks only at what chains end in. A step without noise has no density to
/// differentiate, and chains of such have no divergence.
fn check_deterministic(config: &RunConfig) -> Result<()> {
    let (sample, algorithm) = (&config.sample, config.train.algorithm);
    if !sample.sampler().is_deterministic() {
        return Ok(());
    }
    if algorithm.needs_likelihood() {
        let (key, found) = match &sample.eta_by_step {
            Some(etas) => ("sample.eta-by-step", format!("{etas:?}")),
            None => ("sample.eta", sample.eta.to_string()),
        };
        let expected =
            format_args!("more than 0 at one step at least with `{algorithm}`, which needs steps with a likelihood");
        return Err(invalid(key, found, expected));
    }
    match config.eval.stop_kl {
        Some(limit) => {
            let expected = "none where sample.eta is 0: chains that draw nothing have no divergence";
            Err(invalid("eval.stop-kl", limit, expected))
        }
        None => Ok(()),
    }
}

/// Whatever a run costs grows with it, and sums over an epoch are in memory at once.
fn samples_per_epoch(sample: &SampleOptions) -> Result<usize> {
    const MOST: usize = 1 << 20;
    let samples = sample.batch_size.saturating_mul(sample.batches_per_epoch);
    if samples > MOST {
        let found = format!("{} x {}", sample.batch_size, sample.batches_per_epoch);
        return Err(invalid("sample.batches-per-epoch", found, format_args!("at most {MOST} samples an epoch")));
    }
    Ok(samples)
}

fn check_train(train: &TrainOptions) -> Result<()> {
    within("train.kl-weight", train.kl_weight, 0.0, f64::MAX)?;
    at_least_one("train.batch-size", train.batch_size)?;
    at_least_one("train.inner-epochs", train.inner_epochs)?;
    at_most("train.inner-epochs", train.inner_epochs, 1 << 20)?;
    for (key, value) in [
        ("train.learning-rate", train.learning_rate),
        ("train.adam-epsilon", train.adam_epsilon),
        ("train.max-grad-norm", train.max_grad_norm),
        ("train.clip-range", train.clip_range),
        ("train.mask-kl", train.mask_kl),
        ("train.advantage-clip", train.advantage_clip),
    ] {
        positive(key, value)?;
    }
    within("train.ema-decay", train.ema_decay.unwrap_or(0.0), 0.0, 0.999_999_9)?;
    within("train.adam-beta1", train.adam_beta1, 0.0, 0.999_999_9)?;
    within("train.adam-beta2", train.adam_beta2, 0.0, 0.999_999_9)?;
    within("train.weight-decay", train.weight_decay, 0.0, f64::MAX)
}

fn check_anchor(anchor: &AnchorOptions) -> Result<()> {
    within("anchor.weight", anchor.weight, 0.0, f64::MAX)?;
    at_least_one("anchor.batch-size", anchor.batch_size)?;
    at_most("anchor.batch-size", anchor.batch_size, 1 << 20)?;
    at_least_one("anchor.samples", anchor.samples)?;
    at_most("anchor.samples", anchor.samples, 1 << 20)?;
    match &anchor.data {
        Some(path) if anchor.weight == 0.0 => {
            Err(invalid("anchor.data", path, "none where anchor.weight is 0, which holds to nothing"))
        }
        _ => Ok(()),
    }
}

fn check_eval(eval: &EvalOptions) -> Result<()> {
    if let Some(limit) = eval.stop_kl {
        within("eval.stop-kl", limit, 0.0, f64::MAX)?;
    }
    if let Some(limit) = eval.stop_distance {
        within("eval.stop-distance", limit, 0.0, f64::MAX)?;
    }
    if let Some(share) = eval.stop_as_asked {
        within("eval.stop-as-asked", share, 0.0, 1.0)?;
    }
    if let Some(patience) = eval.stop_patience {
        at_least_one("eval.stop-patience", patience)?;
    }
    at_most("eval.count", eval.count, 1 << 20)?;
    if eval.every > 0 { at_least_one("eval.count", eval.count) } else { Ok(()) }
}

fn check_timestep_fraction(config: &RunConfig) -> Result<()> {
    let (steps, fraction) = (config.sample.steps as f64, config.train.timestep_fraction);
    match fraction > 0.0 && fraction <= 1.0 && (steps * fraction) as usize > 0 {
        true => Ok(()),
        false => {
            let expected = format!("at most 1 and at least {:.3}, one of {steps} steps", 1.0 / steps);
            Err(invalid("train.timestep-fraction", fraction, expected))
        }
    }
}
