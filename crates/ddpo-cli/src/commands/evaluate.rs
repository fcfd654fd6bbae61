//! `ddpo evaluate`.

use std::time::Instant;

use anyhow::Result;
use ddpo::config::RunConfig;
use ddpo::core::distance::ModelDistance;
use ddpo::device::DeviceName;
use ddpo::images::write_text;
use ddpo::model::ModelSource;
use ddpo::report::Estimate;
use ddpo::train::StopFlag;
use ddpo::{LoadedModel, MeasureRequest, Measurement, OpenOptions, RunDirectory, SearchPlan};
use serde_json::{Map, Value, json};

use crate::args::Evaluate;
use crate::interrupt::stop_on_signal;
use crate::numbers::counted;
use crate::progress::{fetch_networks, line, open_model, stage_bar};

use super::adapters::Stacks;
use super::requests::requests;
use super::sample::{base_config, dtype, embeddings, prompt_syntax};
use super::search::{queries, search_plan};

/// Measures the model, and with a run or an adapter also what it has become.
pub fn run(args: &Evaluate) -> Result<()> {
    if let Some(run) = &args.run {
        RunDirectory::check(RunDirectory::of_product(run))?;
    }
    let mut config = base_config(args.run.as_deref(), args.model.as_deref())?;
    override_config(&mut config, args);
    let requests = requests(args, &config)?;
    let device = DeviceName::parse(&config.run.device)?;
    ddpo::device::set_threads(config.run.threads);
    let of_run = config.model.config.as_deref().filter(|_| args.model.is_none());
    let source = ModelSource::parse(&config.model.path, config.model.revision.as_deref())?
        .with_config(args.model_config.as_deref().or(of_run))?;
    let syntax = prompt_syntax(args.prompt_syntax.as_deref(), &config)?;
    let dtype = dtype(args.dtype.as_deref(), &config)?;
    let loaded = open_model(&source, OpenOptions { variant: config.model.variant.as_deref(), device, dtype })?
        .with_clip_skip(config.sample.clip_skip)?
        .with_embeddings(&embeddings(&args.embedding, &config))?
        .reading(syntax);
    let search = search_plan(&args.search)?;
    let rewards = requests.iter().flat_map(|(_, request)| &request.rewards);
    fetch_networks(rewards.chain(search.iter().map(|plan| &plan.reward)))?;
    let stacks = Stacks::new(args, &config)?;
    let stop = stop_on_signal("stopping at the next step")?;
    let mut object = Map::new();
    let mut tasks = Map::new();
    for (names, request) in &requests {
        let mut columns = vec![measure(&loaded, &stacks, "base", request, &stop)?];
        if stacks.is_pair() {
            columns.push(measure(&loaded, &stacks, "tuned", request, &stop)?);
        }
        if let Some(plan) = &search {
            columns.push(found(&loaded, &stacks, request, plan, &stop)?);
        }
        if let Some(names) = names {
            line(&format!("task {names}"));
        }
        print_table(request, &columns);
        let measured: Map<_, _> = columns.iter().map(|column| (column.name.to_owned(), column.to_json())).collect();
        match names {
            Some(names) => drop(tasks.insert(names.clone(), measured.into())),
            None => object.extend(measured),
        }
    }
    if let Some(path) = &args.json {
        object.extend((!tasks.is_empty()).then(|| ("tasks".to_owned(), tasks.into())));
        write_text(path, &(serde_json::to_string_pretty(&object)? + "\n"))?;
    }
    Ok(())
}

/// What was measured in one way.
struct Column {
    name: &'static str,
    measurement: Measurement,
    /// Of drawing and scoring.
    seconds: f64,
    /// Rewards that a search asked for, where there was one.
    queries: Option<usize>,
}

fn override_config(config: &mut RunConfig, args: &Evaluate) {
    if let Some(device) = &args.device {
        config.run.device.clone_from(device);
    }
    if let Some(count) = args.count {
        config.eval.count = count;
    }
}

/// Draws and measures the model alone, or what became of it.
fn measure(
    loaded: &LoadedModel,
    stacks: &Stacks,
    name: &'static str,
    request: &MeasureRequest,
    stop: &StopFlag,
) -> Result<Column> {
    let is_tuned = name == "tuned";
    let loaded = &stacks.model(loaded, is_tuned)?;
    let model = loaded.denoiser(&[])?;
    let base = is_tuned
        .then(|| stacks.model(&loaded.base(), false)?.denoiser(&[]).map_err(anyhow::Error::from))
        .transpose()?;
    let (measurement, seconds) =
        timed(name, |on_step| ddpo::measure(loaded, &*model, base.as_deref(), request, stop, on_step))?;
    Ok(Column { name, measurement, seconds, queries: None })
}

/// Searches with what became of the model, or where nothing did with the model alone.
fn found(
    loaded: &LoadedModel,
    stacks: &Stacks,
    request: &MeasureRequest,
    plan: &SearchPlan,
    stop: &StopFlag,
) -> Result<Column> {
    let loaded = &stacks.model(loaded, stacks.is_pair())?;
    let model = loaded.denoiser(&[])?;
    let ((measurement, seen), seconds) =
        timed("found", |on_step| ddpo::measure_search(loaded, &*model, request, plan, stop, on_step))?;
    Ok(Column { name: "found", measurement, seconds, queries: Some(queries(&seen)) })
}

