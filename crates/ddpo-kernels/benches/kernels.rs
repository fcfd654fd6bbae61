//! GFLOP/s of the kernels at the shapes of a diffusion UNet, beside the measured peak.
//!
//! `cargo bench -p ddpo-kernels` prints a line per shape: forward, forward and input gradient with the weight in bf16, input
//! gradient, weight gradient (as the difference that tracking the weight makes), and the composed form's forward.

use std::time::Instant;

use burn::tensor::{DType, Device, Distribution, Tensor};
use ddpo_kernels::{
    Activation, Conv2dOptions, Mask, Weight, attention, conv2d, geglu, group_norm, half_attention, layer_norm, linear,
    linear_geglu, silu, upsample_nearest_2x,
};

/// Whether the command line asks for this line: any of its words is part of the name, or there are none.
fn wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--")).peekable();
    words.peek().is_none() || words.any(|word| name.contains(&word))
}

/// The median time of one call, in seconds.
fn time(mut body: impl FnMut()) -> f64 {
    body();
    let start = Instant::now();
    body();
    let runs = (0.15 / start.elapsed().as_secs_f64()).clamp(5.0, 200.0) as usize;
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            body();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

/// Times a function of a tensor and a weight, and prints the rates.
fn line<const D: usize, const E: usize>(
    name: &str,
    flops: f64,
    x: Tensor<D>,
    w: Tensor<2>,
    f: impl Fn(Tensor<D>, &Weight) -> Tensor<E>,
) {
    if !wanted(name) {
        return;
    }
    let frozen = Weight::frozen(w.clone());
    let half = Weight::frozen(w.clone().cast(DType::BF16));
    let packing = Weight::trainable(w.clone());
    let forward = time(|| drop(f(x.clone(), &frozen)));
    let in_half = time(|| drop(f(x.clone(), &half)));
    let packed = time(|| drop(f(x.clone(), &packing)));
    let leaf = x.clone().autodiff().require_grad();
    let g = f(x.clone(), &frozen).autodiff();
    let half_input = time(|| drop((f(leaf.clone(), &half) * g.clone()).sum().backward()));
    let input = time(|| drop((f(leaf.clone(), &frozen) * g.clone()).sum().backward()));
    let tracked = Weight::trainable(w.autodiff().require_grad());
    let weight = time(|| drop((f(x.clone().autodiff(), &tracked) * g.clone()).sum().backward()));
    let rest = {
        let leaf = f(x.clone(), &frozen).autodiff().require_grad();
        time(|| drop((leaf.clone() * g.clone()).sum().backward()))
    };
    let rate = |seconds: f64| flops / seconds * 1e-9;
    println!(
        "{name:34} {:8.3} ms  forward {:4.0}  bf16 {:4.0} and {:4.0}  packing {:4.0}  input gradient {:4.0}  weight gradient {:4.0}",
        forward * 1e3,
        rate(forward),
        rate(in_half),
        rate(half_input - rest - in_half),
        rate(packed),
        rate(input - rest - forward),
        rate(weight - rest - packed),
    );
}

fn convolution(batch: usize, input: usize, output: usize, size: usize, stride: usize) {
    let name = format!("conv3x3 {batch}x{size}x{size} {input}->{output} /{stride}");
    let options = Conv2dOptions { stride, ..Conv2dOptions::SAME_3X3 };
    let side = size / stride;
    let flops = 2.0 * (batch * side * side * 9 * input * output) as f64;
    let (x, w) = (random([batch, size, size, input]), random([9 * input, output]));
    line(&name, flops, x, w, |x, w| conv2d(x, w, None, options));
}

fn matrix(rows: usize, input: usize, output: usize) {
    let flops = 2.0 * (rows * input * output) as f64;
    let (x, w) = (random([rows, input]), random([input, output]));
    line(&format!("linear {rows} {input}->{output}"), flops, x, w, |x, w| linear(x, w, None));
}

fn attend(batch: usize, queries: usize, keys: usize, heads: usize, depth: usize) {
    let name = format!("attention {batch}x{heads} {queries}x{keys}x{depth}");
    if !wanted(&name) {
        return;
    }
    let c = heads * depth;
    let (q, k, v) = (random([batch, queries, c]), random([batch, keys, c]), random([batch, keys, c]));
    let flops = 4.0 * (batch * queries * keys * c) as f64;
    let forward = time(|| drop(attention(q.clone(), k.clone(), v.clone(), heads, Mask::None)));
    let half = time(|| drop(half_attention(q.clone(), k.clone(), v.clone(), heads, None)));
    let leaves = [&q, &k, &v].map(|x| x.clone().autodiff().require_grad());
    let both = time(|| {
        let [q, k, v] = leaves.clone();
        drop(attention(q, k, v, heads, Mask::None).sum().backward());
    });
    let half_both = time(|| {
        let [q, k, v] = leaves.clone();
        drop(half_attention(q, k, v, heads, None).sum().backward());
    });
    println!(
        "{name:34} {:8.3} ms  forward {:4.0}  bf16 {:4.0}  with gradients {:8.3} ms, bf16 {:8.3} ms",
        forward * 1e3,
        flops / forward * 1e-9,
        flops / half * 1e-9,
        both * 1e3,
        half_both * 1e3,
    );
}

/// Times an operation that moves more than it computes, with the gradients of `x` and the rest.
fn moved<const D: usize, const E: usize>(name: &str, x: Tensor<D>, f: impl Fn(Tensor<D>) -> Tensor<E>) {
    if !wanted(name) {
        return;
    }
    let forward = time(|| drop(f(x.clone())));
    let leaf = x.clone().autodiff().require_grad();
    let both = time(|| drop(f(leaf.clone()).sum().backward()));
    println!("{name:34} {:8.3} ms  with gradients {:8.3} ms", forward * 1e3, both * 1e3);
}

fn normalise(batch: usize, size: usize, channels: usize) {
    let (gamma, beta) = (random([channels]), random([channels]));
    let name = format!("group norm + silu {batch}x{size}x{size}x{channels}");
    moved(&name, random([batch, size, size, channels]), |x| group_norm(x, &gamma, &beta, 32, 1e-5, Activation::Silu));
}

/// A linear layer and its gated unit, one after the other and in one, in f32 and bf16.
fn gated(rows: usize, input: usize, output: usize) {
    let name = format!("linear and geglu {rows} {input}->{output}");
    if !wanted(&name) {
        return;
    }
    let (x, w) = (random([rows, input]), random([input, output]));
    let times = [w.clone(), w.cast(DType::BF16)].map(|w| {
        let w = Weight::frozen(w);
        let apart = time(|| drop(geglu(linear(x.clone(), &w, None))));
        [apart, time(|| drop(linear_geglu(x.clone(), &w, None)))].map(|seconds| seconds * 1e3)
    });
    let [[apart, one], [half_apart, half_one]] = times;
    println!("{name:34} {apart:8.3} ms, in one {one:8.3} ms  bf16 {half_apart:8.3} ms, in one {half_one:8.3} ms");
}

/// The rate of independent multiply-adds on all threads: what no kernel can pass.
fn peak() -> f64 {
    const ROUNDS: usize = 1 << 16;
    let threads = rayon::current_num_threads();
    let seconds = time(|| {
        rayon::broadcast(|_| {
            std::hint::black_box(ddpo_kernels::multiply_adds(std::hint::black_box(ROUNDS)));
        });
    });
    threads as f64 * ddpo_kernels::multiply_adds(0).1 as f64 * ROUNDS as f64 / seconds * 1e-9
}

#[global_allocator]
static ALLOCATOR: ddpo_kernels::KeepingAllocator = ddpo_kernels::KeepingAllocator::new();

fn main() {
    println!("peak {:.0} GFLOP/s on {} threads", peak(), rayon::current_num_threads());
    convolution(16, 64, 64, 32, 1);
    convolution(16, 128, 128, 16, 1);
    convolution(16, 128, 128, 8, 1);
    convolution(16, 192, 192, 4, 1);
    convolution(32, 48, 48, 8, 1);
    convolution(32, 96, 96, 4, 1);
    convolution(32, 96, 96, 8, 1);
    convolution(2, 320, 320, 64, 1);
    convolution(2, 640, 640, 32, 1);
    convolution(2, 1280, 1280, 16, 1);
    convolution(2, 2560, 1280, 8, 1);
    convolution(1, 512, 512, 64, 1);
    convolution(2, 320, 320, 64, 2);
    convolution(16, 4, 64, 16, 1);
    convolution(16, 64, 4, 16, 1);
    convolution(16, 64, 64, 16, 2);
    matrix(1024, 128, 128);
    matrix(4096, 64, 512);
    matrix(4096, 256, 64);
    matrix(1024, 512, 128);
    matrix(1024, 192, 1536);
    matrix(16, 256, 768);
    matrix(8192, 320, 320);
    matrix(8192, 320, 2560);
    matrix(2048, 640, 5120);
    matrix(512, 1280, 1280);
    attend(16, 256, 256, 4, 16);
    attend(16, 64, 64, 4, 32);
    attend(16, 256, 77, 4, 16);
    attend(2, 256, 256, 8, 160);
    attend(2, 4096, 77, 8, 40);
    attend(2, 1024, 1024, 8, 80);
    attend(2, 4096, 4096, 8, 40);
    normalise(16, 16, 64);
    normalise(16, 8, 128);
    normalise(2, 64, 320);
    let (gamma, beta) = (random([192]), random([192]));
    moved("layer norm 1024x192", random([1024, 192]), |x| layer_norm(x, &gamma, &beta, 1e-5));
    moved("geglu 4096x512", random([4096, 512]), geglu);
    gated(8192, 320, 2560);
    gated(2048, 640, 5120);
    moved("silu 16x16x16x64", random([16, 16, 16, 64]), silu);
    moved("upsample 16x8x8x128", random([16, 8, 8, 128]), upsample_nearest_2x);
}
