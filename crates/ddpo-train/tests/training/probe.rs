//! What a gradient that is only looked at must be: the one that the first optimizer step follows.

use ddpo_core::gradient::GradientSamples;
use ddpo_core::weighting::SoftmaxWeights;
use ddpo_core::{Grouping, Policy};
use ddpo_testing::{MeanBrightness, ToyPolicy};
use ddpo_train::{
    AdamWConfig, Broadcast, DdpoPlan, FirstGradient, ForwardPlan, GradientProbe, Learner, Observer, OldPolicy, Record,
    RwrPlan, SamplePlan, StopFlag, Work,
};

use crate::common::{forward_plan, forward_trainer, listening, plan, rwr_plan, rwr_trainer, sampling, trainer};

/// How far a step goes along the gradient. AdamW's ε is so large that nothing else decides how far.
const STEP: f64 = 10.0;

fn straight() -> (f64, AdamWConfig) {
    const EPSILON: f64 = 1e5;
    let adamw = AdamWConfig { epsilon: EPSILON, weight_decay: 0.0, max_norm: None, ..AdamWConfig::default() };
    (STEP * EPSILON, adamw)
}

fn look(trainer: &mut dyn GradientProbe, seed: u64) -> FirstGradient {
    let (mut trackers, stop) = (Broadcast::new(), StopFlag::new());
    trainer.first_gradient(seed, 4, &mut Observer::new(&mut trackers, &stop)).unwrap()
}

fn values(policy: &ToyPolicy) -> Vec<f32> {
    let parameters = <ToyPolicy as Policy<4>>::parameters(policy);
    parameters.into_iter().flat_map(|p| p.value.inner().into_data().try_into_vec::<f32>().unwrap()).collect()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// How far two gradients are from each other, over the norm of the second.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    norm(&difference) / norm(b)
}

/// Looks, then takes a first step, and compares: with where the step went and with the norm that it recorded.
fn check<T: Learner + GradientProbe>(mut trainer: T, policy: impl Fn(&T) -> Vec<f32>) -> FirstGradient {
    let (before, snapshot) = (policy(&trainer), trainer.snapshot().unwrap());
    let seen = look(&mut trainer, sampling().seed);
    assert_eq!(trainer.snapshot().unwrap(), snapshot, "looking changes nothing");
    assert!(difference(&look(&mut trainer, 999).whole, &seen.whole) > 0.1, "another seed is another gradient");
    let (mut trackers, memory) = listening();
    trainer.advance(Work::Epoch, &mut Observer::new(&mut trackers, &StopFlag::new())).unwrap();
    let after = policy(&trainer);
    let followed: Vec<f32> = before.iter().zip(&after).map(|(a, b)| ((a - b) as f64 / STEP) as f32).collect();
    assert!(norm(&seen.whole) > 0.0 && difference(&followed, &seen.whole) < 1e-4, "{followed:?} {seen:?}");
    let recorded = memory.records().iter().find_map(|record| match record {
        Record::Update(update) => Some(update.grad_norm),
        Record::Regression(update) => Some(update.grad_norm),
        Record::Correction(update) => Some(update.grad_norm),
        _ => None,
    });
    assert!((recorded.unwrap() / norm(&seen.whole) - 1.0).abs() < 1e-5, "{recorded:?}");
    let sum: Vec<f32> =
        (0..seen.whole.len()).map(|i| seen.parts.iter().map(|part| part.gradient[i]).sum::<f32>()).collect();
    assert!(difference(&sum, &seen.whole) < 1e-5);
    assert!(seen.parts.windows(2).all(|pair| pair[0].timesteps.least > pair[1].timesteps.least));
    seen
}

fn one_update() -> DdpoPlan {
    let (learning_rate, adamw) = straight();
    DdpoPlan { accumulation: 6, inner_epochs: 1, learning_rate, adamw, ..plan() }
}

#[test]
fn a_policy_gradient_that_is_seen_is_the_one_that_is_followed() {
    let seen = check(trainer(one_update()), |trainer| values(trainer.policy()));
    // Four of five steps of each of 24 chains, each chain its own; the five steps are the parts.
    assert_eq!(seen.parts.iter().map(|part| part.rows).sum::<usize>(), 96);
    let timesteps: Vec<f64> = seen.parts.iter().map(|part| part.timesteps.greatest).collect();
    assert_eq!(timesteps, [801.0, 601.0, 401.0, 201.0, 1.0]);
}

#[test]
fn a_regressions_gradient_that_is_seen_is_the_one_that_is_followed() {
    let (learning_rate, adamw) = straight();
    let plan = RwrPlan { updates_per_round: 1, accumulation: 3, learning_rate, adamw, ..rwr_plan() };
    let weighting = Box::new(SoftmaxWeights::new(3.0, Grouping::Epoch).unwrap());
    let seen = check(rwr_trainer(plan, Box::new(MeanBrightness), weighting), |trainer| values(trainer.policy()));
    assert_eq!((seen.parts.len(), seen.parts.iter().map(|part| part.rows).sum::<usize>()), (4, 15));
}

#[test]
fn a_forward_process_gradient_that_is_seen_is_the_one_that_is_followed() {
    let (learning_rate, adamw) = straight();
    for most in [0.0, 0.5] {
        let old_policy = OldPolicy { ramp: 0.2, most };
        let plan = ForwardPlan { accumulation: 6, old_policy, learning_rate, adamw, ..forward_plan() };
        let seen = check(forward_trainer(plan, Box::new(MeanBrightness)), |trainer| values(trainer.policy()));
        // Four noisings of each of 24 samples, one in each band.
        assert_eq!(seen.parts.iter().map(|part| part.rows).collect::<Vec<_>>(), [24; 4]);
    }
}

#[test]
fn a_steps_part_is_what_training_on_that_step_alone_would_follow() {
    let all = look(&mut trainer(DdpoPlan { timestep_fraction: 1.0, ..one_update() }), 3);
    let first = DdpoPlan { timestep_fraction: 1.0, first_timestep: 700.0, ..one_update() };
    let alone = look(&mut trainer(first), 3);
    let fifth: Vec<f32> = alone.whole.iter().map(|value| value / 5.0).collect();
    assert_eq!((alone.parts.len(), all.parts.len()), (1, 5));
    assert!(difference(&fifth, &all.parts[0].gradient) < 1e-5);
}

#[test]
fn looking_between_epochs_leaves_no_trace() {
    let epochs = |looks: bool| {
        let mut trainer = trainer(plan());
        for seed in 0..3 {
            if looks {
                look(&mut trainer, seed);
            }
            let (mut trackers, stop) = (Broadcast::new(), StopFlag::new());
            trainer.epoch(&mut Observer::new(&mut trackers, &stop)).unwrap();
        }
        trainer.snapshot().unwrap()
    };
    assert_eq!(epochs(true), epochs(false));
}

#[test]
fn four_times_the_samples_have_a_quarter_of_the_noise() {
    let noise = |times: usize| {
        let sampling = SamplePlan { batches_per_epoch: 4 * times, ..sampling() };
        let plan = DdpoPlan { timestep_fraction: 1.0, accumulation: 6 * times, sampling, ..one_update() };
        let (mut trainer, mut samples) = (trainer(plan), GradientSamples::new());
        (0..8).for_each(|seed| samples.push(look(&mut trainer, seed).whole).unwrap());
        samples.statistics().unwrap().noise
    };
    let ratio = noise(1) / noise(4);
    assert!((2.5..6.0).contains(&ratio), "{ratio}");
}
