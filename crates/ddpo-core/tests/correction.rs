//! The laws of regression on corrected targets.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use ddpo_core::correction::{CorrectedLoss, CorrectedTarget, ErrorSpace, ErrorWeight, Models, NoisedStates};
use ddpo_core::{
    Address, Condition, Denoiser, Domain, Epoch, Noise, NoiseSchedule, Policy, Prediction, PredictionKind, Result,
    SampleId, Stream, Timestep,
};
use ddpo_testing::{GaussianPolicy, Tolerance, ToyPolicy, ToyPolicyConfig, assert_close, stable_diffusion_schedule};

const ROWS: usize = 6;
const ELEMENTS: usize = 8;
const TIMESTEPS: [usize; ROWS] = [3, 120, 400, 650, 900, 999];
const ADVANTAGES: [f32; ROWS] = [1.5, -2.0, 0.3, -0.7, 5.0, -5.0];

/// f32 through divisions by √ᾱ and √(1−ᾱ).
const CLOSE: Tolerance = Tolerance { absolute: 1e-5, relative: 2e-3 };

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

fn normals(step: u64, rows: usize, elements: usize) -> Tensor<2> {
    let address = Address { stream: Stream::Other(1), epoch: Epoch(0), sample: SampleId(0), step };
    let values = Noise::new(5, Domain::Other(3)).at(address).normals(rows * elements);
    Tensor::from_data(TensorData::new(values, [rows, elements]), &Device::flex())
}

/// Clean states and noise of a case.
struct Case {
    clean: Tensor<2>,
    epsilon: Tensor<2>,
    condition: Condition,
}

impl Case {
    fn new() -> Self {
        let (clean, epsilon) = (normals(0, ROWS, ELEMENTS), normals(1, ROWS, ELEMENTS));
        Self { clean, epsilon, condition: Condition::none(ROWS, &Device::flex()) }
    }

    fn loss(&self, target: CorrectedTarget, advantages: &[f32], models: &Models<'_, 2>) -> CorrectedLoss {
        let states = NoisedStates {
            clean: &self.clean,
            epsilon: &self.epsilon,
            timesteps: &TIMESTEPS,
            condition: &self.condition,
            advantages,
        };
        target.loss(&stable_diffusion_schedule(), &states, models).unwrap()
    }
}

fn toy(seed: u64) -> ToyPolicy {
    ToyPolicy::new(ToyPolicyConfig { elements: ELEMENTS, hidden: 5, seed }, &Device::flex())
}

/// The gradient of all parameters of a policy.
fn gradient(policy: &ToyPolicy, loss: Tensor<1>) -> Vec<f32> {
    let gradients = loss.backward();
    let parameters = <ToyPolicy as Policy<2>>::parameters(policy);
    parameters.into_iter().flat_map(|parameter| read(parameter.value.grad(&gradients).unwrap())).collect()
}

fn weights() -> [ErrorWeight; 6] {
    let spaces = [ErrorSpace::Sample, ErrorSpace::Velocity, ErrorSpace::Noise];
    let pairs = spaces.into_iter().flat_map(|space| [true, false].map(|is_normalised| (space, is_normalised)));
    let all: Vec<ErrorWeight> =
        pairs.map(|(space, is_normalised)| ErrorWeight { space, cap: 5.0, is_normalised }).collect();
    all.try_into().unwrap()
}

#[test]
fn nothing_is_learnt_where_every_sample_is_like_its_peers() {
    let (case, policy) = (Case::new(), toy(0));
    let old = <ToyPolicy as Policy<2>>::sampler(&policy);
    let base = toy(1);
    for weight in weights() {
        for old in [None, Some(&*old)] {
            let models = Models { policy: &policy, old, base: &base };
            let target = CorrectedTarget { strength: 2.0, anchor: 0.0, weight };
            let still = case.loss(target, &[0.0; ROWS], &models);
            assert!(read(still.distance_to_old.clone()).iter().all(|&distance| distance == 0.0));
            assert!(gradient(&policy, still.loss.mean()).iter().all(|&value| value == 0.0), "{weight:?}");
            let moved = case.loss(target, &ADVANTAGES, &models);
            assert!(gradient(&policy, moved.loss.mean()).iter().any(|&value| value != 0.0));
            // An anchor pulls, whatever the reward says.
            let pulled = case.loss(CorrectedTarget { anchor: 0.5, ..target }, &[0.0; ROWS], &models);
            assert!(gradient(&policy, pulled.loss.mean()).iter().any(|&value| value != 0.0));
        }
    }
}

