//! A run which is cut and resumed ends with the same bytes.

use std::path::Path;

use crate::common::{bits, listening, plan, timeless, trainer};
use ddpo_train::{
    Broadcast, CheckpointStore, Checkpoints, Event, Identity, JsonLines, Outcome, Record, Result, Run, StopFlag,
    Tracker,
};

const EPOCHS: u64 = 4;

/// A tracker which sets a flag when it has heard a number of events.
struct Countdown(usize, StopFlag);

impl Tracker for Countdown {
    fn name(&self) -> &str {
        "countdown"
    }

    fn record(&mut self, _: &Event<'_>) -> Result<()> {
        if self.0 == 0 {
            self.1.stop();
        }
        self.0 = self.0.saturating_sub(1);
        Ok(())
    }
}

fn store(directory: &Path) -> CheckpointStore {
    CheckpointStore::new(directory.join("checkpoints"), 2)
}

/// Starts or resumes the run in `directory`, until `epochs` are done or `stop_after` events were heard.
fn run(directory: &Path, epochs: u64, every: u64, stop_after: Option<usize>) -> (Outcome, Vec<u32>) {
    let mut trainer = trainer(plan());
    let stop = StopFlag::new();
    let found = store(directory).newest().unwrap();
    let length = found.checkpoint.as_ref().map_or(0, |c| c.snapshot.length(JsonLines::NAME));
    let mut trackers = Broadcast::new().with(JsonLines::resume(directory, length).unwrap());
    if let Some(events) = stop_after {
        trackers = trackers.with(Countdown(events, stop.clone()));
    }
    let checkpoints = Checkpoints { store: store(directory), identity: Identity::default(), every };
    let mut run = Run::new(&mut trainer, &mut trackers, stop).with_checkpoints(checkpoints);
    if let Some(checkpoint) = &found.checkpoint {
        run = run.resumed_from(&checkpoint.snapshot).unwrap();
    }
    let outcome = run.run(epochs).unwrap();
    (outcome, bits(&trainer))
}

/// The metrics without timings.
fn metrics(directory: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(directory.join(JsonLines::NAME)).unwrap();
    let strip = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        let object = value.as_object_mut().unwrap();
        object.retain(|key, _| !key.ends_with("_seconds") && key != "images_per_second");
        value.to_string()
    };
    text.lines().map(strip).collect()
}

fn state(directory: &Path) -> Vec<u8> {
    let path = directory.join(format!("checkpoints/epoch_{EPOCHS:04}/state.safetensors"));
    std::fs::read(path).unwrap()
}

/// The bits, metrics and final state of a run in one go.
fn reference() -> (Vec<u32>, Vec<String>, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let (outcome, bits) = run(directory.path(), EPOCHS, 1, None);
    assert_eq!(outcome, Outcome::Finished);
    (bits, metrics(directory.path()), state(directory.path()))
}

#[test]
fn two_epochs_and_two_more_are_four() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), 2, 1, None);
    let (_, bits) = run(directory.path(), EPOCHS, 1, None);
    assert_eq!((bits, metrics(directory.path()), state(directory.path())), reference());
}

#[test]
fn an_interruption_anywhere_loses_at_most_the_epoch_and_no_bit() {
    let reference = reference();
    // Every boundary is on the disk, or only those an interruption forces there.
    for every in [1, 3] {
        for stop_after in (0..400).step_by(61) {
            let directory = tempfile::tempdir().unwrap();
            let mut interruptions = 0;
            let bits = loop {
                // Later attempts get farther, so that the run ends.
                let patience = stop_after + 150 * interruptions;
                match run(directory.path(), EPOCHS, every, Some(patience)) {
                    (Outcome::Finished, bits) => break bits,
                    (Outcome::Interrupted { .. }, _) => interruptions += 1,
                }
            };
            let found = (bits, metrics(directory.path()), state(directory.path()));
            assert!(found == reference, "stopped after {stop_after} events, {interruptions} interruptions");
        }
    }
}

#[test]
fn a_damaged_checkpoint_costs_an_epoch_and_no_bit() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), 3, 1, None);
    std::fs::write(directory.path().join("checkpoints/epoch_0003/state.safetensors"), b"cut").unwrap();
    assert_eq!(store(directory.path()).newest().unwrap().damaged.len(), 1);
    let (_, bits) = run(directory.path(), EPOCHS, 1, None);
    assert_eq!((bits, metrics(directory.path()), state(directory.path())), reference());
}

#[test]
fn an_error_leaves_the_last_boundary_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut trainer = trainer(ddpo_train::DdpoPlan { learning_rate: 1e30, ..plan() });
    let (mut trackers, memory) = listening();
    let checkpoints = Checkpoints { store: store(directory.path()), identity: Identity::default(), every: 0 };
    Run::new(&mut trainer, &mut trackers, StopFlag::new()).with_checkpoints(checkpoints).run(2).unwrap_err();
    assert_eq!(memory.saved(), [0]);
    assert!(store(directory.path()).newest().unwrap().checkpoint.is_some());
}

#[cfg(unix)]
#[test]
fn a_checkpoint_which_cannot_be_written_is_a_warning_until_the_end() {
    let directory = tempfile::tempdir().unwrap();
    // A file where the directory should be: permissions would not stop root.
    std::fs::write(directory.path().join("checkpoints"), b"").unwrap();
    let mut trainer = trainer(plan());
    let (mut trackers, memory) = listening();
    let checkpoints = Checkpoints { store: store(directory.path()), identity: Identity::default(), every: 1 };
    let error =
        Run::new(&mut trainer, &mut trackers, StopFlag::new()).with_checkpoints(checkpoints).run(2).unwrap_err();
    assert_eq!(error.to_string(), "the checkpoint of epoch 2 was not written");
    assert_eq!(memory.warnings().len(), 2, "{:?}", memory.warnings());
    let epochs = timeless(memory.records()).into_iter().filter(|r| matches!(r, Record::Epoch(_))).count();
    assert_eq!(epochs, 2);
}
