//! A training session: a run that others drive, an epoch or an evaluation at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ddpo_core::{Judge, PredictionKind, Reward};
use ddpo_models::{DiffusionPolicy, KohyaDetails, LoraFormat};
use ddpo_train::{
    Broadcast, CheckpointStore, EpochRecord, EvalRecord, Event, Learner, Outcome, Ranks, Record, Run, StopFlag, Tracker,
};

use crate::config::{
    AdapterFormat, EvalPrompts, PromptKind, PromptOptions, RewardEntry, RewardList, RunPlan, document,
};
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::prompts::{PromptSource, PromptSplit};

use super::directory::{Product, RunDirectory};
use super::loaded::LoadedModel;
use super::open::{OpenRun, Trained, follow, open, prepare};
use super::opening::OpenOptions;
use super::rewards::Rewards;
use super::run_prompts::RunPrompts;

/// What a step of a session was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// The state was evaluated: the base model before the first epoch, later what it has become.
    Evaluated(EvalRecord),
    /// An epoch: images were sampled and scored, and the model was updated.
    Trained(EpochRecord),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrainOutcome {
    /// All epochs are done, or an evaluation said to stop.
    Finished {
        /// What it made.
        product: Product,
        /// The report.
        report: PathBuf,
    },
    /// It was stopped, and can be resumed.
    Interrupted {
        /// Epochs done.
        epochs_done: u64,
    },
}

/// A session that is about to be opened.
///
/// How many threads compute is the caller's business: [`set_threads`](crate::device::set_threads) sets it for the whole
/// process, and `run.threads` is what `ddpo train` gives it.
pub struct SessionBuilder {
    plan: RunPlan,
    path: PathBuf,
    is_resumed: bool,
    loaded: Option<LoadedModel>,
    reward: Option<Judge>,
    is_given_prompts: bool,
    held_out: Vec<Judge>,
    trackers: Broadcast,
    stop: StopFlag,
    ranks: Ranks,
}

/// A run that others drive, an epoch or an evaluation at a time.
///
/// It leaves in its directory what `ddpo train` leaves: the configuration, metrics, samples, checkpoints, and at the end the
/// product and the report. One that is dropped goes on from its last checkpoint when it is [resumed](Session::resume), and
/// ends with the same bytes.
///
/// ```no_run
/// use ddpo::{Layers, RunPlan, Session, Step};
///
/// let plan = RunPlan::new(Layers::default().resolve()?)?;
/// let mut session = Session::create(plan, "runs/mine").open()?;
/// while let Some(step) = session.step()? {
///     match step {
///         Step::Trained(epoch) => println!("epoch {}: {:.3}", epoch.epoch, epoch.reward_mean),
///         Step::Evaluated(state) => println!("after epoch {}: {:.3}", state.epoch, state.reward_mean),
///         _ => {}
///     }
/// }
/// let outcome = session.finish()?;
/// # Ok::<(), ddpo::Error>(())
/// ```
pub struct Session {
    plan: RunPlan,
    directory: RunDirectory,
    loaded: LoadedModel,
    prompts: RunPrompts,
    run: Run<Box<dyn Trained>>,
    store: Option<CheckpointStore>,
    ranks: Ranks,
    last: LastStep,
    /// How it ended, once it has.
    outcome: Option<Outcome>,
}

impl SessionBuilder {
    fn new(plan: RunPlan, path: impl Into<PathBuf>, is_resumed: bool) -> Self {
        let (path, trackers, stop, ranks) = (path.into(), Broadcast::new(), StopFlag::new(), Ranks::default());
        let (reward, is_given_prompts, held_out) = (None, false, Vec::new());
        Self { plan, path, is_resumed, loaded: None, reward, is_given_prompts, held_out, trackers, stop, ranks }
    }

    /// Trains this model instead of loading the plan's, which it should be.
    #[must_use]
    pub fn model(self, loaded: LoadedModel) -> Self {
        Self { loaded: Some(loaded), ..self }
    }

