//! The defaults that go with a kind of model.

use toml::Table;

use crate::error::{Error, Result};

use super::choices::{Algorithm, Parameters, TrustRegion};
use super::kind::ModelKind;
use super::run::RunConfig;

/// Images whose gradients make an update, in ddpo-pytorch and in the paper.
const IMAGES_PER_UPDATE: usize = 64;

/// ddpo-pytorch's step size where the whole network is trained.
const FULL_LEARNING_RATE: f64 = 1e-5;

/// GRPO-Guard's clip range, whatever the model: its ratios are in units of their own.
const NORMALISED_CLIP_RANGE: f64 = 2e-6;

impl ModelKind {
    /// All defaults as a table; what is absent by default is absent.
    pub(super) fn table(self) -> Result<Table> {
        Table::try_from(RunConfig::defaults(self)).map_err(|source| Error::ConfigOutput { source })
    }

    /// The defaults that follow from other options, as far as `written` does not have them.
    pub(super) fn derive(self, config: &mut RunConfig, written: &Table) {
        let is_in = |section: &str, key: &str| written.get(section).and_then(|section| section.get(key)).is_some();
        let is_written = |key: &str| is_in("train", key);
        if !is_in("lora", "alpha") {
            config.lora.alpha = config.lora.rank as f64;
        }
        if config.train.trust_region == TrustRegion::NormalisedClip && !is_written("clip-range") {
            config.train.clip_range = NORMALISED_CLIP_RANGE;
        }
        if self == Self::Embedded {
            return;
        }
        if config.train.parameters == Parameters::Full && !is_written("learning-rate") {
            config.train.learning_rate = FULL_LEARNING_RATE;
        }
        let updates_by_size = match config.train.algorithm {
            Algorithm::DdpoIs
            | Algorithm::Nft
            | Algorithm::Ram
            | Algorithm::Pso
            | Algorithm::D3po
            | Algorithm::DiffusionDpo
            | Algorithm::Lcd => true,
            Algorithm::DdpoSf | Algorithm::Rwr | Algorithm::RwrSparse => false,
        };
        if updates_by_size && !is_written("accumulation") {
            config.train.accumulation = accumulation(config);
        }
    }
}

/// As many batches as make an update of [`IMAGES_PER_UPDATE`] images, or the nearest smaller number that divides an epoch's.
fn accumulation(config: &RunConfig) -> Option<usize> {
    let (sample, batch) = (&config.sample, config.train.batch_size);
    let batches = sample.batch_size.checked_mul(sample.batches_per_epoch)?.checked_div(batch)?;
    (1..=(IMAGES_PER_UPDATE / batch).max(1)).rev().find(|count| batches.is_multiple_of(*count))
}

#[cfg(test)]
mod tests {
    use super::super::layers::Layers;
    use super::super::plan::RunPlan;
    use super::*;

    fn config(assignments: &[&str]) -> RunConfig {
        let mut layers = Layers::default();
        assignments.iter().for_each(|assignment| layers.push_assignment(assignment).unwrap());
        layers.resolve().unwrap()
    }

    #[test]
    fn the_scale_of_an_adapter_is_one_whatever_its_rank_unless_it_is_given() {
        let of = |assignments: &[&str]| config(assignments).lora.alpha;
        assert_eq!([of(&[]), of(&["lora.rank=16"])], [4.0, 16.0]);
        assert_eq!([of(&["lora.alpha=2"]), of(&["lora.rank=16", "lora.alpha=4"])], [2.0, 4.0]);
        assert_eq!(of(&["model.path=org/model", "lora.rank=8"]), 8.0);
    }

    #[test]
    fn only_the_embedded_model_gets_what_was_tuned_for_it() {
        let of = |model: &str| {
            let config = config(&[&format!("model.path={model}")]);
            let (sample, train) = (&config.sample, &config.train);
            (sample.steps, sample.guidance, train.learning_rate, train.clip_range, train.gradient_checkpointing)
        };
        assert_eq!(of("emoji"), (10, 3.0, 6e-3, 2e-3, false));
        assert_eq!(of("org/model"), (50, 5.0, 3e-4, 1e-4, true));
        assert_eq!(of("./directory"), of("org/model"));
    }

    #[test]
    fn the_embedded_model_has_a_rate_and_a_length_whatever_the_algorithm() {
        let of = |more: &[&str]| {
            let config = config(more);
            (config.train.algorithm, config.train.learning_rate, config.run.epochs)
        };
        assert_eq!(of(&[]), (Algorithm::Nft, 6e-3, 20));
        assert_eq!(of(&["train.algorithm=ddpo-is"]), (Algorithm::DdpoIs, 6e-3, 20));
        let written = ["train.algorithm=ddpo-is", "train.learning-rate=1e-3", "run.epochs=7"];
        assert_eq!(of(&written), (Algorithm::DdpoIs, 1e-3, 7));
        assert_eq!(of(&["model.path=org/model"]), (Algorithm::DdpoIs, 3e-4, 100));
    }

    #[test]
    fn the_papers_epoch_is_the_default_of_stable_diffusion() {
        let plan = RunPlan::new(config(&["model.path=org/model"])).unwrap();
        assert_eq!((plan.samples_per_epoch, plan.updates_per_epoch(), plan.images_per_update()), (256, 4, 64));
    }

    #[test]
    fn an_update_has_64_images_or_what_an_epoch_can_give() {
        let accumulation = |more: &[&str]| config(&[&["model.path=org/model"], more].concat()).train.accumulation;
        assert_eq!(accumulation(&["train.batch-size=1"]), Some(64));
        assert_eq!(accumulation(&["sample.batches-per-epoch=5"]), Some(10));
        assert_eq!(accumulation(&["train.batch-size=128"]), Some(1));
        assert_eq!(accumulation(&["train.accumulation=3"]), Some(3));
        assert_eq!(accumulation(&["train.algorithm=nft"]), Some(16));
        // One update an epoch, whatever its size.
        assert_eq!(accumulation(&["train.algorithm=ddpo-sf"]), None);
        // Left to the check of the plan.
        assert_eq!(accumulation(&["train.batch-size=0"]), None);
    }

    #[test]
    fn ratios_of_another_scale_have_a_clip_range_of_their_own() {
        let range = |more: &[&str]| config(more).train.clip_range;
        assert_eq!(range(&["train.trust-region=normalised-clip"]), 2e-6);
        assert_eq!(range(&["train.trust-region=normalised-clip", "model.path=org/model"]), 2e-6);
        assert_eq!(range(&["train.trust-region=normalised-clip", "train.clip-range=1e-5"]), 1e-5);
        assert_eq!(range(&["train.trust-region=kl-mask"]), 2e-3);
    }

    #[test]
    fn the_whole_network_is_trained_at_a_rate_of_its_own() {
        let rate = |more: &[&str]| config(&[&["model.path=org/model"], more].concat()).train.learning_rate;
        assert_eq!(rate(&["train.parameters=full"]), 1e-5);
        assert_eq!(rate(&["train.parameters=full", "train.learning-rate=1e-3"]), 1e-3);
    }
}