/// DiffusionNFT's own loss of an ε-model, with weights of the error that are given: `r ‖ε₊ − ε‖² + (1 − r) ‖ε₋ − ε‖²`.
fn two_branches(case: &Case, policy: &ToyPolicy, old: &ToyPolicy, beta: f64, own_weights: bool) -> Tensor<1> {
    let schedule = stable_diffusion_schedule();
    let noisy = schedule.diffuse(case.clean.clone(), case.epsilon.clone(), &TIMESTEPS).unwrap();
    let times = TIMESTEPS.map(|t| Timestep(t as f64));
    let new = policy.predict(&noisy, &times, &case.condition).unwrap().value;
    let old = <ToyPolicy as Policy<2>>::sampler(old).predict(&noisy, &times, &case.condition).unwrap().value;
    let positive = new.clone() * beta + old.clone() * (1.0 - beta);
    let negative = old * (1.0 + beta) - new * beta;
    let column = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [ROWS, 1]), &Device::flex());
    let share = column(ADVANTAGES.iter().map(|advantage| (advantage / 10.0 + 0.5).clamp(0.0, 1.0)).collect());
    let ratio: Vec<f32> = TIMESTEPS
        .iter()
        .map(|&t| schedule.alphas_cumprod()[t])
        .map(|alpha| ((1.0 - alpha) / alpha).sqrt() as f32)
        .collect();
    let branch = |prediction: Tensor<2>| {
        // x̂₀ − x₀ = −√(1−ᾱ)/√ᾱ (ε̂ − ε).
        let error = (prediction - case.epsilon.clone()) * column(ratio.clone());
        let squares = (error.clone() * error.clone()).mean_dim(1);
        match own_weights {
            true => squares / error.inner().abs().mean_dim(1).clamp_min(1e-5),
            false => squares,
        }
    };
    (branch(positive) * share.clone() + branch(negative) * (-share + 1.0)).mean()
}

#[test]
fn the_loss_of_two_branches_is_a_regression_and_a_constant() {
    let (case, old) = (Case::new(), toy(2));
    let sampler = <ToyPolicy as Policy<2>>::sampler(&old);
    for beta in [0.1, 1.0] {
        let weight = ErrorWeight { space: ErrorSpace::Sample, cap: 100.0, is_normalised: false };
        let target = CorrectedTarget { strength: 0.2 / beta, anchor: 0.0, weight };
        let difference = |policy: &ToyPolicy| {
            let models = Models { policy, old: Some(&*sampler), base: policy };
            let ours = case.loss(target, &ADVANTAGES, &models).loss.mean().mul_scalar(beta * beta);
            let theirs = two_branches(&case, policy, &old, beta, false);
            let constant = read(theirs.clone())[0] - read(ours.clone())[0];
            assert_close(&gradient(policy, ours), &gradient(policy, theirs), CLOSE);
            constant
        };
        let (a, b) = (difference(&toy(3)), difference(&toy(4)));
        assert!((a - b).abs() < 1e-3 * a.abs(), "beta {beta}: {a} and {b}");
    }
}

#[test]
fn where_the_policy_is_the_old_one_the_two_branches_weigh_errors_alike() {
    let (case, policy) = (Case::new(), toy(2));
    for beta in [0.1, 1.0] {
        let weight = ErrorWeight { space: ErrorSpace::Sample, cap: 100.0, is_normalised: true };
        let target = CorrectedTarget { strength: 0.2 / beta, anchor: 0.0, weight };
        let models = Models { policy: &policy, old: None, base: &policy };
        let ours = case.loss(target, &ADVANTAGES, &models).loss.mean().mul_scalar(beta * beta);
        let theirs = two_branches(&case, &policy, &policy, beta, true);
        assert_close(&gradient(&policy, ours), &gradient(&policy, theirs), CLOSE);
    }
}

