//! What a run will cost, before anything of it is computed: a count of the work, and how fast this machine is.

use std::time::{Duration, Instant};

use burn::tensor::{DType, Tensor};
use ddpo_core::distance::DistanceMeasure;
use ddpo_kernels::{Weight, cast};
use ddpo_models::Cost;
use ddpo_rewards::PosteriorOptions;

use crate::config::{AlgorithmPlan, Parameters, RewardEntry, RunConfig, RunPlan};
use crate::device::is_cpu;
use crate::error::{Error, Result};

use super::assembly::run_lanes;
use super::loaded::{LoadedModel, values};

/// What forward passes reach of the rate of nothing but multiply-adds, a convolution counted as the direct sum; the shares
/// of both kinds are measured in `docs/benchmarks.md`.
const FORWARD_SHARE: f64 = 0.95;

/// What forward and backward passes together reach.
const BACKWARD_SHARE: f64 = 0.8;

/// Products of a backward pass through an attention for each of its two forward ones: five, of which one is computed again.
const ATTENTION_BACKWARD: f64 = 2.5;

/// Memory for each value that a differentiated layer gives out: what its backward pass keeps, the gradient, and freed blocks.
const KEPT_PER_OUTPUT: f64 = 2.2;

/// Of a pass that keeps nothing, for each value of its largest part: the skipped images are beside it.
const ALIVE_PER_OUTPUT: f64 = 1.2;

/// Images alive at once in a decoder, of its largest.
const DECODER_IMAGES: f64 = 3.5;

/// Values of finest images that are decoded at once, where that is more than one image.
const DECODED_VALUES: f64 = (1 << 25) as f64;

/// Share of a segment's values that enter it, which is what gradient checkpointing keeps.
const ENTERING: f64 = 0.125;

/// Weights with the carried kernels of convolutions beside them, over the weights.
const WITH_KERNELS: f64 = 1.15;

/// The program, its tokenizer and its threads.
const PROGRAM: f64 = 40.0 * (1 << 20) as f64;

/// Bytes of a value.
const VALUE: f64 = 4.0;

/// What a run will cost, roughly: `docs/benchmarks.md` says how far off it was.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CostEstimate {
    /// Samples through the UNet in an epoch's sampling; guidance makes two of one.
    pub sampled_passes: u64,
    /// Samples through the UNet, forward and backward, in an epoch's training.
    pub trained_passes: u64,
    /// Multiply-adds of a forward pass of one sample.
    pub pass: u64,
    /// Sampling and decoding of an epoch.
    pub sampling: Duration,
    /// Scoring of an epoch, as far as it asks the base model; what other rewards take is not known.
    pub scoring: Duration,
    /// Training of an epoch.
    pub training: Duration,
    /// Epochs.
    pub epochs: usize,
    /// All evaluations.
    pub evaluations: Duration,
    /// Peak memory in bytes.
    pub memory: u64,
}

/// Rows, rows of the matrix and columns of a product of bf16 by which the processor is timed.
const HALF_PRODUCT: [usize; 3] = [1024, 640, 640];

/// How many operations this machine does a second, at best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComputeRate {
    /// Floating-point operations a second, of independent multiply-adds on all threads.
    pub flops: f64,
    /// How many times as fast a model's layers are: more than one where their products are in bf16 on the processor.
    pub layers: f64,
}

impl ComputeRate {
    /// Times the device of a model: the processor by multiply-adds of all its threads, a GPU by products of matrices, which
    /// gives no more than the order of magnitude.
    ///
    /// # Errors
    ///
    /// Fails when the device does.
    pub fn of(loaded: &LoadedModel) -> Result<Self> {
        if !is_cpu(loaded.device()) {
            return Self::of_products(loaded);
        }
        let rate = Self::of_processor();
        match loaded.pipeline().unet_weights.products() {
            DType::F32 => Ok(rate),
            half => rate.with_layers_in(half, loaded),
        }
    }

    /// The same machine, of which products of a matrix in this format are timed.
    fn with_layers_in(self, format: DType, loaded: &LoadedModel) -> Result<Self> {
        let [rows, k, n] = HALF_PRODUCT;
        let full = |shape: [usize; 2]| Tensor::<2>::full(shape, 1e-3, loaded.device());
        let weight = Weight::frozen(cast(full([k, n]), format));
        let x = full([rows, k]);
        let seconds = || {
            let start = Instant::now();
            values(ddpo_kernels::linear(x.clone(), &weight, None).narrow(0, 0, 1).flatten::<1>(0, 1))?;
            Ok::<_, Error>(start.elapsed().as_secs_f64().max(1e-9))
        };
        let mut best = f64::INFINITY;
        for _ in 0..20 {
            best = best.min(seconds()?);
        }
        let flops = 2.0 * (rows * k * n) as f64 / best;
        Ok(Self { layers: (flops / self.flops).max(1.0), ..self })
    }

