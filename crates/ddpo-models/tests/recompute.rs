//! Gradient checkpointing changes no bit of a value, and none of a gradient.

mod common;

use burn::tensor::Device;
use common::{adapter, bits, pipeline, wave};
use ddpo_core::{Condition, Denoiser, Policy, Timestep};
use ddpo_models::{DiffusionPolicy, Lora, Pipeline};

/// The prediction and every gradient of a loss over it, by name.
fn run(pipeline: &Pipeline, adapter: &Lora, recompute: bool) -> (Vec<f32>, Vec<(String, Vec<f32>)>) {
    let device = Device::default().autodiff();
    gradients(&DiffusionPolicy::lora(pipeline.denoiser(), adapter, &device).unwrap().recomputing(recompute))
}

fn gradients(policy: &DiffusionPolicy) -> (Vec<f32>, Vec<(String, Vec<f32>)>) {
    let condition = Condition::new(wave([2, 5, 16], 0.31));
    let times = [Timestep(981.0), Timestep(21.0)];
    let value = policy.predict(&wave([2, 8, 6, 4], 0.17), &times, &condition).unwrap().value;
    let gradients = (value.clone() * wave([2, 8, 6, 4], 0.53)).square().mean().backward();
    let gradients = policy.parameters().into_iter().map(|p| (p.name, bits(p.value.grad(&gradients).unwrap())));
    (bits(value), gradients.collect())
}

#[test]
fn checkpointing_changes_no_bit() {
    for kind in ["sd1", "sd2"] {
        let pipeline = pipeline(kind);
        for targets in [&["to_q", "to_k", "to_v", "to_out.0"][..], &["to_v"], &["proj", "net.2"]] {
            let adapter = adapter(&pipeline, targets);
            let (value, gradients) = run(&pipeline, &adapter, false);
            let (again, gradients_again) = run(&pipeline, &adapter, true);
            assert!(value == again, "{kind} {targets:?}: another value");
            assert_eq!(gradients.len(), gradients_again.len());
            for ((name, gradient), (_, again)) in gradients.iter().zip(&gradients_again) {
                assert!(gradient.iter().any(|x| *x != 0.0), "{kind} {name}: no gradient");
                assert!(gradient == again, "{kind} {name}: {:?} and {:?}", &gradient[..3], &again[..3]);
            }
        }
    }
}

/// An adapter on the time embedding is used by every layer, and one on a shortcut is one more user of a skipped image: sums
/// whose order differs.
#[test]
fn adapters_elsewhere_get_the_same_gradient_up_to_rounding() {
    let pipeline = pipeline("sd1");
    let adapter = adapter(&pipeline, &["time_emb_proj", "linear_1", "linear_2", "conv_shortcut", "to_q"]);
    same_up_to_rounding(&run(&pipeline, &adapter, false), &run(&pipeline, &adapter, true));
}

/// All weights: the convolutions, among them the first, below all segments, and what the time goes through.
#[test]
fn the_whole_network_gets_the_same_gradient_up_to_rounding() {
    for kind in ["sd1", "sd2"] {
        let policy = DiffusionPolicy::full(pipeline(kind).denoiser(), &Device::default().autodiff()).unwrap();
        same_up_to_rounding(&gradients(&policy), &gradients(&policy.clone().recomputing(true)));
    }
}

#[track_caller]
fn same_up_to_rounding(plain: &(Vec<f32>, Vec<(String, Vec<f32>)>), recomputed: &(Vec<f32>, Vec<(String, Vec<f32>)>)) {
    assert!(plain.0 == recomputed.0, "another value");
    assert_eq!(plain.1.len(), recomputed.1.len());
    for ((name, gradient), (_, again)) in plain.1.iter().zip(&recomputed.1) {
        let largest = gradient.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        let error = gradient.iter().zip(again).fold(0.0f32, |error, (a, b)| error.max((a - b).abs()));
        assert!(largest > 0.0 && error <= 1e-5 * largest, "{name}: {error} of {largest}");
    }
}
