//! The ranks of a run as trainers use them: what each has a share of, and how all of them end when one does.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::contract::{Alone, Collective};
use super::wire::{Reader, Writer};
use crate::error::{Error, Result};

/// What a message begins with: that it is one, or why its sender sends no more.
const MESSAGE: u64 = 0;
const FAILED: u64 = 1;
const INTERRUPTED: u64 = 2;

/// The ranks that do a run together. Copies are the same ranks.
///
/// Whatever a run computes it computes in pieces whose number is the run's own and not that of the ranks; each rank does a
/// [share](Self::share) of them, and what they came to is put together in their order, everywhere. A rank that fails says so in
/// place of its next message, so that all ranks end together and none waits for ever.
#[derive(Clone)]
pub struct Ranks {
    collective: Arc<dyn Collective>,
    state: Arc<State>,
}

/// What copies have in common.
#[derive(Default)]
struct State {
    /// Somebody has failed, and nothing more is sent.
    is_over: AtomicBool,
    /// All are done, and nobody waits for a message.
    have_parted: AtomicBool,
    /// The nanoseconds spent on messages since somebody asked.
    nanoseconds: AtomicU64,
}

impl Default for Ranks {
    fn default() -> Self {
        Self::new(Arc::new(Alone))
    }
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank(), self.size())
    }
}

impl Ranks {
    /// The ranks that `collective` connects.
    #[must_use]
    pub fn new(collective: Arc<dyn Collective>) -> Self {
        Self { collective, state: Arc::default() }
    }

