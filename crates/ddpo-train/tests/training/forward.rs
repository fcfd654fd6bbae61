//! What an epoch of the forward process must do.

use crate::common::{
    Signed, bits, forward_parts, forward_plan, forward_trainer, gaussian_forward_parts, listening, timeless,
};
use ddpo_core::correction::{CorrectedTarget, ErrorWeight};
use ddpo_core::scheduler::{Ddim, DdimConfig};
use ddpo_testing::{MeanBrightness, stable_diffusion_schedule};
use ddpo_train::{
    CorrectionRecord, EvalRecord, ForkPolicy, ForwardPlan, ForwardTrainer, OldPolicy, Record, Run, StopFlag,
    TimestepDensity,
};

fn run<P: ForkPolicy<4>>(trainer: &mut ForwardTrainer<P, 4>, epochs: u64) -> Vec<Record> {
    let (mut trackers, memory) = listening();
    Run::new(trainer, &mut trackers, StopFlag::new()).run(epochs).unwrap();
    memory.records()
}

fn corrections(records: &[Record]) -> Vec<CorrectionRecord> {
    records.iter().filter_map(|r| if let Record::Correction(x) = r { Some(x.clone()) } else { None }).collect()
}

fn evals(records: &[Record]) -> Vec<EvalRecord> {
    records.iter().filter_map(|r| if let Record::Eval(x) = r { Some(x.clone()) } else { None }).collect()
}

fn brightness() -> Box<MeanBrightness> {
    Box::new(MeanBrightness)
}

/// The samples an epoch draws are worth the same to everybody.
struct Constant;

impl ddpo_core::Reward for Constant {
    fn name(&self) -> &str {
        "constant"
    }

    fn score(&self, batch: &ddpo_core::RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        Ok(vec![3.0; batch.images.len()])
    }
}

#[test]
fn a_reward_that_prefers_nothing_changes_nothing() {
    let mut plan = ForwardPlan { old_policy: OldPolicy { most: 0.0, ..OldPolicy::default() }, ..forward_plan() };
    plan.adamw.weight_decay = 0.0;
    let fresh = || forward_trainer(plan.clone(), Box::new(Constant));
    let mut trainer = fresh();
    let steps = corrections(&run(&mut trainer, 2));
    assert!(steps.iter().all(|step| step.grad_norm == 0.0 && step.distance_to_old == 0.0), "{steps:?}");
    assert_eq!(bits(trainer.policy()), bits(fresh().policy()));
    // An anchor to the base model keeps a policy that is still the base model, too.
    let anchored = ForwardPlan { target: CorrectedTarget { anchor: 1.0, ..plan.target }, ..plan.clone() };
    let mut trainer = forward_trainer(anchored, Box::new(Constant));
    run(&mut trainer, 2);
    assert_eq!(bits(trainer.policy()), bits(fresh().policy()));
}

/// How much brighter held-out pictures are after epochs toward brightness than after as many toward darkness.
fn contrast(plan: &ForwardPlan) -> f64 {
    let brightness = |sign| {
        let parts = gaussian_forward_parts(Box::new(Signed(sign)));
        let records = run(&mut ForwardTrainer::new(plan.clone(), parts).unwrap(), 20);
        evals(&records)[20].held_out["mean-brightness"]
    };
    brightness(1.0) - brightness(-1.0)
}

#[test]
fn the_held_out_reward_goes_where_the_advantages_point() {
    let mut nft = ForwardPlan { train_batch: 24, accumulation: 1, learning_rate: 1e-2, ..forward_plan() };
    nft.sampling.sample_batch = 24;
    let anchored = CorrectedTarget { strength: 100.0, anchor: 1.0, ..nft.target };
    let ram = ForwardPlan { target: anchored, density: TimestepDensity::Linear, noisings: 8, ..nft.clone() };
    let (nft, ram) = (contrast(&nft), contrast(&ram));
    println!("nft {nft}, ram {ram}");
    assert!(nft > 0.003 && ram > 0.003, "nft {nft}, ram {ram}");
}

#[test]
fn lanes_and_sampling_batches_change_nothing() {
    let one = |lanes, sample_batch| {
        let mut plan = forward_plan();
        plan.sampling.batches_per_epoch = plan.sampling.samples_per_epoch() / sample_batch;
        plan.sampling.sample_batch = sample_batch;
        let mut parts = forward_parts(brightness());
        parts.shared.lanes = lanes;
        let mut trainer = ForwardTrainer::new(plan, parts).unwrap();
        (timeless(run(&mut trainer, 3)), bits(trainer.policy()), trainer.old_policy().map(bits))
    };
    let alone = one(1, 6);
    for (lanes, sample_batch) in [(2, 6), (3, 6), (1, 24), (2, 4)] {
        assert!(one(lanes, sample_batch) == alone, "{lanes} lanes, batches of {sample_batch}");
    }
}

#[test]
fn passes_of_any_size_give_the_same_mean_gradient() {
    let first = |train_batch, accumulation| {
        let plan = ForwardPlan { train_batch, accumulation, ..forward_plan() };
        corrections(&run(&mut forward_trainer(plan, brightness()), 1))[0].clone()
    };
    let whole = first(24, 1);
    for (batch, accumulation) in [(12, 2), (8, 3), (1, 24)] {
        let parts = first(batch, accumulation);
        assert!((whole.grad_norm - parts.grad_norm).abs() < 1e-5 * whole.grad_norm, "{whole:?} {parts:?}");
        assert!((whole.loss - parts.loss).abs() < 1e-5 * whole.loss.abs(), "{whole:?} {parts:?}");
    }
}

