//! Asking, and asking again.

use std::error::Error as _;
use std::thread;
use std::time::Duration;

use ddpo_core::{Assessment, Result, Reward, RewardBatch};

use super::options::OnFailure;
use crate::{Error, WebFailure};

/// No reward is waited for longer between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What becomes of a request that fails.
#[derive(Clone, Copy, Debug)]
pub struct Attempts {
    pub on_failure: OnFailure,
    pub retries: u32,
    /// The first pause; each is twice as long as the one before.
    pub backoff: Duration,
}

impl Attempts {
    /// What a reward says of a batch. An image without a score is asked about again, and no other.
    ///
    /// # Errors
    /// The last failure, where it is not to be passed over.
    pub fn ask(&self, reward: &dyn Reward, batch: &RewardBatch<'_>) -> Result<Assessment> {
        let count = batch.images.len();
        let mut said = Assessment { values: vec![f32::NAN; count], ..Assessment::default() };
        let mut open: Vec<usize> = (0..count).collect();
        let retries = if self.on_failure == OnFailure::Fail { 0 } else { self.retries };
        let mut pause = self.backoff;
        for attempt in 1.. {
            let failure = match asked(reward, &batch.select(&open).as_batch()) {
                Ok(found) => {
                    said.remarks.retain(|(row, _)| !open.contains(row));
                    found.scatter(&open, count, &mut said);
                    open.retain(|row| !said.values[*row].is_finite() && !said.left_out.contains(row));
                    None
                }
                Err(error) => Some(error),
            };
            if open.is_empty() {
                break;
            }
            if attempt > retries || failure.as_ref().is_some_and(is_permanent) {
                return self.given_up(said, open, failure);
            }
            let wait = failure.as_ref().and_then(retry_after).unwrap_or(pause).min(LONGEST_PAUSE);
            said.warnings.push(format!(
                "{}; asked again after {:.1} s ({attempt} of {retries})",
                reason(failure.as_ref(), open.len()),
                wait.as_secs_f64()
            ));
            thread::sleep(wait);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(said)
    }

    /// What is said where images stay without a score.
    fn given_up(
        &self,
        mut said: Assessment,
        open: Vec<usize>,
        failure: Option<ddpo_core::Error>,
    ) -> Result<Assessment> {
        if self.on_failure == OnFailure::SkipSample {
            let samples = if open.len() == 1 { "1 sample is" } else { &format!("{} samples are", open.len()) };
            said.warnings.push(format!("{}; {samples} left out", reason(failure.as_ref(), open.len())));
            said.left_out.extend(open);
            return Ok(said);
        }
        // Without a failure the run decides about numbers that are not there.
        failure.map_or(Ok(said), Err)
    }
}

fn asked(reward: &dyn Reward, batch: &RewardBatch<'_>) -> Result<Assessment> {
    let said = reward.assess(batch)?;
    let (found, wanted) = (said.values.len(), batch.images.len());
    if found == wanted {
        Ok(said)
    } else {
        Err(ddpo_core::Error::reward(reward.name(), Error::Count { found, wanted }))
    }
}

/// What went wrong, in a line.
fn reason(failure: Option<&ddpo_core::Error>, count: usize) -> String {
    match failure {
        Some(error) => error.source().map_or_else(|| error.to_string(), ToString::to_string),
        None if count == 1 => "1 image got no score".to_owned(),
        None => format!("{count} images got no score"),
    }
}

/// The failure of a reward of this crate.
fn own(error: &ddpo_core::Error) -> Option<&Error> {
    error.source()?.downcast_ref()
}

/// Whether asking again would not help.
fn is_permanent(error: &ddpo_core::Error) -> bool {
    own(error).is_some_and(Error::is_permanent)
}

/// When a server wants to be asked again.
fn retry_after(error: &ddpo_core::Error) -> Option<Duration> {
    match own(error)? {
        Error::Web { failure: WebFailure::Status { retry_after, .. }, .. } => *retry_after,
        _ => None,
    }
}
