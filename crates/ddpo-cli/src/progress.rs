//! What a run looks like while it runs: bars and a growing curve on a terminal, one plain line an epoch elsewhere.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ddpo::hub::{Hub, HubEvent};
use ddpo::model::ModelSource;
use ddpo::rewards::{Repository, RewardPlan};
use ddpo::train::{EpochRecord, EvalRecord, Event, Progress, Record, RunRecord, Stage, Tracker, UpdateRecord};
use ddpo::{LoadedModel, OpenOptions};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::numbers::{duration, sparkline};
use crate::summary;

/// Epochs shown in the curve at most.
const CURVE: usize = 40;

/// Follows a run on stdout (lines) and stderr (bars, warnings).
pub struct Console {
    epochs: u64,
    /// What the run is, once it is known.
    run: Option<RunRecord>,
    started: Instant,
    /// Epochs done in this process, for the time left.
    finished: u64,
    /// The mean reward of each epoch, with its task where it has one.
    rewards: Vec<(Option<String>, f64)>,
    clip_fractions: Vec<f64>,
    bar: Option<(Stage, ProgressBar)>,
}

impl Console {
    /// A console for a run of so many epochs; of one that goes on it is known what it is.
    pub fn new(epochs: usize, run: Option<RunRecord>) -> Self {
        Self {
            epochs: epochs as u64,
            run,
            started: Instant::now(),
            finished: 0,
            rewards: Vec::new(),
            clip_fractions: Vec::new(),
            bar: None,
        }
    }

