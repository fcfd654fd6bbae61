//! Named configurations: the experiments of the paper, Stable Diffusion with a reward of the user's own, and what is tuned for
//! the embedded model.

use ddpo_rewards::nearest;
use toml::{Table, Value};

use crate::error::{Error, Result};

use super::kind::ModelKind;
use super::run::RunConfig;

/// A named layer of options over the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The name after `--preset`.
    pub name: &'static str,
    /// What it is for, in a line.
    pub about: &'static str,
    /// The options it sets.
    settings: Settings,
}

/// What a preset sets.
#[derive(Clone, Copy, Debug)]
enum Settings {
    /// These options, as TOML.
    Toml(&'static str),
    /// Every option that was tuned for the embedded model, also for others.
    Tuned,
}

/// Every preset. The paper's four follow ddpo-pytorch's settings for eight GPUs, in one process.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "quick",
        about: "what is tuned for the embedded model, minutes on a CPU; for other small models, too",
        settings: Settings::Tuned,
    },
    Preset {
        name: "sd",
        about: "Stable Diffusion 1.5 and a reward of yours: give it by --reward",
        settings: Settings::Toml(STABLE_DIFFUSION),
    },
    Preset {
        name: "distill",
        about: "a few-step model out of the one that is named, without a reward: what `ddpo distill` is",
        settings: Settings::Toml(DISTILL),
    },
    Preset {
        name: "compressibility",
        about: "paper, 5.1: small JPEG files",
        settings: Settings::Toml(COMPRESSIBILITY),
    },
    Preset {
        name: "incompressibility",
        about: "paper, 5.1: large JPEG files",
        settings: Settings::Toml(INCOMPRESSIBILITY),
    },
    Preset {
        name: "aesthetic",
        about: "paper, 5.2: images that people find beautiful, by the LAION aesthetic predictor",
        settings: Settings::Toml(AESTHETIC),
    },
    Preset {
        name: "prompt-image-alignment",
        about: "paper, 5.3: animals that do things, as a vision-language model sees them: --set reward.url=URL of its chat API",
        settings: Settings::Toml(ALIGNMENT),
    },
];

/// Whatever it does not say are the defaults for models that are not embedded.
const STABLE_DIFFUSION: &str = r#"
model.path = "stable-diffusion-v1-5/stable-diffusion-v1-5"
"#;

/// The few-step model is sampled from pure noise and without guidance, which it has learnt.
const DISTILL: &str = r#"
train = { algorithm = "lcd", inner-epochs = 10 }
sample = { scheduler = "consistency", steps = 4, spacing = "trailing", guidance = 1.0 }
"#;

const COMPRESSIBILITY: &str = r#"
reward = "jpeg-compressibility"
run.epochs = 100
model.path = "CompVis/stable-diffusion-v1-4"
prompts.kind = "imagenet-animals"
sample = { steps = 50, guidance = 5.0, batch-size = 8, batches-per-epoch = 32 }
train = { algorithm = "ddpo-is", gradient-checkpointing = true, batch-size = 4, accumulation = 16, learning-rate = 3e-4, clip-range = 1e-4 }
advantage = { kind = "per-prompt", buffer-size = 16, min-count = 16 }
"#;

const INCOMPRESSIBILITY: &str = r#"
reward = "jpeg-incompressibility"
run.epochs = 100
model.path = "CompVis/stable-diffusion-v1-4"
prompts.kind = "imagenet-animals"
sample = { steps = 50, guidance = 5.0, batch-size = 8, batches-per-epoch = 32 }
train = { algorithm = "ddpo-is", gradient-checkpointing = true, batch-size = 4, accumulation = 16, learning-rate = 3e-4, clip-range = 1e-4 }
advantage = { kind = "per-prompt", buffer-size = 16, min-count = 16 }
"#;

const AESTHETIC: &str = r#"
reward = "aesthetic"
run.epochs = 200
model.path = "CompVis/stable-diffusion-v1-4"
prompts.kind = "simple-animals"
sample = { steps = 50, guidance = 5.0, batch-size = 8, batches-per-epoch = 32 }
train = { algorithm = "ddpo-is", gradient-checkpointing = true, batch-size = 4, accumulation = 32, learning-rate = 3e-4, clip-range = 1e-4 }
advantage = { kind = "per-prompt", buffer-size = 32, min-count = 16 }
"#;

