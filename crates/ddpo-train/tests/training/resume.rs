//! A run which is cut and resumed ends with the same bytes.

use std::path::Path;

use crate::common::{
    Trainer, bits, forward_plan, forward_trainer, listening, parts, plan, rwr_plan, rwr_trainer, timeless, trainer,
};
use ddpo_core::advantage::{BatchAdvantage, PairAdvantage, PerPromptAdvantage};
use ddpo_core::objective::{DdpoIs, Pairwise};
use ddpo_core::weighting::{SoftmaxWeights, SparseWeights};
use ddpo_core::{Grouping, Weighting};
use ddpo_testing::{MeanBrightness, ToyPolicy};
use ddpo_train::{
    Broadcast, CheckpointStore, Checkpoints, DdpoParts, DdpoPlan, DdpoTrainer, Evaluation, Event, ForwardPlan,
    ForwardTrainer, Identity, JsonLines, Learner, OldPolicy, Outcome, Parts, Record, Result, Run, RwrTrainer,
    SamplePlan, StopFlag, Tracker,
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

/// A trainer which can be asked for its parameters.
trait Trained: Learner {
    fn policy(&self) -> &ToyPolicy;
}

impl Trained for Trainer {
    fn policy(&self) -> &ToyPolicy {
        self.policy()
    }
}

impl Trained for RwrTrainer<ToyPolicy, 4> {
    fn policy(&self) -> &ToyPolicy {
        self.policy()
    }
}

impl Trained for ForwardTrainer<ToyPolicy, 4> {
    fn policy(&self) -> &ToyPolicy {
        self.policy()
    }
}

/// Starts or resumes the DDPO run in `directory`, until `epochs` are done or `stop_after` events were heard.
fn run(directory: &Path, epochs: u64, every: u64, stop_after: Option<usize>) -> (Outcome, Vec<u32>) {
    run_with(trainer(plan()), directory, epochs, every, stop_after)
}

/// The same for any trainer, which is fresh.
fn run_with<L: Trained>(
    mut trainer: L,
    directory: &Path,
    epochs: u64,
    every: u64,
    stop_after: Option<usize>,
) -> (Outcome, Vec<u32>) {
    let stop = StopFlag::new();
    let found = store(directory).newest().unwrap();
    let length = found.checkpoint.as_ref().map_or(0, |c| c.snapshot.length(JsonLines::NAME));
    let mut trackers = Broadcast::new().with(JsonLines::resume(directory, length).unwrap());
    if let Some(events) = stop_after {
        trackers = trackers.with(Countdown(events, stop.clone()));
    }
    let checkpoints = Checkpoints { store: store(directory), identity: Identity::default(), every, keep_best: true };
    let mut run = Run::new(&mut trainer, &mut trackers, stop).with_checkpoints(checkpoints);
    if let Some(checkpoint) = &found.checkpoint {
        run = run.resumed_from(&checkpoint.snapshot).unwrap();
    }
    let outcome = run.run(epochs).unwrap();
    (outcome, bits(trainer.policy()))
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

/// A trainer that evaluates after every second epoch.
fn every_second() -> Trainer {
    let mut shared = parts(Box::new(MeanBrightness));
    shared.evaluation = shared.evaluation.map(|evaluation| Evaluation { every: 2, ..evaluation });
    let (objective, advantage) = (Box::new(DdpoIs::default()), Box::new(PerPromptAdvantage::new(8, 2).unwrap()));
    DdpoTrainer::new(plan(), DdpoParts { shared, objective, advantage }).unwrap()
}

/// The epochs that were evaluated.
fn evaluated(directory: &Path) -> Vec<u64> {
    let lines: Vec<serde_json::Value> =
        metrics(directory).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let evals = lines.iter().filter(|line| line["kind"] == "eval");
    evals.map(|line| line["epoch"].as_u64().unwrap()).collect()
}

/// The evaluation of a last state is no part of a longer run, which forgets it: not a byte says that a run once ended there.
#[test]
fn the_last_state_is_evaluated_and_a_longer_run_forgets_it() {
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, wanted) = run_with(every_second(), whole.path(), EPOCHS, 1, None);
    assert_eq!(evaluated(whole.path()), [0, 2, 4]);
    run_with(every_second(), parts.path(), 3, 1, None);
    let lines = metrics(parts.path());
    assert_eq!(evaluated(parts.path()), [0, 2, 3]);
    // A finished run that is resumed does the same again.
    let (outcome, _) = run_with(every_second(), parts.path(), 3, 1, None);
    assert_eq!((outcome, metrics(parts.path())), (Outcome::Finished, lines));
    let (_, found) = run_with(every_second(), parts.path(), EPOCHS, 1, None);
    assert_eq!(found, wanted);
    assert_eq!(metrics(parts.path()), metrics(whole.path()));
    assert!(state(parts.path()) == state(whole.path()));
}

/// The weightings of RWR and of its sparse form; the latter has a memory.
fn weightings() -> [fn() -> Box<dyn Weighting>; 2] {
    [
        || Box::new(SoftmaxWeights::new(5.0, Grouping::Epoch).unwrap()),
        || Box::new(SparseWeights::new(60.0, Grouping::Prompt, 12, 2).unwrap()),
    ]
}

#[test]
fn two_rounds_of_regression_and_two_more_are_four() {
    for weighting in weightings() {
        let fresh = || rwr_trainer(rwr_plan(), Box::new(MeanBrightness), weighting());
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_, wanted) = run_with(fresh(), whole.path(), EPOCHS, 1, None);
        run_with(fresh(), parts.path(), 2, 1, None);
        // Stopped in the middle of a round, and once more in an evaluation.
        for stop_after in [30, 60] {
            let (outcome, _) = run_with(fresh(), parts.path(), EPOCHS, 1, Some(stop_after));
            assert!(matches!(outcome, Outcome::Interrupted { .. }), "{outcome:?}");
        }
        let (_, found) = run_with(fresh(), parts.path(), EPOCHS, 1, None);
        assert_eq!(found, wanted);
        assert_eq!(metrics(parts.path()), metrics(whole.path()));
        assert!(state(parts.path()) == state(whole.path()));
    }
}

