//! Ranks that are threads of one process.

use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::ScopedJoinHandle;

use super::contract::Collective;
use super::together::Ranks;
use crate::error::{Error, Result};

/// A member of a team of threads, each of which is a rank: several ranks without a launcher, as tests want them.
///
/// A member that is dropped is lost to the others: whoever waits for it, or comes to wait, gets an error.
#[derive(Debug)]
pub struct Team {
    rank: usize,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    size: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// What the members have sent in this round.
    sent: Vec<Option<Vec<u8>>>,
    /// What all members sent in the last one, and how many of them have still to take it.
    gathered: Arc<Vec<Vec<u8>>>,
    to_take: usize,
    lost: bool,
}

impl Team {
    /// The members of a team of this size.
    #[must_use]
    pub fn of(size: usize) -> Vec<Self> {
        let state = State { sent: vec![None; size], gathered: Arc::default(), to_take: 0, lost: false };
        let shared = Arc::new(Shared { size, state: Mutex::new(state), changed: Condvar::new() });
        (0..size).map(|rank| Self { rank, shared: shared.clone() }).collect()
    }

    /// What each rank of a team of this size makes of `work`, in their order. A panic of one is a panic of the caller.
    pub fn each<T: Send>(size: usize, work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let work = &work;
            let spawn = |member| scope.spawn(move || work(Ranks::new(Arc::new(member))));
            let threads: Vec<_> = Self::of(size).into_iter().map(spawn).collect();
            let join = |thread: ScopedJoinHandle<'_, T>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            threads.into_iter().map(join).collect()
        })
    }

    /// Waits until `is_ready`.
    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        is_ready: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'a, State>> {
        loop {
            if is_ready(&state) {
                return Ok(state);
            }
            if state.lost {
                return Err(lost());
            }
            state = self.shared.changed.wait(state).map_err(|_| lost())?;
        }
    }
}

impl Collective for Team {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.size
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let state = self.shared.state.lock().map_err(|_| lost())?;
        // Whoever is early for the next round waits until everybody has what was sent in this one.
        let mut state = self.wait(state, |state| state.to_take == 0)?;
        state.sent[self.rank] = Some(bytes.to_vec());
        if state.sent.iter().all(Option::is_some) {
            let all = state.sent.iter_mut().filter_map(Option::take).collect();
            (state.gathered, state.to_take) = (Arc::new(all), self.shared.size);
            self.shared.changed.notify_all();
        }
        let mut state = self.wait(state, |state| state.to_take > 0)?;
        let gathered = state.gathered.clone();
        state.to_take -= 1;
        self.shared.changed.notify_all();
        drop(state);
        Ok(gathered.to_vec())
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        if let Ok(mut state) = self.shared.state.lock() {
            state.lost = true;
        }
        self.shared.changed.notify_all();
    }
}

fn lost() -> Error {
    Error::Ranks("another member of the team is gone".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_what_everybody_sent_round_after_round() {
        std::thread::scope(|scope| {
            for member in Team::of(3) {
                scope.spawn(move || {
                    for round in 0..50u8 {
                        let mine = vec![round; member.rank() + usize::from(round % 2)];
                        let wanted: Vec<Vec<u8>> = (0..3).map(|r| vec![round; r + usize::from(round % 2)]).collect();
                        assert_eq!(member.gather(&mine).unwrap(), wanted);
                    }
                });
            }
        });
    }

    #[test]
    fn a_member_that_is_gone_keeps_nobody_waiting() {
        let mut members = Team::of(2);
        let (gone, left) = (members.pop(), members.pop().unwrap());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || left.gather(b"hello"));
            drop(gone);
            assert!(waiting.join().unwrap().is_err());
        });
    }
}
