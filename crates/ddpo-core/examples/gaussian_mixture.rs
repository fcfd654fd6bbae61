//! DDPO-IS without any model crate: a perceptron learns to sample four clusters in the plane, then learns to prefer one.
//!
//! `cargo run --release -p ddpo-core --example gaussian_mixture`
//!
//! The reward is the negative distance from the upper right cluster. It rises from about −3, the mean over four clusters, to
//! about −0.2, less than the spread of one.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use ddpo_core::advantage::BatchAdvantage;
use ddpo_core::objective::{DdpoIs, Diagnostics};
use ddpo_core::schedule::{BetaSchedule, Spacing};
use ddpo_core::scheduler::{Ddim, DdimConfig};
use ddpo_core::{
    Action, Address, Advantage, Condition, Denoiser, Domain, Epoch, LogProbTerms, Noise, NoiseSchedule, Objective,
    Prediction, PredictionKind, PromptId, Reduction, Result, RolloutRequest, SampleId, Stream, Timestep, propose,
    rollout,
};

const SAMPLES: usize = 128;
const STEPS: usize = 20;
const EPOCHS: u64 = 30;
const PRETRAINING: u64 = 1500;
const NOISE: Noise = Noise::new(0, Domain::Other(0));
const CLUSTERS: [[f32; 2]; 4] = [[1.5, 1.5], [1.5, -1.5], [-1.5, 1.5], [-1.5, -1.5]];

/// ε(x, t): two hidden layers of 64 units.
struct Perceptron {
    weights: Vec<Tensor<2>>,
}

impl Perceptron {
    fn new(device: &Device) -> Self {
        let layer = |(i, [rows, columns]): (usize, [usize; 2])| {
            let values = NOISE.at(address(0, 10, i as u64)).normals(rows * columns);
            let scale = 1.0 / (rows as f32).sqrt();
            let values: Vec<f32> = values.into_iter().map(|value| value * scale).collect();
            Tensor::from_data(TensorData::new(values, [rows, columns]), device)
        };
        Self { weights: [[8, 64], [64, 64], [64, 2]].into_iter().enumerate().map(layer).collect() }.leaves()
    }

    fn leaves(&self) -> Self {
        Self { weights: self.weights.iter().map(|weight| weight.clone().autodiff().require_grad()).collect() }
    }

    fn sampler(&self) -> Self {
        Self { weights: self.weights.iter().map(|weight| weight.clone().inner()).collect() }
    }
}

impl Denoiser<2> for Perceptron {
    fn predict(&self, sample: &Tensor<2>, timesteps: &[Timestep], _: &Condition) -> Result<Prediction<2>> {
        let waves = |t: &Timestep| [1.0, 3.0, 9.0].map(|k| (k * t.0 / 1000.0) as f32).map(|a| [a.sin(), a.cos()]);
        let features: Vec<f32> = timesteps.iter().flat_map(waves).flatten().collect();
        let time = Tensor::from_data(TensorData::new(features, [timesteps.len(), 6]), &sample.device());
        let mut x = Tensor::cat(vec![sample.clone(), time], 1).matmul(self.weights[0].clone());
        for weight in &self.weights[1..] {
            x = x.tanh().matmul(weight.clone());
        }
        Ok(Prediction::new(PredictionKind::Epsilon, x))
    }
}

/// Adam without decay.
struct Adam {
    rate: f64,
    step: i32,
    moments: Vec<[Tensor<2>; 2]>,
}

impl Adam {
    fn new(model: &Perceptron, rate: f64) -> Self {
        let zeros = |weight: &Tensor<2>| [weight.clone().inner().zeros_like(), weight.clone().inner().zeros_like()];
        Self { rate, step: 0, moments: model.weights.iter().map(zeros).collect() }
    }

    /// The model after one step down the gradient of `loss`.
    fn descend(&mut self, model: &Perceptron, loss: Tensor<1>) -> Perceptron {
        let gradients = loss.backward();
        self.step += 1;
        let correct = |beta: f64| 1.0 - beta.powi(self.step);
        let (first, second, rate) = (correct(0.9), correct(0.999), self.rate);
        let update = |(weight, [m, v]): (&Tensor<2>, &mut [Tensor<2>; 2])| {
            let Some(gradient) = weight.grad(&gradients) else { return weight.clone().inner() };
            *m = m.clone() * 0.9 + gradient.clone() * 0.1;
            *v = v.clone() * 0.999 + gradient.square() * 0.001;
            weight.clone().inner() - m.clone() / first / ((v.clone() / second).sqrt() + 1e-8) * rate
        };
        Perceptron { weights: model.weights.iter().zip(&mut self.moments).map(update).collect() }.leaves()
    }
}

fn address(epoch: u64, stream: u16, step: u64) -> Address {
    Address { stream: Stream::Other(stream), epoch: Epoch(epoch), sample: SampleId(0), step }
}