#[test]
fn two_epochs_of_preference_and_two_more_are_four() {
    let sampling = SamplePlan { samples_per_prompt: 2, ..plan().sampling };
    let plan = DdpoPlan { sampling, ..plan() };
    let fresh = || {
        let (shared, objective) = (parts(Box::new(MeanBrightness)), Box::new(Pairwise::default()));
        DdpoTrainer::new(plan.clone(), DdpoParts { shared, objective, advantage: Box::new(PairAdvantage) }).unwrap()
    };
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, wanted) = run_with(fresh(), whole.path(), EPOCHS, 1, None);
    run_with(fresh(), parts.path(), 2, 1, None);
    let (outcome, _) = run_with(fresh(), parts.path(), EPOCHS, 1, Some(30));
    assert!(matches!(outcome, Outcome::Interrupted { .. }), "{outcome:?}");
    let (_, found) = run_with(fresh(), parts.path(), EPOCHS, 1, None);
    assert_eq!(found, wanted);
    assert_eq!(metrics(parts.path()), metrics(whole.path()));
    assert!(state(parts.path()) == state(whole.path()));
}

/// With an old policy that is behind, which is part of the state, and with none.
#[test]
fn two_epochs_of_the_forward_process_and_two_more_are_four() {
    for most in [0.0, 0.7] {
        let plan = ForwardPlan { old_policy: OldPolicy { ramp: 0.3, most }, ..forward_plan() };
        let fresh = || forward_trainer(plan.clone(), Box::new(MeanBrightness));
        let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_, wanted) = run_with(fresh(), whole.path(), EPOCHS, 1, None);
        run_with(fresh(), parts.path(), 2, 1, None);
        // Stopped in the middle of an epoch, and once more in an evaluation.
        for stop_after in [30, 60] {
            let (outcome, _) = run_with(fresh(), parts.path(), EPOCHS, 1, Some(stop_after));
            assert!(matches!(outcome, Outcome::Interrupted { .. }), "{outcome:?}");
        }
        let (_, found) = run_with(fresh(), parts.path(), EPOCHS, 1, None);
        assert_eq!(found, wanted);
        assert_eq!(metrics(parts.path()), metrics(whole.path()));
        assert!(state(parts.path()) == state(whole.path()));
    }
}

