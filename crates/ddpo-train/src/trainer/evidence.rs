//! Rewards that are not finite: which samples go without one, and what there is to see of them.

use ddpo_core::{Assessment, RewardBatch};

use crate::error::{Error, Location, Result};
use crate::events::Event;
use crate::non_finite::{BatchMembers, NonFiniteBatch};
use crate::observer::Observer;
use crate::plan::NonFinitePolicy;

/// The rewards that are not finite and that no reward's own policy has left out.
pub(super) struct Evidence {
    epoch: u64,
    policy: NonFinitePolicy,
    /// The batches, each with the samples that are passed over.
    found: Vec<(NonFiniteBatch, Vec<Error>)>,
    /// The samples that are passed over, with those of all rewards.
    pub left_out: Vec<usize>,
}

impl Evidence {
    /// None yet.
    pub fn new(epoch: u64, policy: NonFinitePolicy) -> Self {
        Self { epoch, policy, found: Vec::new(), left_out: Vec::new() }
    }

    /// Looks at what was said of a batch, whose images are those of `samples`.
    ///
    /// # Errors
    /// [`Error::NonFinite`] under [`NonFinitePolicy::Fail`].
    pub fn check(&mut self, said: &Assessment, batch: &RewardBatch<'_>, samples: &[usize]) -> Result<()> {
        let is_stray = |row: &usize| !said.values[*row].is_finite() && !said.left_out.contains(row);
        let rows: Vec<usize> = (0..said.values.len()).filter(is_stray).collect();
        let error = |row: usize| non_finite(said.values[row], self.epoch, samples[row], &batch.prompts[row]);
        let Some(&first) = rows.first() else { return Ok(()) };
        let members = BatchMembers {
            error: error(first).to_string(),
            epoch: self.epoch,
            samples: samples.to_vec(),
            prompts: batch.prompts.to_vec(),
            ..BatchMembers::default()
        };
        let record = NonFiniteBatch::new(members).with_values("rewards", &said.values).with_images(batch.images);
        let (warnings, outcome) = match self.policy {
            NonFinitePolicy::Fail => (Vec::new(), Err(error(first))),
            NonFinitePolicy::Skip => (rows.iter().map(|&row| error(row)).collect(), Ok(())),
        };
        self.left_out.extend(rows.into_iter().map(|row| samples[row]));
        self.found.push((record, warnings));
        outcome
    }

    /// Tells what was found, once.
    pub fn tell(&mut self, observer: &mut Observer<'_>) {
        for (record, warnings) in self.found.drain(..) {
            observer.event(&Event::NonFinite(&record));
            warnings.iter().for_each(|warning| observer.event(&Event::Warning(warning)));
        }
    }
}

/// The reward of a sample is not finite.
pub(super) fn non_finite(value: f32, epoch: u64, sample: usize, prompt: &str) -> Error {
    let location = Location { sample: Some(sample), prompt: Some(prompt.to_owned()), ..Location::default() };
    Error::NonFinite { what: "the reward", value: value.into(), epoch, location }
}