#[test]
fn updates_are_as_many_as_planned_and_the_first_of_an_epoch_has_not_moved() {
    let plan = ForwardPlan { inner_epochs: 2, ..forward_plan() };
    assert_eq!(plan.updates_per_epoch(), 4);
    for most in [0.0, 0.9] {
        let plan = ForwardPlan { old_policy: OldPolicy { most, ramp: 0.0 }, ..plan.clone() };
        let steps = corrections(&run(&mut forward_trainer(plan, brightness()), 2));
        assert_eq!(steps.iter().map(|step| step.step).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
        for (i, step) in steps.iter().enumerate() {
            assert_eq!(step.distance_to_old == 0.0, i % 4 == 0, "{step:?}");
        }
    }
}

/// An old policy that is a copy of the policy gives the bytes of a policy that draws its own samples: nobody is asked twice, and
/// nothing differs.
#[test]
fn a_policy_that_draws_its_own_samples_is_not_asked_twice() {
    let trained = |most, anchor| {
        let target = CorrectedTarget { anchor, ..CorrectedTarget::default() };
        let old_policy = OldPolicy { most, ramp: 0.0 };
        let plan = ForwardPlan { train_batch: 24, accumulation: 1, old_policy, target, ..forward_plan() };
        let mut trainer = forward_trainer(plan, brightness());
        (timeless(run(&mut trainer, 3)), bits(trainer.policy()))
    };
    for anchor in [0.0, 0.5] {
        assert!(trained(0.0, anchor) == trained(0.9, anchor));
    }
}

#[test]
fn the_old_policy_follows_and_draws_the_samples() {
    let kept = |most| {
        let old_policy = OldPolicy { most, ramp: 1.0 };
        let mut trainer = forward_trainer(ForwardPlan { old_policy, ..forward_plan() }, brightness());
        let records = run(&mut trainer, 3);
        (records, bits(trainer.policy()), bits(trainer.old_policy().unwrap()))
    };
    let start = bits(forward_trainer(forward_plan(), brightness()).policy());
    let distance = |a: &[u32], b: &[u32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(f32::from_bits(*a) - f32::from_bits(*b)).powi(2)).sum::<f64>().sqrt()
    };
    let (_, policy, old) = kept(0.5);
    let (moved, behind) = (distance(&policy, &start), distance(&policy, &old));
    assert!(behind > 0.05 * moved && behind < moved, "{behind} of {moved}");
    let (_, policy, old) = kept(0.999);
    assert!(distance(&old, &start) < 0.01 * distance(&policy, &start));
    let means = |records: &[Record]| -> Vec<f64> {
        records.iter().filter_map(|r| if let Record::Epoch(x) = r { Some(x.reward_mean) } else { None }).collect()
    };
    let (slow, fast) = (means(&kept(0.999).0), means(&kept(0.0001).0));
    assert!(slow[0] == fast[0] && slow[1] != fast[1], "{slow:?} {fast:?}");
}

#[test]
fn spaces_and_densities_are_heard() {
    let loss = |change: &dyn Fn(&mut ForwardPlan)| {
        let mut plan = forward_plan();
        change(&mut plan);
        corrections(&run(&mut forward_trainer(plan, brightness()), 1))[0].loss
    };
    let plain = loss(&|_| {});
    let changes: [&dyn Fn(&mut ForwardPlan); 5] = [
        &|plan| {
            plan.target.weight = ErrorWeight { space: ddpo_core::correction::ErrorSpace::Noise, ..plan.target.weight }
        },
        &|plan| plan.target.weight.is_normalised = false,
        &|plan| plan.density = TimestepDensity::Linear,
        &|plan| plan.first_timestep = 500,
        &|plan| plan.train_guidance = 2.0,
    ];
    for (i, change) in changes.into_iter().enumerate() {
        assert_ne!(loss(change), plain, "change {i}");
    }
}

#[test]
fn impossible_plans_are_refused_by_name() {
    let refused = |plan: ForwardPlan| plan.validate().unwrap_err().to_string();
    assert_eq!(refused(ForwardPlan { noisings: 0, ..forward_plan() }), "noisings is 0, wanted at least 1");
    let old_policy = OldPolicy { most: 1.0, ramp: 0.1 };
    assert_eq!(
        refused(ForwardPlan { old_policy, ..forward_plan() }),
        "decay of the old policy is 1, wanted at least 0 and below 1"
    );
    assert!(refused(ForwardPlan { train_batch: 5, ..forward_plan() }).contains("a multiple of"));
    let plan = ForwardPlan { first_timestep: 1000, ..forward_plan() };
    let error = ForwardTrainer::new(plan, forward_parts(brightness())).err().unwrap().to_string();
    assert_eq!(error, "first timestep is 1000, wanted below 1000, the timesteps of the model");
}

#[test]
fn a_sampler_that_draws_nothing_collects_and_its_evaluations_have_no_divergence() {
    let mut parts = forward_parts(brightness());
    let ddim = DdimConfig { steps: 5, eta: 0.0, ..DdimConfig::default() };
    parts.shared.scheduler = Box::new(Ddim::new(&stable_diffusion_schedule(), ddim).unwrap());
    let mut trainer = ForwardTrainer::new(forward_plan(), parts).unwrap();
    let records = run(&mut trainer, 2);
    assert!(corrections(&records).iter().all(|step| step.grad_norm > 0.0));
    let evals = evals(&records);
    assert!(evals.iter().all(|eval| eval.kl_to_base.is_nan() && eval.diversity > 0.0), "{evals:?}");
    assert_eq!((evals[0].x0_distance, evals[2].x0_distance > Some(0.0)), (Some(0.0), true));
}