    /// Optimises this reward instead of the plan's.
    ///
    /// The configuration of the run has its name in the place of the other's: the run can be resumed with a reward of the same
    /// name, and not without one.
    #[must_use]
    pub fn reward(self, reward: impl Reward + 'static) -> Self {
        self.judge(Judge::Image(Box::new(reward)))
    }

    /// The same for a reward of sets, or one that a factory made.
    #[must_use]
    pub fn judge(mut self, judge: Judge) -> Self {
        self.plan.reward = Vec::new();
        self.plan.config.reward = RewardList::named(judge.name());
        Self { reward: Some(judge), ..self }
    }

    /// Measures this reward after those of the plan, and never optimises it.
    #[must_use]
    pub fn held_out(mut self, judge: Judge) -> Self {
        self.plan.config.eval.held_out.0.push(RewardEntry::named(judge.name()));
        self.held_out.push(judge);
        self
    }

    /// Trains on these prompts instead of the plan's. What is evaluated stays as the plan has it: by default, a part of a long
    /// list is set aside, and a short one is shared.
    ///
    /// # Errors
    ///
    /// Fails without prompts, and for an empty one.
    pub fn prompts(mut self, prompts: Vec<String>) -> Result<Self> {
        self.plan.prompts = PromptSource::list("prompts.values", &prompts)?;
        self.plan.config.prompts =
            PromptOptions { kind: PromptKind::List, values: Some(prompts), ..PromptOptions::default() };
        self.is_given_prompts = true;
        Ok(self)
    }

    /// Evaluates on these prompts instead of the plan's; training leaves them out.
    ///
    /// # Errors
    ///
    /// Fails without prompts, and for an empty one.
    pub fn evaluation_prompts(mut self, prompts: Vec<String>) -> Result<Self> {
        self.plan.eval_prompts = Some(PromptSource::list("eval.prompts", &prompts)?);
        self.plan.config.eval.prompts = EvalPrompts::List(prompts);
        self.is_given_prompts = true;
        Ok(self)
    }

    /// Tells this tracker of everything, besides those that write the run's files.
    #[must_use]
    pub fn tracker(self, tracker: impl Tracker + 'static) -> Self {
        Self { trackers: self.trackers.with(tracker), ..self }
    }

    /// Interrupts the run once this flag is set, in the middle of a step too.
    #[must_use]
    pub fn stop(self, stop: StopFlag) -> Self {
        Self { stop, ..self }
    }

    /// Does the run together with other processes, each of which opens the same session as another rank. The first of them alone
    /// has a directory and writes; what all of them come to is the same.
    #[must_use]
    pub fn ranks(self, ranks: Ranks) -> Self {
        Self { ranks, ..self }
    }

    /// Loads the model, opens the rewards and joins everything; only then is there a directory.
    ///
    /// # Errors
    ///
    /// Whatever keeps the run from starting, here or on another rank, as far as it can be known before anything is sampled.
    pub fn open(self) -> Result<Session> {
        let ranks = self.ranks.clone();
        self.open_alone().inspect_err(|error| ranks.leave(error))
    }

    fn open_alone(mut self) -> Result<Session> {
        if !self.is_resumed && self.ranks.is_first() {
            RunDirectory::check_new(&self.path)?;
        }
        self.check_tasks()?;
        let prompts = RunPrompts::load(&self.plan)?;
        let loaded = self.loaded()?.with_clip_skip(self.plan.config.sample.clip_skip)?;
        let loaded = loaded.with_embeddings(&self.plan.config.model.embeddings())?;
        if !self.is_resumed {
            self.plan.pin_model(&Hub::from_env());
        }
        loaded.check(&self.plan)?;
        let rewards = self.rewards(&loaded, &prompts)?;
        let prepared = prepare(&self.plan, &loaded, &prompts, rewards, self.ranks.clone(), &self.stop)?;
        let directory = self.directory()?;
        let last = LastStep::default();
        let listeners = (self.trackers.with(last.clone()), self.stop, self.ranks.clone());
        let OpenRun { run, store } = match self.ranks.is_first() {
            true => open(&self.plan, &prompts, &directory, prepared, listeners)?,
            false => follow(prepared, listeners)?,
        };
        let ranks = self.ranks;
        Ok(Session { plan: self.plan, directory, loaded, prompts, run, store, ranks, last, outcome: None })
    }

