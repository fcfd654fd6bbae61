//! How long the encoders of learned rewards take at their true size, with random weights:
//! `cargo bench -p ddpo-nn --bench encoders -- vit-l-14|vit-h-14|deberta-xlarge [BATCH] [ROUNDS] [f32|bf16]`.
//!
//! One JSON line: the seconds of each round, an image or a text, after one that is not counted; the largest resident set in
//! MiB; and the rate of the rounds' median in GFLOP/s beside the peak of independent fused multiply-adds.
//! `bench/compare_encoders.py` runs it beside transformers.

use std::time::Instant;

use burn::tensor::{Device, FloatDType, Tensor};
use ddpo_nn::{
    BertConfig, BertEncoder, ClipActivation, ClipConfig, ParamSpec, Placement, PositionKind, Specs, VisionConfig,
    VisionTower, Weights,
};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: ddpo_kernels::KeepingAllocator = ddpo_kernels::KeepingAllocator::new();

/// Tokens of a text.
const TOKENS: usize = 24;

/// Layers of DeBERTa-xlarge that BERTScore uses.
const LAYERS: usize = 40;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let name = arguments.first().map_or("vit-l-14", String::as_str);
    let number = |at: usize, default: usize| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (batch, rounds) = (number(1, 8), number(2, 5));
    let products = match arguments.get(3).map(String::as_str) {
        None | Some("f32") => FloatDType::F32,
        Some("bf16") => FloatDType::BF16,
        Some(other) => panic!("`{other}`, wanted f32 or bf16"),
    };
    let placement = Placement::new(&Device::flex(), products);
    let (run, flops) = match name {
        "vit-l-14" => vision(vit_l_14(), batch, placement),
        "vit-h-14" => vision(ClipConfig::vit_h_14().vision, batch, placement),
        "deberta-xlarge" => text(deberta_xlarge(), batch, placement),
        other => panic!("`{other}`, wanted vit-l-14, vit-h-14 or deberta-xlarge"),
    };
    run();
    let time = || {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64() / batch as f64
    };
    let seconds: Vec<f64> = (0..rounds).map(|_| time()).collect();
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let rate = flops / sorted[sorted.len() / 2] * 1e-9;
    println!("{}", json!({ "seconds": seconds, "mib": largest_resident_set(), "gflops": rate, "peak": peak() * 1e-9 }));
}

fn vit_l_14() -> VisionConfig {
    VisionConfig {
        hidden_size: 1024,
        intermediate_size: 4096,
        num_hidden_layers: 24,
        hidden_act: ClipActivation::QuickGelu,
        ..ClipConfig::vit_h_14().vision
    }
}

fn deberta_xlarge() -> BertConfig {
    BertConfig {
        vocab_size: 50265,
        hidden_size: 1024,
        intermediate_size: 4096,
        num_hidden_layers: LAYERS,
        num_attention_heads: 16,
        max_position_embeddings: 512,
        type_vocab_size: 0,
        layer_norm_eps: 1e-7,
        positions: PositionKind::Relative { span: 512, content_to_position: true, position_to_content: true },
        cross_width: None,
    }
}

type Run = Box<dyn Fn()>;

/// A forward pass of a batch of pictures, and its multiplications and additions a picture.
fn vision(config: VisionConfig, batch: usize, placement: Placement) -> (Run, f64) {
    let device = placement.device().clone();
    let tower = VisionTower::new(config.clone()).expect("the sizes fit");
    let weights = fill(tower.specs(), placement);
    let size = config.image_size;
    let pixels = Tensor::<1>::from_floats(noise(batch * size * size * 3, 1.0).as_slice(), &device);
    let pixels: Tensor<4> = pixels.reshape([batch, size, size, 3]);
    let tokens = (size / config.patch_size).pow(2) + 1;
    let flops = flops(tokens, config.hidden_size, config.intermediate_size, config.num_hidden_layers);
    let run = move || {
        let output = tower.forward(&weights, pixels.clone()).expect("the pictures fit");
        drop(tower.pooled(&weights, output).into_data());
    };
    (Box::new(run), flops)
}

/// A forward pass of a batch of texts, and its multiplications and additions a text, distances not counted.
fn text(config: BertConfig, batch: usize, placement: Placement) -> (Run, f64) {
    let encoder = BertEncoder::new(config.clone()).expect("the sizes fit");
    let weights = fill(encoder.specs(), placement);
    let ids: Vec<Vec<u32>> = (0..batch).map(|text| (0..TOKENS).map(|i| (31 * text + 7 * i) as u32).collect()).collect();
    let flops = flops(TOKENS, config.hidden_size, config.intermediate_size, config.num_hidden_layers);
    let run = move || drop(encoder.forward(&weights, &ids, None).expect("the texts fit").states.into_data());
    (Box::new(run), flops)
}

fn flops(tokens: usize, width: usize, inner: usize, layers: usize) -> f64 {
    let linear = tokens * (4 * width * width + 2 * width * inner);
    let attention = 2 * tokens * tokens * width;
    (2 * layers * (linear + attention)) as f64
}

/// Weights of PyTorch's usual size, as a file gives them.
fn fill(specs: &Specs, placement: Placement) -> Weights {
    let one = |spec: &ParamSpec| {
        let inputs = spec.elements() / spec.shape.first().copied().unwrap_or(1).max(1);
        Ok(noise(spec.elements(), 1.0 / (inputs.max(1) as f32).sqrt()))
    };
    Weights::from_file_order(specs, one, placement).expect("as many values as elements")
}

/// Uniform values in `[-bound, bound]`.
fn noise(count: usize, bound: f32) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| bound * next()).collect()
}

/// In MiB; 0 where the system does not say.
fn largest_resident_set() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// Operations a second of independent fused multiply-adds on all threads.
fn peak() -> f64 {
    const ROUNDS: usize = 2_000_000;
    let once = || {
        let start = Instant::now();
        let work: usize = std::thread::scope(|scope| {
            let start = |_| scope.spawn(|| ddpo_kernels::multiply_adds(ROUNDS));
            let workers: Vec<_> = (0..rayon::current_num_threads()).map(start).collect();
            workers.into_iter().filter_map(|worker| worker.join().ok()).map(|(_, flops)| flops * ROUNDS).sum()
        });
        work as f64 / start.elapsed().as_secs_f64()
    };
    (0..3).map(|_| once()).fold(0.0, f64::max)
}
