//! What a round of reward-weighted regression must do.

use crate::common::{Signed, bits, listening, rwr_parts, rwr_plan, rwr_trainer, timeless};
use ddpo_core::weighting::{SoftmaxWeights, SparseWeights};
use ddpo_core::{Grouping, PromptId, Result, Weighting};
use ddpo_testing::{MeanBrightness, ToyPolicy};
use ddpo_train::{EvalRecord, Record, RegressionRecord, Run, RwrPlan, RwrTrainer, StopFlag};

type Trainer = RwrTrainer<ToyPolicy, 4>;

fn softmax(beta: f64) -> Box<dyn Weighting> {
    Box::new(SoftmaxWeights::new(beta, Grouping::Epoch).unwrap())
}

fn run(trainer: &mut Trainer, rounds: u64) -> Vec<Record> {
    let (mut trackers, memory) = listening();
    Run::new(trainer, &mut trackers, StopFlag::new()).run(rounds).unwrap();
    memory.records()
}

fn regressions(records: &[Record]) -> Vec<RegressionRecord> {
    records.iter().filter_map(|r| if let Record::Regression(x) = r { Some(x.clone()) } else { None }).collect()
}

fn evals(records: &[Record]) -> Vec<EvalRecord> {
    records.iter().filter_map(|r| if let Record::Eval(x) = r { Some(x.clone()) } else { None }).collect()
}

#[test]
fn lanes_change_nothing() {
    let one = |lanes| {
        let mut parts = rwr_parts(Box::new(MeanBrightness), softmax(100.0));
        parts.shared.lanes = lanes;
        let mut trainer = RwrTrainer::new(rwr_plan(), parts).unwrap();
        (timeless(run(&mut trainer, 2)), bits(trainer.policy()))
    };
    let alone = one(1);
    for lanes in [2, 3] {
        assert_eq!(one(lanes), alone, "{lanes} lanes");
    }
}

/// How much brighter held-out pictures are after rounds toward brightness than after as many toward darkness: both learn
/// the policy's own pictures equally well, and only the weights differ.
fn contrast(weighting: fn() -> Box<dyn Weighting>) -> f64 {
    let brightness = |sign| {
        let mut plan = RwrPlan { updates_per_round: 30, train_batch: 32, accumulation: 1, ..rwr_plan() };
        plan.sampling.sample_batch = 32;
        let records = run(&mut rwr_trainer(plan, Box::new(Signed(sign)), weighting()), 20);
        evals(&records)[20].held_out["mean-brightness"]
    };
    brightness(1.0) - brightness(-1.0)
}

#[test]
fn the_held_out_reward_goes_where_the_weights_point() {
    let dense = contrast(|| softmax(100.0));
    let sparse = contrast(|| Box::new(SparseWeights::new(90.0, Grouping::Prompt, 128, 4).unwrap()));
    assert!(dense > 0.003 && sparse > 0.003, "dense {dense}, sparse {sparse}");
}

#[test]
fn passes_of_any_size_give_the_same_mean_gradient() {
    let first = |train_batch, accumulation| {
        let plan = RwrPlan { train_batch, accumulation, updates_per_round: 1, ..rwr_plan() };
        regressions(&run(&mut rwr_trainer(plan, Box::new(MeanBrightness), softmax(5.0)), 1))[0].clone()
    };
    let whole = first(12, 1);
    for (batch, accumulation) in [(6, 2), (4, 3), (1, 12)] {
        let parts = first(batch, accumulation);
        assert!((whole.grad_norm - parts.grad_norm).abs() < 1e-5 * whole.grad_norm, "{whole:?} {parts:?}");
        assert!((whole.loss - parts.loss).abs() < 1e-6 && (whole.denoising_error - parts.denoising_error).abs() < 1e-6);
    }
}

#[test]
fn equal_weights_are_plain_denoising_and_all_samples_count() {
    let records = run(&mut rwr_trainer(rwr_plan(), Box::new(MeanBrightness), softmax(0.0)), 2);
    let steps = regressions(&records);
    assert_eq!(steps.iter().map(|step| step.step).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    for step in steps {
        assert!(
            (step.loss - step.denoising_error).abs() < 1e-6 && (step.effective_samples - 24.0).abs() < 1e-9,
            "{step:?}"
        );
    }
}

#[test]
fn the_same_plan_gives_the_same_bits_and_another_seed_does_not() {
    let trained = |seed| {
        let mut plan = rwr_plan();
        plan.sampling.seed = seed;
        let mut trainer = rwr_trainer(plan, Box::new(MeanBrightness), softmax(5.0));
        let records = timeless(run(&mut trainer, 2));
        (bits(trainer.policy()), records)
    };
    assert_eq!(trained(7), trained(7));
    assert_ne!(trained(7).0, trained(8).0);
}

/// A weighting which keeps nothing.
struct Nothing;

impl Weighting for Nothing {
    fn weights(&mut self, prompts: &[PromptId], _: &[f32]) -> Result<Vec<f32>> {
        Ok(vec![0.0; prompts.len()])
    }
}

#[test]
fn a_round_in_which_nothing_is_kept_changes_nothing() {
    let fresh = || rwr_trainer(rwr_plan(), Box::new(MeanBrightness), Box::new(Nothing));
    let mut trainer = fresh();
    let records = run(&mut trainer, 1);
    assert!(regressions(&records).is_empty());
    assert_eq!(bits(trainer.policy()), bits(fresh().policy()));
}

#[test]
fn impossible_plans_are_refused_by_name() {
    let parts = || ddpo_train::RwrPlan { updates_per_round: 0, ..rwr_plan() };
    assert_eq!(parts().validate().unwrap_err().to_string(), "updates per round is 0, wanted at least 1");
    assert!(RwrPlan { learning_rate: f64::NAN, ..rwr_plan() }.validate().is_err());
}