    /// A reward or prompts that are given to a session are those of a run without tasks.
    fn check_tasks(&self) -> Result<()> {
        let config = &self.plan.config;
        let given = [("reward", self.reward.is_some()), ("prompts", self.is_given_prompts)];
        match given.into_iter().find(|(_, is_given)| *is_given && !config.task.is_empty()) {
            Some((key, _)) => Err(Error::InvalidOption {
                key,
                found: "one that the session was given, beside tasks".to_owned(),
                expected: "those of the tasks: a reward of a kind of its own comes from a registry".to_owned(),
            }),
            None => Ok(()),
        }
    }

    fn loaded(&mut self) -> Result<LoadedModel> {
        let plan = &self.plan;
        let open = || LoadedModel::open(&plan.model, OpenOptions::of(plan));
        self.loaded.take().map_or_else(open, Ok)
    }

    /// The rewards that were given, and of the plan's those which were not replaced.
    fn rewards(&mut self, loaded: &LoadedModel, prompts: &RunPrompts) -> Result<Rewards> {
        let mut rewards = Rewards::open(&self.plan, self.reward.take(), loaded, prompts)?;
        rewards.held_out.append(&mut self.held_out);
        Ok(rewards)
    }

    fn directory(&self) -> Result<RunDirectory> {
        let text = document(&self.plan.config).map_err(|source| Error::ConfigOutput { source })?;
        match (self.ranks.is_first(), self.is_resumed) {
            (false, _) => Ok(RunDirectory::of_first_rank(&self.path, &text)),
            (true, true) => RunDirectory::resume(&self.path, &text),
            (true, false) => RunDirectory::create(&self.path, &text),
        }
    }
}

impl Session {
    /// A new run of `plan` in a directory that holds none.
    pub fn create(plan: RunPlan, path: impl Into<PathBuf>) -> SessionBuilder {
        SessionBuilder::new(plan, path, false)
    }

    /// Goes on with the run in a directory from its last checkpoint. `plan` may differ from the run's own in what changes no
    /// number, such as how many epochs there are.
    pub fn resume(plan: RunPlan, path: impl Into<PathBuf>) -> SessionBuilder {
        SessionBuilder::new(plan, path, true)
    }

    /// Does the next step: the evaluation that is due, or else an epoch; at the end the evaluation of the last state. `None` once there is nothing left to do, or the run
    /// was interrupted.
    ///
    /// # Errors
    ///
    /// What ended the run; its last boundary between steps is then in a checkpoint.
    pub fn step(&mut self) -> Result<Option<Step>> {
        loop {
            if let Some(outcome) = self.run.step(self.plan.config.run.epochs as u64)? {
                self.outcome = Some(outcome);
                return Ok(None);
            }
            if let Some(step) = self.last.take() {
                return Ok(Some(step));
            }
        }
    }

    /// Does all steps that are left, and [finishes](Self::finish).
    ///
    /// # Errors
    ///
    /// Those of both.
    pub fn run(mut self) -> Result<TrainOutcome> {
        while self.step()?.is_some() {}
        self.finish()
    }