/// What `measure` comes to, under a bar of that name, and its seconds.
fn timed<T>(
    name: &'static str,
    measure: impl FnOnce(&mut dyn FnMut(usize, usize)) -> ddpo::Result<T>,
) -> Result<(T, f64)> {
    let (bar, start) = (stage_bar(name, 1), Instant::now());
    let measured = measure(&mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    Ok((measured?, start.elapsed().as_secs_f64()))
}

/// A line of the table: what `value` says of each column.
fn row(title: &str, columns: &[Column], value: &dyn Fn(&Measurement) -> Option<String>) {
    let cells = columns.iter().filter_map(|column| Some(format!("{} {}", column.name, value(&column.measurement)?)));
    line(&format!("{title:24} {}", cells.collect::<Vec<_>>().join("   ")));
}

fn print_table(request: &MeasureRequest, columns: &[Column]) {
    let Some(Column { measurement: base, .. }) = columns.first() else { return };
    // Fewer images than prompts are images of the first prompts.
    let prompts = request.prompts.len().min(base.images.len());
    let (images, prompts) = (counted(base.images.len(), "image"), counted(prompts, "prompt"));
    line(&format!("{images} of {prompts}; mean and 95 % interval, over prompts that have several images"));
    for name in base.rewards.keys() {
        let unit = base.units.get(name).map(|unit| format!(" {unit}")).unwrap_or_default();
        row(name, columns, &|of| Some(format!("{}{unit}", interval(estimate(of, of.rewards.get(name)?)))));
    }
    // Asked for as a reward, it is in the table already.
    if !base.rewards.contains_key("diversity") {
        // As wide as a mean with its interval.
        row("diversity", columns, &|of| Some(format!("{:<19}", format!("{:10.4}", of.diversity))));
    }
    if as_asked(base).is_some() {
        row("as asked", columns, &as_asked);
    }
    for column in columns {
        match (column.name, column.queries) {
            ("tuned", _) => print_distance(&column.measurement),
            (_, Some(queries)) => {
                let seconds = counted(column.seconds.ceil() as usize, "second");
                line(&format!("{:24} {} in {seconds}", "search", counted(queries, "reward")));
            }
            _ => {}
        }
    }
}

/// How far the tuned model is from the base.
fn print_distance(tuned: &Measurement) {
    let divergence = match tuned.kl_to_base.is_finite() {
        true => format!("{:.4} nats", tuned.kl_to_base),
        false => "none, as the sampler draws nothing".to_owned(),
    };
    line(&format!("{:24} {divergence}", "divergence from base"));
    let ModelDistance { epsilon, x0 } = tuned.distance;
    line(&format!("{:24} {epsilon:.6} of the noise, {x0:.6} of the picture", "distance from base"));
}

/// The share of images that show what their prompts name, of those whose prompts name something.
fn as_asked(of: &Measurement) -> Option<String> {
    let verdicts = of.as_asked.as_deref()?;
    let shown = |verdict: &Option<bool>| verdict.map_or(f32::NAN, |shown| f32::from(u8::from(shown)));
    let known: Vec<f32> = verdicts.iter().map(shown).collect();
    known.iter().any(|value| value.is_finite()).then(|| interval(estimate(of, &known)))
}

/// The mean of what is known of the images, with the interval that [reports have](Estimate::over_groups). Values that are all the same,
/// as those of a single set, tell nothing of how far others are.
fn estimate(of: &Measurement, values: &[f32]) -> Estimate {
    let samples = of.prompts.iter().zip(values).map(|(prompt, value)| (prompt, f64::from(*value)));
    let Estimate { mean, half } = Estimate::over_groups(samples.filter(|(_, value)| value.is_finite()));
    Estimate { mean, half: if half > 0.0 { half } else { f64::NAN } }
}

fn interval(Estimate { mean, half }: Estimate) -> String {
    match half.is_finite() {
        true => format!("{mean:10.4} ± {half:.4}"),
        false => format!("{mean:10.4}"),
    }
}

impl Column {
    fn to_json(&self) -> Value {
        let measurement = &self.measurement;
        let means: Map<String, Value> = (measurement.rewards.iter())
            .map(|(name, values)| {
                let Estimate { mean, half } = estimate(measurement, values);
                let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
                (name.clone(), json!({ "mean": mean, "interval_95": half, "values": values }))
            })
            .collect();
        let mut object = Map::new();
        object.insert("count".into(), measurement.images.len().into());
        object.insert("prompts".into(), json!(measurement.prompts));
        object.insert("rewards".into(), means.into());
        match self.queries {
            Some(queries) => {
                object.insert("queries".into(), queries.into());
            }
            None => {
                object.insert("kl_to_base".into(), json!(measurement.kl_to_base));
                object.insert("epsilon_distance".into(), json!(measurement.distance.epsilon));
                object.insert("x0_distance".into(), json!(measurement.distance.x0));
            }
        }
        object.insert("diversity".into(), json!(measurement.diversity));
        object.insert("as_asked".into(), json!(measurement.as_asked));
        object.insert("seconds".into(), json!(self.seconds));
        object.into()
    }
}
