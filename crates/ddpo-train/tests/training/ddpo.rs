//! What an epoch of DDPO must do.

use std::sync::{Arc, Mutex};

use crate::common::{Signed, bits, listening, parts, plan, sampling, timeless, trainer, trainer_with, updates};
use ddpo_core::advantage::BatchAdvantage;
use ddpo_core::objective::{DdpoIs, DdpoSf, DivergenceMask, EqualSteps, KlPenalised, NormalisedRatio};
use ddpo_core::{LogProbTerms, Loss, Objective, Result, Reward, RewardBatch};
use ddpo_testing::{MeanBrightness, ScriptedReward};
use ddpo_train::{
    DdpoParts, DdpoPlan, DdpoTrainer, Error, EvalRecord, Evaluation, Observer, Parts, Record, Run, SamplePlan, Stage,
    StopFlag, StopRule,
};

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
    for (train_batch, accumulation) in [(4, 3), (1, 12), (12, 1), (6, 2)] {
        let plan = DdpoPlan { train_batch, accumulation, ..plan() };
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

/// How much the held-out brightness rises in 40 epochs toward brightness or darkness.
fn rise(sign: f32, accumulation: usize, objective: Box<dyn Objective>) -> f64 {
    let plan = DdpoPlan {
        learning_rate: 3e-3,
        sampling: SamplePlan { sample_batch: 32, ..sampling() },
        train_batch: 16,
        accumulation,
        inner_epochs: 1,
        ..plan()
    };
    let records = run(&mut trainer_with(plan, Box::new(Signed(sign)), objective), 40);
    let evals = evals(&records);
    assert_eq!((evals.len(), evals[0].epoch, evals[0].kl_to_base), (41, 0, 0.0));
    assert!(evals[40].kl_to_base > 1.0 && evals[40].diversity > 0.0, "{:?}", evals[40]);
    assert!((evals[40].reward_mean - f64::from(sign) * evals[40].held_out["mean-brightness"]).abs() < 1e-6);
    evals[40].held_out["mean-brightness"] - evals[0].held_out["mean-brightness"]
}

/// The toy's pictures are mostly noise which no policy can change: 0.003 of the range is a lot, and its sign is the
/// point. Prompts and noise are those of the evaluation, which training never sees.
#[test]
fn the_held_out_reward_goes_where_the_reward_points() {
    for sign in [1.0, -1.0] {
        let importance_sampling = rise(sign, 4, Box::new(DdpoIs::default()));
        let score_function = rise(sign, 8, Box::new(DdpoSf::default()));
        assert!(f64::from(sign) * importance_sampling > 0.003, "{sign}: {importance_sampling}");
        assert!(f64::from(sign) * score_function > 0.003, "{sign}: {score_function}");
    }
}

#[test]
fn the_score_function_estimator_sees_fresh_samples_only() {
    let plan = DdpoPlan { inner_epochs: 1, accumulation: 6, ..plan() };
    let records = run(&mut trainer_with(plan, Box::new(MeanBrightness), Box::new(DdpoSf::default())), 3);
    assert!(updates(&records).iter().all(|update| update.ratio_max_deviation == 0.0));
}

/// The score function, which takes note of the pairs it sees by their log-probabilities.
struct Witness(Arc<Mutex<Vec<u32>>>);

impl Objective for Witness {
    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        let old: Vec<f32> = terms.old.clone().into_data().try_into_vec().unwrap();
        self.0.lock().unwrap().extend(old.into_iter().map(f32::to_bits));
        DdpoSf::default().loss(terms)
    }
}

#[test]
fn only_steps_from_the_first_timestep_on_are_trained_on() {
    let pairs = |first_timestep| {
        let seen = Arc::default();
        let plan = DdpoPlan { first_timestep, timestep_fraction: 1.0, inner_epochs: 1, accumulation: 6, ..plan() };
        run(&mut trainer_with(plan, Box::new(MeanBrightness), Box::new(Witness(Arc::clone(&seen)))), 1);
        let mut pairs = seen.lock().unwrap().clone();
        pairs.sort();
        pairs
    };
    // Five steps at 801, 601, 401, 201 and 1, 24 chains.
    let all = pairs(0.0);
    let kept: Vec<Vec<u32>> = [1.0, 1.5, 401.0, 402.0, 801.0].map(pairs).into();
    assert_eq!(kept.iter().map(Vec::len).collect::<Vec<_>>(), [5, 4, 3, 2, 1].map(|steps| steps * 24));
    assert_eq!(kept[0], all);
    for few in kept.windows(2) {
        assert!(few[1].iter().all(|pair| few[0].binary_search(pair).is_ok()));
    }
}

#[test]
fn the_same_plan_gives_the_same_bits_and_another_seed_does_not() {
    let (mut a, mut b, mut c) = (
        trainer(plan()),
        trainer(plan()),
        trainer(DdpoPlan { sampling: SamplePlan { seed: 8, ..sampling() }, ..plan() }),
    );
    let (first, second) = (timeless(run(&mut a, 2)), timeless(run(&mut b, 2)));
    run(&mut c, 2);
    assert_eq!(first, second);
    assert_eq!(bits(a.policy()), bits(b.policy()));
    assert_ne!(bits(a.policy()), bits(c.policy()));
}

#[test]
fn lanes_change_nothing() {
    let one = |lanes| {
        let shared = Parts { lanes, ..parts(Box::new(MeanBrightness)) };
        let (objective, advantage) = (Box::new(DdpoIs::default()), Box::new(BatchAdvantage));
        let mut trainer = DdpoTrainer::new(plan(), DdpoParts { shared, objective, advantage }).unwrap();
        (timeless(run(&mut trainer, 2)), bits(trainer.policy()))
    };
    let alone = one(1);
    for lanes in [2, 3] {
        assert_eq!(one(lanes), alone, "{lanes} lanes");
    }
}

