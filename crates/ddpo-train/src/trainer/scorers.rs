//! Rewards at work while more pictures are made.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use ddpo_core::{Assessment, Judge, PromptId, PromptMetadata, RewardBatch, RgbImage};

use super::evidence::Evidence;
use super::exchange::{SaidOfBatches, exchange_said};
use crate::error::{Error, Result};
use crate::events::{Progress, Stage};
use crate::observer::Observer;
use crate::plan::NonFinitePolicy;
use crate::prompts::EncodedPrompts;
use crate::ranks::Ranks;

/// Batches that wait for a reward. With more of them in the queue, whoever makes pictures waits, too.
const WAITING: usize = 2;

/// How often a wait for a reward looks whether the run is to stop.
const GLANCE: Duration = Duration::from_millis(50);

/// The rewards of some judges. Those of single images work on threads of their own, on one batch after the other and in their order; those
/// of sets wait until all pictures are there. When that happens changes no value.
pub(super) struct Scorers<'a> {
    judges: Vec<&'a Judge>,
    parts: Vec<Part<'a>>,
    epoch: u64,
    batch: usize,
    /// Whose pictures come here, of all of them.
    share: Share<'a>,
    /// Pictures so far.
    taken: usize,
    /// Numbers that are not finite.
    pub evidence: Evidence,
    /// The time that the rewards have worked.
    pub busy: Duration,
    is_over: Arc<AtomicBool>,
}

/// The rows of a set of pictures that one of several ranks makes and judges.
#[derive(Clone, Debug)]
pub(super) struct Share<'a> {
    pub ranks: &'a Ranks,
    pub rows: Range<usize>,
}

/// A reward that is no sum.
struct Part<'a> {
    judge: &'a Judge,
    /// None for a reward of sets.
    thread: Option<Worker>,
    said: Assessment,
    batches: SaidOfBatches,
}

/// The two ends of a reward's thread.
struct Worker {
    batches: Option<SyncSender<Arc<OwnedBatch>>>,
    answers: Receiver<Answer>,
    /// Batches without an answer.
    pending: usize,
}

/// Pictures for a thread.
struct OwnedBatch {
    first: usize,
    images: Vec<RgbImage>,
    prompts: Vec<String>,
    metadata: Vec<Arc<PromptMetadata>>,
}

/// What a thread made of a batch.
struct Answer {
    batch: Arc<OwnedBatch>,
    said: ddpo_core::Result<Assessment>,
    time: Duration,
}

impl OwnedBatch {
    fn as_batch(&self) -> RewardBatch<'_> {
        RewardBatch::new(&self.images, &self.prompts).with_metadata(&self.metadata)
    }

    fn rows(&self) -> Vec<usize> {
        (self.first..self.first + self.images.len()).collect()
    }
}

