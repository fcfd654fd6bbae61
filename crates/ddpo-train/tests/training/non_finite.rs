//! Losses, gradients and rewards that are not finite: named, kept for inspection, and passed over where the plan says so.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Tensor;
use ddpo_core::objective::DdpoIs;
use ddpo_core::weighting::SoftmaxWeights;
use ddpo_core::{Grouping, LogProbTerms, Loss, Objective, Reward, RewardBatch, Weighting};
use ddpo_testing::MeanBrightness;
use ddpo_train::{
    Batches, Broadcast, DdpoPlan, EpochRecord, Error, Learner, Memory, NonFinitePolicy, Observer, Record, RwrPlan,
    SamplePlan, StopFlag, Work,
};

use crate::common::{bits, plan, rwr_plan, rwr_trainer, sampling, trainer, trainer_with, updates};

/// What becomes of the n-th loss.
#[derive(Clone, Copy)]
enum Poison {
    Loss,
    Gradient,
}

/// DDPO-IS, of which one loss is NaN or has a gradient that is.
struct Poisoned {
    how: Poison,
    at: usize,
    calls: AtomicUsize,
}

impl Objective for Poisoned {
    fn loss(&self, terms: &LogProbTerms<'_>) -> ddpo_core::Result<Loss> {
        let mut loss = DdpoIs::default().loss(terms)?;
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.how {
            Poison::Loss if call == self.at => loss.value = loss.value.mul_scalar(f64::NAN),
            // The root of nothing is finite, and its slope is not. Whoever looks for the culprit calls again.
            Poison::Gradient if call >= self.at => {
                let nothing: Tensor<1> = terms.new.clone().mean().mul_scalar(0.0);
                loss.value = loss.value + nothing.sqrt();
            }
            _ => {}
        }
        Ok(loss)
    }
}

fn poisoned(how: Poison, at: usize) -> Box<dyn Objective> {
    Box::new(Poisoned { how, at, calls: AtomicUsize::new(0) })
}

/// Brightness, of which every 24-th value, beginning with the sixth, is infinite.
struct Infinite(AtomicUsize);

impl Reward for Infinite {
    fn name(&self) -> &str {
        "infinite"
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        let mut values = MeanBrightness.score(batch)?;
        for value in &mut values {
            if self.0.fetch_add(1, Ordering::Relaxed) % 24 == 5 {
                *value = f32::INFINITY;
            }
        }
        Ok(values)
    }
}

/// One epoch: how it ended, what was heard, and the files it left for inspection.
fn epoch(learner: &mut impl Learner) -> (Result<(), Error>, Memory, Vec<String>) {
    let (memory, directory) = (Memory::new(), tempfile::tempdir().unwrap());
    let mut trackers = Broadcast::new().with(memory.clone()).with(Batches::new(directory.path()));
    let stop = StopFlag::new();
    // The evaluation of the base model comes first.
    let mut observer = Observer::new(&mut trackers, &stop);
    let outcome =
        learner.advance(Work::Evaluation, &mut observer).and_then(|()| learner.advance(Work::Epoch, &mut observer));
    let files = ddpo_train::fs::list_directory(&directory.path().join(Batches::NAME)).unwrap();
    (outcome, memory, files)
}

fn skipping() -> DdpoPlan {
    DdpoPlan { sampling: SamplePlan { non_finite: NonFinitePolicy::Skip, ..sampling() }, ..plan() }
}

fn record(memory: &Memory) -> EpochRecord {
    memory.records().into_iter().find_map(|r| if let Record::Epoch(epoch) = r { Some(epoch) } else { None }).unwrap()
}

#[test]
fn a_loss_that_is_not_finite_is_named_and_kept() {
    // Of 12 forward passes an update, the second of the third update.
    let mut trainer = trainer_with(plan(), Box::new(MeanBrightness), poisoned(Poison::Loss, 25));
    let (outcome, memory, files) = epoch(&mut trainer);
    let message = outcome.unwrap_err().to_string();
    assert!(message.starts_with("the loss is NaN in epoch 1"), "{message}");
    assert_eq!(files, ["epoch_0001_update_000003.safetensors"]);
    assert_eq!(updates(&memory.records()).len(), 2);
}

