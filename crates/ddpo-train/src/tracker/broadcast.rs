//! One event to all trackers.

use std::collections::BTreeMap;

use super::Tracker;
use crate::error::Error;
use crate::events::Event;

/// All trackers of a run. The failure of one is a warning to the others, once until it works again.
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
        let mut warnings = Vec::new();
        // Most trackers pass over progress, which says nothing of whether they work again.
        let tells = !matches!(event, Event::Progress(_));
        for member in &mut self.members {
            warnings.extend(member.run(tells, |tracker| tracker.record(event)).err().flatten());
        }
        self.warn(&warnings);
    }

    /// Syncs every tracker and returns the lengths of the growing files by name; failures become warnings, too.
    ///
    /// # Errors
    /// The first failure: what was recorded is not all on the disk, and no checkpoint may say that it is.
    pub fn sync(&mut self) -> Result<BTreeMap<String, u64>, Error> {
        let (mut lengths, mut warnings, mut failure) = (BTreeMap::new(), Vec::new(), None);
        for member in &mut self.members {
            let name = member.tracker.name().to_owned();
            match member.run(true, |tracker| tracker.sync()) {
                Ok(length) => lengths.extend(length.map(|length| (name, length))),
                Err(warning) => {
                    failure.get_or_insert(Error::Unrecorded { tracker: name });
                    warnings.extend(warning);
                }
            }
        }
        self.warn(&warnings);
        failure.map_or(Ok(lengths), Err)
    }

    /// A warning that cannot be delivered has nowhere else to go.
    fn warn(&mut self, warnings: &[Error]) {
        for warning in warnings {
            for member in self.members.iter_mut().filter(|m| !m.failing) {
                let _ = member.tracker.record(&Event::Warning(warning));
            }
        }
    }
}

impl Member {
    /// Runs `f`; a failure is worth a warning (`Some`) if the last call that tells anything went well.
    fn run<T>(
        &mut self,
        tells: bool,
        f: impl FnOnce(&mut dyn Tracker) -> crate::Result<T>,
    ) -> Result<T, Option<Error>> {
        let outcome = f(self.tracker.as_mut());
        let failed_before = self.failing;
        if tells || outcome.is_err() {
            self.failing = outcome.is_err();
        }
        outcome.map_err(|error| {
            let tracker = self.tracker.name().to_owned();
            (!failed_before).then(|| Error::Tracker { tracker, source: Box::new(error) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;
    use crate::events::{Record, UpdateRecord};
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
