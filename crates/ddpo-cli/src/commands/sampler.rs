//! The sampler and the guidance of `ddpo sample` and `ddpo evaluate`.

use anyhow::Result;
use ddpo::config::{RunConfig, SamplerPlan, SchedulerKind, SpacingKind};

use crate::args::SamplerOptions;
use crate::values::chosen;

/// The sampler that is asked for; what is not said of it is the configuration's.
pub fn sampler(args: &SamplerOptions, config: &RunConfig) -> Result<SamplerPlan> {
    let of_config = config.sample.sampler();
    let scheduler = match &args.scheduler {
        None => of_config.scheduler,
        Some(name) => chosen("scheduler", name, SchedulerKind::NAMES, SchedulerKind::from_name)?,
    };
    let eta = args.eta.unwrap_or(of_config.eta);
    if args.eta.is_some() && scheduler != SchedulerKind::Ddim {
        let expected = format!("no --eta with --scheduler {scheduler}, whose noise is its own");
        return Err(ddpo::Error::InvalidOption { key: "--eta", found: eta.to_string(), expected }.into());
    }
    let spacing = match &args.spacing {
        None => of_config.spacing,
        Some(name) => chosen("spacing", name, SpacingKind::NAMES, SpacingKind::from_name)?,
    };
    let is_other = args.eta.is_some() || scheduler != of_config.scheduler;
    Ok(SamplerPlan {
        scheduler,
        steps: args.steps.unwrap_or(of_config.steps),
        spacing,
        eta,
        eta_by_step: of_config.eta_by_step.filter(|_| !is_other),
    })
}

/// The guidance that is asked for, else the configuration's.
pub fn guidance(args: &SamplerOptions, config: &RunConfig) -> f64 {
    args.guidance.unwrap_or(config.sample.guidance)
}
