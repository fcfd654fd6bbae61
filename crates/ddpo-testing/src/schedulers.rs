//! Every scheduler there is, for laws that all of them keep.

use ddpo_core::schedule::{BetaSchedule, Spacing};
use ddpo_core::scheduler::{
    Consistency, ConsistencyConfig, Ddim, DdimConfig, Ddpm, DdpmConfig, EulerAncestral, EulerAncestralConfig,
};
use ddpo_core::{Clipping, NoiseSchedule, Scheduler};

/// A scheduler with a name to blame.
#[derive(Debug)]
pub struct NamedScheduler {
    /// What a failing test prints.
    pub name: String,
    /// The scheduler.
    pub scheduler: Box<dyn Scheduler>,
}

/// The noise levels of Stable Diffusion.
///
/// # Panics
/// Never: the parameters are valid.
pub fn stable_diffusion_schedule() -> NoiseSchedule {
    NoiseSchedule::new(BetaSchedule::STABLE_DIFFUSION, 1000).expect("valid parameters")
}

/// Every scheduler in several settings, all over [`stable_diffusion_schedule`] with this many steps.
///
/// # Panics
/// If the number of steps is impossible.
pub fn schedulers(steps: usize) -> Vec<NamedScheduler> {
    let schedule = stable_diffusion_schedule();
    let spacings =
        [Spacing::Leading { offset: 1 }, Spacing::Trailing, Spacing::Linspace, Spacing::LogSnr { offset: 1 }];
    let mut all = Vec::new();
    for spacing in spacings {
        for (eta, set_alpha_to_one) in [(1.0, false), (0.5, false), (0.0, false), (1.0, true)] {
            let config = DdimConfig { steps, spacing, eta, set_alpha_to_one, ..DdimConfig::default() };
            let scheduler = Box::new(Ddim::new(&schedule, config).expect("valid parameters"));
            all.push(NamedScheduler { name: format!("{config:?}"), scheduler });
        }
        let config = DdpmConfig { steps, spacing, ..DdpmConfig::default() };
        let scheduler = Box::new(Ddpm::new(&schedule, config).expect("valid parameters"));
        all.push(NamedScheduler { name: format!("{config:?}"), scheduler });
        let config = ConsistencyConfig { steps, spacing, clipping: Clipping::None };
        let scheduler = Box::new(Consistency::new(&schedule, config).expect("valid parameters"));
        all.push(NamedScheduler { name: format!("{config:?}"), scheduler });
        let config = EulerAncestralConfig { steps, spacing };
        let scheduler = Box::new(EulerAncestral::new(&schedule, config).expect("valid parameters"));
        all.push(NamedScheduler { name: format!("{config:?}"), scheduler });
    }
    all
}