    fn of_products(loaded: &LoadedModel) -> Result<Self> {
        const SIDE: usize = 1024;
        let side = Tensor::<2>::full([SIDE, SIDE], 1e-3, loaded.device());
        let side = cast(side, loaded.pipeline().unet_weights.products());
        let seconds = |count: usize| {
            let start = Instant::now();
            let product = (0..count).fold(side.clone(), |product, _| product.matmul(side.clone()));
            values(cast(product.narrow(0, 0, 1), DType::F32))?;
            Ok::<_, Error>(start.elapsed().as_secs_f64().max(1e-9))
        };
        // The first one compiles and tries what the device has.
        seconds(1)?;
        let mut count = 1;
        loop {
            let taken = seconds(count)?;
            if taken > 0.05 || count > 1 << 12 {
                return Ok(Self { flops: 2.0 * (SIDE as f64).powi(3) * count as f64 / taken, layers: 1.0 });
            }
            count *= 4;
        }
    }

    /// Times the processor for a fifth of a second.
    fn of_processor() -> Self {
        let mut rounds = 1 << 14;
        while seconds_of(rounds) < 0.02 && rounds < 1 << 30 {
            rounds *= 2;
        }
        let operations = (crate::device::threads() * ddpo_kernels::multiply_adds(0).1 * rounds) as f64;
        let rates = (0..4).map(|_| operations / seconds_of(rounds));
        Self { flops: rates.fold(0.0, f64::max), layers: 1.0 }
    }
}

/// How long all threads take for so many rounds of multiply-adds each.
fn seconds_of(rounds: usize) -> f64 {
    let start = Instant::now();
    rayon::broadcast(|_| std::hint::black_box(ddpo_kernels::multiply_adds(std::hint::black_box(rounds))));
    start.elapsed().as_secs_f64().max(1e-9)
}

impl CostEstimate {
    /// What `plan` costs with this model on a machine of this rate.
    ///
    /// # Errors
    ///
    /// Fails when an image's size or the number of steps does not fit the model.
    pub fn new(plan: &RunPlan, loaded: &LoadedModel, rate: ComputeRate) -> Result<Self> {
        let work = Work::new(plan, loaded, rate.layers)?;
        let seconds = |operations: f64, share: f64| duration(operations / (rate.flops * share));
        Ok(Self {
            sampled_passes: work.sampled_passes as u64,
            trained_passes: work.trained_passes as u64,
            pass: work.unet.multiply_adds(),
            sampling: seconds(work.sampling(), FORWARD_SHARE),
            scoring: seconds(work.scoring(), FORWARD_SHARE),
            training: seconds(work.training(), BACKWARD_SHARE),
            epochs: plan.config.run.epochs,
            evaluations: seconds(work.evaluations(), FORWARD_SHARE),
            memory: work.memory() as u64,
        })
    }

    /// One epoch.
    pub fn epoch(&self) -> Duration {
        self.sampling + self.scoring + self.training
    }

    /// The whole run.
    pub fn total(&self) -> Duration {
        duration(self.epoch().as_secs_f64() * self.epochs as f64 + self.evaluations.as_secs_f64())
    }
}

/// A count beyond what a clock can hold is as good as its end.
fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// A run's work in counts.
struct Work<'a> {
    config: &'a RunConfig,
    unet: Cost,
    decoder: Cost,
    /// Samples of an epoch.
    samples: f64,
    /// Rows of a sample in a pass of sampling, and of training.
    rows: [f64; 2],
    sampled_passes: f64,
    trained_passes: f64,
    /// Passes forward of models that do not learn, beside each one of the policy.
    frozen_passes: usize,
    /// Pieces of work side by side.
    lanes: f64,
    latent: f64,
    /// Images that a decoder takes at once.
    decoded: f64,
    /// Parameters of the UNet, and of all parts.
    parameters: [f64; 2],
    /// Memory for each of the weights, in values of `f32`.
    held: f64,
    /// Lists of prompts that are evaluated on, each with pictures of its own.
    views: usize,
    /// How many times as fast layers are as multiply-adds of `f32`.
    faster: f64,
}

