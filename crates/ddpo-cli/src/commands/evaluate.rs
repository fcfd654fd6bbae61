//! `ddpo evaluate`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ddpo::config::RunConfig;
use ddpo::core::distance::ModelDistance;
use ddpo::device::DeviceName;
use ddpo::images::write_text;
use ddpo::model::ModelSource;
use ddpo::prompts::{PromptSource, PromptSplit};
use ddpo::train::StopFlag;
use ddpo::{LoadedModel, MeasureRequest, Measurement, OpenOptions, RunDirectory, RunPlan};
use serde_json::{Map, Value, json};

use crate::args::Evaluate;
use crate::interrupt::stop_on_signal;
use crate::numbers::{counted, mean_with_interval};
use crate::progress::{fetch_networks, line, open_model, stage_bar};

use super::adapters::Stacks;
use super::labels::Labels;
use super::sample::{base_config, dtype, embeddings, prompt_syntax};

/// Measures the model, and with a run or an adapter also what it has become.
pub fn run(args: &Evaluate) -> Result<()> {
    if let Some(run) = &args.run {
        RunDirectory::check(RunDirectory::of_product(run))?;
    }
    let mut config = base_config(args.run.as_deref(), args.model.as_deref())?;
    override_config(&mut config, args);
    let request = request(args, &config)?;
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
    fetch_networks(&request.rewards)?;
    let stacks = Stacks::new(args, &config)?;
    let stop = stop_on_signal("stopping at the next step")?;
    let base = measure(&loaded, &stacks, false, &request, &stop)?;
    let tuned = stacks.is_pair().then(|| measure(&loaded, &stacks, true, &request, &stop)).transpose()?;
    print_table(&request, &base, tuned.as_ref());
    let of_folder = |folder: &PathBuf| {
        super::labels::measure(&loaded, &stacks, folder, args.labels_grid.as_deref(), &config, &stop)
    };
    let labels = args.labels.as_ref().map(of_folder).transpose()?;
    labels.iter().for_each(Labels::print);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&to_json(&base, tuned.as_ref(), labels.as_ref()))? + "\n";
        write_text(path, &text)?;
    }
    Ok(())
}

fn override_config(config: &mut RunConfig, args: &Evaluate) {
    if let Some(device) = &args.device {
        config.run.device.clone_from(device);
    }
    if let Some(count) = args.count {
        config.eval.count = count;
    }
    if let Some(steps) = args.steps {
        config.sample.steps = steps;
    }
    if let Some(guidance) = args.guidance {
        config.sample.guidance = guidance;
    }
}

/// The rewards of a list. A comma inside a table belongs to it, and one behind which there is no reward to the command of a
/// program, as in `exec:./score.py --weights 0.5,0.5`.
fn split_rewards(list: &str) -> Vec<String> {
    let registry = ddpo::RewardRegistry::default();
    let is_reward = |text: &str| text.starts_with("exec:") || registry.factories().any(|kind| kind.kind() == text);
    let mut names: Vec<String> = Vec::new();
    for part in list.split(',') {
        let goes_on = |last: &String| {
            last.matches('{').count() > last.matches('}').count()
                || last.starts_with("exec:") && !is_reward(part.trim())
        };
        match names.last_mut().filter(|last| goes_on(last)) {
            Some(command) => *command += &format!(",{part}"),
            None => names.push(part.trim().to_owned()),
        }
    }
    names
}

fn request(args: &Evaluate, config: &RunConfig) -> Result<MeasureRequest> {
    let plan = RunPlan::new(config.clone())?;
    let prompts = match &args.prompts {
        None => PromptSplit::load(&plan.prompts, plan.eval_prompts.as_ref())?.evaluation,
        Some(name) => source(name)?.load()?,
    };
    let names: Vec<String> = args.rewards.iter().flat_map(|list| split_rewards(list)).collect();
    let rewards = match names.as_slice() {
        [] => plan.reward.iter().map(|term| term.reward.clone()).chain(plan.held_out.clone()).collect(),
        names => names.iter().map(|name| ddpo::reward::named(name)).collect::<ddpo::Result<_>>()?,
    };
    Ok(MeasureRequest {
        prompts,
        count: config.eval.count.max(1),
        rewards,
        sampler: config.sample.sampler(),
        guidance: config.sample.guidance,
        negative_prompt: config.sample.negative_prompt.clone(),
        seed: config.eval.seed,
        batch_size: config.sample.batch_size,
        size: [config.sample.height, config.sample.width],
    })
}

/// A kind of prompts, or else a file.
fn source(name: &str) -> Result<PromptSource> {
    match PromptSource::named(name) {
        Err(_) if Path::new(name).exists() || name.contains(['/', '.']) => {
            Ok(PromptSource::File { path: name.into(), start: 0, end: None })
        }
        other => Ok(other?),
    }
}