    /// Writes the product of the state as it is, that of the best evaluation, and the report; of several ranks the first one does,
    /// and the others say where. Of a run that an evaluation has ended, the product is that of the best one, too. A run that was
    /// interrupted gets none, since it is not over.
    ///
    /// # Errors
    ///
    /// Fails when something cannot be written.
    pub fn finish(self) -> Result<TrainOutcome> {
        if let Some(Outcome::Interrupted { epochs_done }) = self.outcome {
            return Ok(TrainOutcome::Interrupted { epochs_done });
        }
        let path = self.directory.path();
        if !self.ranks.is_first() {
            let product = match self.run.into_learner().product().adapter() {
                Some(_) => Product::Adapter(path.join(RunDirectory::LORA)),
                None => Product::Model(path.join(RunDirectory::MODEL)),
            };
            return Ok(TrainOutcome::Finished { product, report: crate::report::report_path(path) });
        }
        let mut trainer = self.run.into_learner();
        let (position, keeps_best) = (trainer.position(), self.plan.config.checkpoint.best);
        let write = |policy: &DiffusionPolicy, path: &Path| write_product(&self.plan, &self.loaded, policy, path);
        let at_best = path.join(RunDirectory::BEST);
        // No checkpoint knows of the evaluation of a last state that came at an epoch of its own.
        let last_is_best = keeps_best && position.is_best;
        let best = match last_is_best {
            true => None,
            false => self.store.map(|store| store.best()).transpose()?.flatten(),
        };
        let hands_back_best = keeps_best && position.is_halted && best.is_some();
        let last = (!hands_back_best).then(|| write(trainer.product(), path)).transpose()?;
        if last_is_best {
            write(trainer.product(), &at_best)?;
        } else if let Some(best) = best {
            trainer.restore(&best.snapshot)?;
            write(trainer.product(), &at_best)?;
        }
        let product = match last {
            Some(product) => product,
            None => write(trainer.product(), path)?,
        };
        let report = crate::report::write_report(path)?;
        Ok(TrainOutcome::Finished { product, report })
    }

    /// The plan, as the run follows it.
    pub fn plan(&self) -> &RunPlan {
        &self.plan
    }

    /// Where it writes.
    pub fn directory(&self) -> &RunDirectory {
        &self.directory
    }

    /// The prompts it trains on, and those it evaluates on, of all tasks.
    pub fn prompts(&self) -> &PromptSplit {
        self.prompts.all()
    }

    /// The same by task.
    pub fn run_prompts(&self) -> &RunPrompts {
        &self.prompts
    }

    /// The model as it was before training.
    pub fn model(&self) -> &LoadedModel {
        &self.loaded
    }

    /// Epochs done.
    pub fn epochs_done(&self) -> u64 {
        self.run.learner().position().epochs_done
    }
}

/// Writes what a policy has become into a directory.
fn write_product(plan: &RunPlan, loaded: &LoadedModel, policy: &DiffusionPolicy, path: &Path) -> Result<Product> {
    ddpo_train::fs::create_directory(path)?;
    let Some(adapter) = policy.adapter() else {
        let directory = path.join(RunDirectory::MODEL);
        loaded.save_with(policy, &directory)?;
        return Ok(Product::Model(directory));
    };
    let file = path.join(RunDirectory::LORA);
    let format = lora_format(plan, loaded, path);
    adapter.save(&file, &format)?;
    // Such files lie together in one folder of the programs that read them, so they have names.
    if let LoraFormat::Kohya(details) = &format {
        adapter.save(&path.join(format!("{}.safetensors", details.output_name)), &format)?;
    }
    Ok(Product::Adapter(file))
}

fn lora_format(plan: &RunPlan, loaded: &LoadedModel, path: &Path) -> LoraFormat {
    match plan.config.lora.format {
        AdapterFormat::Diffusers => LoraFormat::Diffusers,
        AdapterFormat::Kohya => LoraFormat::Kohya(KohyaDetails {
            output_name: RunDirectory::of_product(path).file_name().unwrap_or_default().to_string_lossy().into_owned(),
            base_model: plan.model.short_name(),
            v_parameterization: loaded.pipeline().scheduler.prediction == PredictionKind::Velocity,
        }),
    }
}

/// Remembers the last step among all that a run tells.
#[derive(Clone, Default)]
struct LastStep(Arc<Mutex<Option<Step>>>);

impl LastStep {
    fn take(&self) -> Option<Step> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Tracker for LastStep {
    fn name(&self) -> &str {
        "session"
    }

    fn record(&mut self, event: &Event<'_>) -> ddpo_train::Result<()> {
        let step = match event {
            Event::Record(Record::Epoch(record)) => Step::Trained(record.clone()),
            Event::Record(Record::Eval(record)) => Step::Evaluated(record.clone()),
            _ => return Ok(()),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(step);
        Ok(())
    }
}