#[test]
fn a_gradient_that_is_not_finite_is_traced_to_sample_step_and_prompt() {
    let mut trainer = trainer_with(plan(), Box::new(MeanBrightness), poisoned(Poison::Gradient, 14));
    let (outcome, _, files) = epoch(&mut trainer);
    let message = outcome.unwrap_err().to_string();
    assert!(message.starts_with("the gradient norm is NaN in epoch 1, sample "), "{message}");
    for part in [", denoising step ", ", update 2", ", prompt `a "] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(files, ["epoch_0001_update_000002.safetensors"]);
}

#[test]
fn an_update_that_is_left_out_changes_nothing_but_itself() {
    let mut skipped = trainer_with(skipping(), Box::new(MeanBrightness), poisoned(Poison::Loss, 25));
    let (outcome, memory, files) = epoch(&mut skipped);
    outcome.unwrap();
    let steps: Vec<u64> = updates(&memory.records()).iter().map(|update| update.step).collect();
    assert_eq!(steps, [1, 2, 3], "the step that was left out has no number");
    assert_eq!((record(&memory).left_out, memory.warnings().len(), files.len()), (1, 1, 1));
    // The first two updates are those of a run without poison.
    let mut whole = trainer(skipping());
    let (_, wanted, _) = epoch(&mut whole);
    assert_eq!(updates(&memory.records())[..2], updates(&wanted.records())[..2]);
    assert_eq!(record(&wanted).left_out, 0);
}

#[test]
fn a_sample_without_a_reward_has_no_part_in_the_epoch() {
    let reward = || Box::new(Infinite(AtomicUsize::new(0)));
    let objective = || Box::new(DdpoIs::default());
    // The evaluation asks ten times for the optimised reward and comes first.
    let mut failing = trainer_with(plan(), reward(), objective());
    let message = epoch(&mut failing).0.unwrap_err().to_string();
    assert!(message.starts_with("the reward is inf in epoch 0, sample 5, prompt `a bee`"), "{message}");
    let mut skipped = trainer_with(skipping(), reward(), objective());
    let (outcome, memory, files) = epoch(&mut skipped);
    outcome.unwrap();
    // Of 34 values the sixth, of the evaluation, and the thirtieth.
    assert_eq!(record(&memory).left_out, 1);
    let warnings = memory.warnings();
    assert!(warnings[1].starts_with("the reward is inf in epoch 1, sample 19, prompt `a "), "{warnings:?}");
    assert_eq!(files, ["epoch_0000.safetensors", "epoch_0001.safetensors"]);
    assert!(record(&memory).reward_mean.is_finite());
}

#[test]
fn a_regression_leaves_out_the_same() {
    let weighting = || -> Box<dyn Weighting> { Box::new(SoftmaxWeights::new(5.0, Grouping::Epoch).unwrap()) };
    let mut plan = rwr_plan();
    plan.sampling.non_finite = NonFinitePolicy::Skip;
    let mut skipped = rwr_trainer(plan.clone(), Box::new(Infinite(AtomicUsize::new(0))), weighting());
    let (outcome, memory, _) = epoch(&mut skipped);
    outcome.unwrap();
    assert_eq!(record(&memory).left_out, 1);
    // A learning rate without measure ends in errors without measure, from the second update on.
    let wild = |non_finite| {
        let mut plan = RwrPlan { learning_rate: 1e30, ..plan.clone() };
        plan.sampling.non_finite = non_finite;
        let mut trainer = rwr_trainer(plan, Box::new(MeanBrightness), weighting());
        (epoch(&mut trainer), bits(trainer.policy()))
    };
    let ((outcome, _, files), _) = wild(NonFinitePolicy::Fail);
    let message = outcome.unwrap_err().to_string();
    assert!(message.contains(" in epoch 1, sample ") && message.contains(", prompt `a "), "{message}");
    assert_eq!(files, ["epoch_0001_update_000002.safetensors"]);
    let ((outcome, memory, _), after) = wild(NonFinitePolicy::Skip);
    outcome.unwrap();
    assert_eq!(record(&memory).left_out, 3);
    assert!(after.into_iter().all(|bits| f32::from_bits(bits).is_finite()));
}