/// Learns ε on the mixture by the usual regression.
fn pretrain(mut model: Perceptron, schedule: &NoiseSchedule, device: &Device) -> Result<Perceptron> {
    let mut adam = Adam::new(&model, 2e-3);
    for step in 0..PRETRAINING {
        let normals = |stream| {
            let values = NOISE.at(address(0, stream, step)).normals(2 * SAMPLES);
            Tensor::<2>::from_data(TensorData::new(values, [SAMPLES, 2]), device)
        };
        let clusters = NOISE.at(address(0, 2, step)).indices(4, SAMPLES);
        let centres: Vec<f32> = clusters.into_iter().flat_map(|i| CLUSTERS[i]).collect();
        let clean = Tensor::from_data(TensorData::new(centres, [SAMPLES, 2]), device) + normals(3) * 0.2;
        let (epsilon, timesteps) = (normals(4), NOISE.at(address(0, 5, step)).indices(1000, SAMPLES));
        let noisy = schedule.diffuse(clean, epsilon.clone(), &timesteps)?;
        let moments: Vec<Timestep> = timesteps.iter().map(|&t| Timestep(t as f64)).collect();
        let predicted = model.predict(&noisy, &moments, &Condition::none(SAMPLES, device))?.value;
        model = adam.descend(&model, (predicted - epsilon).square().mean());
    }
    Ok(model)
}

fn rewards(points: &Tensor<2>) -> Vec<f32> {
    let points: Vec<f32> = points.clone().inner().into_data().iter::<f32>().collect();
    points.chunks(2).map(|p| -(p[0] - CLUSTERS[0][0]).hypot(p[1] - CLUSTERS[0][1])).collect()
}

/// The mean reward of each epoch; `report` hears of it, and of how far the first ratio of the epoch is from 1.
pub fn train(mut report: impl FnMut(u64, f32, f32)) -> Result<Vec<f32>> {
    let device = Device::default();
    let schedule = NoiseSchedule::new(BetaSchedule::Linear { start: 1e-4, end: 0.02 }, 1000)?;
    let config = DdimConfig { steps: STEPS, spacing: Spacing::Trailing, ..DdimConfig::default() };
    let scheduler = Ddim::new(&schedule, config)?;
    let objective = DdpoIs { clip_range: 0.2, ..DdpoIs::default() };
    let mut model = pretrain(Perceptron::new(&device), &schedule, &device)?;
    let mut adam = Adam::new(&model, 2e-4);
    let samples: Vec<SampleId> = (0..SAMPLES as u64).map(SampleId).collect();
    let mut curve = Vec::new();
    for epoch in 1..=EPOCHS {
        // Sample.
        let request = RolloutRequest {
            shape: [SAMPLES, 2],
            samples: &samples,
            prompts: &[PromptId(0); SAMPLES],
            condition: &Condition::none(SAMPLES, &device),
            noise: NOISE,
            epoch: Epoch(epoch),
            reduction: Reduction::Sum,
            device: &device,
        };
        let chains = rollout(&model.sampler(), &scheduler, &request, &mut |_| {})?;
        // Score.
        let rewards = rewards(chains.last_state());
        let scored = chains.score(rewards)?;
        // Advantages.
        let advantages = BatchAdvantage.advantages(scored.prompts(), scored.rewards())?;
        let mean = scored.rewards().iter().sum::<f32>() / SAMPLES as f32;
        let set = scored.into_training_set(advantages)?;
        // Update, in each pass with one step of every chain, each chain in an order of its own.
        let orders = set.step_orders(NOISE, 0, set.steps(), 1.0, 1)?;
        let pass = |i: usize| orders.iter().enumerate().map(|(row, order)| Action { row, step: order[i] }).collect();
        let passes: Vec<Vec<Action>> = (0..STEPS).map(pass).collect();
        let mut first_deviation = None;
        for pairs in passes {
            let batch = set.minibatch(&pairs)?;
            let new = propose(&model, &scheduler, &batch.steps, &batch.sample, &batch.condition)?
                .log_prob(&batch.next, Reduction::Sum)?;
            let terms = LogProbTerms::new(&new, &batch.old_log_prob, &batch.advantage);
            let loss = objective.loss(&terms)?;
            first_deviation.get_or_insert(max_deviation(&new, &batch.old_log_prob));
            model = adam.descend(&model, loss.value);
        }
        let deviation = first_deviation.unwrap_or(f32::NAN);
        report(epoch, mean, deviation);
        curve.push(mean);
    }
    Ok(curve)
}

/// max |ratio − 1|.
fn max_deviation(new: &Tensor<1>, old: &Tensor<1>) -> f32 {
    let read = |tensor: &Tensor<1>| tensor.clone().inner().into_data().iter::<f32>().collect::<Vec<_>>();
    Diagnostics::of(&read(new), &read(old), 0.0).ratio_max_deviation
}

fn main() -> Result<()> {
    train(|epoch, reward, deviation| {
        let bar = "#".repeat((30.0 + 10.0 * reward).max(0.0) as usize);
        println!("epoch {epoch:2}  reward {reward:6.3}  first ratio off by {deviation}  {bar}");
    })?;
    Ok(())
}
