//! Independent pieces of work side by side.
//!
//! A small model spends its time waiting: every operation cut among all threads ends in a barrier. A lane is one thread which
//! does a whole piece of work (the chains of a batch, the gradient of a micro-batch) alone, without any. Where the pieces are
//! large, one lane which uses all threads inside each operation needs a fraction of the memory.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// Some threads, each of which does pieces of work alone; or none, and the calling thread does everything.
///
/// How many there are never changes a result: a piece does not know who does it, and results are taken in the order of the
/// pieces.
///
/// ```
/// let (lanes, mut squares) = (ddpo_train::Lanes::new(2)?, Vec::new());
/// let square = |_, x: i32, _: ddpo_train::OnStep<'_>| Ok::<_, ddpo_train::Error>(x * x);
/// lanes.each(vec![1, 2, 3], square, &mut || {}, |square| Ok(squares.push(square)))?;
/// assert_eq!(squares, [1, 4, 9]);
/// # Ok::<(), ddpo_train::Error>(())
/// ```
#[derive(Debug)]
pub struct Lanes {
    /// Pools of one thread: within them every parallel loop is a plain one.
    pools: Vec<ThreadPool>,
}

/// What a lane tells the calling thread.
enum LaneMessage<R, E> {
    Step,
    Done(usize, Result<R, E>),
}

/// Tells that a step of a piece of work is done. The calling thread hears of it.
pub type OnStep<'a> = &'a mut dyn FnMut();

impl Lanes {
    /// `count` lanes.
    ///
    /// # Errors
    /// [`Error::Threads`] where the system gives no more threads.
    pub fn new(count: usize) -> Result<Self> {
        let pool = |_| ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| Error::Threads(error.into()));
        let count = if count > 1 { count } else { 0 };
        Ok(Self { pools: (0..count).map(pool).collect::<Result<_>>()? })
    }

    /// How many pieces are worked on at once.
    pub fn count(&self) -> usize {
        self.pools.len().max(1)
    }

    /// Does `work` on each of `items`, which is told the lane it is in, and hands the results to `take` in the order of the
    /// items. `on_step` hears of every step that a piece reports, while it is being done.
    ///
    /// # Errors
    /// The first error of a piece, in the order of the items; no new piece is begun then.
    pub fn each<T: Send, R: Send, E: Send>(
        &self,
        items: Vec<T>,
        work: impl Fn(usize, T, OnStep<'_>) -> Result<R, E> + Sync,
        on_step: &mut dyn FnMut(),
        mut take: impl FnMut(R) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.pools.is_empty() || items.len() < 2 {
            return items.into_iter().try_for_each(|item| take(work(0, item, &mut *on_step)?));
        }
        let queue = Mutex::new(items.into_iter().enumerate());
        let (sender, messages) = channel();
        std::thread::scope(|scope| {
            for (lane, pool) in self.pools.iter().enumerate() {
                let (sender, queue, work) = (sender.clone(), &queue, &work);
                scope.spawn(move || pool.install(|| drain(queue, &sender, |item, on_step| work(lane, item, on_step))));
            }
            drop(sender);
            let mut ordered = OrderedResults::default();
            for message in messages {
                match message {
                    LaneMessage::Step => on_step(),
                    LaneMessage::Done(index, result) => ordered.put(index, result),
                }
                while let Some(result) = ordered.next() {
                    // Dropping the receiver, by leaving, is what tells the lanes to stop.
                    take(result?)?;
                }
            }
            Ok(())
        })
    }
}

/// Does pieces from the queue until there are none, one has failed, or nobody listens any more.
fn drain<T, R, E>(
    queue: &Mutex<impl Iterator<Item = (usize, T)>>,
    sender: &Sender<LaneMessage<R, E>>,
    work: impl Fn(T, OnStep<'_>) -> Result<R, E>,
) {
    let next = || queue.lock().ok()?.next();
    while let Some((index, item)) = next() {
        let result = work(item, &mut || drop(sender.send(LaneMessage::Step)));
        let failed = result.is_err();
        if sender.send(LaneMessage::Done(index, result)).is_err() || failed {
            return;
        }
    }
}

/// Results which are there before those ahead of them.
struct OrderedResults<R> {
    waiting: Vec<(usize, R)>,
    next: usize,
}

impl<R> Default for OrderedResults<R> {
    fn default() -> Self {
        Self { waiting: Vec::new(), next: 0 }
    }
}

impl<R> OrderedResults<R> {
    fn put(&mut self, index: usize, result: R) {
        self.waiting.push((index, result));
    }

    /// The result whose turn it is, if it is there.
    fn next(&mut self) -> Option<R> {
        let at = self.waiting.iter().position(|(index, _)| *index == self.next)?;
        self.next += 1;
        Some(self.waiting.swap_remove(at).1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// The results of squaring 0 to 19, where early items take longest, and the steps heard of.
    fn squares(lanes: usize) -> (Vec<usize>, usize) {
        let (mut results, mut steps) = (Vec::new(), 0);
        let work = |_, item: usize, on_step: OnStep<'_>| {
            std::thread::sleep(Duration::from_micros(200 * (20 - item as u64)));
            on_step();
            Ok::<_, Error>(item * item)
        };
        let take = |result| {
            results.push(result);
            Ok(())
        };
        Lanes::new(lanes).unwrap().each((0..20).collect(), work, &mut || steps += 1, take).unwrap();
        (results, steps)
    }

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let expected: Vec<usize> = (0..20).map(|i| i * i).collect();
        for lanes in [0, 1, 2, 3] {
            assert_eq!(squares(lanes), (expected.clone(), 20), "{lanes} lanes");
        }
    }

    #[test]
    fn a_lane_does_its_work_on_one_thread() {
        let threads = |_, (), _: OnStep<'_>| Ok::<_, Error>(rayon::current_num_threads());
        let check = |found| {
            assert_eq!(found, 1);
            Ok(())
        };
        Lanes::new(2).unwrap().each(vec![(); 4], threads, &mut || {}, check).unwrap();
    }

    #[test]
    fn an_error_ends_the_work() {
        for lanes in [1, 2] {
            let begun = AtomicUsize::new(0);
            let work = |_, item: usize, _: OnStep<'_>| {
                begun.fetch_add(1, Ordering::Relaxed);
                // On a busy machine a lane could go through pieces of no time before the error is heard of.
                std::thread::sleep(Duration::from_millis(2));
                if item == 3 { Err(Error::Interrupted { epoch: 1 }) } else { Ok(item) }
            };
            let mut taken = Vec::new();
            let take = |item| {
                taken.push(item);
                Ok(())
            };
            let outcome = Lanes::new(lanes).unwrap().each((0..1000).collect(), work, &mut || {}, take);
            assert!(matches!(outcome, Err(Error::Interrupted { .. })));
            assert_eq!(taken, [0, 1, 2]);
            assert!(begun.load(Ordering::Relaxed) < 1000);
        }
    }
}
