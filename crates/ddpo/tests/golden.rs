//! A training step against TRL's: one micro-batch's loss, all its gradients, and ten steps of AdamW, on the fixtures of
//! `crates/ddpo-models/fixtures/make_models.py`.
//!
//! The error is the largest absolute difference over the largest absolute value: at most 1e-4, for gradients 1e-3.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use ddpo::core::objective::DdpoIs;
use ddpo::core::{Condition, Guided, LogProbTerms, Loss, Objective, Policy, Reduction, StepIndex, propose};
use ddpo::models::{DiffusionPolicy, Lora, Pipeline};
use ddpo::nn::ModelFiles;
use ddpo::train::{AdamW, AdamWConfig, GradientSum};
use safetensors::SafeTensors;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ddpo-models/tests/fixtures")
}

/// The golden values of one kind of pipeline.
struct Golden(Vec<u8>);

impl Golden {
    fn values(&self, name: &str) -> (Vec<f32>, Vec<usize>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("no golden `{name}`"));
        let values = view.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
        (values, view.shape().to_vec())
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (values, shape) = self.values(name);
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    fn latents(&self, name: &str) -> Tensor<4> {
        self.tensor::<4>(name).permute([0, 2, 3, 1])
    }
}

#[track_caller]
fn check<const D: usize>(what: &str, found: Tensor<D>, wanted: Tensor<D>, tolerance: f32) -> f32 {
    let scale: f32 = wanted.clone().abs().max().into_scalar();
    let error: f32 = (found.inner() - wanted).abs().max().into_scalar::<f32>() / scale;
    assert!(error <= tolerance, "{what}: relative error {error:e}, wanted at most {tolerance:e}");
    error
}

fn loss(pipeline: &Pipeline, policy: &DiffusionPolicy, golden: &Golden) -> Loss {
    let scheduler = pipeline.scheduler.ddim(50, 1.0).unwrap();
    let guided = Guided::new(policy, Condition::new(golden.tensor("negative")), 5.0).unwrap();
    let steps: Vec<StepIndex> = golden.values("steps").0.iter().map(|step| StepIndex(*step as usize)).collect();
    let condition = Condition::new(golden.tensor("states"));
    let proposal = propose(&guided, &scheduler, &steps, &golden.latents("sample"), &condition).unwrap();
    let new = proposal.log_prob(&golden.latents("next"), Reduction::Mean).unwrap();
    let (old, advantage) = (golden.tensor("old_log_prob"), golden.tensor("advantage"));
    let terms = LogProbTerms::new(&new, &old, &advantage);
    DdpoIs { clip_range: 10.0, advantage_clip: 5.0 }.loss(&terms).unwrap()
}

/// A factor as it is in the file, where it is transposed.
fn factor(golden: &Golden, kind: &str, name: &str) -> Tensor<2> {
    golden.tensor::<2>(&format!("{kind}.{}", name.strip_prefix("unet.").unwrap())).transpose()
}

#[test]
fn ten_steps_of_training_agree_with_trl() {
    for (kind, recompute) in [("sd1", false), ("sd2", true)] {
        let device = Device::flex();
        let pipeline = Pipeline::load(&ModelFiles::Directory(fixtures().join(kind)), &device).unwrap();
        let golden = Golden(std::fs::read(fixtures().join(format!("{kind}_training.safetensors"))).unwrap());
        let file = fixtures().join(format!("{kind}_lora")).join(Lora::FILE_NAME);
        let adapter = Lora::load(&file, pipeline.unet.specs(), &device).unwrap();
        let policy = DiffusionPolicy::lora(pipeline.denoiser(), &adapter, &device.autodiff()).unwrap();
        let mut policy = policy.recomputing(recompute);
        let mut optimizer = AdamW::new(AdamWConfig::default());
        let (losses, norms) = (golden.values("losses").0, golden.values("grad_norms").0);
        for step in 0..10 {
            let loss = loss(&pipeline, &policy, &golden);
            let value: f32 = loss.value.clone().inner().into_scalar();
            assert!((value - losses[step]).abs() <= 1e-4 * losses[step].abs(), "{kind}: loss {value} at step {step}");
            let parameters = policy.parameters();
            let gradients = loss.value.backward();
            if step == 0 {
                let worst = parameters.iter().map(|p| {
                    let gradient = p.value.grad(&gradients).unwrap().reshape([p.shape[0], p.shape[1]]);
                    check(&p.name, gradient, factor(&golden, "grad", &p.name), 1e-3)
                });
                println!("{kind} gradients: {:.1e}", worst.fold(0.0, f32::max));
            }
            let mut sum = GradientSum::new();
            sum.add(&parameters, gradients, 1.0).unwrap();
            let values = parameters.into_iter().map(|p| p.value).collect();
            let update = optimizer.step(3e-4, values, sum).unwrap();
            assert!((update.grad_norm as f32 - norms[step]).abs() <= 1e-3 * norms[step], "{kind}: norm at step {step}");
            policy.set_parameters(update.values).unwrap();
        }
        let worst = policy.parameters().into_iter().map(|p| {
            let value = p.value.inner().reshape([p.shape[0], p.shape[1]]);
            check(&p.name, value, factor(&golden, "after", &p.name), 1e-4)
        });
        println!("{kind} weights after ten steps: {:.1e}", worst.fold(0.0, f32::max));
    }
}
