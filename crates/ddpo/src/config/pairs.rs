//! What a checked configuration of preference within pairs says.

use ddpo_core::objective::{PairClip, Pairwise};
use ddpo_core::preference::DiffusionDpo;

use crate::error::Result;

use super::batches::accumulation;
use super::check::{invalid, positive, within};
use super::choices::{Algorithm, PairClipChoice, PairTimesteps};
use super::run::{PairOptions, RunConfig};
use super::task_options::PromptOptions;

/// What an algorithm says where the configuration does not: the worth of a preference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Setting {
    beta: f64,
}

/// PSO's code for SDXL-Turbo and DMD2 (arXiv 2410.03190).
pub(super) const PSO: Setting = Setting { beta: 50.0 };

/// Diffusion-DPO's code for Stable Diffusion 1.5 (arXiv 2311.12908).
pub(super) const DIFFUSION_DPO: Setting = Setting { beta: 5000.0 };

/// D3PO's code (arXiv 2311.13231).
pub(super) const D3PO: Setting = Setting { beta: 0.1 };

/// The numbers of preference between given pictures that follow from a configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GivenPairsPlan {
    /// What is minimised.
    pub objective: DiffusionDpo,
    /// The timesteps at which pictures are mixed with noise.
    pub timesteps: PairTimesteps,
    /// Pictures of a training batch, two a pair.
    pub batch: usize,
    /// Training batches whose gradients make one update.
    pub accumulation: usize,
    /// Optimizer steps an epoch.
    pub updates_per_epoch: usize,
}

impl GivenPairsPlan {
    /// The plan of a configuration whose algorithm learns from given pairs.
    ///
    /// # Errors
    /// Names the first option that does not fit.
    pub(super) fn new(config: &RunConfig, samples: usize) -> Result<Self> {
        let (options, train) = (&config.pairs, &config.train);
        if config.prompts != PromptOptions::default() {
            let expected = "nothing with `diffusion-dpo`, whose prompts are those of pairs.path";
            return Err(invalid("prompts", "options", expected));
        }
        for (key, found, wanted) in [
            ("train.kl-weight", train.kl_weight, 0.0),
            ("train.timestep-fraction", train.timestep_fraction, 1.0),
            ("train.inner-epochs", train.inner_epochs as f64, 1.0),
        ] {
            if found != wanted {
                return Err(invalid(key, found, format_args!("{wanted} with `diffusion-dpo`, which has no chains")));
            }
        }
        if !train.batch_size.is_multiple_of(2) {
            let expected = "an even number with `diffusion-dpo`, whose pairs stay together";
            return Err(invalid("train.batch-size", train.batch_size, expected));
        }
        let accumulation = accumulation(train, samples, false)?;
        Ok(Self {
            objective: DiffusionDpo {
                beta: options.beta.unwrap_or(DIFFUSION_DPO.beta),
                loser_weight: options.loser_weight,
                loser_denoising: options.loser_denoising,
            },
            timesteps: options.timesteps,
            batch: train.batch_size,
            accumulation,
            updates_per_epoch: samples / (train.batch_size * accumulation),
        })
    }
}

/// Checks that there is a file of pairs where it is learnt from, and nowhere else.
pub(super) fn check_path(config: &RunConfig) -> Result<()> {
    match (&config.pairs.path, config.train.algorithm) {
        (None, Algorithm::DiffusionDpo) => {
            Err(invalid("pairs.path", "nothing", "a file of pairs, for algorithm = \"diffusion-dpo\""))
        }
        (Some(path), algorithm) if algorithm != Algorithm::DiffusionDpo => {
            Err(invalid("pairs.path", path, format_args!("none with `{algorithm}`, or algorithm = \"diffusion-dpo\"")))
        }
        _ => Ok(()),
    }
}

/// The objective of a configuration whose algorithm is a setting of it.
pub(super) fn objective(config: &RunConfig, setting: Setting) -> Pairwise {
    let options = &config.pairs;
    Pairwise {
        beta: options.beta.unwrap_or(setting.beta),
        clip_range: options.clip_range,
        clip: match options.clip {
            PairClipChoice::TwoSided => PairClip::TwoSided,
            PairClipChoice::OneSided => PairClip::OneSided,
        },
    }
}