const ALIGNMENT: &str = r#"
reward = "alignment"
run.epochs = 200
model.path = "CompVis/stable-diffusion-v1-4"
prompts.kind = "nouns-activities"
sample = { steps = 50, guidance = 5.0, batch-size = 8, batches-per-epoch = 36 }
train = { algorithm = "ddpo-is", gradient-checkpointing = true, batch-size = 4, accumulation = 36, learning-rate = 3e-4, clip-range = 1e-4 }
advantage = { kind = "per-prompt", buffer-size = 32, min-count = 16 }
"#;

impl Preset {
    /// The preset of this name.
    ///
    /// # Errors
    ///
    /// Names the nearest preset and all there are.
    pub fn find(name: &str) -> Result<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| Error::UnknownName {
            what: "preset",
            found: name.to_owned(),
            nearest: nearest(name, PRESETS.iter().map(|preset| preset.name)).map(String::from),
            known: PRESETS.iter().map(|preset| preset.name.to_owned()).collect(),
        })
    }

    /// The options it sets.
    pub(crate) fn table(&self) -> Result<Table> {
        match self.settings {
            Settings::Toml(toml) => {
                toml.parse().map_err(|source| Error::ConfigSyntax { origin: format!("preset `{}`", self.name), source })
            }
            Settings::Tuned => tuned(),
        }
    }
}

/// The options of which the embedded model has a default of its own.
fn tuned() -> Result<Table> {
    let all = ModelKind::Embedded.table()?;
    let section = |section: &super::options::Section| {
        let values = all.get(section.name)?.as_table()?;
        let tuned = section.entries.iter().filter(|entry| entry.tuned);
        let options: Table = tuned.filter_map(|entry| Some((entry.key(), values.get(&entry.key())?.clone()))).collect();
        (!options.is_empty()).then(|| (section.name.to_owned(), Value::Table(options)))
    };
    Ok(RunConfig::SECTIONS.iter().filter_map(section).collect())
}

#[cfg(test)]
mod tests {
    use super::super::layers::Layers;
    use super::super::plan::RunPlan;
    use super::*;

    fn plan(preset: &str, more: &[&str]) -> Result<RunPlan> {
        let mut layers = Layers::default();
        layers.push_preset(Preset::find(preset)?)?;
        more.iter().try_for_each(|assignment| layers.push_assignment(assignment))?;
        RunPlan::new(layers.resolve()?)
    }

    /// The presets whose reward has to come from elsewhere.
    const WITHOUT_REWARD: [&str; 1] = ["prompt-image-alignment"];

    #[test]
    fn every_preset_is_a_plan_or_says_what_it_lacks() {
        for preset in PRESETS {
            match plan(preset.name, &[]) {
                Ok(_) => assert!(!WITHOUT_REWARD.contains(&preset.name), "{}", preset.name),
                Err(error) => {
                    assert!(WITHOUT_REWARD.contains(&preset.name), "{}: {error}", preset.name);
                    let text = error.to_string();
                    assert!(text.contains("`url` is missing") && text.contains("http://localhost"), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_preset_that_lacks_an_address_takes_one_or_another_reward() {
        for preset in WITHOUT_REWARD {
            assert!(preset_about(preset).contains("--set reward.url=URL"), "{preset}");
            plan(preset, &["reward.url=http://localhost:8000/v1"]).unwrap();
            plan(preset, &["reward=exec:./mine"]).unwrap();
        }
    }

    fn preset_about(name: &str) -> &'static str {
        Preset::find(name).unwrap().about
    }

    #[test]
    fn the_papers_sizes() {
        for (name, samples, updates) in [
            ("sd", 256, 4),
            ("compressibility", 256, 4),
            ("incompressibility", 256, 4),
            ("aesthetic", 256, 2),
            ("prompt-image-alignment", 288, 2),
        ] {
            let plan = plan(name, &["reward=jpeg-compressibility"]).unwrap();
            assert_eq!((plan.samples_per_epoch, plan.updates_per_epoch()), (samples, updates), "{name}");
        }
    }

    #[test]
    fn the_quick_preset_is_the_default_for_any_model() {
        let default = Layers::default().resolve().unwrap();
        let mut other = plan("quick", &["model.path=org/model", "train.accumulation=1"]).unwrap().config;
        (other.model, other.train.accumulation) = (default.model.clone(), None);
        assert_eq!(other, default);
    }

    #[test]
    fn an_unknown_preset_names_the_nearest() {
        let error = Preset::find("compresibility").unwrap_err().to_string();
        assert!(error.starts_with("unknown preset `compresibility`"), "{error}");
    }
}