impl<'a> Work<'a> {
    fn new(plan: &'a RunPlan, loaded: &LoadedModel, faster: f64) -> Result<Self> {
        let (config, pipeline) = (&plan.config, loaded.pipeline());
        let shape @ [_, height, width, channels] = loaded.latent_shape([config.sample.height, config.sample.width])?;
        let pictures = plan.samples_per_epoch as f64;
        let samples = if matches!(plan.algorithm, AlgorithmPlan::Preference(_)) { 0.0 } else { pictures };
        let rows = |guided: bool| if guided && config.sample.guidance != 1.0 { 2.0 } else { 1.0 };
        let rows = [rows(true), rows(guides_training(plan))];
        let trained = match &plan.algorithm {
            AlgorithmPlan::PolicyGradient(_) => {
                samples * trained_steps(config, loaded)? * config.train.inner_epochs as f64
            }
            AlgorithmPlan::Regression(_) => (plan.updates_per_epoch() * plan.images_per_update()) as f64,
            AlgorithmPlan::Forward(forward) => samples * (forward.noisings * config.train.inner_epochs) as f64,
            AlgorithmPlan::Preference(_) => pictures,
            AlgorithmPlan::Distillation(_) => samples * config.train.inner_epochs as f64,
        };
        let sampled_rows = match &plan.algorithm {
            // The teacher's pictures, with guidance.
            AlgorithmPlan::Distillation(_) => {
                let rows = if config.distill.guidance == 1.0 { 1.0 } else { 2.0 };
                config.distill.teacher_steps as f64 * rows
            }
            _ => config.sample.steps as f64 * rows[0],
        };
        let frozen_passes = match &plan.algorithm {
            AlgorithmPlan::PolicyGradient(gradient) => gradient.frozen_passes(&config.train),
            AlgorithmPlan::Regression(_) => 0,
            AlgorithmPlan::Preference(_) => 1,
            // The teacher with guidance, and the target.
            AlgorithmPlan::Distillation(_) => 3,
            AlgorithmPlan::Forward(forward) => forward.frozen_passes(),
        };
        // Without guidance.
        let anchored = match config.anchor.weight > 0.0 {
            true => (plan.updates_per_epoch() * config.anchor.batch_size) as f64,
            false => 0.0,
        };
        let vae = pipeline.vae.config();
        let decoded = (height * width * vae.downscale().pow(2) * vae.block_out_channels[0]) as f64;
        let is_half = is_cpu(loaded.device()) && pipeline.unet_weights.products() != DType::F32;
        let of_unet = elements(pipeline.unet.specs());
        let others = elements(pipeline.vae.specs()) + elements(pipeline.text_encoder.specs());
        Ok(Self {
            config,
            unet: pipeline.unet.cost([height, width], pipeline.tokenizer.max_length()),
            decoder: pipeline.vae.decoding_cost([height, width]),
            samples,
            rows,
            sampled_passes: samples * sampled_rows,
            trained_passes: trained * rows[1] + anchored,
            frozen_passes,
            lanes: run_lanes(plan, loaded, shape) as f64,
            latent: (height * width * channels) as f64,
            decoded: (config.sample.batch_size as f64).min((DECODED_VALUES / decoded).max(1.0).floor()),
            parameters: [of_unet, of_unet + others],
            held: if is_half { 0.5 } else { WITH_KERNELS },
            views: plan.evaluated_lists(),
            faster,
        })
    }

    /// Operations of an epoch's sampling.
    fn sampling(&self) -> f64 {
        self.sampled_passes * self.operations(&self.unet) + self.samples * self.operations(&self.decoder)
    }

    /// Operations of an epoch's scoring.
    fn scoring(&self) -> f64 {
        self.samples * self.asking()
    }

    /// Operations of a picture's scoring by the optimised reward, that of all tasks in the mean: a prompt and others are compared at
    /// some trials.
    fn asking(&self) -> f64 {
        let rewards = self.config.rewards_of_tasks();
        let rows: f64 = rewards.iter().flat_map(|reward| &reward.0).filter_map(asked_rows).sum();
        rows / rewards.len() as f64 * self.operations(&self.unet)
    }

    /// Operations of an epoch's training: a pass forward and back, the pass again with gradient checkpointing, and those of the
    /// base model and the old policy where they are asked.
    fn training(&self) -> f64 {
        let train = &self.config.train;
        let forward = 1 + usize::from(train.gradient_checkpointing) + self.frozen_passes;
        let of_weights = if train.parameters == Parameters::Full { 2.0 } else { 1.0 };
        let backward =
            of_weights * self.unet.layers as f64 / self.faster + ATTENTION_BACKWARD * self.unet.attention as f64;
        self.trained_passes * (forward as f64 * self.operations(&self.unet) + 2.0 * backward)
    }

