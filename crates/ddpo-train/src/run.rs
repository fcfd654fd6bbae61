//! The loop around a trainer: boundaries, checkpoints, interruption.

use std::borrow::BorrowMut;
use std::path::PathBuf;

use crate::checkpoint::{CheckpointStore, Identity, Snapshot};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::observer::Observer;
use crate::ranks::Ranks;
use crate::stop::StopFlag;
use crate::tracker::Broadcast;

/// Something that learns in epochs and can be put back to where it was.
///
/// ```
/// use ddpo_train::{Learner, Observer, Result, Snapshot};
///
/// fn drive(learner: &mut impl Learner, epochs: u64, observer: &mut Observer<'_>) -> Result<Snapshot> {
///     let mut boundary = learner.snapshot()?;
///     while let Some(work) = learner.position().next(epochs) {
///         learner.advance(work, observer)?;
///         boundary = learner.snapshot()?; // what there is to go back to
///     }
///     Ok(boundary)
/// }
/// ```
pub trait Learner {
    /// Where it is.
    fn position(&self) -> Position;

    /// Does a piece of work.
    ///
    /// # Errors
    /// Any of this crate. The learner may then be in the middle of an epoch, from where only
    /// [`restore`](Self::restore) leads back.
    fn advance(&mut self, work: Work, observer: &mut Observer<'_>) -> Result<()>;

    /// Its whole state, at a boundary.
    ///
    /// # Errors
    /// [`Error::Device`] where the state cannot be read.
    fn snapshot(&self) -> Result<Snapshot>;

    /// Puts it back to a snapshot's state.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming what does not fit; nothing has changed then.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<()>;
}

impl<L: Learner + ?Sized> Learner for &mut L {
    fn position(&self) -> Position {
        (**self).position()
    }

    fn advance(&mut self, work: Work, observer: &mut Observer<'_>) -> Result<()> {
        (**self).advance(work, observer)
    }

    fn snapshot(&self) -> Result<Snapshot> {
        (**self).snapshot()
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        (**self).restore(snapshot)
    }
}

impl<L: Learner + ?Sized> Learner for Box<L> {
    fn position(&self) -> Position {
        (**self).position()
    }

    fn advance(&mut self, work: Work, observer: &mut Observer<'_>) -> Result<()> {
        (**self).advance(work, observer)
    }

    fn snapshot(&self) -> Result<Snapshot> {
        (**self).snapshot()
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        (**self).restore(snapshot)
    }
}

/// A piece of a run's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// An epoch.
    Epoch,
    /// The evaluation that comes after every so many epochs.
    Evaluation,
    /// The evaluation of a last state that comes at another epoch. It is no part of what a longer run would have done.
    LastEvaluation,
}

/// Where a learner is between two pieces of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The epochs done.
    pub epochs_done: u64,
    /// Whether this state is to be evaluated before the next epoch.
    pub evaluation_due: bool,
    /// Whether this state has been evaluated, or nothing ever is.
    pub is_evaluated: bool,
    /// Whether this state has been evaluated and none was better.
    pub is_best: bool,
    /// Whether an evaluation has said to stop.
    pub is_halted: bool,
}

impl Position {
    /// What a run of so many epochs does next; `None` at its end.
    pub fn next(&self, epochs: u64) -> Option<Work> {
        match (self.evaluation_due, self.epochs_done >= epochs || self.is_halted) {
            (true, _) => Some(Work::Evaluation),
            (false, false) => Some(Work::Epoch),
            (false, true) if !self.is_evaluated => Some(Work::LastEvaluation),
            (false, true) => None,
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// It was asked to stop; it can be resumed after so many epochs.
    Interrupted {
        /// The epochs done.
        epochs_done: u64,
    },
}

/// Where and when checkpoints are written.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// The directory.
    pub store: CheckpointStore,
    /// Which run they belong to.
    pub identity: Identity,
    /// After every so many epochs, besides the first state and the last; 0 is only those two.
    pub every: u64,
    /// Whether the state of the best evaluation is kept besides.
    pub keep_best: bool,
}

/// A run: a learner, who hears of it, and what is kept. It owns both or borrows both, as its maker likes.
pub struct Run<L, T = Broadcast> {
    learner: L,
    trackers: T,
    stop: StopFlag,
    checkpoints: Option<Checkpoints>,
    /// The processes that do the run together.
    ranks: Ranks,
    /// The last boundary, where it is not on the disk.
    unsaved: Option<Snapshot>,
    /// The best state, where it is not on the disk.
    unsaved_best: Option<Snapshot>,
    /// The boundary which the disk has.
    saved: Option<Position>,
}

impl<L: Learner, T: BorrowMut<Broadcast>> Run<L, T> {
    /// A run which starts where `learner` is.
    pub fn new(learner: L, trackers: T, stop: StopFlag) -> Self {
        let (checkpoints, ranks) = (None, Ranks::default());
        Self { learner, trackers, stop, checkpoints, ranks, unsaved: None, unsaved_best: None, saved: None }
    }

    /// The same with checkpoints.
    #[must_use]
    pub fn with_checkpoints(self, checkpoints: Checkpoints) -> Self {
        Self { checkpoints: Some(checkpoints), ..self }
    }

    /// The same as one of several ranks, which end together: what ends one of them ends all.
    #[must_use]
    pub fn with_ranks(self, ranks: Ranks) -> Self {
        Self { ranks, ..self }
    }

    /// The same going on from a checkpoint's snapshot, which is on the disk.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming what does not fit.
    pub fn resumed_from(mut self, snapshot: &Snapshot) -> Result<Self> {
        self.learner.restore(snapshot)?;
        let saved = Some(self.learner.position());
        Ok(Self { saved, ..self })
    }

