//! Every module against diffusers 0.35.1 and transformers 4.57.6, on the fixtures of `fixtures/make_models.py`.
//!
//! The error is the largest absolute difference over the largest absolute value: at most 1e-4, for gradients 1e-3.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use ddpo_core::{Condition, Denoiser, Policy, Timestep};
use ddpo_models::{DiffusionPolicy, Lora, LoraFormat, Pipeline, Placements};
use ddpo_nn::{ModelFiles, Placement, Weights};
use safetensors::SafeTensors;

const KINDS: [&str; 2] = ["sd1", "sd2"];

/// The error of products in bf16.
const HALF: f32 = 2e-2;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn pipeline(kind: &str) -> Pipeline {
    Pipeline::load(&ModelFiles::Directory(fixtures().join(kind)), &Device::default()).unwrap()
}

/// The golden values of one pipeline.
struct Golden(Vec<u8>);

impl Golden {
    fn new(kind: &str) -> Self {
        Self(std::fs::read(fixtures().join(format!("{kind}_golden.safetensors"))).unwrap())
    }

    fn values(&self, name: &str) -> (Vec<f32>, Vec<usize>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap_or_else(|_| panic!("no golden `{name}`"));
        let values = view.data().chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
        (values, view.shape().to_vec())
    }

    /// A tensor as it is in the file.
    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (values, shape) = self.values(name);
        Tensor::from_data(TensorData::new(values, shape), &Device::default())
    }

    /// An image or latent, which files keep as `[B, C, H, W]`, channels-last.
    fn image(&self, name: &str) -> Tensor<4> {
        self.tensor::<4>(name).permute([0, 2, 3, 1])
    }

    fn times(&self) -> Vec<f64> {
        self.values("timesteps").0.into_iter().map(f64::from).collect()
    }
}

#[track_caller]
fn check<const D: usize>(what: &str, found: Tensor<D>, wanted: Tensor<D>, tolerance: f32) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let scale: f32 = wanted.clone().abs().max().into_scalar();
    let error: f32 = (found.inner() - wanted).abs().max().into_scalar::<f32>() / scale;
    println!("{what}: {error:.1e}");
    assert!(error <= tolerance, "{what}: relative error {error:e}, wanted at most {tolerance:e}");
}

#[test]
fn modules_agree_with_diffusers() {
    for kind in KINDS {
        let (pipe, golden) = (pipeline(kind), Golden::new(kind));
        let states = golden.tensor::<3>("states");
        let unet = |sample: &str, times: &[f64], states| {
            pipe.unet.forward(&pipe.unet_weights, golden.image(sample), times, states).unwrap()
        };
        let times = golden.times();
        check(&format!("{kind} unet"), unet("sample", &times, states.clone()), golden.image("unet"), 1e-4);
        let odd = unet("odd_sample", &times[1..], states.clone().narrow(0, 0, 1));
        check(&format!("{kind} unet, odd size"), odd, golden.image("odd_unet"), 1e-4);
        let moments = pipe.vae.encode(&pipe.vae_weights, golden.image("images")).unwrap();
        check(&format!("{kind} vae mean"), moments.mean, golden.image("mean"), 1e-4);
        check(&format!("{kind} vae log variance"), moments.log_variance, golden.image("log_variance"), 1e-4);
        let decoded = pipe.vae.decode(&pipe.vae_weights, golden.image("latents")).unwrap();
        check(&format!("{kind} vae decode"), decoded, golden.image("decoded"), 1e-4);
        let prompts = ["a painting of an astronaut riding the horse", "cat"].map(str::to_owned);
        check(&format!("{kind} text"), pipe.encode_prompts(&prompts).unwrap(), states, 1e-4);
    }
}

/// Transformers' `pooler_output` is its last hidden state at the end of each text: tokens 10 and 2 of these prompts.
#[test]
fn pooled_states_are_those_at_the_end_of_a_text() {
    for kind in KINDS {
        let (pipe, golden) = (pipeline(kind), Golden::new(kind));
        let (ids, shape) = golden.values("ids");
        let ids: Vec<Vec<u32>> = ids.chunks(shape[1]).map(|row| row.iter().map(|id| *id as u32).collect()).collect();
        let end = pipe.text_encoder.config().eos_token_id;
        let ends: Vec<usize> = ids.iter().map(|row| row.iter().position(|id| *id == end).unwrap()).collect();
        assert_eq!(ends, [10, 2], "{kind}");
        let pooled = pipe.text_encoder.forward(&pipe.text_weights, &ids).unwrap().pooled();
        let states = golden.tensor::<3>("states");
        let rows = ends
            .iter()
            .enumerate()
            .map(|(text, end)| states.clone().narrow(0, text, 1).narrow(1, *end, 1).squeeze_dim::<2>(1));
        check(&format!("{kind} pooled"), pooled, Tensor::cat(rows.collect(), 0), 1e-4);
    }
}

