//! Ranks that MPI connects.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use ddpo_train::Collective;
use mpi::Threading;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::traits::{Communicator, CommunicatorCollectives};

use crate::error::{Error, Result};

/// Bytes that a message may have at once: MPI counts them in 31 bits.
const MOST: usize = 1 << 30;

/// The ranks of `MPI_COMM_WORLD`.
///
/// One thread alone speaks with MPI, the one that started it, which every MPI allows.
#[derive(Debug)]
pub(super) struct Mpi {
    rank: usize,
    size: usize,
    line: Mutex<Line>,
    thread: Option<JoinHandle<()>>,
}

/// What goes to the thread, and what comes back.
#[derive(Debug)]
struct Line {
    /// None once the connection is to end.
    messages: Option<Sender<Vec<u8>>>,
    gathered: Receiver<Vec<Vec<u8>>>,
}

impl Mpi {
    /// Starts MPI.
    pub fn start() -> Result<Self> {
        let (messages, to_send) = channel::<Vec<u8>>();
        let (received, gathered) = channel();
        let (ready, started) = channel();
        let serve = move || {
            let universe = mpi::initialize_with_threading(Threading::Funneled).map(|(universe, _)| universe);
            let world = universe.as_ref().map(Universe::world);
            let place = world.as_ref().map(|world| (world.rank() as usize, world.size() as usize));
            let (Ok(()), Some(world)) = (ready.send(place), world) else { return };
            for message in to_send {
                if received.send(gather(&world, &message)).is_err() {
                    break;
                }
            }
        };
        let failed = |reason: &str| Error::Launch { reason: reason.to_owned() };
        let thread = std::thread::Builder::new().name("mpi".into()).spawn(serve);
        let thread = thread.map_err(|_| failed("there is no thread for MPI"))?;
        let place = started.recv().ok().flatten();
        let (rank, size) = place.ok_or_else(|| failed("MPI cannot be started, or has been started already"))?;
        let line = Mutex::new(Line { messages: Some(messages), gathered });
        Ok(Self { rank, size, line, thread: Some(thread) })
    }
}

/// What all ranks send, in their order: first how long it is, then in pieces that MPI can count.
fn gather(world: &impl CommunicatorCollectives, message: &[u8]) -> Vec<Vec<u8>> {
    let size = world.size() as usize;
    let mut lengths = vec![0u64; size];
    world.all_gather_into(&(message.len() as u64), &mut lengths[..]);
    let mut all: Vec<Vec<u8>> = lengths.iter().map(|&length| Vec::with_capacity(length as usize)).collect();
    let (longest, piece) = (lengths.iter().copied().max().unwrap_or(0) as usize, MOST / size);
    for first in (0..longest).step_by(piece) {
        let share = |length: usize| length.saturating_sub(first).min(piece);
        let counts: Vec<i32> = lengths.iter().map(|&length| share(length as usize) as i32).collect();
        let places: Vec<i32> = counts
            .iter()
            .scan(0, |sum, &count| {
                let place = *sum;
                *sum += count;
                Some(place)
            })
            .collect();
        let mine = &message[first.min(message.len())..][..share(message.len())];
        let mut received = vec![0u8; counts.iter().map(|&count| count as usize).sum()];
        let mut parts = PartitionMut::new(&mut received[..], &counts[..], &places[..]);
        world.all_gather_varcount_into(mine, &mut parts);
        let mut rest = received.as_slice();
        for (bytes, &count) in all.iter_mut().zip(&counts) {
            let (part, others) = rest.split_at(count as usize);
            bytes.extend_from_slice(part);
            rest = others;
        }
    }
    all
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, bytes: &[u8]) -> ddpo_train::Result<Vec<Vec<u8>>> {
        let lost = || ddpo_train::Error::Ranks("the thread that speaks with MPI is gone".into());
        let line = self.line.lock().map_err(|_| lost())?;
        let sent = line.messages.as_ref().is_some_and(|messages| messages.send(bytes.to_vec()).is_ok());
        if sent { line.gathered.recv().map_err(|_| lost()) } else { Err(lost()) }
    }
}

impl Drop for Mpi {
    /// MPI ends on the thread that started it, once there is nothing more to send.
    fn drop(&mut self) {
        if let Ok(mut line) = self.line.lock() {
            line.messages = None;
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