#[test]
fn progress_counts_to_its_total_in_every_stage() {
    let (mut trackers, memory) = listening();
    Run::new(&mut trainer(plan()), &mut trackers, StopFlag::new()).run(1).unwrap();
    for (stage, ends) in [(Stage::Sampling, 1), (Stage::Scoring, 3), (Stage::Training, 1), (Stage::Evaluating, 2)] {
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
    assert_eq!(message, "the reward `scripted` gave 1 value for 6 images");
}

#[test]
fn a_gradient_which_is_not_finite_is_named_and_changes_nothing() {
    let mut trainer = trainer(DdpoPlan { learning_rate: 1e30, ..plan() });
    let (mut trackers, _) = listening();
    let outcome = Run::new(&mut trainer, &mut trackers, StopFlag::new()).run(5);
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::NonFinite { epoch: 1, .. }), "{error}");
}

#[test]
fn objectives_that_know_the_steps_learn_and_see_nothing_of_a_policy_that_has_not_moved() {
    let objectives: [fn() -> Box<dyn Objective>; 4] = [
        || Box::new(NormalisedRatio { clip_range: 1e-3, ..NormalisedRatio::default() }),
        || Box::new(DivergenceMask { most: 1e-3, ..DivergenceMask::default() }),
        || Box::new(EqualSteps::new(DdpoIs { clip_range: 1e-2, ..DdpoIs::default() })),
        || Box::new(EqualSteps::new(DdpoSf::default())),
    ];
    for (i, objective) in objectives.into_iter().enumerate() {
        // The score function's update is of all an epoch's batches.
        let accumulation = if i == 3 { 8 } else { 4 };
        let contrast = rise(1.0, accumulation, objective()) - rise(-1.0, accumulation, objective());
        assert!(contrast > 0.003, "objective {i}: {contrast}");
    }
    let tight: [fn() -> Box<dyn Objective>; 3] = [
        || Box::new(NormalisedRatio { clip_range: 1e-7, ..NormalisedRatio::default() }),
        || Box::new(DivergenceMask { most: 1e-9, ..DivergenceMask::default() }),
        || Box::new(EqualSteps::new(DdpoIs { clip_range: 1e-7, ..DdpoIs::default() })),
    ];
    for (i, objective) in tight.into_iter().enumerate() {
        let updates = updates(&run(&mut trainer_with(plan(), Box::new(MeanBrightness), objective()), 1));
        let clipped: Vec<f64> = updates.iter().map(|update| update.clip_fraction).collect();
        assert!(clipped[0] == 0.0 && clipped[1] > 0.1, "objective {i}: {clipped:?}");
    }
}

#[test]
fn the_penalty_holds_the_policy_near_the_base_model() {
    let divergence = |kl_weight| {
        let plan = DdpoPlan { inner_epochs: 1, ..plan() };
        let objective: Box<dyn Objective> = match kl_weight > 0.0 {
            true => Box::new(KlPenalised::new(DdpoIs::default(), kl_weight).unwrap()),
            false => Box::new(DdpoIs::default()),
        };
        let records = run(&mut trainer_with(plan, Box::new(MeanBrightness), objective), 6);
        let updates = updates(&records);
        assert!(updates.iter().all(|update| update.kl_to_base.is_some() == (kl_weight > 0.0)));
        (evals(&records)[6].kl_to_base, updates)
    };
    let ((free, _), (weak, updates), (strong, _)) = (divergence(0.0), divergence(1e-2), divergence(1.0));
    assert!(strong < weak && weak < free, "{strong} {weak} {free}");
    // The policy is the base model until the first step, so there is nothing to penalise.
    assert_eq!((updates[0].kl_to_base, updates[0].ratio_max_deviation), (Some(0.0), 0.0));
    assert!(updates[1].kl_to_base > Some(0.0));
}

#[test]
fn evaluations_compare_each_prompt_with_the_base_model() {
    let evals = evals(&run(&mut trainer(plan()), 3));
    assert_eq!(evals[0].improved, None);
    // Two prompts: none, one or both have improved.
    assert!(evals[1..].iter().all(|eval| [0.0, 0.5, 1.0].contains(&eval.improved.unwrap())), "{evals:?}");
    assert!(evals.iter().all(|eval| eval.reward_histogram.counts.iter().sum::<u64>() == 10));
}

fn halting(stop: StopRule) -> DdpoTrainer<ddpo_testing::ToyPolicy, 4> {
    let mut shared = parts(Box::new(MeanBrightness));
    shared.evaluation = shared.evaluation.map(|evaluation| Evaluation { stop, ..evaluation });
    let (objective, advantage) = (Box::new(DdpoIs::default()), Box::new(BatchAdvantage));
    DdpoTrainer::new(plan(), DdpoParts { shared, objective, advantage }).unwrap()
}

#[test]
fn an_evaluation_can_end_the_run() {
    // The base model is at 0 nats and the first update moves away from it.
    let mut trainer = halting(StopRule { kl: Some(0.0), ..StopRule::default() });
    assert_eq!(evals(&run(&mut trainer, 9)).len(), 2);
    assert_eq!(trainer.epochs_done(), 1);
    // No evaluation at all may pass without a gain: the run ends at its first loss.
    let evals = evals(&run(&mut halting(StopRule { patience: Some(1), ..StopRule::default() }), 200));
    let rewards: Vec<f64> = evals.iter().map(|eval| eval.reward_mean).collect();
    let (last, rising) = rewards.split_last().unwrap();
    assert!(rising.windows(2).all(|pair| pair[1] > pair[0]) && *last <= rising[rising.len() - 1], "{rewards:?}");
}
