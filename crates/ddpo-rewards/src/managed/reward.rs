//! A reward that is asked as its options say.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ddpo_core::{Assessment, Result, Reward, RewardBatch};

use super::attempts::Attempts;
use super::fingerprint::Fingerprint;
use crate::files::{KnownScore, ScoreFile};

/// A reward that is asked in requests of a size of its own, several at once, again where it fails, and about no picture twice.
pub struct Managed {
    pub inner: Box<dyn Reward>,
    pub attempts: Attempts,
    /// Images of a request.
    pub batch: Option<usize>,
    /// Requests at once.
    pub concurrency: usize,
    pub cache: Option<ScoreFile>,
}

impl Managed {
    /// What is said of the requests, in their order, whichever is answered first.
    fn ask(&self, batch: &RewardBatch<'_>, requests: &[&[usize]]) -> Result<Vec<Assessment>> {
        let one = |rows: &[usize]| self.attempts.ask(&*self.inner, &batch.select(rows).as_batch());
        let threads = self.concurrency.min(requests.len());
        if threads < 2 {
            return requests.iter().map(|rows| one(rows)).collect();
        }
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let answers: Vec<Mutex<Option<Result<Assessment>>>> = requests.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while !failed.load(Ordering::Relaxed) {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(rows) = requests.get(place) else { return };
                        let answer = one(rows);
                        failed.fetch_or(answer.is_err(), Ordering::Relaxed);
                        *answers[place].lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                    }
                });
            }
        });
        // Only after a failure is a request without an answer, and the failure is then among those before it or after it.
        let answers =
            answers.into_iter().filter_map(|answer| answer.into_inner().unwrap_or_else(PoisonError::into_inner));
        answers.collect()
    }

    /// The rows whose score is not known; that of the others goes into `said`.
    fn unknown(&self, batch: &RewardBatch<'_>, said: &mut Assessment) -> Vec<usize> {
        let count = batch.images.len();
        let Some(cache) = &self.cache else { return (0..count).collect() };
        let is_unknown = |row: &usize| match cache.get(Fingerprint::of_row(batch, *row).value()) {
            Some(known) => {
                known.into_assessment().scatter(&[*row], count, said);
                false
            }
            None => true,
        };
        (0..count).filter(is_unknown).collect()
    }

    /// Keeps what was said of `rows`.
    fn keep(&self, batch: &RewardBatch<'_>, rows: &[usize], said: &mut Assessment) {
        let Some(cache) = &self.cache else { return };
        for (place, &row) in rows.iter().enumerate() {
            let Some(known) = KnownScore::of(said, place) else { continue };
            if let Err(error) = cache.put(Fingerprint::of_row(batch, row).value(), known) {
                said.warnings.push(error.to_string());
                return;
            }
        }
    }
}

impl Reward for Managed {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn unit(&self) -> Option<&str> {
        self.inner.unit()
    }

    fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        Ok(self.assess(batch)?.values)
    }

    fn assess(&self, batch: &RewardBatch<'_>) -> Result<Assessment> {
        let (mut all, count) = (Assessment::default(), batch.images.len());
        let rows = self.unknown(batch, &mut all);
        let requests: Vec<&[usize]> = rows.chunks(self.batch.unwrap_or(count).max(1)).collect();
        for (rows, mut said) in requests.iter().zip(self.ask(batch, &requests)?) {
            self.keep(batch, rows, &mut said);
            said.scatter(rows, count, &mut all);
        }
        all.remarks.sort_by_key(|(row, _)| *row);
        Ok(all)
    }
}
