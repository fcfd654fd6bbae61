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
use super::choices::{Dtype, EvalPrompts, PairJudge, Parameters, PromptKind, SchedulerKind};
use super::rewards::RewardTerm;
use super::run::{AnchorOptions, EvalOptions, PromptOptions, RunConfig, SampleOptions, TrainOptions};

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
    /// The terms of the optimised reward.
    pub reward: Vec<RewardTerm>,
    /// Rewards that are measured and never optimised.
    pub held_out: Vec<RewardPlan>,
    /// Where training prompts come from.
    pub prompts: PromptSource,
    /// Where evaluation prompts come from; `None`: a part of the training prompts, set aside.
    pub eval_prompts: Option<PromptSource>,
    /// The adapters below the trained one, the lowest first.
    pub frozen: Vec<AdapterSource>,
    /// What the samples are learnt from by.
    pub algorithm: AlgorithmPlan,
    /// Images an epoch: batch size times batches.
    pub samples_per_epoch: usize,
    /// Consecutive samples that share a prompt.
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
        check_credit(&reward, advantage)?;
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
        self.reward.iter().map(|term| &term.reward).chain(&self.held_out)
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

/// What all samples of a prompt are told alike says nothing to whoever compares them with each other.
fn check_credit(terms: &[RewardTerm], advantage: AdvantagePlan) -> Result<()> {
    let says = |term: &RewardTerm, key: &str, value: &str| {
        term.reward.option(key).and_then(toml::Value::as_str) == Some(value)
    };
    let is_same_for_all = |term: &RewardTerm| {
        term.reward.kind() == "parity" && says(term, "credit", "shared") && !says(term, "over", "epoch")
    };
    match advantage {
        AdvantagePlan::Group { .. } | AdvantagePlan::Pairs { .. } if terms.iter().any(is_same_for_all) => {
            let expected = "\"marginal\", or advantage.kind = \"batch\": samples of a prompt are compared with each other, and \
                            would all be told the same";
            Err(invalid("reward.credit", "shared", expected))
        }
        _ => Ok(()),
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

fn eval_source(option: &EvalPrompts) -> Result<Option<PromptSource>> {
    match option {
        EvalPrompts::List(prompts) => PromptSource::list("eval.prompts", prompts).map(Some),
        EvalPrompts::Kind(name) if name == EvalPrompts::HELD_OUT => Ok(None),
        EvalPrompts::Kind(name) => PromptSource::named(name).map(Some),
    }
}

fn prompt_source(options: &PromptOptions) -> Result<PromptSource> {
    reject_stray_prompt_options(options)?;
    match options.kind {
        PromptKind::FromFile => {
            let path = options
                .path
                .as_ref()
                .ok_or_else(|| invalid("prompts.path", "nothing", "a file, for kind = \"from-file\""))?;
            let (start, end) = (options.start.unwrap_or(0), options.end);
            if end.is_some_and(|end| end <= start) {
                return Err(invalid("prompts.end", end.unwrap_or(0), format_args!("more than {start}, the start")));
            }
            Ok(PromptSource::File { path: path.into(), start, end })
        }
        PromptKind::List => PromptSource::list("prompts.values", options.values.as_deref().unwrap_or_default()),
        PromptKind::Counting => {
            let max_count = options.max_count.unwrap_or(PromptSource::MAX_COUNT);
            PromptSource::counting(max_count).ok_or_else(|| {
                invalid("prompts.max-count", max_count, format_args!("2 to {}", PromptSource::MAX_COUNT))
            })
        }
        other => PromptSource::named(other.name()),
    }
}

/// An option of another kind of prompts would be ignored in silence; better to say so.
fn reject_stray_prompt_options(options: &PromptOptions) -> Result<()> {
    let set = [
        ("prompts.path", options.path.is_some(), PromptKind::FromFile),
        ("prompts.start", options.start.is_some(), PromptKind::FromFile),
        ("prompts.end", options.end.is_some(), PromptKind::FromFile),
        ("prompts.values", options.values.is_some(), PromptKind::List),
        ("prompts.max-count", options.max_count.is_some(), PromptKind::Counting),
    ];
    match set.into_iter().find(|(_, set, kind)| *set && *kind != options.kind) {
        None => Ok(()),
        Some((key, _, kind)) => Err(invalid(
            key,
            format_args!("a value with kind = \"{}\"", options.kind),
            format_args!("none, or kind = \"{kind}\""),
        )),
    }
}
