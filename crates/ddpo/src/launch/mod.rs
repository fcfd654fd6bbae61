//! Runs of several processes, as a launcher starts them: `mpirun`, `srun`.

mod launcher;
#[cfg(feature = "mpi")]
mod mpi;

#[cfg(feature = "mpi")]
use std::sync::Arc;

use ddpo_train::Ranks;

use crate::device::DeviceName;
use crate::error::{Error, Result};

pub use launcher::Launched;

/// The processes that a launcher has started, of which this is one; a process that nobody has launched is alone.
///
/// # Errors
///
/// Fails where a launcher has started several processes and this build cannot speak with the others, and where MPI cannot be
/// started.
pub fn ranks() -> Result<Ranks> {
    match Launched::by_environment(&|name| std::env::var(name).ok()) {
        Some(launched) if launched.size > 1 => connect(&launched),
        _ => Ok(Ranks::default()),
    }
}

/// How many threads a process computes with that was told this many: 0, one for every core, is a share of the cores where a launcher
/// has started several processes on this machine.
#[must_use]
pub fn threads(told: usize) -> usize {
    let local = Launched::by_environment(&|name| std::env::var(name).ok()).map_or(1, |launched| launched.local_size);
    if told > 0 || local < 2 {
        return told;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cores / local).max(1)
}

/// The device that this process means by a name: where several processes of this machine do a run together, each has a GPU of its own as
/// far as there are as many, but for a name with a number, which is the same GPU for all.
#[must_use]
pub fn device(named: DeviceName) -> DeviceName {
    let launched = Launched::by_environment(&|name| std::env::var(name).ok());
    named.of_local_rank(launched.map_or(0, |launched| launched.local_rank))
}

#[cfg(feature = "mpi")]
fn connect(launched: &Launched) -> Result<Ranks> {
    let mpi = mpi::Mpi::start()?;
    let found = ddpo_train::Collective::size(&mpi);
    if found != launched.size {
        let reason = format!(
            "{} started {} processes, and MPI sees {found}: the program was built with another MPI than the launcher's",
            launched.by, launched.size
        );
        return Err(Error::Launch { reason });
    }
    Ok(Ranks::new(Arc::new(mpi)))
}

#[cfg(not(feature = "mpi"))]
fn connect(launched: &Launched) -> Result<Ranks> {
    let reason = format!(
        "{} started {} processes, and this build cannot do a run together with others; one built with the feature `mpi` can \
         (docs/guide/clusters.md)",
        launched.by, launched.size
    );
    Err(Error::Launch { reason })
}