#[test]
fn an_adapter_agrees_with_peft_in_values_and_all_gradients() {
    for kind in KINDS {
        let (pipe, golden) = (pipeline(kind), Golden::new(kind));
        let path = fixtures().join(format!("{kind}_lora")).join(Lora::FILE_NAME);
        let adapter = Lora::load(&path, pipe.unet.specs(), &Device::default()).unwrap();
        let policy = DiffusionPolicy::lora(pipe.denoiser(), &adapter, &Device::default().autodiff()).unwrap();
        let times: Vec<Timestep> = golden.times().into_iter().map(Timestep).collect();
        let condition = Condition::new(golden.tensor("states"));
        let out = policy.predict(&golden.image("sample"), &times, &condition).unwrap().value;
        check(&format!("{kind} adapter"), out.clone(), golden.image("lora_unet"), 1e-4);

        let merged = adapter.merge(&pipe.unet_weights).unwrap();
        let merged =
            pipe.unet.forward(&merged, golden.image("sample"), &golden.times(), golden.tensor("states")).unwrap();
        check(&format!("{kind} merged adapter"), merged, golden.image("lora_unet"), 1e-4);

        let loss = (out - golden.image("target")).square().mean();
        check(&format!("{kind} loss"), loss.clone(), golden.tensor("lora_loss"), 1e-4);
        let gradients = loss.backward();
        let parameters = policy.parameters();
        let count =
            SafeTensors::deserialize(&golden.0).unwrap().names().iter().filter(|n| n.starts_with("grad.")).count();
        assert_eq!(parameters.len(), count, "{kind}");
        for parameter in parameters {
            let name = parameter.name.strip_prefix("unet.").unwrap();
            let gradient = parameter.value.grad(&gradients).unwrap().reshape([parameter.shape[0], parameter.shape[1]]);
            check(name, gradient, golden.tensor::<2>(&format!("grad.{name}")).transpose(), 1e-3);
        }
    }
}

/// All networks with matrices in bf16: as near to diffusers in f32 as eight bits of a fraction are, and the gradients of an
/// adapter, which stays in f32.
#[test]
fn a_pipeline_in_bf16_agrees_with_diffusers_to_its_rounding() {
    for kind in KINDS {
        let half = Placement::new(&Device::default(), FloatDType::BF16);
        let files = ModelFiles::Directory(fixtures().join(kind));
        let placements = Placements { unet: half.clone(), others: half };
        let (pipe, golden) = (Pipeline::load_variant(&files, None, placements).unwrap(), Golden::new(kind));
        assert_eq!(pipe.unet_weights.products(), DType::BF16);
        let states = golden.tensor("states");
        let predict = |weights: &Weights| {
            pipe.unet.forward(weights, golden.image("sample"), &golden.times(), states.clone()).unwrap()
        };
        check(&format!("{kind} unet"), predict(&pipe.unet_weights), golden.image("unet"), HALF);
        let decoded = pipe.vae.decode(&pipe.vae_weights, golden.image("latents")).unwrap();
        check(&format!("{kind} vae decode"), decoded, golden.image("decoded"), HALF);

        let path = fixtures().join(format!("{kind}_lora")).join(Lora::FILE_NAME);
        let adapter = Lora::load(&path, pipe.unet.specs(), &Device::default()).unwrap();
        let merged = adapter.merge(&pipe.unet_weights).unwrap();
        assert_eq!(merged.products(), DType::BF16);
        check(&format!("{kind} merged adapter"), predict(&merged), golden.image("lora_unet"), HALF);

        let policy = DiffusionPolicy::lora(pipe.denoiser(), &adapter, &Device::default().autodiff()).unwrap();
        let times: Vec<Timestep> = golden.times().into_iter().map(Timestep).collect();
        let out = policy.predict(&golden.image("sample"), &times, &Condition::new(states.clone())).unwrap().value;
        check(&format!("{kind} adapter"), out.clone(), golden.image("lora_unet"), HALF);
        let gradients = (out - golden.image("target")).square().mean().backward();
        for parameter in policy.parameters() {
            let name = parameter.name.strip_prefix("unet.").unwrap();
            let gradient = parameter.value.grad(&gradients).unwrap().reshape([parameter.shape[0], parameter.shape[1]]);
            assert_eq!(gradient.dtype(), DType::F32);
            check(name, gradient, golden.tensor::<2>(&format!("grad.{name}")).transpose(), 5.0 * HALF);
        }
    }
}

#[test]
fn both_adapter_formats_read_back_what_was_written() {
    let pipe = pipeline("sd1");
    let device = Device::default();
    let original = Lora::load(&fixtures().join("sd1_lora").join(Lora::FILE_NAME), pipe.unet.specs(), &device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for format in [LoraFormat::Diffusers, LoraFormat::Kohya(Default::default())] {
        let path = folder.path().join("adapter.safetensors");
        original.save(&path, &format).unwrap();
        let read = Lora::load(&path, pipe.unet.specs(), &device).unwrap();
        // Of diffusers' form alpha is the rank, 3, and the alpha of 6 is in the second factors.
        let scale = |name: &str| if format == LoraFormat::Diffusers && name.contains("lora_B") { 2.0 } else { 1.0 };
        for (a, b) in original.parameters().into_iter().zip(read.parameters()) {
            assert_eq!((&a.name, a.shape), (&b.name, b.shape));
            assert_eq!(a.value.mul_scalar(scale(&a.name)).to_data(), b.value.to_data());
        }
        let golden = Golden::new("sd1");
        let weights = read.attach(&pipe.unet_weights).unwrap();
        let out =
            pipe.unet.forward(&weights, golden.image("sample"), &golden.times(), golden.tensor("states")).unwrap();
        check(&format!("{format:?}"), out, golden.image("lora_unet"), 1e-4);
    }
}
