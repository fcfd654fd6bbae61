//! What connects the processes of a run.

use crate::error::Result;

/// The processes of a run, which are called ranks, seen from one of them.
///
/// ```
/// use ddpo_train::{Collective, Result, Team};
///
/// fn names(collective: &dyn Collective) -> Result<Vec<String>> {
///     let all = collective.gather(format!("rank {}", collective.rank()).as_bytes())?;
///     Ok(all.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
/// }
///
/// let members = Team::of(2);
/// let said = std::thread::scope(|scope| {
///     let threads: Vec<_> = members.iter().map(|member| scope.spawn(|| names(member))).collect();
///     threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Result<Vec<_>>>()
/// })?;
/// assert_eq!(said, vec![["rank 0", "rank 1"]; 2]);
/// # Ok::<(), ddpo_train::Error>(())
/// ```
pub trait Collective: Send + Sync {
    /// The number of this process, below [`size`](Self::size).
    fn rank(&self) -> usize;

    /// How many processes there are, at least 1.
    fn size(&self) -> usize;

    /// Sends `bytes` to everybody and waits for what everybody sends: one entry a rank, in their order, the same everywhere.
    ///
    /// Every rank calls it equally often; lengths may differ.
    ///
    /// # Errors
    /// [`Error::Ranks`](crate::Error::Ranks) where the connection is lost.
    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>>;
}

/// One process by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Collective for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(vec![bytes.to_vec()])
    }
}