    /// Runs until `epochs` are done, an evaluation says to stop, or the flag is set. A run that is not interrupted
    /// ends with an evaluation of its last state.
    ///
    /// # Errors
    /// Those of [`step`](Self::step).
    pub fn run(&mut self, epochs: u64) -> Result<Outcome> {
        loop {
            if let Some(outcome) = self.step(epochs)? {
                return Ok(outcome);
            }
        }
    }

    /// Does the next piece of work of a run of so many epochs, an evaluation or an epoch, or says how the run ended.
    ///
    /// Between pieces of work the state is on the disk or in memory, so that a piece which ends early, by the flag or
    /// by an error, leaves the last boundary as a checkpoint. A checkpoint which cannot be written is a warning while
    /// the run goes on, and an error once it ends.
    ///
    /// # Errors
    /// What ended the run early, or [`Error::Checkpoint`] where its end could not be saved.
    pub fn step(&mut self, epochs: u64) -> Result<Option<Outcome>> {
        let outcome = self.do_next(epochs);
        match &outcome {
            Err(error) => self.ranks.leave(error),
            Ok(Some(Outcome::Interrupted { epochs_done })) => {
                self.ranks.leave(&Error::Interrupted { epoch: epochs_done + 1 });
            }
            // A rank that could not save the end says so before the others go.
            Ok(Some(Outcome::Finished)) => self.ranks.finish()?,
            Ok(None) => {}
        }
        outcome
    }

    fn do_next(&mut self, epochs: u64) -> Result<Option<Outcome>> {
        let position = self.learner.position();
        let work = position.next(epochs);
        let over = matches!(work, None | Some(Work::LastEvaluation));
        self.keep_boundary(position, over)?;
        if over {
            self.save_unsaved()?;
        }
        let Some(work) = work else { return Ok(Some(Outcome::Finished)) };
        match self.learner.advance(work, &mut Observer::new(self.trackers.borrow_mut(), &self.stop)) {
            Ok(()) if over => self.close().map(|()| None),
            Ok(()) => Ok(None),
            Err(Error::Interrupted { .. }) => {
                self.save_unsaved().map(|()| Some(Outcome::Interrupted { epochs_done: position.epochs_done }))
            }
            Err(error) => {
                self.save_or_warn();
                Err(error)
            }
        }
    }

    /// Keeps what the evaluation of the last state has recorded. The checkpoint stays the one before it: a run that goes on to more
    /// epochs forgets this evaluation, and does what it would have done without an end here.
    fn close(&mut self) -> Result<()> {
        self.trackers.borrow_mut().sync()?;
        self.saved = Some(self.learner.position());
        Ok(())
    }

    /// What learns.
    pub fn learner(&self) -> &L {
        &self.learner
    }

    /// What learns, when the run is over.
    pub fn into_learner(self) -> L {
        self.learner
    }

    /// Keeps the state on the disk where a checkpoint is due, else in memory.
    fn keep_boundary(&mut self, position: Position, last: bool) -> Result<()> {
        if self.checkpoints.is_none() || self.saved == Some(position) {
            return Ok(());
        }
        let snapshot = self.learner.snapshot()?;
        if position.is_best {
            self.keep_best(&snapshot);
        }
        match self.trackers.borrow_mut().sync() {
            Ok(lengths) => self.unsaved = Some(Snapshot { lengths, ..snapshot }),
            // The boundary before stays the last one to go back to.
            Err(_) if !last => return Ok(()),
            Err(error) => return Err(Error::Checkpoint { epoch: snapshot.epoch, source: Box::new(error) }),
        }
        if self.is_due(position) && !last {
            self.save_or_warn();
        }
        Ok(())
    }

    /// Keeps the state as the best one; where it cannot be written, the next checkpoint tries again first.
    fn keep_best(&mut self, snapshot: &Snapshot) {
        let Some(checkpoints) = self.checkpoints.as_ref().filter(|checkpoints| checkpoints.keep_best) else { return };
        self.unsaved_best = None;
        if let Err(error) = checkpoints.store.save_best(&checkpoints.identity, snapshot) {
            let warning = Error::Checkpoint { epoch: snapshot.epoch, source: Box::new(error) };
            self.trackers.borrow_mut().record(&Event::Warning(&warning));
            self.unsaved_best = Some(snapshot.clone());
        }
    }

    /// A state whose evaluation is still to come is worth less than the one after it.
    fn is_due(&self, position: Position) -> bool {
        let every = self.checkpoints.as_ref().map_or(0, |checkpoints| checkpoints.every);
        let multiple = every > 0 && position.epochs_done.is_multiple_of(every);
        !position.evaluation_due && (multiple || position.epochs_done == 0)
    }

    fn save_or_warn(&mut self) {
        if let Err(warning) = self.save_unsaved() {
            self.trackers.borrow_mut().record(&Event::Warning(&warning));
        }
    }

    /// Writes the last boundary, and before it the best state: a checkpoint says which one that was, and a run which
    /// resumes from it relies on finding it.
    fn save_unsaved(&mut self) -> Result<()> {
        let (Some(checkpoints), Some(snapshot)) = (&self.checkpoints, &self.unsaved) else { return Ok(()) };
        let epoch = snapshot.epoch;
        let failed = |error| Error::Checkpoint { epoch, source: Box::new(error) };
        if let Some(best) = &self.unsaved_best {
            checkpoints.store.save_best(&checkpoints.identity, best).map_err(failed)?;
        }
        self.unsaved_best = None;
        let path: PathBuf = checkpoints.store.save(&checkpoints.identity, snapshot).map_err(failed)?;
        self.unsaved = None;
        self.saved = Some(self.learner.position());
        self.trackers.borrow_mut().record(&Event::Saved { epoch, path: &path });
        Ok(())
    }
}