#[test]
fn two_epochs_and_two_more_are_four_with_an_average_that_lags_behind() {
    let with_decay = |decay| {
        let shared = Parts { average_decay: Some(decay), ..parts(Box::new(MeanBrightness)) };
        let (objective, advantage) = (Box::new(DdpoIs::default()), Box::new(BatchAdvantage));
        DdpoTrainer::new(plan(), DdpoParts { shared, objective, advantage })
    };
    assert!(with_decay(1.0).is_err() && with_decay(f64::NAN).is_err());
    let averaged = || with_decay(0.6).unwrap();
    let go = |trainer: &mut Trainer, epochs: u64| {
        let (mut trackers, memory) = listening();
        Run::new(trainer, &mut trackers, StopFlag::new()).run(epochs).unwrap();
        timeless(memory.records())
    };
    let (mut whole, mut first, mut second) = (averaged(), averaged(), averaged());
    let base = bits(whole.policy());
    let records = go(&mut whole, 4);
    go(&mut first, 2);
    second.restore(&first.snapshot().unwrap()).unwrap();
    let rest = go(&mut second, 4);
    assert_eq!(second.snapshot().unwrap(), whole.snapshot().unwrap());
    assert_eq!(rest[..], records[records.len() - rest.len()..], "evaluations see the average");
    let (policy, product) = (bits(whole.policy()), bits(whole.product()));
    assert!(policy != product && product != base);
    // Without an average there is none in a snapshot, and an average cannot go on from such.
    let mut plain = trainer(plan());
    go(&mut plain, 1);
    assert_eq!(bits(plain.policy()), bits(plain.product()));
    let error = averaged().restore(&plain.snapshot().unwrap()).unwrap_err().to_string();
    assert!(error.contains("average/"), "{error}");
}

#[test]
fn a_checkpoint_without_the_old_policy_is_refused_by_name() {
    let with_old = forward_trainer(forward_plan(), Box::new(MeanBrightness));
    let plan = ForwardPlan { old_policy: OldPolicy { ramp: 0.0, most: 0.0 }, ..forward_plan() };
    let mut snapshot = forward_trainer(plan, Box::new(MeanBrightness)).snapshot().unwrap();
    let mut trainer = with_old;
    let error = trainer.restore(&snapshot).unwrap_err().to_string();
    assert!(error.contains("`old/hidden.weight`"), "{error}");
    snapshot = trainer.snapshot().unwrap();
    trainer.restore(&snapshot).unwrap();
}

#[test]
fn the_best_state_is_kept_besides_and_resumed_from_by_nobody() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), EPOCHS, 1, None);
    let evals: Vec<serde_json::Value> =
        metrics(directory.path()).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    // The watched reward is the first which is not optimised, here the same brightness.
    let rewards = evals.iter().filter(|line: &&serde_json::Value| line["kind"] == "eval");
    let best = rewards.map(|line| (line["reward_mean"].as_f64().unwrap(), line["epoch"].as_u64().unwrap()));
    // Of equal rewards the earlier state is kept.
    let best = best.fold((f64::NEG_INFINITY, 0), |best, next| if next.0 > best.0 { next } else { best });
    assert_eq!(store(directory.path()).best().unwrap().unwrap().snapshot.epoch, best.1);
    assert_eq!(store(directory.path()).newest().unwrap().checkpoint.unwrap().snapshot.epoch, EPOCHS);
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
    let checkpoints =
        Checkpoints { store: store(directory.path()), identity: Identity::default(), every: 0, keep_best: false };
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
    let checkpoints =
        Checkpoints { store: store(directory.path()), identity: Identity::default(), every: 1, keep_best: false };
    let error =
        Run::new(&mut trainer, &mut trackers, StopFlag::new()).with_checkpoints(checkpoints).run(2).unwrap_err();
    assert_eq!(error.to_string(), "the checkpoint of epoch 2 was not written");
    assert_eq!(memory.warnings().len(), 2, "{:?}", memory.warnings());
    let epochs = timeless(memory.records()).into_iter().filter(|r| matches!(r, Record::Epoch(_))).count();
    assert_eq!(epochs, 2);
}

/// A tracker whose records do not get to the disk for a while.
struct Slow(usize);

impl Tracker for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn record(&mut self, _: &Event<'_>) -> Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> Result<Option<u64>> {
        self.0 = self.0.saturating_sub(1);
        if self.0 > 0 { Err(ddpo_train::Error::Encoding("not yet".into())) } else { Ok(Some(7)) }
    }
}

#[test]
fn a_checkpoint_waits_for_the_records_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let run = |failures, epochs| {
        let mut trainer = trainer(plan());
        let (trackers, memory) = listening();
        let checkpoints =
            Checkpoints { store: store(directory.path()), identity: Identity::default(), every: 1, keep_best: false };
        let mut trackers = trackers.with(Slow(failures));
        let mut run = Run::new(&mut trainer, &mut trackers, StopFlag::new()).with_checkpoints(checkpoints);
        (run.run(epochs), memory)
    };
    // Boundaries before and after the evaluation of the base model and of each epoch.
    let (outcome, memory) = run(5, 3);
    outcome.unwrap();
    assert_eq!(memory.saved(), [2, 3]);
    assert_eq!(memory.warnings(), ["tracker `slow` failed: cannot encode a record: not yet"]);
    let (outcome, memory) = run(100, 2);
    assert_eq!(outcome.unwrap_err().to_string(), "the checkpoint of epoch 2 was not written");
    assert!(memory.saved().is_empty());
}