    /// The number of this process.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.collective.rank()
    }

    /// How many processes there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.collective.size()
    }

    /// Whether there are no others.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.size() == 1
    }

    /// Whether this process is the one that writes.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Which of `count` pieces this rank does: as many as any other, or one more or less, and the first rank the first ones.
    #[must_use]
    pub fn share(&self, count: usize) -> Range<usize> {
        let (rank, size) = (self.rank(), self.size());
        count * rank / size..count * (rank + 1) / size
    }

    /// Which of `count` things this rank does, where they are done in batches: whole ones.
    #[must_use]
    pub fn share_in_batches(&self, count: usize, batch: usize) -> Range<usize> {
        let share = self.share(count.div_ceil(batch));
        (share.start * batch).min(count)..(share.end * batch).min(count)
    }

    /// What every rank sends, in their order.
    ///
    /// # Errors
    /// [`Error::Rank`] where another rank has failed, [`Error::Interrupted`] where one was asked to stop, [`Error::Ranks`] where
    /// the connection is lost. Nothing can be sent after any of them.
    pub fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        if self.state.is_over.load(Ordering::Relaxed) {
            return Err(Error::Ranks("one of them has failed, or was asked to stop".into()));
        }
        self.state.have_parted.store(false, Ordering::Relaxed);
        let start = Instant::now();
        let mut message = Writer::default();
        message.number(MESSAGE);
        message.bytes(bytes);
        let received = self.collective.gather(&message.finish()).and_then(read_all);
        self.state.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        if received.is_err() {
            self.state.is_over.store(true, Ordering::Relaxed);
        }
        received
    }

    /// How long this rank has spent on messages, waiting for slower ranks included, since this was asked last.
    pub fn take_time(&self) -> Duration {
        Duration::from_nanos(self.state.nanoseconds.swap(0, Ordering::Relaxed))
    }

    /// What the first rank sends.
    ///
    /// # Errors
    /// Those of [`gather`](Self::gather).
    pub fn broadcast(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let mine = if self.is_first() { bytes } else { &[] };
        Ok(self.gather(mine)?.into_iter().next().unwrap_or_default())
    }

    /// Waits for all ranks at the end of a run, after which they part: nobody waits for what comes of a rank alone. They come together
    /// again where all of them go on.
    ///
    /// # Errors
    /// Those of [`gather`](Self::gather).
    pub fn finish(&self) -> Result<()> {
        if !self.is_alone() {
            self.gather(&[])?;
            self.state.have_parted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Tells the others why this rank sends no more; nothing where they know, since it was one of them, or have parted.
    pub fn leave(&self, error: &(dyn std::error::Error + 'static)) {
        let State { is_over, have_parted, .. } = &*self.state;
        if self.is_alone() || is_over.swap(true, Ordering::Relaxed) || have_parted.load(Ordering::Relaxed) {
            return;
        }
        let mut message = Writer::default();
        match error.downcast_ref() {
            Some(Error::Interrupted { epoch }) => {
                message.number(INTERRUPTED);
                message.number(*epoch);
            }
            _ => {
                message.number(FAILED);
                message.bytes(with_sources(error).as_bytes());
            }
        }
        // It has failed already: that the others cannot be told adds nothing to it.
        let _ = self.collective.gather(&message.finish());
    }

    /// Whether all ranks have come to the same bytes.
    ///
    /// # Errors
    /// [`Error::RanksDiffer`] where they have not; those of [`gather`](Self::gather).
    pub fn agree(&self, what: &'static str, bytes: &[u8]) -> Result<()> {
        if self.is_alone() {
            return Ok(());
        }
        let all = self.gather(bytes)?;
        match all.iter().position(|other| Some(other) != all.first()) {
            Some(rank) => Err(Error::RanksDiffer { what, rank }),
            None => Ok(()),
        }
    }
}

fn read_all(received: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
    // A failure says more than an interruption, which may have come of it.
    let mut interrupted = None;
    let mut messages = Vec::with_capacity(received.len());
    for (rank, bytes) in received.iter().enumerate() {
        let mut reader = Reader::new(bytes);
        match reader.number()? {
            MESSAGE => messages.push(reader.bytes()?.to_vec()),
            INTERRUPTED => interrupted = Some(reader.number()?),
            _ => return Err(Error::Rank { rank, message: reader.text()? }),
        }
    }
    match interrupted {
        Some(epoch) => Err(Error::Interrupted { epoch }),
        None => Ok(messages),
    }
}

/// `error` and what it came of, in a line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::team::Team;
    use super::*;

    /// What each rank of a team makes of `work`.
    fn each<T: Send>(size: usize, work: impl Fn(&Ranks) -> T + Sync) -> Vec<T> {
        Team::each(size, |ranks| work(&ranks))
    }

    #[test]
    fn shares_are_everything_once_and_even() {
        for size in 1..10 {
            for count in 0..20 {
                let shares = each(size, |ranks| ranks.share(count));
                let all: Vec<usize> = shares.iter().cloned().flatten().collect();
                assert_eq!(all, (0..count).collect::<Vec<_>>(), "{count} among {size}");
                assert!(shares.iter().all(|share| share.len().abs_diff(count / size) <= 1));
            }
        }
    }

    #[test]
    fn a_failure_ends_all_ranks_with_its_words() {
        let outcomes = each(3, |ranks| {
            ranks.gather(b"before").unwrap();
            if ranks.rank() == 1 {
                let error = Error::device("out of memory");
                ranks.leave(&error);
                return error.to_string();
            }
            let error = ranks.gather(b"after").unwrap_err();
            ranks.leave(&error);
            assert!(ranks.gather(b"never").is_err());
            error.to_string()
        });
        assert!(outcomes.iter().all(|text| text.contains("out of memory")), "{outcomes:?}");
        assert!(outcomes[0].starts_with("rank 1 failed"), "{outcomes:?}");
    }

    #[test]
    fn one_that_is_asked_to_stop_stops_all() {
        let stopped = each(3, |ranks| match ranks.rank() {
            2 => {
                ranks.leave(&Error::Interrupted { epoch: 4 });
                true
            }
            _ => matches!(ranks.gather(b""), Err(Error::Interrupted { epoch: 4 })),
        });
        assert_eq!(stopped, [true; 3]);
    }

    #[test]
    fn ranks_that_have_parted_wait_for_nobody_and_may_come_together_again() {
        let everybody = std::sync::Barrier::new(3);
        let received = each(3, |ranks| {
            ranks.finish().unwrap();
            let received = ranks.broadcast(&[7]).unwrap();
            ranks.finish().unwrap();
            if ranks.rank() == 1 {
                // Nobody hears of it, and it waits for nobody.
                ranks.leave(&Error::device("out of memory"));
                assert!(ranks.gather(b"").is_err());
            }
            everybody.wait();
            received
        });
        assert_eq!(received, vec![[7]; 3]);
    }

    #[test]
    fn time_that_others_take_is_counted_once() {
        let took = each(2, |ranks| {
            let pause = Duration::from_millis(if ranks.rank() == 0 { 0 } else { 30 });
            std::thread::sleep(pause);
            ranks.gather(b"").unwrap();
            (ranks.take_time(), ranks.take_time())
        });
        assert!(took[0].0 > Duration::from_millis(15) && took[0].1.is_zero() && took[1].1.is_zero(), "{took:?}");
    }

    #[test]
    fn ranks_that_differ_are_told_of() {
        let said = each(3, |ranks| {
            let differ = ranks.agree("the parameters", &[u8::from(ranks.rank() == 2)]).unwrap_err().to_string();
            (ranks.broadcast(&[ranks.rank() as u8 + 7]).unwrap(), differ)
        });
        let differ = "rank 2 has come to other bytes than rank 0: the parameters";
        assert!(said.iter().all(|(sent, text)| sent == &[7] && text.starts_with(differ)), "{said:?}");
    }
}