impl<'a> Scorers<'a> {
    /// Starts the threads. Pictures of this rank's share come in batches of `batch`, and rewards of sets are asked about whole sets.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        judges: Vec<&'a Judge>,
        epoch: u64,
        batch: usize,
        policy: NonFinitePolicy,
        share: Share<'a>,
    ) -> Self
    where
        'a: 'scope,
    {
        let is_over = Arc::new(AtomicBool::new(false));
        let part = |judge: &'a Judge| Part {
            judge,
            thread: matches!(judge, Judge::Image(_)).then(|| Worker::start(scope, judge, is_over.clone())),
            said: Assessment::default(),
            batches: Vec::new(),
        };
        let parts = judges.iter().flat_map(|judge| judge.parts()).map(part).collect();
        let evidence = Evidence::new(epoch, policy);
        Self { judges, parts, epoch, batch, share, taken: 0, evidence, busy: Duration::ZERO, is_over }
    }

    /// Hands the next pictures over, each of the prompt in its place, and takes what answers there are.
    ///
    /// # Errors
    /// The failure of a reward, which may be one of an earlier batch; [`Error::NonFinite`] under a policy that says so.
    pub fn put(&mut self, images: &[RgbImage], prompts: &EncodedPrompts, ids: &[PromptId]) -> Result<()> {
        let batch = Arc::new(OwnedBatch {
            first: self.share.rows.start + self.taken,
            images: images.to_vec(),
            prompts: prompts.texts(ids),
            metadata: prompts.metadata(ids),
        });
        self.taken += images.len();
        for part in &mut self.parts {
            let Some(thread) = &mut part.thread else { continue };
            thread.send(batch.clone());
            while let Some(answer) = part.ready() {
                part.take(answer, self.share.evidence(&mut self.evidence), &mut self.busy)?;
            }
        }
        Ok(())
    }

    /// Waits for the rewards that are missing, asks those of sets, and gives what each judge says of all pictures, here and on other
    /// ranks.
    ///
    /// # Errors
    /// Those of [`put`](Self::put); [`Error::Interrupted`].
    pub fn finish(
        &mut self,
        images: &[RgbImage],
        prompts: &EncodedPrompts,
        ids: &[PromptId],
        observer: &mut Observer<'_>,
    ) -> Result<Vec<Assessment>> {
        let (texts, metadata) = (prompts.texts(ids), prompts.metadata(ids));
        let all = RewardBatch::new(images, &texts).with_metadata(&metadata);
        self.check_count(self.share.rows.len())?;
        let (mut done, total) = (0, self.parts.iter().map(|part| part.judge.batches(&texts, self.batch).len()).sum());
        let mut told = |observer: &mut Observer<'_>, count: usize| {
            done += count;
            observer.progress(Progress { stage: Stage::Scoring, epoch: self.epoch, done, total });
        };
        for part in &mut self.parts {
            if let Some(thread) = &mut part.thread {
                thread.batches = None;
                told(observer, part.batches.len());
                while part.thread.as_ref().is_some_and(|thread| thread.pending > 0) {
                    let answer = part.wait(observer, self.epoch)?;
                    part.take(answer, self.share.evidence(&mut self.evidence), &mut self.busy)?;
                    told(observer, 1);
                }
                continue;
            }
            let sets = part.judge.batches(&texts, self.batch);
            let mine = self.share.ranks.share(sets.len());
            for rows in sets.into_iter().skip(mine.start).take(mine.len()) {
                observer.check(self.epoch)?;
                let (selected, start) = (all.select(&rows), Instant::now());
                let said = part.judge.assess_batch(&selected.as_batch())?;
                self.busy += start.elapsed();
                if let Some(evidence) = self.share.evidence(&mut self.evidence) {
                    evidence.check(&said, &selected.as_batch(), &rows)?;
                }
                part.batches.push((rows, said));
                told(observer, 1);
            }
        }
        self.exchange(&all)?;
        Ok(self.combined(&texts))
    }

    /// Puts in what was said on other ranks. What is not finite is looked at now, by all of them alike.
    fn exchange(&mut self, all: &RewardBatch<'_>) -> Result<()> {
        if self.share.ranks.is_alone() {
            return Ok(());
        }
        let mine = self.parts.iter_mut().map(|part| std::mem::take(&mut part.batches)).collect();
        let said = exchange_said(self.share.ranks, mine)?;
        for (part, batches) in self.parts.iter_mut().zip(said) {
            for (rows, said) in &batches {
                self.evidence.check(said, &all.select(rows).as_batch(), rows)?;
            }
            part.batches = batches;
        }
        Ok(())
    }

    /// A decoder that lost a picture would shift all rewards after it.
    fn check_count(&self, wanted: usize) -> Result<()> {
        match self.taken == wanted {
            true => Ok(()),
            false => Err(Error::Count { what: "pictures of a rollout", found: self.taken, wanted }),
        }
    }

    /// What each judge says of all pictures.
    fn combined(&mut self, prompts: &[String]) -> Vec<Assessment> {
        for part in &mut self.parts {
            for (rows, said) in part.batches.drain(..) {
                said.scatter(&rows, prompts.len(), &mut part.said);
            }
        }
        let mut said = self.parts.iter_mut().map(|part| std::mem::take(&mut part.said));
        self.judges.iter().map(|judge| judge.combine(&mut said, prompts)).collect()
    }
}

impl Drop for Scorers<'_> {
    /// What waits in a queue is asked no more.
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Share<'_> {
    /// Where what is said is looked at as soon as it is there: a rank by itself need not wait for others to see the same.
    fn evidence<'a>(&self, evidence: &'a mut Evidence) -> Option<&'a mut Evidence> {
        self.ranks.is_alone().then_some(evidence)
    }
}

impl Part<'_> {
    fn take(&mut self, answer: Answer, evidence: Option<&mut Evidence>, busy: &mut Duration) -> Result<()> {
        if let Some(thread) = &mut self.thread {
            thread.pending -= 1;
        }
        *busy += answer.time;
        let (rows, said) = (answer.batch.rows(), answer.said?);
        if let Some(evidence) = evidence {
            evidence.check(&said, &answer.batch.as_batch(), &rows)?;
        }
        self.batches.push((rows, said));
        Ok(())
    }

    /// An answer that is there.
    fn ready(&self) -> Option<Answer> {
        self.thread.as_ref()?.answers.try_recv().ok()
    }

    fn wait(&self, observer: &Observer<'_>, epoch: u64) -> Result<Answer> {
        let lost = || Error::RewardThread { reward: self.judge.name().to_owned() };
        let thread = self.thread.as_ref().ok_or_else(lost)?;
        loop {
            observer.check(epoch)?;
            match thread.answers.recv_timeout(GLANCE) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(lost()),
            }
        }
    }
}

impl Worker {
    fn start<'scope, 'a: 'scope>(scope: &'scope Scope<'scope, '_>, judge: &'a Judge, is_over: Arc<AtomicBool>) -> Self {
        let (batches, queue) = sync_channel::<Arc<OwnedBatch>>(WAITING);
        let (sender, answers) = channel();
        scope.spawn(move || work(judge, &queue, &sender, &is_over));
        Self { batches: Some(batches), answers, pending: 0 }
    }

    /// A thread that has failed takes no more, and its last answer says why.
    fn send(&mut self, batch: Arc<OwnedBatch>) {
        if self.batches.as_ref().is_some_and(|batches| batches.send(batch).is_ok()) {
            self.pending += 1;
        }
    }
}

/// Asks about one batch after the other, until there are none, one has failed, or nobody listens any more.
fn work(judge: &Judge, queue: &Receiver<Arc<OwnedBatch>>, answers: &Sender<Answer>, is_over: &AtomicBool) {
    for batch in queue {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let start = Instant::now();
        let said = judge.assess_batch(&batch.as_batch());
        let failed = said.is_err();
        if answers.send(Answer { batch, said, time: start.elapsed() }).is_err() || failed {
            return;
        }
    }
}