/// Checks the ranges also where nothing uses them, as those of other algorithms are.
pub(super) fn check_ranges(options: &PairOptions) -> Result<()> {
    positive("pairs.beta", options.beta.unwrap_or(1.0))?;
    positive("pairs.clip-range", options.clip_range)?;
    within("pairs.loser-weight", options.loser_weight, 0.0, f64::MAX)?;
    within("pairs.loser-denoising", options.loser_denoising, 0.0, f64::MAX)?;
    match options.clip_range < 1.0 {
        true => Ok(()),
        false => Err(invalid("pairs.clip-range", options.clip_range, "above 0 and below 1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunPlan;
    use crate::config::{AlgorithmPlan, Layers, ObjectivePlan};

    fn plan(changes: &[&str]) -> Result<RunPlan> {
        let mut layers = Layers::default();
        changes.iter().for_each(|change| layers.push_assignment(change).unwrap());
        RunPlan::new(layers.resolve().unwrap())
    }

    fn pairwise(plan: &RunPlan) -> Pairwise {
        match plan.algorithm {
            AlgorithmPlan::PolicyGradient(gradient) => match gradient.objective {
                ObjectivePlan::Pairwise(pairwise) => pairwise,
                other => panic!("{other:?}"),
            },
            _ => panic!("{plan:?}"),
        }
    }

    #[test]
    fn two_names_are_settings_of_one_objective() {
        let pso = plan(&["train.algorithm=pso"]).unwrap();
        assert_eq!(pairwise(&pso), Pairwise::default());
        // Two samples a prompt, whatever kind of advantage other algorithms would have.
        assert_eq!((pso.samples_per_prompt, pso.samples_per_term()), (2, None));
        let d3po = plan(&["train.algorithm=d3po"]).unwrap();
        assert_eq!(pairwise(&d3po), pairwise(&plan(&["train.algorithm=pso", "pairs.beta=0.1"]).unwrap()));
        let drawn = ["train.algorithm=d3po", "pairs.judge=one-term", "advantage.group-size=4", "pairs.clip=one-sided"];
        let drawn = plan(&drawn).unwrap();
        assert_eq!((drawn.samples_per_prompt, drawn.samples_per_term()), (4, Some(2)));
        assert_eq!(pairwise(&drawn).clip, PairClip::OneSided);
        // The option of another algorithm.
        assert_eq!(plan(&["pairs.judge=one-term"]).unwrap().samples_per_term(), None);
    }

    #[test]
    fn given_pairs_say_where_they_are() {
        let given = ["train.algorithm=diffusion-dpo", "pairs.path=pairs.jsonl", "train.batch-size=16"];
        let plan = |more: &[&str]| plan(&[&given[..], more].concat());
        let found = plan(&[]).unwrap();
        let AlgorithmPlan::Preference(pairs) = found.algorithm else { panic!("{found:?}") };
        assert_eq!(pairs.objective, DiffusionDpo::default());
        // The default run's 64 pictures are 32 pairs.
        assert_eq!((pairs.updates_per_epoch, found.images_per_update(), found.samples_per_prompt), (4, 16, 1));
        for (change, wanted) in [
            ("prompts.kind=counting", "invalid `prompts`: found options, expected nothing with `diffusion-dpo`"),
            ("train.kl-weight=0.5", "invalid `train.kl-weight`: found 0.5, expected 0 with `diffusion-dpo`"),
            ("train.inner-epochs=2", "invalid `train.inner-epochs`: found 2, expected 1 with `diffusion-dpo`"),
            ("train.batch-size=1", "invalid `train.batch-size`: found 1, expected an even number"),
            ("pairs.loser-weight=-1.0", "invalid `pairs.loser-weight`: found -1"),
            ("train.algorithm=pso", "invalid `pairs.path`: found pairs.jsonl, expected none with `pso`"),
        ] {
            let message = plan(&[change]).unwrap_err().to_string();
            assert!(message.starts_with(wanted), "{change}: {message}");
        }
        let message = super::tests::plan(&["train.algorithm=diffusion-dpo"]).unwrap_err().to_string();
        assert!(message.starts_with("invalid `pairs.path`: found nothing, expected a file of pairs"), "{message}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |change: &str| plan(&["train.algorithm=pso", change]).unwrap_err().to_string();
        for (change, wanted) in [
            ("advantage.group-size=3", "invalid `advantage.group-size`: found 3, expected an even number"),
            ("advantage.group-size=0", "invalid `advantage.group-size`: found 0, expected an even number"),
            ("train.batch-size=1", "invalid `train.batch-size`: found 1, expected an even number with `pso`"),
            ("pairs.beta=0.0", "invalid `pairs.beta`: found 0"),
            ("pairs.clip-range=1.0", "invalid `pairs.clip-range`: found 1, expected above 0 and below 1"),
            ("sample.eta=0.0", "invalid `sample.eta`: found 0"),
        ] {
            assert!(refused(change).starts_with(wanted), "{change}: {}", refused(change));
        }
    }
}
