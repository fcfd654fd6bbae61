//! What an epoch on given pairs must do.

use burn::tensor::{Device, Tensor};
use ddpo_core::PromptId;
use ddpo_core::preference::DiffusionDpo;
use ddpo_testing::{GaussianPolicy, MeanBrightness};
use ddpo_train::{
    EvalRecord, Learner, PicturePairs, PreferenceParts, PreferencePlan, PreferenceRecord, PreferenceTrainer, Record,
    Run, StopFlag,
};

use crate::common::{gaussian_forward_parts, listening, sampling, timeless};

type Trainer = PreferenceTrainer<GaussianPolicy, 4>;

/// Three pairs a pass, two passes an update, twelve pairs an epoch.
pub fn plan() -> PreferencePlan {
    PreferencePlan {
        sampling: sampling(),
        pairs_per_epoch: 12,
        train_batch: 3,
        accumulation: 2,
        objective: DiffusionDpo { beta: 20.0, ..DiffusionDpo::default() },
        learning_rate: 1e-2,
        ..PreferencePlan::default()
    }
}

/// Pictures of one flat value above 0 and as far below it, one of which is preferred.
fn trainer(plan: PreferencePlan, preferred: f32) -> Trainer {
    PreferenceTrainer::new(plan, parts(preferred, 7)).unwrap()
}

pub fn parts(preferred: f32, count: usize) -> PreferenceParts<GaussianPolicy, 4> {
    let parts = gaussian_forward_parts(Box::new(MeanBrightness));
    let states = (0..count).flat_map(|i| [1.0, -1.0].map(|sign| sign * preferred * (1.0 + i as f32 / 8.0)));
    let states = states.map(|value| Tensor::<4>::full([1, 4, 4, 3], value, &Device::flex())).collect();
    let prompts = (0..count).map(|i| PromptId(i as u64 % 3)).collect();
    let pairs = PicturePairs { states: Tensor::cat(states, 0), prompts };
    PreferenceParts { shared: parts.shared, schedule: parts.schedule, pairs }
}

fn run(trainer: &mut Trainer, epochs: u64) -> Vec<Record> {
    let (mut trackers, memory) = listening();
    Run::new(trainer, &mut trackers, StopFlag::new()).run(epochs).unwrap();
    memory.records()
}

fn steps(records: &[Record]) -> Vec<PreferenceRecord> {
    records.iter().filter_map(|r| if let Record::Preference(x) = r { Some(x.clone()) } else { None }).collect()
}

fn evals(records: &[Record]) -> Vec<EvalRecord> {
    records.iter().filter_map(|r| if let Record::Eval(x) = r { Some(x.clone()) } else { None }).collect()
}

#[test]
fn what_is_drawn_goes_where_the_preferred_pictures_are() {
    let mut rises = Vec::new();
    for preferred in [2.0, -2.0] {
        let records = run(&mut trainer(plan(), preferred), 20);
        let (steps, evals) = (steps(&records), evals(&records));
        assert_eq!(steps.len(), 20 * 2);
        // Before the first step the policy is the base model.
        assert!((steps[0].loss - 2f64.ln()).abs() < 1e-6 && steps[0].pair_accuracy == 0.0, "{:?}", steps[0]);
        assert_eq!(steps[39].pair_accuracy, 1.0, "{:?}", steps[39]);
        assert!(steps[39].loss < steps[0].loss);
        rises.push(evals[20].held_out["mean-brightness"] - evals[0].held_out["mean-brightness"]);
        let queries: Vec<u64> = records
            .iter()
            .filter_map(|r| if let Record::Epoch(x) = r { Some(x.reward_queries) } else { None })
            .collect();
        assert_eq!(queries, [0; 20], "no reward is asked for in training");
    }
    println!("{rises:?}");
    assert!(rises[0] > 0.003 && rises[1] < -0.003, "{rises:?}");
}

#[test]
fn lanes_and_passes_of_any_size_give_the_same_gradient() {
    let one = |lanes| {
        let mut parts = parts(2.0, 7);
        parts.shared.lanes = lanes;
        // No reward is asked for, and NaN equals nothing.
        format!("{:?}", timeless(run(&mut PreferenceTrainer::new(plan(), parts).unwrap(), 2)))
    };
    assert_eq!(one(1), one(3));
    let first = |train_batch, accumulation| {
        steps(&run(&mut trainer(PreferencePlan { train_batch, accumulation, ..plan() }, 2.0), 1))[0].clone()
    };
    let whole = first(6, 1);
    for (batch, accumulation) in [(3, 2), (1, 6)] {
        let parts = first(batch, accumulation);
        assert!((whole.grad_norm - parts.grad_norm).abs() < 1e-5 * whole.grad_norm, "{whole:?} {parts:?}");
    }
}

#[test]
fn two_epochs_and_two_more_are_four() {
    let whole = {
        let mut trainer = trainer(plan(), 2.0);
        run(&mut trainer, 4);
        trainer.snapshot().unwrap()
    };
    let mut first = trainer(plan(), 2.0);
    run(&mut first, 2);
    let mut second = trainer(plan(), 2.0);
    second.restore(&first.snapshot().unwrap()).unwrap();
    run(&mut second, 4);
    assert_eq!(second.snapshot().unwrap(), whole);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |plan, parts| PreferenceTrainer::new(plan, parts).err().unwrap().to_string();
    let odd = PreferencePlan { pairs_per_epoch: 10, ..plan() };
    assert_eq!(refused(odd, parts(1.0, 7)), "pairs per epoch is 10, wanted a multiple of 6, the pairs of an update");
    let late = PreferencePlan { timesteps: vec![1000], ..plan() };
    assert_eq!(refused(late, parts(1.0, 7)), "timestep is 1000, wanted below 1000, the timesteps of the model");
    let mut short = parts(1.0, 7);
    short.pairs.prompts.pop();
    assert!(refused(plan(), short).contains("14"), "two states a pair");
    let timesteps = PreferencePlan { timesteps: Vec::new(), ..plan() };
    assert_eq!(refused(timesteps, parts(1.0, 7)), "timesteps is 0, wanted at least 1");
}
