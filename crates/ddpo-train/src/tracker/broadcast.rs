//! One event to all trackers.

use std::collections::BTreeMap;

use super::Tracker;
use crate::error::Error;
use crate::events::Event;

/// All trackers of a run. The failure of one is a warning to the others, once until it has been synced.
#[derive(Default)]
pub struct Broadcast {
    members: Vec<Member>,
}

struct Member {
    tracker: Box<dyn Tracker>,
    failing: bool,
}

impl Broadcast {
    /// No trackers yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tracker.
    #[must_use]
    pub fn with(mut self, tracker: impl Tracker + 'static) -> Self {
        self.members.push(Member { tracker: Box::new(tracker), failing: false });
        self
    }

    /// Tells every tracker; failures become warnings.
    pub fn record(&mut self, event: &Event<'_>) {
        let run = |member: &mut Member| member.run(|tracker| tracker.record(event)).err();
        let failures: Vec<Failure> = self.members.iter_mut().filter_map(run).collect();
        self.warn(&failures);
    }

    /// Syncs every tracker and returns the lengths of the growing files by name; failures become warnings, too.
    ///
    /// # Errors
    /// The first failure: what was recorded is not all on the disk, and no checkpoint may say that it is.
    pub fn sync(&mut self) -> Result<BTreeMap<String, u64>, Error> {
        let (mut lengths, mut failures) = (BTreeMap::new(), Vec::new());
        for member in &mut self.members {
            match member.run(|tracker| tracker.sync()) {
                Ok(length) => {
                    // An event that went well may be one that the tracker passes over; this is work.
                    member.failing = false;
                    lengths.extend(length.map(|length| (member.tracker.name().to_owned(), length)));
                }
                Err(failure) => failures.push(failure),
            }
        }
        self.warn(&failures);
        failures.into_iter().next().map_or(Ok(lengths), |failure| Err(failure.error))
    }

    /// A warning that cannot be delivered has nowhere else to go.
    fn warn(&mut self, failures: &[Failure]) {
        for failure in failures.iter().filter(|failure| failure.is_new) {
            for member in self.members.iter_mut().filter(|m| !m.failing) {
                let _ = member.tracker.record(&Event::Warning(&failure.error));
            }
        }
    }
}

/// Why a tracker failed.
struct Failure {
    error: Error,
    /// Whether there has been none since the tracker was last synced.
    is_new: bool,
}

impl Member {
    fn run<T>(&mut self, f: impl FnOnce(&mut dyn Tracker) -> crate::Result<T>) -> Result<T, Failure> {
        let outcome = f(self.tracker.as_mut());
        let is_new = !self.failing;
        self.failing |= outcome.is_err();
        outcome.map_err(|error| {
            let tracker = self.tracker.name().to_owned();
            Failure { error: Error::Tracker { tracker, source: Box::new(error) }, is_new }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;
    use crate::record::{Record, UpdateRecord};
    use crate::tracker::Memory;

    struct Broken;

    impl Tracker for Broken {
        fn name(&self) -> &str {
            "broken"
        }

        fn record(&mut self, _: &Event<'_>) -> Result<()> {
            Err(Error::Device("no space left".into()))
        }
    }

    #[test]
    fn a_failing_tracker_is_one_warning_to_the_others_and_no_more() {
        let memory = Memory::new();
        let mut all = Broadcast::new().with(Broken).with(memory.clone());
        let record = Record::Update(UpdateRecord::default());
        for _ in 0..3 {
            all.record(&Event::Record(&record));
        }
        assert_eq!(memory.records().len(), 3);
        let warnings = memory.warnings();
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("broken"), "{warnings:?}");
    }
}