    /// Operations of all evaluations: of the base model, every so many epochs and of the last state. Each draws its pictures,
    /// asks the base model what it would have predicted on the way, and both about noised copies of the pictures.
    fn evaluations(&self) -> f64 {
        let eval = &self.config.eval;
        if eval.every == 0 {
            return 0.0;
        }
        let times = 1 + self.config.run.epochs.div_ceil(eval.every);
        let chain = 2.0 * self.config.sample.steps as f64 * self.rows[0] * self.operations(&self.unet);
        let distance = (2 * DistanceMeasure::DRAWS) as f64 * self.operations(&self.unet);
        let drawing = self.views as f64 * (chain + distance + self.operations(&self.decoder));
        (times * eval.count) as f64 * (drawing + self.config.rewards_of_tasks().len() as f64 * self.asking())
    }

    /// Peak memory: weights, the chains of an epoch, and the most that is worked on at once.
    fn memory(&self) -> f64 {
        let [unet, all] = self.parameters;
        let full = self.config.train.parameters == Parameters::Full;
        // Trained weights, their gradients and AdamW's two moments, beside the frozen base.
        let weights = all * self.held + if full { 4.0 * unet } else { 0.0 };
        let chains = self.samples * (self.config.sample.steps + 1) as f64 * self.latent;
        let most = self.sampling_values().max(self.decoding_values()).max(self.training_values());
        PROGRAM + VALUE * (weights + chains + most)
    }

    /// Two for each multiply-add, those of layers by how fast they are.
    fn operations(&self, cost: &Cost) -> f64 {
        2.0 * (cost.layers as f64 / self.faster + cost.attention as f64)
    }

    fn sampling_values(&self) -> f64 {
        let rows = self.config.sample.batch_size as f64 * self.rows[0];
        self.lanes * rows * ALIVE_PER_OUTPUT * self.unet.largest_part as f64
    }

    fn decoding_values(&self) -> f64 {
        self.lanes * self.decoded * DECODER_IMAGES * self.decoder.largest_image as f64
    }

    fn training_values(&self) -> f64 {
        let rows = self.config.train.batch_size as f64 * self.rows[1];
        let kept = match self.config.train.gradient_checkpointing {
            true => ENTERING * self.unet.outputs as f64 + KEPT_PER_OUTPUT * self.unet.largest_part as f64,
            false => KEPT_PER_OUTPUT * self.unet.outputs as f64,
        };
        self.lanes * rows * kept
    }
}

/// Whether training predicts with guidance where sampling does.
fn guides_training(plan: &RunPlan) -> bool {
    match &plan.algorithm {
        AlgorithmPlan::PolicyGradient(_) | AlgorithmPlan::Regression(_) => plan.config.train.guidance,
        AlgorithmPlan::Forward(_) => plan.config.forward.guidance,
        AlgorithmPlan::Preference(_) | AlgorithmPlan::Distillation(_) => false,
    }
}

fn elements(specs: &[ddpo_nn::ParamSpec]) -> f64 {
    specs.iter().map(|spec| spec.elements() as f64).sum()
}

/// The steps of a sample that are trained on.
fn trained_steps(config: &RunConfig, loaded: &LoadedModel) -> Result<f64> {
    let sample = &config.sample;
    let scheduler = loaded.scheduler(&sample.sampler())?;
    let first = config.train.first_timestep as f64;
    let count = scheduler.timesteps().iter().filter(|timestep| timestep.0 >= first).count();
    Ok((count as f64 * config.train.timestep_fraction).floor())
}

/// Rows through the base model that a reward asks for a picture.
fn asked_rows(reward: &RewardEntry) -> Option<f64> {
    let options: PosteriorOptions = match reward.kind == PosteriorOptions::KIND {
        true => ddpo_rewards::read_options(PosteriorOptions::KIND, &reward.options).ok()?,
        false => return None,
    };
    Some((options.candidates() * options.trials) as f64)
}

#[cfg(test)]
mod tests {
    use ddpo_models::{Unet, UnetConfig, Vae, VaeConfig};

    use super::*;
    use crate::config::Layers;

    /// Parameters of Stable Diffusion 1.5's text encoder.
    const TEXT_PARAMETERS: f64 = 123_060_480.0;