/// A model whose clean sample is given, whatever it is asked and whatever it says of it.
struct Guess {
    clean: Tensor<2>,
    kind: PredictionKind,
    schedule: NoiseSchedule,
}

impl Denoiser<2> for Guess {
    fn predict(&self, x: &Tensor<2>, timesteps: &[Timestep], _: &Condition) -> Result<Prediction<2>> {
        let column = |f: fn(f64) -> f64| {
            let values = timesteps.iter().map(|t| f(self.schedule.alphas_cumprod()[t.0 as usize]) as f32);
            Tensor::<2>::from_data(TensorData::new(values.collect(), [timesteps.len(), 1]), &x.device())
        };
        let (signal, noise) = (column(f64::sqrt), column(|alpha| (1.0 - alpha).sqrt()));
        let epsilon = (x.clone() - self.clean.clone() * signal.clone()) / noise.clone();
        Ok(Prediction::new(
            self.kind,
            match self.kind {
                PredictionKind::Epsilon => epsilon,
                PredictionKind::Velocity => epsilon * signal - self.clean.clone() * noise,
                _ => self.clean.clone(),
            },
        ))
    }
}

#[test]
fn models_of_noise_velocity_and_clean_samples_learn_the_same() {
    let case = Case::new();
    let guess = |step: u64, kind| Guess {
        clean: normals(step, ROWS, ELEMENTS) * 0.3 + case.clean.clone(),
        kind,
        schedule: stable_diffusion_schedule(),
    };
    for weight in weights() {
        let of = |kind| {
            let leaf = guess(7, kind).clean.autodiff().require_grad();
            let policy = Guess { clean: leaf.clone(), ..guess(7, kind) };
            let (old, base) = (guess(8, kind), guess(9, kind));
            let target = CorrectedTarget { strength: 0.4, anchor: 0.3, weight };
            let loss = case.loss(target, &ADVANTAGES, &Models { policy: &policy, old: Some(&old), base: &base });
            let measured = [loss.denoising_error, loss.distance_to_old, loss.distance_to_base.unwrap()].map(read);
            let values = read(loss.loss.clone());
            (values, measured.concat(), read(leaf.grad(&loss.loss.backward()).unwrap()))
        };
        let (values, measured, gradients) = of(PredictionKind::Epsilon);
        for kind in [PredictionKind::Velocity, PredictionKind::Sample] {
            let (v, m, g) = of(kind);
            // At the first timesteps √(1−ᾱ) is 0.04, and f32 loses as many digits in ε.
            let tolerance = Tolerance { absolute: 1e-4, relative: 1e-2 };
            assert_close(&v, &values, tolerance);
            assert_close(&m, &measured, tolerance);
            assert_close(&g, &gradients, tolerance);
        }
    }
}

