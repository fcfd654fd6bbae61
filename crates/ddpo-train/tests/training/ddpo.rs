//! What an epoch of DDPO must do.

use crate::common::{bits, listening, plan, score_function_trainer, timeless, trainer, trainer_with, updates};
use ddpo_core::objective::DdpoIs;
use ddpo_core::{Result, Reward, RewardBatch};
use ddpo_testing::ScriptedReward;
use ddpo_train::{DdpoPlan, Error, EvalRecord, Observer, Record, Run, Stage, StopFlag};

fn run(trainer: &mut crate::common::Trainer, epochs: u64) -> Vec<Record> {
    let (mut trackers, memory) = listening();
    Run::new(trainer, &mut trackers, StopFlag::new()).run(epochs).unwrap();
    memory.records()
}

fn evals(records: &[Record]) -> Vec<EvalRecord> {
    records.iter().filter_map(|r| if let Record::Eval(eval) = r { Some(eval.clone()) } else { None }).collect()
}

#[test]
fn the_first_ratio_of_every_epoch_is_exactly_one_whatever_the_batches() {
    for (train_batch, accumulation, fold) in [(4, 3, 1), (1, 12, 1), (12, 1, 4), (6, 2, 3)] {
        let plan = DdpoPlan { train_batch, accumulation, timesteps_per_forward: fold, ..plan() };
        let records = updates(&run(&mut trainer(plan), 3));
        assert_eq!(records.len(), 3 * 4);
        for (i, update) in records.iter().enumerate() {
            let deviation = update.ratio_max_deviation;
            // Two updates an inner epoch, two inner epochs: every fourth update is an epoch's first.
            assert_eq!(deviation == 0.0, i % 4 == 0, "update {i} of batch {train_batch} has {deviation}");
            assert_eq!(update.step, i as u64 + 1);
        }
    }
}

#[test]
fn folding_timesteps_gives_the_same_mean_gradient() {
    let norm = |fold| {
        let plan = DdpoPlan { timesteps_per_forward: fold, ..plan() };
        updates(&run(&mut trainer(plan), 1))[0].clone()
    };
    // Three does not divide four: the last forward pass has fewer rows, and they must not weigh more.
    for fold in [2, 3, 4] {
        let (one, folded) = (norm(1), norm(fold));
        assert!((one.grad_norm - folded.grad_norm).abs() < 1e-5 * one.grad_norm, "{one:?} {folded:?}");
        assert!((one.loss - folded.loss).abs() < 1e-6, "{one:?} {folded:?}");
    }
}

#[test]
#[ignore]
fn sweep() {
    for lr in [3e-4, 1e-3, 3e-3] {
        for clip in [1e-4, 1e-2, 0.0] {
            let plan = DdpoPlan {
                learning_rate: lr,
                sample_batch: 32,
                train_batch: 16,
                accumulation: 4,
                inner_epochs: 1,
                timesteps_per_forward: 4,
                ..plan()
            };
            let plan = if clip == 0.0 { DdpoPlan { accumulation: 8, ..plan } } else { plan };
            let objective: Box<dyn ddpo_core::Objective> = if clip == 0.0 {
                Box::new(ddpo_core::objective::DdpoSf::default())
            } else {
                Box::new(DdpoIs { clip_range: clip, ..Default::default() })
            };
            let mut t = trainer_with(plan, Box::new(ddpo_testing::MeanBrightness), objective);
            let start = std::time::Instant::now();
            let e = evals(&run(&mut t, 40));
            println!(
                "lr {lr} clip {clip}: {:?} {:.2}s",
                [0, 10, 20, 30, 40].map(|i| (e[i].reward_mean as f32, e[i].kl_to_base as f32)),
                start.elapsed().as_secs_f64()
            );
        }
    }
}

