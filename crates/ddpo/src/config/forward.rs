//! What a checked configuration of the forward process says.

use ddpo_core::correction::{CorrectedTarget, ErrorWeight};
use ddpo_train::{OldPolicy, TimestepDensity};

use crate::error::Result;

use super::advantage::AdvantagePlan;
use super::batches::accumulation;
use super::check::{at_least_one, at_most, invalid, positive, within};
use super::choices::{ErrorSpace, TimestepChoice};
use super::run::{ForwardOptions, RunConfig};

/// The numbers of forward-process learning that follow from a configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForwardProcessPlan {
    /// What is regressed on.
    pub target: CorrectedTarget,
    /// Noisings of a sample.
    pub noisings: usize,
    /// How their timesteps are drawn.
    pub density: TimestepDensity,
    /// Who draws the samples.
    pub old_policy: OldPolicy,
    /// How rewards become advantages.
    pub advantage: AdvantagePlan,
    /// Images of a training batch.
    pub batch: usize,
    /// Training batches whose gradients make one update.
    pub accumulation: usize,
    /// Optimizer steps an epoch, over all inner epochs.
    pub updates_per_epoch: usize,
}

/// What an algorithm says where the configuration does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Setting {
    strength: f64,
    anchor: f64,
    noisings: usize,
    density: TimestepChoice,
    old_decay: f64,
}

/// DiffusionNFT (arXiv 2509.16117) with β = 1, whose advantages up to 5 become `r = ½ + A/10`; four noisings are V-GRPO's
/// (arXiv 2604.23380), and how far targets go back to the base model, in place of its divergence term, is ours.
pub(super) const NFT: Setting =
    Setting { strength: 0.2, anchor: 0.05, noisings: 4, density: TimestepChoice::Uniform, old_decay: 0.5 };

/// RAM (arXiv 2605.10759).
pub(super) const RAM: Setting =
    Setting { strength: 100.0, anchor: 1.0, noisings: 8, density: TimestepChoice::Linear, old_decay: 0.9 };

impl ForwardProcessPlan {
    /// The plan of a configuration whose algorithm is a setting of the forward process.
    ///
    /// # Errors
    /// Names the first option that does not fit.
    pub(super) fn new(config: &RunConfig, setting: Setting, advantage: AdvantagePlan, samples: usize) -> Result<Self> {
        let (options, train) = (&config.forward, &config.train);
        if train.kl_weight != 0.0 {
            let expected = "0 with the forward process, whose hold on the base model is forward.anchor";
            return Err(invalid("train.kl-weight", train.kl_weight, expected));
        }
        if train.timestep_fraction != 1.0 {
            let expected = "1 with the forward process, whose timesteps are as many as forward.noisings";
            return Err(invalid("train.timestep-fraction", train.timestep_fraction, expected));
        }
        let accumulation = accumulation(train, samples, false)?;
        let weight = ErrorWeight { space: space(options.space), cap: options.cap, is_normalised: options.normalise };
        Ok(Self {
            target: CorrectedTarget {
                strength: options.strength.unwrap_or(setting.strength),
                anchor: options.anchor.unwrap_or_else(|| shared_by(config.task.len(), setting.anchor)),
                weight,
            },
            noisings: options.noisings.unwrap_or(setting.noisings),
            density: density(options.timesteps.unwrap_or(setting.density)),
            old_policy: OldPolicy { ramp: options.old_ramp, most: options.old_decay.unwrap_or(setting.old_decay) },
            advantage,
            batch: train.batch_size,
            accumulation,
            updates_per_epoch: samples / (train.batch_size * accumulation) * train.inner_epochs,
        })
    }

    /// Passes forward of models that do not learn, for each one of the policy that does.
    pub fn frozen_passes(&self) -> usize {
        let drawn_by_policy = self.old_policy.most == 0.0 && self.updates_per_epoch == 1;
        usize::from(!drawn_by_policy) + usize::from(self.target.anchor != 0.0)
    }
}

/// The anchor of each of so many tasks, with which the epochs that all of them have in turn give back to the base model what one
/// epoch of a run without tasks does: what one of them has gained, the others' epochs take back as well.
fn shared_by(tasks: usize, anchor: f64) -> f64 {
    // Without a detour through a power, which rounds.
    if tasks <= 1 { anchor } else { 1.0 - (1.0 - anchor).powf(1.0 / tasks as f64) }
}

