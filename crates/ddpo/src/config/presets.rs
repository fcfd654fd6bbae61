//! Named configurations: the experiments of the paper, and the quick one for the embedded model.

use toml::Table;

use crate::error::{Error, Result};

use super::unknown::nearest;

/// A named layer of options over the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// The name after `--preset`.
    pub name: &'static str,
    /// What it is for, in a line.
    pub about: &'static str,
    /// The options it sets.
    toml: &'static str,
}

/// Every preset. The paper's four follow ddpo-pytorch's settings for eight GPUs, in one process.
pub const PRESETS: &[Preset] = &[
    Preset { name: "quick", about: "the embedded model, minutes on a CPU (the defaults)", toml: "" },
    Preset { name: "compressibility", about: "paper, 5.1: small JPEG files", toml: COMPRESSIBILITY },
    Preset { name: "incompressibility", about: "paper, 5.1: large JPEG files", toml: INCOMPRESSIBILITY },
    Preset { name: "aesthetic", about: "paper, 5.2: the LAION aesthetic score", toml: AESTHETIC },
    Preset { name: "prompt-image-alignment", about: "paper, 5.3: animals that do things", toml: ALIGNMENT },
];

const COMPRESSIBILITY: &str = r#"
reward = "jpeg-compressibility"
run.epochs = 100
model.path = "CompVis/stable-diffusion-v1-4"
prompts.kind = "imagenet-animals"
sample = { steps = 50, guidance = 5.0, batch-size = 8, batches-per-epoch = 32 }
train = { gradient-checkpointing = true, batch-size = 4, accumulation = 16, learning-rate = 3e-4, clip-range = 1e-4 }
advantage = { kind = "per-prompt", buffer-size = 16, min-count = 16 }
"#;

const INCOMPRESSIBILITY: &str = r#"
reward = "jpeg-incompressibility"
run.epochs = 100
model.path = "CompVis/stable-diffusion-v1-4"
prompts.kind = "imagenet-animals"
sample = { steps = 50, guidance = 5.0, batch-size = 8, batches-per-epoch = 32 }
train = { gradient-checkpointing = true, batch-size = 4, accumulation = 16, learning-rate = 3e-4, clip-range = 1e-4 }
advantage = { kind = "per-prompt", buffer-size = 16, min-count = 16 }
"#;

const AESTHETIC: &str = r#"
reward = "aesthetic"
run.epochs = 200
model.path = "CompVis/stable-diffusion-v1-4"
prompts.kind = "simple-animals"
sample = { steps = 50, guidance = 5.0, batch-size = 8, batches-per-epoch = 32 }
train = { gradient-checkpointing = true, batch-size = 4, accumulation = 32, learning-rate = 3e-4, clip-range = 1e-4 }
advantage = { kind = "per-prompt", buffer-size = 32, min-count = 16 }
"#;

const ALIGNMENT: &str = r#"
reward = "alignment"
run.epochs = 200
model.path = "CompVis/stable-diffusion-v1-4"
prompts.kind = "nouns-activities"
sample = { steps = 50, guidance = 5.0, batch-size = 8, batches-per-epoch = 36 }
train = { gradient-checkpointing = true, batch-size = 4, accumulation = 36, learning-rate = 3e-4, clip-range = 1e-4 }
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
        self.toml.parse().map_err(|source| Error::ConfigSyntax { origin: format!("preset `{}`", self.name), source })
    }
}

#[cfg(test)]
mod tests {
    use super::super::layers::Layers;
    use super::super::plan::RunPlan;
    use super::*;

    #[test]
    fn every_preset_is_a_valid_plan() {
        for preset in PRESETS {
            let mut layers = Layers::default();
            layers.push_preset(preset).unwrap();
            // The two rewards that are not in this version leave everything else to check.
            layers.push_assignment("reward=jpeg-compressibility").unwrap();
            let config = layers.resolve().unwrap();
            RunPlan::new(config).unwrap_or_else(|error| panic!("{}: {error}", preset.name));
        }
    }

    #[test]
    fn the_papers_sizes() {
        for (name, samples, updates) in [
            ("compressibility", 256, 4),
            ("incompressibility", 256, 4),
            ("aesthetic", 256, 2),
            ("prompt-image-alignment", 288, 2),
        ] {
            let mut layers = Layers::default();
            layers.push_preset(Preset::find(name).unwrap()).unwrap();
            layers.push_assignment("reward=jpeg-compressibility").unwrap();
            let plan = RunPlan::new(layers.resolve().unwrap()).unwrap();
            assert_eq!((plan.samples_per_epoch, plan.updates_per_epoch), (samples, updates), "{name}");
        }
    }

    #[test]
    fn an_unknown_preset_names_the_nearest() {
        let error = Preset::find("compresibility").unwrap_err().to_string();
        assert!(error.starts_with("unknown preset `compresibility`"), "{error}");
    }
}
