//! `ddpo sample`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ddpo::config::{Layers, RunConfig, SchedulerKind};
use ddpo::device::DeviceName;
use ddpo::images::{grid, write_png};
use ddpo::model::ModelSource;
use ddpo::{RunDirectory, SampleRequest};

use crate::args::Sample;
use crate::interrupt::stop_on_signal;
use crate::numbers::counted;
use crate::progress::{line, open_model, stage_bar, warn_of_truncations};

use super::adapters::parse;

/// Images of a row of the grid, when each prompt has more.
const COLUMNS: usize = 8;

/// Draws images.
pub fn run(args: &Sample) -> Result<()> {
    let adapters = parse(&args.lora)?;
    // The first run among the adapters gives the defaults.
    let run = adapters.iter().map(|adapter| adapter.path.as_path()).find(|path| path.is_dir());
    let config = base_config(run, args.model.as_deref())?;
    let request = request(args, &config)?;
    let model = args.model.as_deref().unwrap_or(&config.model.path);
    let revision = if args.model.is_none() { config.model.revision.as_deref() } else { None };
    let device = DeviceName::parse(args.device.as_deref().unwrap_or(&config.run.device))?;
    ddpo::device::set_threads(config.run.threads);
    let source = ModelSource::parse(model, revision)?;
    let loaded = open_model(&source, args.variant.as_deref().or(config.model.variant.as_deref()), device)?;
    let denoiser = loaded.denoiser(&adapters)?;
    warn_of_truncations(&loaded, request.prompts.iter().chain([&request.negative_prompt]))?;
    let stop = stop_on_signal("stopping after this batch")?;
    let bar = stage_bar("sampling", 1);
    let sampled = ddpo::sample(&loaded, &*denoiser, &request, &stop, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    write_images(args, &sampled)?;
    if let Some(path) = &args.trace {
        sampled.write_trace(path, &request)?;
        line(&format!("{}", path.display()));
    }
    Ok(())
}

/// The configuration that gives the defaults: the run's own where there is a run, else those for the model.
pub fn base_config(run: Option<&Path>, model: Option<&str>) -> Result<RunConfig> {
    let mut layers = Layers::default();
    if let Some(run) = run.filter(|path| path.is_dir()).map(RunDirectory::of_product) {
        let origin = run.join(RunDirectory::CONFIG).display().to_string();
        layers.push_resolved(&origin, &RunDirectory::read_config(run)?)?;
    }
    if let Some(model) = model {
        layers.push_value(&format!("--model {model}"), "model.path", model)?;
    }
    Ok(layers.resolve()?)
}

fn request(args: &Sample, config: &RunConfig) -> Result<SampleRequest> {
    let (eta, scheduler) = (args.eta.unwrap_or(config.sample.eta), scheduler(args, config)?);
    if args.eta.is_some() && scheduler != SchedulerKind::Ddim {
        let expected = format!("no --eta with --scheduler {scheduler}, whose noise is its own");
        return Err(ddpo::Error::InvalidOption { key: "--eta", found: eta.to_string(), expected }.into());
    }
    let negative = args.negative_prompt.as_ref().unwrap_or(&config.sample.negative_prompt);
    Ok(SampleRequest {
        prompts: args.prompt.clone(),
        count: args.count,
        steps: args.steps.unwrap_or(config.sample.steps),
        guidance: args.guidance.unwrap_or(config.sample.guidance),
        scheduler,
        eta,
        negative_prompt: negative.clone(),
        seed: args.seed,
        batch_size: args.batch_size.unwrap_or(config.sample.batch_size),
        size: [args.height.or(config.sample.height), args.width.or(config.sample.width)],
    })
}

fn scheduler(args: &Sample, config: &RunConfig) -> Result<SchedulerKind> {
    let Some(name) = &args.scheduler else { return Ok(config.sample.scheduler) };
    let known = || SchedulerKind::NAMES.iter().map(|name| (*name).to_owned()).collect();
    let unknown = || ddpo::Error::UnknownName { what: "scheduler", found: name.clone(), nearest: None, known: known() };
    Ok(SchedulerKind::from_name(name).ok_or_else(unknown)?)
}

fn write_images(args: &Sample, sampled: &ddpo::Sampled) -> Result<()> {
    ddpo::train::fs::create_directory(&args.out)?;
    for (number, (image, prompt)) in sampled.images.iter().zip(&sampled.prompts).enumerate() {
        write_png(&file(args, number, prompt), image)?;
    }
    let columns = if args.count > 1 { args.count.min(COLUMNS) } else { COLUMNS };
    let path = args.out.join("grid.png");
    write_png(&path, &grid(&sampled.images, columns)?)?;
    line(&format!("{} in {}", counted(sampled.images.len(), "image"), args.out.display()));
    line(&format!("{}", path.display()));
    Ok(())
}

/// `0003-a-cat.png`: the number makes the name unique, the prompt makes it readable.
fn file(args: &Sample, number: usize, prompt: &str) -> PathBuf {
    let words: String = prompt.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(40).collect();
    args.out.join(format!("{number:04}-{}.png", words.trim_matches('-')))
}