/// The noise of the gradient over its signal, squared, for a reward of the mean over `rewarded` elements: batches of 32 samples, four
/// stratified timesteps and one noise for all of them, as in training. Eight elements are coarse and eight are fine.
fn noise_to_signal(weight: ErrorWeight, rewarded: std::ops::Range<usize>) -> f64 {
    const BATCHES: u64 = 300;
    let stds: Vec<f64> = (0..16).map(|i| if i < 8 { 1.0 } else { 0.1 }).collect();
    let schedule = stable_diffusion_schedule();
    let device = Device::flex();
    let model = GaussianPolicy::new(stds.clone(), schedule.clone(), &device);
    let means = <GaussianPolicy as Policy<2>>::parameters(&model).remove(0).value;
    let row = Tensor::<2>::from_data(TensorData::new(stds.iter().map(|&s| s as f32).collect(), [1, 16]), &device);
    let gradient = |batch: u64| {
        let clean = normals(100 + batch, 32, 16) * row.clone();
        let rewards = read(clean.clone().slice([0..32, rewarded.clone()]).mean_dim(1));
        let mean = rewards.iter().sum::<f32>() / 32.0;
        let std = (rewards.iter().map(|r| (r - mean).powi(2)).sum::<f32>() / 32.0).sqrt();
        let advantages: Vec<f32> = rewards.iter().map(|r| (r - mean) / std).collect();
        let loss = (0..4).map(|k| {
            let address = Address { stream: Stream::Other(2), epoch: Epoch(batch), sample: SampleId(0), step: k };
            let within = Noise::new(5, Domain::Other(3)).at(address).uniforms(1)[0];
            let timesteps = [((k as f64 + within) * 250.0) as usize; 32];
            let states = NoisedStates {
                clean: &clean,
                epsilon: &normals(10_000 + 4 * batch + k, 1, 16).repeat_dim(0, 32),
                timesteps: &timesteps,
                condition: &Condition::none(32, &device),
                advantages: &advantages,
            };
            let target = CorrectedTarget { weight, ..CorrectedTarget::default() };
            target.loss(&schedule, &states, &Models { policy: &model, old: None, base: &model }).unwrap().loss.mean()
        });
        let loss = loss.reduce(|sum, next| sum + next).unwrap();
        read(means.grad(&loss.backward()).unwrap())
    };
    let gradients: Vec<Vec<f32>> = (0..BATCHES).map(gradient).collect();
    let moments = |i: usize| {
        let values = || gradients.iter().map(|gradient| f64::from(gradient[i]));
        let mean = values().sum::<f64>() / BATCHES as f64;
        (mean, values().map(|value| (value - mean).powi(2)).sum::<f64>() / (BATCHES - 1) as f64)
    };
    let (signal, noise): (Vec<f64>, Vec<f64>) = (0..16).map(moments).unzip();
    noise.iter().sum::<f64>() / rewarded.map(|i| signal[i].powi(2)).sum::<f64>()
}

#[test]
fn errors_of_the_clean_sample_hear_coarse_rewards_and_errors_of_the_noise_fine_ones() {
    let of = |space, is_normalised, rewarded| noise_to_signal(ErrorWeight { space, cap: 5.0, is_normalised }, rewarded);
    let coarse = [of(ErrorSpace::Sample, true, 0..8), of(ErrorSpace::Noise, false, 0..8)];
    let fine = [of(ErrorSpace::Sample, true, 8..16), of(ErrorSpace::Noise, false, 8..16)];
    println!("noise to signal, clean sample and plain noise: coarse {coarse:.2?}, fine {fine:.2?}");
    assert!(coarse[1] > 4.0 * coarse[0], "{coarse:?}");
    assert!(fine[0] > 2.0 * fine[1], "{fine:?}");
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let (case, policy) = (Case::new(), toy(0));
    let states = NoisedStates {
        clean: &case.clean,
        epsilon: &case.epsilon,
        timesteps: &TIMESTEPS,
        condition: &case.condition,
        advantages: &ADVANTAGES,
    };
    let refused = |states: NoisedStates<'_, 2>| {
        let models = Models { policy: &policy, old: None, base: &policy };
        CorrectedTarget::default().loss(&stable_diffusion_schedule(), &states, &models).unwrap_err().to_string()
    };
    assert!(refused(NoisedStates { advantages: &ADVANTAGES[1..], ..states }).contains("advantages"));
    assert!(refused(NoisedStates { timesteps: &TIMESTEPS[1..], ..states }).contains("timesteps"));
    assert!(refused(NoisedStates { epsilon: &normals(0, 2, 2), ..states }).contains("correct a target"));
    let target = CorrectedTarget::default();
    target.validate().unwrap();
    for wrong in [
        CorrectedTarget { strength: f64::NAN, ..target },
        CorrectedTarget { anchor: 1.5, ..target },
        CorrectedTarget { weight: ErrorWeight { cap: 0.0, ..target.weight }, ..target },
    ] {
        assert!(wrong.validate().is_err(), "{wrong:?}");
    }
}
