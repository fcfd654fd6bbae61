//! `ddpo sample`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ddpo::config::{Dtype, Layers, PromptSyntax, RunConfig};
use ddpo::device::DeviceName;
use ddpo::embedding::EmbeddingSource;
use ddpo::images::{grid, write_png, write_text};
use ddpo::model::ModelSource;
use ddpo::prompts::PromptSource;
use ddpo::{OpenOptions, RunDirectory, SampleRequest, SearchRecord, metadata};
use serde_json::{Map, Value};

use crate::args::Sample;
use crate::interrupt::stop_on_signal;
use crate::numbers::counted;
use crate::progress::{fetch_networks, line, open_model, stage_bar, warn_of_truncations};
use crate::values::chosen;

use super::adapters::parse;
use super::sampler::{guidance, sampler};
use super::search::{queries, search_plan};

/// Images of a row of the grid, when each prompt has more.
const COLUMNS: usize = 8;

/// Draws images.
pub fn run(args: &Sample) -> Result<()> {
    PromptSource::list("--prompt", &args.prompt)?;
    let adapters = parse(&args.lora)?;
    // The first run among the adapters gives the defaults.
    let is_run = |path: &&Path| RunDirectory::of_product(path).join(RunDirectory::CONFIG).is_file();
    let run = adapters.iter().map(|adapter| adapter.path.as_path()).find(is_run);
    let config = base_config(run, args.model.as_deref())?;
    let request = request(args, &config)?;
    let plan = search_plan(&args.search)?;
    let model = args.model.as_deref().unwrap_or(&config.model.path);
    let revision = if args.model.is_none() { config.model.revision.as_deref() } else { None };
    let device = DeviceName::parse(args.device.as_deref().unwrap_or(&config.run.device))?;
    ddpo::device::set_threads(config.run.threads);
    let of_run = config.model.config.as_deref().filter(|_| args.model.is_none());
    let source = ModelSource::parse(model, revision)?.with_config(args.model_config.as_deref().or(of_run))?;
    let dtype = dtype(args.dtype.as_deref(), &config)?;
    let variant = args.variant.as_deref().or(config.model.variant.as_deref());
    let loaded = open_model(&source, OpenOptions { variant, device, dtype })?
        .with_clip_skip(args.clip_skip.or(config.sample.clip_skip))?
        .with_embeddings(&embeddings(&args.embedding, &config))?
        .reading(prompt_syntax(args.prompt_syntax.as_deref(), &config)?)
        .adapted(&adapters)?;
    let denoiser = loaded.denoiser(&[])?;
    warn_of_truncations(&loaded, request.prompts.iter().chain([&request.negative_prompt]))?;
    fetch_networks(plan.iter().map(|plan| &plan.reward))?;
    let stop = stop_on_signal("stopping at the next step")?;
    let bar = stage_bar(if plan.is_some() { "searching" } else { "sampling" }, 1);
    let on_step = &mut |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let (sampled, seen) = match &plan {
        Some(plan) => ddpo::search(&loaded, &*denoiser, &request, plan, &stop, on_step)?,
        None => (ddpo::sample(&loaded, &*denoiser, &request, &stop, on_step)?, Vec::new()),
    };
    bar.finish_and_clear();
    write_images(args, &sampled)?;
    if plan.is_some() {
        write_search(&args.out.join("search.jsonl"), &seen)?;
    }
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
    let negative = args.negative_prompt.as_ref().unwrap_or(&config.sample.negative_prompt);
    Ok(SampleRequest {
        prompts: args.prompt.clone(),
        count: args.count,
        sampler: sampler(&args.sampler, config)?,
        guidance: guidance(&args.sampler, config),
        negative_prompt: negative.clone(),
        seed: args.seed,
        batch_size: args.batch_size.unwrap_or(config.sample.batch_size),
        size: [args.height.or(config.sample.height), args.width.or(config.sample.width)],
    })
}