fn measure(
    loaded: &LoadedModel,
    stacks: &Stacks,
    is_tuned: bool,
    request: &MeasureRequest,
    stop: &StopFlag,
) -> Result<Measurement> {
    let loaded = &stacks.model(loaded, is_tuned)?;
    let model = loaded.denoiser(&[])?;
    let base = is_tuned
        .then(|| stacks.model(&loaded.base(), false)?.denoiser(&[]).map_err(anyhow::Error::from))
        .transpose()?;
    let bar = stage_bar(if is_tuned { "tuned" } else { "base" }, 1);
    let measurement = ddpo::measure(loaded, &*model, base.as_deref(), request, stop, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    Ok(measurement?)
}

fn print_table(request: &MeasureRequest, base: &Measurement, tuned: Option<&Measurement>) {
    // Fewer images than prompts are images of the first prompts.
    let prompts = request.prompts.len().min(base.images.len());
    let (images, prompts) = (counted(base.images.len(), "image"), counted(prompts, "prompt"));
    line(&format!("{images} of {prompts}; mean and 95 % interval"));
    for (name, values) in &base.rewards {
        let unit = base.units.get(name).map(|unit| format!(" {unit}")).unwrap_or_default();
        let after = tuned
            .and_then(|tuned| tuned.rewards.get(name))
            .map(|values| format!("   tuned {}{unit}", interval(values)));
        line(&format!("{name:24} base {}{unit}{}", interval(values), after.unwrap_or_default()));
    }
    let after = |value: fn(&Measurement) -> f64| {
        tuned.map(|tuned| format!("            tuned {:10.4}", value(tuned))).unwrap_or_default()
    };
    // Asked for as a reward, it is in the table already.
    if !base.rewards.contains_key("diversity") {
        line(&format!("{:24} base {:10.4}{}", "diversity", base.diversity, after(|m| m.diversity)));
    }
    let shares = |measurement: &Measurement| measurement.as_asked.as_deref().and_then(as_asked);
    if let Some(base) = shares(base) {
        let after = tuned.and_then(shares).map(|after| format!("   tuned {after}")).unwrap_or_default();
        line(&format!("{:24} base {base}{after}", "as asked"));
    }
    if let Some(tuned) = tuned {
        let divergence = match tuned.kl_to_base.is_finite() {
            true => format!("{:.4} nats", tuned.kl_to_base),
            false => "none, as the sampler draws nothing".to_owned(),
        };
        line(&format!("{:24} {divergence}", "divergence from base"));
        let ModelDistance { epsilon, x0 } = tuned.distance;
        line(&format!("{:24} {epsilon:.6} of the noise, {x0:.6} of the picture", "distance from base"));
    }
}

/// The share of images that show what their prompts name, of those whose prompts name something.
fn as_asked(verdicts: &[Option<bool>]) -> Option<String> {
    let known: Vec<f32> = verdicts.iter().copied().flatten().map(|shown| f32::from(u8::from(shown))).collect();
    (!known.is_empty()).then(|| interval(&known))
}

fn interval(values: &[f32]) -> String {
    let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
    let (mean, half) = mean_with_interval(&values);
    format!("{mean:10.4} ± {half:.4}")
}

fn to_json(base: &Measurement, tuned: Option<&Measurement>, labels: Option<&Labels>) -> Value {
    let mut object = Map::from_iter([("base".to_owned(), measurement_json(base))]);
    if let Some(tuned) = tuned {
        object.insert("tuned".into(), measurement_json(tuned));
    }
    if let Some(labels) = labels {
        object.insert("labels".into(), labels.to_json());
    }
    Value::Object(object)
}

fn measurement_json(measurement: &Measurement) -> Value {
    let means: Map<String, Value> = (measurement.rewards.iter())
        .map(|(name, values)| {
            let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            let (mean, half) = mean_with_interval(&values);
            (name.clone(), json!({ "mean": mean, "interval_95": half, "values": values }))
        })
        .collect();
    json!({
        "count": measurement.images.len(),
        "prompts": measurement.prompts,
        "rewards": means,
        "kl_to_base": measurement.kl_to_base,
        "epsilon_distance": measurement.distance.epsilon,
        "x0_distance": measurement.distance.x0,
        "diversity": measurement.diversity,
        "as_asked": measurement.as_asked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_of_a_command_are_its_own() {
        for (list, wanted) in [
            ("jpeg-compressibility, diversity", vec!["jpeg-compressibility", "diversity"]),
            ("exec:./a.py --weights 0.5,0.5", vec!["exec:./a.py --weights 0.5,0.5"]),
            ("{ kind = \"a\", b = 1 },diversity", vec!["{ kind = \"a\", b = 1 }", "diversity"]),
            ("exec:./a.py 1,2,diversity,exec:./b.py", vec!["exec:./a.py 1,2", "diversity", "exec:./b.py"]),
        ] {
            assert_eq!(split_rewards(list), wanted, "{list}");
        }
    }
}
