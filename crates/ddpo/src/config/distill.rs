//! What a checked configuration of latent consistency distillation says.

use ddpo_core::distillation::ConsistencyDistillation;

use crate::error::Result;

use super::batches::accumulation;
use super::check::{at_least_one, at_most, invalid, positive, within};
use super::run::{DistillOptions, RunConfig};

/// The numbers of distillation that follow from a configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistillationPlan {
    /// What is minimised.
    pub objective: ConsistencyDistillation,
    /// Images of a training batch.
    pub batch: usize,
    /// Training batches whose gradients make one update.
    pub accumulation: usize,
    /// Optimizer steps an epoch, over all inner epochs.
    pub updates_per_epoch: usize,
}

impl DistillationPlan {
    /// The plan of a configuration whose algorithm distils.
    ///
    /// # Errors
    /// Names the first option that does not fit.
    pub(super) fn new(config: &RunConfig, samples: usize) -> Result<Self> {
        let train = &config.train;
        for (key, found, wanted) in [
            ("train.kl-weight", train.kl_weight, 0.0),
            ("train.timestep-fraction", train.timestep_fraction, 1.0),
            ("train.first-timestep", train.first_timestep as f64, 0.0),
        ] {
            if found != wanted {
                let expected = format_args!("{wanted} with `lcd`, whose timesteps are those of distill.grid");
                return Err(invalid(key, found, expected));
            }
        }
        let accumulation = accumulation(train, samples, false)?;
        Ok(Self {
            objective: ConsistencyDistillation { huber: config.distill.huber },
            batch: train.batch_size,
            accumulation,
            updates_per_epoch: samples / (train.batch_size * accumulation) * train.inner_epochs,
        })
    }
}

/// Checks the ranges also where nothing uses them, as those of other algorithms are.
pub(super) fn check_ranges(options: &DistillOptions) -> Result<()> {
    within("distill.guidance", options.guidance, 0.0, 1000.0)?;
    at_least_one("distill.teacher-steps", options.teacher_steps)?;
    at_least_one("distill.grid", options.grid)?;
    at_most("distill.grid", options.grid, 1 << 20)?;
    within("distill.target-decay", options.target_decay, 0.0, 0.999_999_9)?;
    positive("distill.huber", options.huber)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunPlan;
    use crate::config::{AlgorithmPlan, Layers, Preset};

    fn plan(changes: &[&str]) -> Result<RunPlan> {
        let mut layers = Layers::default();
        layers.push_preset(Preset::find("distill")?)?;
        changes.iter().for_each(|change| layers.push_assignment(change).unwrap());
        RunPlan::new(layers.resolve().unwrap())
    }

    #[test]
    fn the_preset_samples_the_few_step_model_as_it_is_to_be_sampled() {
        let found = plan(&[]).unwrap();
        let AlgorithmPlan::Distillation(distillation) = found.algorithm else { panic!("{found:?}") };
        assert_eq!(distillation.objective, ConsistencyDistillation::default());
        let (sample, options) = (&found.config.sample, &found.config.distill);
        assert_eq!((sample.steps, sample.guidance, options.guidance, options.teacher_steps), (4, 1.0, 5.0, 10));
        assert_eq!((options.grid, options.target_decay), (8, 0.8));
        assert_eq!((found.updates_per_epoch(), found.samples_per_prompt), (10, 1));
        let other = plan(&["model.path=org/model"]).unwrap().config.distill;
        assert_eq!((other.guidance, other.teacher_steps, other.grid, other.target_decay), (5.0, 50, 50, 0.95));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (change, wanted) in [
            ("train.first-timestep=9", "invalid `train.first-timestep`: found 9, expected 0 with `lcd`"),
            ("train.kl-weight=0.5", "invalid `train.kl-weight`: found 0.5, expected 0 with `lcd`"),
            ("distill.target-decay=1.0", "invalid `distill.target-decay`: found 1"),
            ("distill.grid=0", "invalid `distill.grid`: found 0, expected at least 1"),
            ("distill.huber=0.0", "invalid `distill.huber`: found 0"),
            ("train.batch-size=60", "invalid `train.batch-size`: found 60"),
        ] {
            let message = plan(&[change]).unwrap_err().to_string();
            assert!(message.starts_with(wanted), "{change}: {message}");
        }
    }
}