/// Writes a line for each step that was searched at, in the order of the images, and says what it came to.
fn write_search(path: &Path, seen: &[SearchRecord]) -> Result<()> {
    let record = |seen: &SearchRecord| {
        let mut object = Map::new();
        object.insert("image".into(), seen.image.into());
        object.insert("prompt".into(), seen.prompt.clone().into());
        if let Some((step, timestep)) = seen.step {
            object.insert("step".into(), step.into());
            object.insert("timestep".into(), timestep.into());
        }
        for (key, value) in [("mean", seen.mean), ("std", seen.std), ("best", seen.best)] {
            object.insert(key.into(), value.into());
        }
        object.insert("queries".into(), seen.queries.into());
        Value::Object(object).to_string() + "\n"
    };
    write_text(path, &seen.iter().map(record).collect::<String>())?;
    line(&format!("{}: {}", path.display(), counted(queries(seen), "reward")));
    Ok(())
}

/// The embeddings of the configuration, and then those that are asked for besides.
pub fn embeddings(texts: &[String], config: &RunConfig) -> Vec<EmbeddingSource> {
    let mut all = config.model.embeddings();
    for source in texts.iter().map(|text| EmbeddingSource::parse(text)) {
        if !all.contains(&source.clone().absolute()) {
            all.push(source);
        }
    }
    all
}

/// The syntax of prompts that is asked for, else the configuration's.
pub fn prompt_syntax(name: Option<&str>, config: &RunConfig) -> Result<PromptSyntax> {
    let Some(name) = name else { return Ok(config.sample.prompt_syntax) };
    chosen("prompt syntax", name, PromptSyntax::NAMES, PromptSyntax::from_name)
}

/// The number type that is asked for, else the configuration's.
pub fn dtype(name: Option<&str>, config: &RunConfig) -> Result<Dtype> {
    name.map_or(Ok(config.model.dtype), |name| chosen("dtype", name, Dtype::NAMES, Dtype::from_name))
}

/// Writes the images after those of earlier calls, with their prompts, and a grid of them.
fn write_images(args: &Sample, sampled: &ddpo::Sampled) -> Result<()> {
    ddpo::train::fs::create_directory(&args.out)?;
    let first = next_number(&ddpo::train::fs::list_directory(&args.out)?);
    let names: Vec<String> =
        sampled.prompts.iter().enumerate().map(|(k, prompt)| file_name(first + k, prompt)).collect();
    for (name, image) in names.iter().zip(&sampled.images) {
        write_png(&args.out.join(name), image)?;
    }
    metadata::extend(&args.out, names.iter().map(String::as_str).zip(sampled.prompts.iter().map(String::as_str)))?;
    let columns = if args.count > 1 { args.count.min(COLUMNS) } else { COLUMNS };
    let path = free_grid(&args.out, first);
    write_png(&path, &grid(&sampled.images, columns)?)?;
    line(&format!("{} in {}", counted(sampled.images.len(), "image"), args.out.display()));
    line(&format!("{}", path.display()));
    Ok(())
}

/// The number after those of the images among `names`.
fn next_number(names: &[String]) -> usize {
    let number = |name: &String| name.strip_suffix(".png")?.split_once('-')?.0.parse::<usize>().ok();
    names.iter().filter_map(number).max().map_or(0, |number| number + 1)
}

/// `grid.png`, and for later calls that name with the number of their first image.
fn free_grid(directory: &Path, first: usize) -> PathBuf {
    let plain = directory.join("grid.png");
    if plain.exists() { directory.join(format!("grid-{first:04}.png")) } else { plain }
}

/// `0003-a-cat.png`: the number makes the name unique, the prompt makes it readable.
fn file_name(number: usize, prompt: &str) -> String {
    let words: String = prompt.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(40).collect();
    format!("{number:04}-{}.png", words.trim_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_after_those_that_are_there() {
        let next = |names: &[&str]| next_number(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(next(&[]), 0);
        assert_eq!(next(&["0000-a.png", "0007-a-1.png", "grid-9.png", "metadata.jsonl", "0009-a.jpg"]), 8);
        assert_eq!(next(&["12345-.png"]), 12346);
    }
}