    fn progress(&mut self, progress: Progress) {
        if self.bar.as_ref().is_none_or(|(stage, _)| *stage != progress.stage) {
            self.clear();
            let epoch =
                if progress.epoch > 0 { format!("epoch {}/{} ", progress.epoch, self.epochs) } else { String::new() };
            let name = format!("{epoch}{}", stage_name(progress.stage));
            self.bar = Some((progress.stage, stage_bar(name, progress.total)));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(progress.done as u64);
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn epoch(&mut self, record: &EpochRecord) {
        self.clear();
        self.finished += 1;
        self.rewards.push((record.task.clone(), record.reward_mean));
        let clipped = self.clipped();
        let left = self
            .started
            .elapsed()
            .div_f64(self.finished as f64)
            .mul_f64(self.epochs.saturating_sub(record.epoch) as f64);
        let curve = if std::io::stdout().is_terminal() {
            let own: Vec<f64> =
                self.rewards.iter().filter(|(task, _)| *task == record.task).map(|(_, mean)| *mean).collect();
            format!("  {}", sparkline(&own[own.len().saturating_sub(CURVE)..]))
        } else {
            String::new()
        };
        let run = self.run.as_ref();
        let (task, reward) = match &record.task {
            Some(task) => (format!("{task}  "), summary::reward_of_task(run, task)),
            None => (String::new(), run.map(|run| &run.reward)),
        };
        line(&format!(
            "epoch {}/{}  {task}reward {:.3} ± {:.3}{}{clipped}  {:.2} images/s (sampling {:.1} s, scoring {:.1} s, training {:.1} s)  {} left{curve}",
            record.epoch,
            self.epochs,
            record.reward_mean,
            record.reward_std,
            summary::unit(reward),
            record.images_per_second,
            record.sample_seconds,
            record.reward_seconds,
            record.train_seconds,
            duration(left),
        ));
    }

    /// The epoch's clip fraction. A regression has none, and before an epoch's first update the ratio is 1: with one update
    /// nothing can be clipped.
    fn clipped(&mut self) -> String {
        let fractions = std::mem::take(&mut self.clip_fractions);
        if fractions.len() < 2 {
            return String::new();
        }
        format!("  clipped {:.0} %", 100.0 * fractions.iter().sum::<f64>() / fractions.len() as f64)
    }

    fn evaluation(&mut self, record: &EvalRecord) {
        self.clear();
        line(&summary::evaluation(record, self.run.as_ref()));
    }

    fn update(&mut self, record: &UpdateRecord) {
        self.clip_fractions.push(record.clip_fraction);
    }
}

impl Tracker for Console {
    fn name(&self) -> &str {
        "console"
    }

    fn record(&mut self, event: &Event<'_>) -> ddpo::train::Result<()> {
        match event {
            Event::Progress(progress) => self.progress(*progress),
            Event::Record(Record::Run(run)) => self.run = Some((**run).clone()),
            Event::Record(Record::Epoch(record)) => self.epoch(record),
            Event::Record(Record::Update(record)) => self.update(record),
            Event::Record(Record::Eval(record)) => self.evaluation(record),
            Event::Halted { epoch, reason } => {
                self.clear();
                line(&format!("stopped after epoch {epoch}: {reason}"));
            }
            Event::Warning(error) => {
                self.clear();
                warn(&with_causes(*error));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A bar of `total` units on stderr, which draws nothing where that is no terminal.
pub fn stage_bar(name: impl Into<Cow<'static, str>>, total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    let template = "{msg:20} [{bar:32}] {pos}/{len}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(name);
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Sampling => "sampling",
        Stage::Scoring => "scoring",
        Stage::Training => "training",
        Stage::Evaluating => "evaluating",
        _ => "working",
    }
}

/// Whether this process says nothing, since another one says the same.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// From now on this process says nothing but errors.
pub fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

/// Prints a warning.
pub fn warn(text: &str) {
    if !IS_QUIET.load(Ordering::Relaxed) {
        eprintln!("warning: {text}");
    }
}

/// Prints a line at once, also into a pipe; whoever reads it may have gone, which must not end a run.
pub fn line(text: &str) {
    if IS_QUIET.load(Ordering::Relaxed) {
        return;
    }
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Opens a model, downloading it with a bar a file if it is on the hub and not yet here.
pub fn open_model(source: &ModelSource, options: OpenOptions<'_>) -> ddpo::Result<LoadedModel> {
    let variant = options.variant;
    let mut download = Download::default();
    let source = source.resolve(&Hub::from_env(), variant, &mut |event| download.show(event))?;
    download.finish();
    let loaded = LoadedModel::open(&source, options)?;
    if let Some(variant) = variant.filter(|_| !loaded.without_variant().is_empty()) {
        let plain = loaded.without_variant().join(" and ");
        line(&format!("note: there is no variant `{variant}` of {plain}, so the plain weights are read"));
    }
    Ok(loaded)
}

/// Brings the networks of rewards into the cache, and says of each that has to be downloaded what it is and under which licence.
pub fn fetch_networks<'a>(rewards: impl IntoIterator<Item = &'a RewardPlan>) -> ddpo::Result<()> {
    let hub = Hub::from_env();
    for repository in missing_networks(&hub, rewards)? {
        line(&format!("download {}", network(&repository)));
        let mut download = Download::default();
        let fetched = hub.fetch_repository(&repository, &mut |event| download.show(event));
        download.finish();
        match fetched {
            // How its own weights are converted a reward says when it is opened.
            Err(ddpo::Error::Models(ddpo::nn::Error::Pickle { .. })) => {}
            fetched => drop(fetched?),
        }
    }
    Ok(())
}

/// Says which networks of rewards would have to be downloaded.
pub fn announce_networks<'a>(rewards: impl IntoIterator<Item = &'a RewardPlan>) -> ddpo::Result<()> {
    let missing = missing_networks(&Hub::from_env(), rewards)?;
    missing.iter().for_each(|repository| line(&format!("download {}", network(repository))));
    Ok(())
}

fn missing_networks<'a>(hub: &Hub, rewards: impl IntoIterator<Item = &'a RewardPlan>) -> ddpo::Result<Vec<Repository>> {
    let all = ddpo::reward::repositories(rewards)?;
    Ok(all.into_iter().filter(|repository| !hub.has_repository(repository)).collect())
}

/// A repository in words.
fn network(repository: &Repository) -> String {
    let about = repository.about.map(|about| format!(": {about}")).unwrap_or_default();
    let licence = repository
        .licence
        .map_or_else(|| "its card says its licence".to_owned(), |licence| format!("licence {licence}"));
    format!("{}@{}{about}; {licence}", repository.id, repository.revision)
}

/// The bars of a download, one a file.
#[derive(Default)]
struct Download {
    bar: Option<(String, ProgressBar)>,
}

impl Download {
    fn show(&mut self, event: HubEvent<'_>) {
        match event {
            HubEvent::File { name, done, total } => self.file(name, done, total),
            HubEvent::FromCache { reason } => {
                warn(&format!("using the model in the cache, as the hub did not give it: {reason}"));
            }
            _ => {}
        }
    }

    fn file(&mut self, name: &str, done: u64, total: Option<u64>) {
        if self.bar.as_ref().is_none_or(|(file, _)| file != name) {
            self.finish();
            self.bar = Some((name.to_owned(), download_bar(name, total)));
            // Where there is no terminal to draw on, a line says what takes so long.
            if !std::io::stderr().is_terminal() {
                let size = total.map(|total| format!(", {}", HumanBytes(total))).unwrap_or_default();
                eprintln!("downloading {name}{size}");
            }
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done);
        }
    }

    fn finish(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A bar of `total` bytes, or a count of those that have come where nobody knows how many there are.
fn download_bar(name: &str, total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, indicatif::ProgressDrawTarget::stderr());
    let template = if total.is_some() { "{msg} [{bar:32}] {bytes}/{total_bytes}  {eta} left" } else { "{msg} {bytes}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(name.to_owned());
    bar
}

/// Says which prompts are too long, a warning each, and what is lost of them.
pub fn warn_of_truncations<'a>(
    loaded: &LoadedModel,
    prompts: impl IntoIterator<Item = &'a String>,
) -> ddpo::Result<()> {
    loaded.truncations(prompts)?.iter().for_each(|line| warn(line));
    Ok(())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source()).map(|cause| format!(": {cause}"));
    format!("{error}{}", causes.collect::<String>())
}