#[test]
fn the_held_out_reward_rises_and_the_policy_leaves_its_base() {
    let plan = DdpoPlan { learning_rate: 1e-2, ..plan() };
    let evals = evals(&run(&mut trainer(plan), 20));
    assert_eq!(evals.len(), 21);
    assert_eq!((evals[0].epoch, evals[0].kl_to_base), (0, 0.0));
    let (first, last) = (&evals[0], &evals[20]);
    assert!(last.reward_mean > first.reward_mean + 0.1, "{first:?} {last:?}");
    assert!(last.kl_to_base > 0.1, "{last:?}");
    assert_eq!(last.held_out["mean-brightness"], last.reward_mean);
    assert!(last.diversity > 0.0);
}

#[test]
fn the_score_function_estimator_learns_with_one_update_an_epoch() {
    let plan = DdpoPlan { inner_epochs: 1, accumulation: 6, learning_rate: 1e-2, ..plan() };
    let records = run(&mut score_function_trainer(plan), 30);
    assert!(updates(&records).iter().all(|update| update.ratio_max_deviation == 0.0));
    let evals = evals(&records);
    assert!(evals[30].reward_mean > evals[0].reward_mean + 0.05, "{:?} {:?}", evals[0], evals[30]);
}

#[test]
fn the_same_plan_gives_the_same_bits_and_another_seed_does_not() {
    let (mut a, mut b, mut c) = (trainer(plan()), trainer(plan()), trainer(DdpoPlan { seed: 8, ..plan() }));
    let (first, second) = (timeless(run(&mut a, 2)), timeless(run(&mut b, 2)));
    run(&mut c, 2);
    assert_eq!(first, second);
    assert_eq!(bits(&a), bits(&b));
    assert_ne!(bits(&a), bits(&c));
}

#[test]
fn progress_counts_to_its_total_in_every_stage() {
    let (mut trackers, memory) = listening();
    Run::new(&mut trainer(plan()), &mut trackers, StopFlag::new()).run(1).unwrap();
    for (stage, ends) in [(Stage::Sampling, 1), (Stage::Scoring, 5), (Stage::Training, 1), (Stage::Evaluating, 2)] {
        let heard: Vec<_> = memory.progress().into_iter().filter(|p| p.stage == stage).collect();
        assert_eq!(heard.iter().filter(|p| p.done == p.total).count(), ends, "{stage:?} {heard:?}");
        assert!(heard.iter().all(|p| p.done <= p.total));
    }
}

/// A reward which is NaN for its n-th picture.
struct NotANumber(usize);

impl Reward for NotANumber {
    fn name(&self) -> &str {
        "not-a-number"
    }

    fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        Ok((0..batch.images.len()).map(|i| if i == self.0 { f32::NAN } else { 0.0 }).collect())
    }
}

fn first_error(reward: Box<dyn Reward>) -> String {
    let mut trainer = trainer_with(plan(), reward, Box::new(DdpoIs::default()));
    let (mut trackers, _) = listening();
    trainer.epoch(&mut Observer::new(&mut trackers, &StopFlag::new())).unwrap_err().chain()
}

#[test]
fn a_reward_which_is_not_finite_is_named_with_its_place() {
    let message = first_error(Box::new(NotANumber(2)));
    assert!(message.starts_with("the reward is NaN in epoch 1, sample 2, prompt `a "), "{message}");
}

#[test]
fn a_reward_which_fails_or_answers_too_little_ends_the_epoch() {
    let message = first_error(Box::new(ScriptedReward::new([Err("the server is gone".to_owned())])));
    assert!(message.contains("scripted") && message.contains("the server is gone"), "{message}");
    let message = first_error(Box::new(ScriptedReward::new([Ok(vec![1.0])])));
    assert_eq!(message, "rewards of a batch: found 1, wanted 6");
}

#[test]
fn a_gradient_which_is_not_finite_is_named_and_changes_nothing() {
    let mut trainer = trainer(DdpoPlan { learning_rate: 1e30, ..plan() });
    let (mut trackers, _) = listening();
    let outcome = Run::new(&mut trainer, &mut trackers, StopFlag::new()).run(5);
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::NonFinite { epoch: 1, .. }), "{error}");
}
