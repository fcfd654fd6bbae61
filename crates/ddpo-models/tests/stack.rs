//! Adapters on top of each other: the sum of their terms, the lower ones frozen, whatever the order.

mod common;

use burn::tensor::{Device, Tensor};
use common::{adapter, bits, pipeline, wave};
use ddpo_core::{Condition, Denoiser, Policy, Timestep};
use ddpo_models::{DiffusionPolicy, Lora, LoraConfig, Pipeline, UnetDenoiser};

const TARGETS: [&str; 4] = ["to_q", "to_k", "to_v", "to_out.0"];

fn predict(denoiser: &dyn Denoiser<4>) -> Tensor<4> {
    let (times, condition) = ([Timestep(981.0), Timestep(21.0)], Condition::new(wave([2, 5, 16], 0.31)));
    denoiser.predict(&wave([2, 8, 6, 4], 0.17), &times, &condition).unwrap().value
}

/// The pipeline and two different adapters of it.
fn two() -> (Pipeline, Lora, Lora) {
    let pipeline = pipeline("sd1");
    let (a, b) = (adapter(&pipeline, &TARGETS), adapter(&pipeline, &["to_q", "proj", "net.2"]).scaled(-0.6));
    (pipeline, a, b)
}

fn stacked(pipeline: &Pipeline, adapters: &[&Lora]) -> UnetDenoiser {
    adapters.iter().fold(pipeline.denoiser(), |denoiser, adapter| denoiser.adapted(adapter).unwrap())
}

#[track_caller]
fn close(found: Tensor<4>, wanted: Tensor<4>) {
    let scale: f32 = wanted.clone().abs().max().into_scalar();
    let error: f32 = (found - wanted).abs().max().into_scalar();
    assert!(error <= 1e-5 * scale, "{error} of {scale}");
}

#[test]
fn two_adapters_add_up_as_if_merged() {
    let (pipeline, a, b) = two();
    let both = predict(&stacked(&pipeline, &[&a, &b]));
    let merged = b.merge(&a.merge(&pipeline.unet_weights).unwrap()).unwrap();
    close(both.clone(), predict(&UnetDenoiser::new(pipeline.unet.clone(), merged, pipeline.scheduler.prediction)));
    // Merging one leaves the other where it is.
    let lower = a.merge(stacked(&pipeline, &[&b]).weights()).unwrap();
    close(both.clone(), predict(&UnetDenoiser::new(pipeline.unet.clone(), lower, pipeline.scheduler.prediction)));
    for one in [&a, &b] {
        let alone: f32 = (predict(&stacked(&pipeline, &[one])) - both.clone()).abs().max().into_scalar();
        assert!(alone > 1e-3, "one adapter alone is the same as both");
    }
}

#[test]
fn the_order_of_adapters_does_not_matter() {
    let (pipeline, a, b) = two();
    close(predict(&stacked(&pipeline, &[&a, &b])), predict(&stacked(&pipeline, &[&b, &a])));
}

#[test]
fn strength_scales_the_term() {
    let (pipeline, a, _) = two();
    let half = a.scaled(0.5);
    close(predict(&stacked(&pipeline, &[&half, &half])), predict(&stacked(&pipeline, &[&a])));
    assert_eq!(bits(predict(&stacked(&pipeline, &[&a.scaled(1.0)]))), bits(predict(&stacked(&pipeline, &[&a]))));
}

#[test]
fn a_policy_starts_from_its_frozen_adapters_and_trains_its_own_alone() {
    let (pipeline, frozen, _) = two();
    let base = stacked(&pipeline, &[&frozen]);
    let fresh = Lora::init(pipeline.unet.specs(), &LoraConfig::default(), 1, &Device::default()).unwrap();
    let mut policy = DiffusionPolicy::lora(base.clone(), &fresh, &Device::default().autodiff()).unwrap();
    assert_eq!(policy.parameters().len(), fresh.parameters().len());
    assert_eq!(bits(predict(&*policy.reference())), bits(predict(&base)));
    // A fresh adapter changes nothing.
    assert_eq!(bits(predict(&*policy.sampler())), bits(predict(&base)));
    let moved = policy.parameters().into_iter().map(|p| p.value.inner() + 0.05).collect();
    policy.set_parameters(moved).unwrap();
    assert_eq!(bits(predict(&*policy.reference())), bits(predict(&base)));
    assert_eq!(bits(predict(&policy)), bits(predict(&*policy.sampler())));
    // What it hands back is its own adapter: on top of the frozen one it is the policy.
    let product = policy.adapter().unwrap();
    assert_eq!(bits(predict(&stacked(&pipeline, &[&frozen, &product]))), bits(predict(&*policy.sampler())));
}

#[test]
fn checkpointing_over_a_frozen_adapter_changes_no_bit() {
    let (pipeline, frozen, trained) = two();
    let policy =
        DiffusionPolicy::lora(stacked(&pipeline, &[&frozen]), &trained, &Device::default().autodiff()).unwrap();
    let run = |policy: &DiffusionPolicy| {
        let value = predict(policy);
        let gradients = (value.clone() * wave([2, 8, 6, 4], 0.53)).square().mean().backward();
        let of = |p: ddpo_core::Parameter| bits(p.value.grad(&gradients).unwrap());
        (bits(value), policy.parameters().into_iter().map(of).collect::<Vec<_>>())
    };
    assert_eq!(run(&policy), run(&policy.clone().recomputing(true)));
}

#[test]
fn all_weights_are_not_trained_under_an_adapter() {
    let (pipeline, frozen, _) = two();
    let error = DiffusionPolicy::full(stacked(&pipeline, &[&frozen]), &Device::default().autodiff()).unwrap_err();
    assert_eq!(error.to_string(), "cannot train all weights: base is \"weights with adapters\", wanted weights alone");
}