    fn config(more: &[&str]) -> RunConfig {
        let mut layers = Layers::default();
        // As `bench/parity/sd15.py` runs it: two steps of one image, of which one step is trained on.
        for assignment in ["model.path=org/sd", "sample.steps=2", "sample.batch-size=1", "sample.batches-per-epoch=1"] {
            layers.push_assignment(assignment).unwrap();
        }
        layers.push_assignment("train.batch-size=1").unwrap();
        more.iter().for_each(|assignment| layers.push_assignment(assignment).unwrap());
        layers.resolve().unwrap()
    }

    /// The work of a run of Stable Diffusion 1.5's shape.
    fn work(config: &RunConfig) -> Work<'_> {
        let unet = Unet::new(UnetConfig::from_json(br#"{"cross_attention_dim": 768}"#).unwrap()).unwrap();
        let vae = br#"{"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2}"#;
        let vae = Vae::new(VaeConfig::from_json(vae).unwrap()).unwrap();
        let samples = (config.sample.batch_size * config.sample.batches_per_epoch) as f64;
        let passes = 2.0 * samples * config.sample.steps as f64;
        let of_unet = elements(unet.specs());
        Work {
            config,
            unet: unet.cost([64, 64], 77),
            decoder: vae.decoding_cost([64, 64]),
            samples,
            rows: [2.0; 2],
            sampled_passes: passes,
            trained_passes: passes * config.train.timestep_fraction,
            frozen_passes: usize::from(config.train.kl_weight > 0.0),
            lanes: 1.0,
            latent: 4.0 * 64.0 * 64.0,
            decoded: 1.0,
            parameters: [of_unet, of_unet + elements(vae.specs()) + TEXT_PARAMETERS],
            held: WITH_KERNELS,
            views: 1,
            faster: 1.0,
        }
    }

    #[track_caller]
    fn check(what: &str, estimated: f64, measured: f64) {
        let error = estimated / measured - 1.0;
        assert!(error.abs() < 0.15, "{what}: {estimated:.2} estimated, {measured} measured, {:+.0} %", 100.0 * error);
    }

    #[test]
    fn the_estimate_is_near_what_was_measured_at_stable_diffusions_shape() {
        let config = config(&["train.timestep-fraction=0.5"]);
        let work = work(&config);
        // The machine of docs/benchmarks.md, and its figures.
        let rate = 228e9;
        check("sampling, s", work.sampling() / (rate * FORWARD_SHARE), 23.9);
        check("a micro-step, s", work.training() / (rate * BACKWARD_SHARE), 29.4);
        check("memory, GiB", work.memory() / f64::from(1 << 30), 5.36);
    }

    #[test]
    fn what_costs_more_is_estimated_to_cost_more() {
        let training = |more: &[&str]| work(&config(more)).training();
        let plain = training(&["train.gradient-checkpointing=false"]);
        for more in ["train.gradient-checkpointing=true", "train.kl-weight=0.1", "train.parameters=full"] {
            assert!(training(&["train.gradient-checkpointing=false", more]) > 1.2 * plain, "{more}");
        }
        let memory = |more: &[&str]| work(&config(more)).memory();
        assert!(
            memory(&["train.batch-size=8", "sample.batches-per-epoch=8"]) > memory(&["sample.batches-per-epoch=8"])
        );
        assert!(memory(&["train.parameters=full"]) > 2.0 * memory(&[]));
        let kept = memory(&["train.batch-size=4", "sample.batches-per-epoch=4", "train.gradient-checkpointing=false"]);
        assert!(kept > 2.0 * memory(&["train.batch-size=4", "sample.batches-per-epoch=4"]));
        let evaluations = |more: &[&str]| work(&config(more)).evaluations();
        // The base model, every tenth epoch, and the last.
        assert_eq!(evaluations(&["run.epochs=11"]), 1.5 * evaluations(&["run.epochs=10"]));
        assert_eq!(evaluations(&["eval.every=0"]), 0.0);
        let scoring = |more: &[&str]| work(&config(more)).scoring();
        assert!(scoring(&["reward=diffusion-classifier"]) > 0.0 && scoring(&[]) == 0.0);
    }

    #[test]
    fn this_machine_computes() {
        assert!(ComputeRate::of_processor().flops > 1e8);
    }

    #[test]
    fn a_time_beyond_all_clocks_is_one() {
        assert_eq!(duration(f64::INFINITY), Duration::MAX);
        assert_eq!(duration(1.5), Duration::from_millis(1500));
    }
}
