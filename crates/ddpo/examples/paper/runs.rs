//! Runs the runs of an experiment, or takes those that are there.

use std::error::Error;
use std::path::{Path, PathBuf};

use ddpo::config::Layers;
use ddpo::report::Records;
use ddpo::train::EvalRecord;
use ddpo::{RunConfig, RunDirectory, RunPlan, Session};
use toml::Table;

use crate::experiment::{Experiment, Part, Search};

const METRICS: &str = "metrics.jsonl";

/// All runs of one line of one figure.
pub struct Line {
    /// The task.
    pub task: String,
    /// The variant.
    pub variant: String,
    /// The learning rate that was used.
    pub rate: f64,
    /// What each seed's run recorded.
    pub runs: Vec<Records>,
    /// Where each seed's run is.
    pub directories: Vec<PathBuf>,
}

impl Line {
    fn new(task: &Part, variant: &Part, rate: f64) -> Self {
        let (task, variant) = (task.name.clone(), variant.name.clone());
        Self { task, variant, rate, runs: Vec::new(), directories: Vec::new() }
    }
}

/// Every line of an experiment, its runs in `directory`.
///
/// A seed of all lines comes before the next seed of any, so that a program which is killed leaves lines to compare.
pub fn run_all(experiment: &Experiment, directory: &Path) -> Result<Vec<Line>, Box<dyn Error>> {
    let (mut lines, mut layers) = (Vec::new(), Vec::new());
    for (task, variant) in experiment.pairs() {
        let mut last = Table::new();
        if let Some(search) = &experiment.search {
            let rate = best_rate(experiment, task, variant, search, &place(directory, task, variant))?;
            last.insert("train".into(), Table::from_iter([("learning-rate".to_owned(), rate.into())]).into());
        }
        let rate = experiment.config(task, variant, last.clone())?.train.learning_rate;
        lines.push(Line::new(task, variant, rate));
        layers.push(last);
    }
    for &seed in &experiment.seeds {
        for (((task, variant), line), last) in experiment.pairs().zip(&mut lines).zip(&layers) {
            let path = place(directory, task, variant).join(format!("seed-{seed}"));
            line.runs.push(run(experiment, task, variant, last.clone(), seed, &path)?);
            line.directories.push(path);
        }
    }
    Ok(lines)
}

/// The lines of an experiment as far as there are finished runs of them; nothing is run.
pub fn read_all(experiment: &Experiment, directory: &Path) -> Result<Vec<Line>, Box<dyn Error>> {
    let mut lines = Vec::new();
    for (task, variant) in experiment.pairs() {
        let place = place(directory, task, variant);
        let seeds = experiment.seeds.iter().map(|seed| place.join(format!("seed-{seed}")));
        let done: Vec<PathBuf> = seeds.filter(|path| is_done(path)).collect();
        let Some(first) = done.first() else { continue };
        let rate = configuration(first)?.train.learning_rate;
        let runs = done.iter().map(|path| Records::read(&path.join(METRICS))).collect::<Result<_, _>>()?;
        lines.push(Line { runs, directories: done, ..Line::new(task, variant, rate) });
    }
    Ok(lines)
}

/// The configuration that a run was made with.
pub fn configuration(run: &Path) -> Result<RunConfig, Box<dyn Error>> {
    let mut layers = Layers::default();
    layers.push_resolved("run", &RunDirectory::read_config(run)?)?;
    Ok(layers.resolve()?)
}

fn place(directory: &Path, task: &Part, variant: &Part) -> PathBuf {
    directory.join(slug(&task.name)).join(slug(&variant.name))
}

/// The report is the last thing a run writes.
fn is_done(run: &Path) -> bool {
    run.join("report.html").is_file()
}

/// The rate of the best last evaluation, of those that end near enough to the base model and to what was asked for; where none
/// does, the smallest.
fn best_rate(
    experiment: &Experiment,
    task: &Part,
    variant: &Part,
    search: &Search,
    place: &Path,
) -> Result<f64, Box<dyn Error>> {
    let mut best = None;
    for &rate in &search.rates {
        let train = Table::from_iter([("learning-rate".to_owned(), rate.into())]);
        let run_options = Table::from_iter([("epochs".to_owned(), (search.epochs as i64).into())]);
        // Only the last evaluation counts, and there must be one.
        let eval = Table::from_iter([("every".to_owned(), (search.epochs as i64).into())]);
        let layers = [("train", train), ("run", run_options), ("eval", eval)];
        let last = layers.map(|(section, options)| (section.to_owned(), options.into())).into_iter().collect();
        let records = run(experiment, task, variant, last, search.seed, &place.join(format!("search-{rate}")))?;
        // A rate at which training fails is no candidate; its run has fewer evaluations and says so by its error.
        let Some(eval) = records.evals.last() else { continue };
        let as_asked = |eval: &EvalRecord| eval.as_asked.unwrap_or(f64::NAN);
        let base = records.evals.first().map_or(f64::NAN, as_asked);
        let is_near = search.most_nats.is_none_or(|most| eval.kl_to_base <= most)
            && search.least_as_asked.is_none_or(|least| as_asked(eval) >= least * base);
        if is_near && best.is_none_or(|(reward, _)| eval.reward_mean > reward) {
            best = Some((eval.reward_mean, rate));
        }
    }
    let rate = best.map(|(_, rate)| rate).or_else(|| {
        println!("{} / {}: no rate of the search is a candidate; the smallest is taken", task.name, variant.name);
        search.rates.iter().copied().min_by(f64::total_cmp)
    });
    Ok(rate.ok_or("`search.rates` is empty")?)
}

/// The records of a run, which is done, gone on with, or taken as it is.
fn run(
    experiment: &Experiment,
    task: &Part,
    variant: &Part,
    mut last: Table,
    seed: u64,
    path: &Path,
) -> Result<Records, Box<dyn Error>> {
    let options = last.entry("run").or_insert_with(|| Table::new().into());
    if let Some(options) = options.as_table_mut() {
        options.insert("seed".into(), (seed as i64).into());
    }
    let plan = RunPlan::new(experiment.config(task, variant, last)?)?;
    let metrics = path.join(METRICS);
    if is_done(path) {
        // Results of another configuration are not this experiment's. Its text may differ by options that are newer than it.
        if configuration(path)? != plan.config {
            return Err(format!("{} was run with another configuration; move it away", path.display()).into());
        }
        return Ok(Records::read(&metrics)?);
    }
    println!("{}", path.display());
    train(plan, path)?;
    Ok(Records::read(&metrics)?)
}

fn train(plan: RunPlan, path: &Path) -> Result<(), Box<dyn Error>> {
    ddpo::device::set_threads(plan.config.run.threads);
    let session = match path.join(RunDirectory::CONFIG).is_file() {
        true => Session::resume(plan, path),
        false => Session::create(plan, path),
    };
    session.open()?.run()?;
    Ok(())
}

/// A name as a file name.
pub fn slug(name: &str) -> PathBuf {
    let letters = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(letters).collect::<String>().into()
}
