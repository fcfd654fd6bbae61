//! What share of the processor's peak a UNet reaches: `cargo bench -p ddpo-models --bench unet`.
//!
//! The batch is shared out as training does it, an equal part for each core, which works on it alone; the second lines are
//! those of one batch on which all cores work together, operation by operation.
//!
//! The forward pass is counted at two operations a multiply-add, the backward pass (the gradient of the latents, through
//! frozen weights, as in training an adapter) at as much again. The peak is that of independent fused multiply-adds, measured
//! between the passes, on as many threads.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};
use ddpo_models::{Unet, UnetConfig};
use ddpo_nn::Weights;

/// A network, a batch of latents and a batch of text states to run it on.
struct Case {
    name: &'static str,
    unet: Unet,
    weights: Weights,
    sample: Tensor<4>,
    states: Tensor<3>,
}

#[global_allocator]
static ALLOCATOR: ddpo_kernels::KeepingAllocator = ddpo_kernels::KeepingAllocator::new();

fn main() {
    let threads = rayon::current_num_threads();
    println!("{threads} threads; medians");
    for case in [tiny(), small(), emoji()] {
        let (peak, flops) = (peak(threads), case.flops());
        let forward = |case: &Case| drop(case.forward(case.sample.clone()));
        let both = |case: &Case| {
            let leaf = case.sample.clone().autodiff().require_grad();
            drop(case.forward(leaf).sum().backward());
        };
        let line = |what: &str, seconds: f64, flops: f64| {
            let rate = flops / seconds;
            let (ms, giga, share) = (seconds * 1e3, rate * 1e-9, 100.0 * rate / peak);
            println!("{:22} {what:18} {ms:8.1} ms  {giga:5.0} GFLOP/s  {share:3.0} % of {:.0}", case.name, peak * 1e-9);
        };
        line("forward", side_by_side(&case, threads, forward), flops);
        line("forward + backward", side_by_side(&case, threads, both), 2.0 * flops);
        line("... together", time(|| forward(&case)), flops);
        line("... together", time(|| both(&case)), 2.0 * flops);
    }
}

/// The median time in which a thread a part does `body` on its part of a batch, all at once.
fn side_by_side(case: &Case, threads: usize, body: impl Fn(&Case) + Sync) -> f64 {
    let parts: Vec<Case> = (0..threads).map(|i| case.part(i, threads)).collect();
    let pool = || rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread can be started");
    let pools: Vec<_> = parts.iter().map(|_| pool()).collect();
    time(|| {
        std::thread::scope(|scope| {
            for (part, pool) in parts.iter().zip(&pools) {
                let body = &body;
                scope.spawn(move || pool.install(|| body(part)));
            }
        });
    })
}

/// `bench/random_pipeline.py --size tiny`.
fn tiny() -> Case {
    case("tiny, batch 16", &[32, 64], 2, 8, 32, 77, 16)
}

/// `bench/random_pipeline.py --size small`.
fn small() -> Case {
    case("small, batch 16", &[64, 128, 192], 4, 16, 128, 32, 16)
}

/// The embedded model in an update of the default configuration.
fn emoji() -> Case {
    let channels = [32, 64, 128];
    let mut case = case("emoji, batch 128", &channels, 4, 16, 96, 16, 128);
    let mut config = UnetConfig::small(&channels, 4, 4, [16, 16], 96);
    (config.blocks[0].down_attention, config.blocks[0].up_attention) = (false, false);
    case.unet = Unet::new(config).expect("the sizes fit");
    case.weights = Weights::init(case.unet.specs(), 0, &Device::flex());
    case
}

/// A network without attention at its lowest resolution, as Stable Diffusion's.
fn case(
    name: &'static str,
    channels: &[usize],
    heads: usize,
    size: usize,
    width: usize,
    tokens: usize,
    batch: usize,
) -> Case {
    let mut config = UnetConfig::small(channels, heads, 4, [size, size], width);
    if let Some(lowest) = config.blocks.last_mut() {
        (lowest.down_attention, lowest.up_attention) = (false, false);
    }
    let unet = Unet::new(config).expect("the sizes fit");
    let weights = Weights::init(unet.specs(), 0, &Device::flex());
    Case { name, unet, weights, sample: random([batch, size, size, 4]), states: random([batch, tokens, width]) }
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

impl Case {
    /// Part `index` of the batch.
    fn part(&self, index: usize, parts: usize) -> Self {
        let size = self.sample.dims()[0] / parts;
        Self {
            name: self.name,
            unet: self.unet.clone(),
            weights: self.weights.clone(),
            sample: self.sample.clone().narrow(0, index * size, size),
            states: self.states.clone().narrow(0, index * size, size),
        }
    }

    fn forward(&self, sample: Tensor<4>) -> Tensor<4> {
        let timesteps = vec![500.0; sample.dims()[0]];
        self.unet.forward(&self.weights, sample, &timesteps, self.states.clone()).expect("the shapes fit")
    }

    /// Operations of a forward pass.
    fn flops(&self) -> f64 {
        let ([batch, height, width, _], [_, tokens, _]) = (self.sample.dims(), self.states.dims());
        2.0 * batch as f64 * self.unet.cost([height, width], tokens).multiply_adds() as f64
    }
}

/// Operations a second of nothing but multiply-adds, on all threads at once.
fn peak(threads: usize) -> f64 {
    const ROUNDS: usize = 2_000_000;
    let once = || {
        let start = Instant::now();
        let work: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| ddpo_kernels::multiply_adds(ROUNDS))).collect();
            workers.into_iter().filter_map(|worker| worker.join().ok()).map(|(_, flops)| flops * ROUNDS).sum()
        });
        work as f64 / start.elapsed().as_secs_f64()
    };
    (0..3).map(|_| once()).fold(0.0, f64::max)
}

/// The median time of a call over two seconds, in seconds.
fn time(mut body: impl FnMut()) -> f64 {
    body();
    let start = Instant::now();
    body();
    let runs = (2.0 / start.elapsed().as_secs_f64()).clamp(5.0, 100.0) as usize;
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
