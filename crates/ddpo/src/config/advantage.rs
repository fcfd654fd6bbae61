//! What a checked configuration says of advantages.

use ddpo_core::advantage::Deviation;

use crate::error::Result;

use super::check::{at_least_one, invalid};
use super::choices::{AdvantageKind, Algorithm};
use super::run::RunConfig;

/// How rewards become advantages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvantagePlan {
    /// Running statistics of each prompt.
    PerPrompt {
        /// How many of a prompt's last rewards are remembered.
        buffer_size: usize,
        /// With fewer, the batch's statistics are used.
        min_count: usize,
        /// Whose standard deviation is divided by.
        deviation: Deviation,
    },
    /// Statistics of the whole batch.
    Batch,
    /// Statistics of each group of samples of one prompt.
    Group {
        /// Samples a prompt.
        size: usize,
        /// Whose standard deviation is divided by.
        deviation: Deviation,
    },
    /// Which of each two samples of one prompt is better.
    Pairs {
        /// Samples a prompt, an even number.
        size: usize,
    },
}

impl AdvantagePlan {
    /// Checks the section `advantage`, whatever the algorithm: a group's samples share a prompt in all of them.
    pub(super) fn new(config: &RunConfig, samples: usize) -> Result<Self> {
        let options = &config.advantage;
        let deviation = if options.global_std { Deviation::Epoch } else { Deviation::Peers };
        if matches!(config.train.algorithm, Algorithm::Pso | Algorithm::D3po) {
            let size = options.group_size.unwrap_or(2);
            let fits = size > 0 && size.is_multiple_of(2) && samples.is_multiple_of(size);
            let expected = format_args!("an even number and a divisor of {samples}, the samples of an epoch");
            return if fits { Ok(Self::Pairs { size }) } else { Err(invalid("advantage.group-size", size, expected)) };
        }
        if matches!(config.train.algorithm, Algorithm::DiffusionDpo | Algorithm::Lcd) {
            // Nothing that is sampled is compared.
            return Ok(Self::Batch);
        }
        match options.kind {
            AdvantageKind::Batch if options.global_std => {
                let expected = "false with kind = \"batch\", which has no other deviation than that of the epoch";
                Err(invalid("advantage.global-std", true, expected))
            }
            AdvantageKind::Batch => Ok(Self::Batch),
            AdvantageKind::PerPrompt => {
                at_least_one("advantage.min-count", options.min_count)?;
                if options.buffer_size < options.min_count {
                    return Err(invalid(
                        "advantage.buffer-size",
                        options.buffer_size,
                        format_args!("at least {}, the min-count", options.min_count),
                    ));
                }
                Ok(Self::PerPrompt { buffer_size: options.buffer_size, min_count: options.min_count, deviation })
            }
            AdvantageKind::Group => {
                let size = options.group_size.unwrap_or(8);
                if size < 2 || !samples.is_multiple_of(size) {
                    return Err(invalid(
                        "advantage.group-size",
                        size,
                        format_args!("at least 2 and a divisor of {samples}, the samples of an epoch"),
                    ));
                }
                Ok(Self::Group { size, deviation })
            }
        }
    }

    /// Consecutive samples that share a prompt.
    pub fn samples_per_prompt(self) -> usize {
        match self {
            Self::Group { size, .. } | Self::Pairs { size } => size,
            Self::PerPrompt { .. } | Self::Batch => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunPlan;
    use crate::config::{AlgorithmPlan, Layers};

    fn advantage(changes: &[&str]) -> Result<AdvantagePlan> {
        let mut layers = Layers::default();
        layers.push_assignment("train.algorithm=ddpo-is").unwrap();
        changes.iter().for_each(|change| layers.push_assignment(change).unwrap());
        match RunPlan::new(layers.resolve().unwrap())?.algorithm {
            AlgorithmPlan::PolicyGradient(gradient) => Ok(gradient.advantage),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_global_deviation_goes_with_baselines_of_prompts() {
        let group = |deviation| AdvantagePlan::Group { size: 8, deviation };
        assert_eq!(advantage(&[]).unwrap(), group(Deviation::Peers));
        assert_eq!(advantage(&["advantage.global-std=true"]).unwrap(), group(Deviation::Epoch));
        let per_prompt = advantage(&["advantage.kind=per-prompt", "advantage.global-std=true"]).unwrap();
        assert!(matches!(per_prompt, AdvantagePlan::PerPrompt { deviation: Deviation::Epoch, .. }), "{per_prompt:?}");
        let message = advantage(&["advantage.kind=batch", "advantage.global-std=true"]).unwrap_err().to_string();
        assert!(message.starts_with("invalid `advantage.global-std`: found true, expected false"), "{message}");
    }
}