/// Checks the ranges also where nothing uses them, as those of other algorithms are.
pub(super) fn check_ranges(options: &ForwardOptions) -> Result<()> {
    within("forward.strength", options.strength.unwrap_or(0.0), 0.0, f64::MAX)?;
    within("forward.anchor", options.anchor.unwrap_or(0.0), 0.0, 1.0)?;
    within("forward.old-ramp", options.old_ramp, 0.0, f64::MAX)?;
    within("forward.old-decay", options.old_decay.unwrap_or(0.0), 0.0, 0.999_999_9)?;
    positive("forward.cap", options.cap)?;
    let noisings = options.noisings.unwrap_or(1);
    at_least_one("forward.noisings", noisings)?;
    at_most("forward.noisings", noisings, 1 << 12)
}

fn space(space: ErrorSpace) -> ddpo_core::correction::ErrorSpace {
    match space {
        ErrorSpace::Sample => ddpo_core::correction::ErrorSpace::Sample,
        ErrorSpace::Velocity => ddpo_core::correction::ErrorSpace::Velocity,
        ErrorSpace::Noise => ddpo_core::correction::ErrorSpace::Noise,
    }
}

fn density(choice: TimestepChoice) -> TimestepDensity {
    match choice {
        TimestepChoice::Uniform => TimestepDensity::Uniform,
        TimestepChoice::Linear => TimestepDensity::Linear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunPlan;
    use crate::config::{AlgorithmPlan, Layers};

    fn plan(changes: &[&str]) -> Result<RunPlan> {
        let mut layers = Layers::default();
        changes.iter().for_each(|change| layers.push_assignment(change).unwrap());
        RunPlan::new(layers.resolve().unwrap())
    }

    fn forward(changes: &[&str]) -> ForwardProcessPlan {
        match plan(changes).unwrap().algorithm {
            AlgorithmPlan::Forward(forward) => forward,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_names_are_settings_of_one_algorithm() {
        let (nft, ram) = (forward(&["train.algorithm=nft"]), forward(&["train.algorithm=ram"]));
        let of_nft = CorrectedTarget { anchor: 0.05, ..CorrectedTarget::default() };
        assert_eq!((nft.target, nft.noisings, nft.old_policy), (of_nft, 4, OldPolicy::default()));
        let changes = [
            "train.algorithm=nft",
            "forward.strength=100",
            "forward.anchor=1",
            "forward.noisings=8",
            "forward.timesteps=linear",
            "forward.old-decay=0.9",
        ];
        assert_eq!(ram, forward(&changes));
        // One update of the default run's 64 samples; the old policy and the base model are asked in both.
        assert_eq!((nft.updates_per_epoch, nft.frozen_passes(), ram.frozen_passes()), (1, 2, 2));
        let by_itself = ["train.algorithm=nft", "forward.old-decay=0", "forward.anchor=0"];
        assert_eq!(forward(&by_itself).frozen_passes(), 0);
    }

    #[test]
    fn tasks_share_the_hold_on_the_base_model() {
        let tasks = |count: usize, algorithm: &str| {
            let tables: String = (0..count).map(|i| format!("[[task]]\nname = \"{i}\"\n")).collect();
            let config = format!("train.algorithm = \"{algorithm}\"\n{tables}");
            let mut layers = Layers::default();
            layers.push_toml("tasks.toml", &config).unwrap();
            match RunPlan::new(layers.resolve().unwrap()).unwrap().algorithm {
                AlgorithmPlan::Forward(forward) => forward.target.anchor,
                other => panic!("{other:?}"),
            }
        };
        let kept = |count: u8| (1.0 - tasks(usize::from(count), "nft")).powi(i32::from(count));
        assert_eq!((tasks(0, "nft"), tasks(1, "nft"), tasks(3, "ram")), (0.05, 0.05, 1.0));
        assert!((1..6).all(|count| (kept(count) - 0.95).abs() < 1e-12));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |change: &str| plan(&["train.algorithm=nft", change]).unwrap_err().to_string();
        for (change, wanted) in [
            ("train.kl-weight=0.1", "invalid `train.kl-weight`: found 0.1, expected 0 with the forward process"),
            ("train.timestep-fraction=0.5", "invalid `train.timestep-fraction`: found 0.5, expected 1"),
            ("forward.anchor=1.5", "invalid `forward.anchor`: found 1.5, expected 0 to 1"),
            ("forward.strength=-1.0", "invalid `forward.strength`: found -1"),
            ("forward.cap=0.0", "invalid `forward.cap`: found 0"),
            ("forward.noisings=0", "invalid `forward.noisings`: found 0, expected at least 1"),
            ("forward.old-decay=1.0", "invalid `forward.old-decay`: found 1"),
            ("forward.old-ramp=nan", "invalid `forward.old-ramp`: found NaN"),
            ("train.batch-size=60", "invalid `train.batch-size`: found 60"),
        ] {
            assert!(refused(change).starts_with(wanted), "{change}: {}", refused(change));
        }
    }
}
