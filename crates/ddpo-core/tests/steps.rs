//! Objectives that know the steps of their actions: what they make of ratios, against closed forms.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use ddpo_core::objective::{DdpoIs, DdpoSf, DivergenceMask, EqualSteps, NormalisedRatio, StepTerms};
use ddpo_core::schedule::Spacing;
use ddpo_core::scheduler::{Ddim, DdimConfig, stochastic_steps, transition};
use ddpo_core::{
    Action, Address, Condition, Domain, Epoch, LogProbTerms, Noise, Objective, Prediction, PredictionKind, PromptId,
    Reduction, RolloutRequest, SampleId, Scheduler, Stream, propose, rollout,
};
use ddpo_testing::{GaussianDenoiser, Tolerance, assert_close, schedulers, stable_diffusion_schedule};

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

fn vector(values: &[f32]) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::flex())
}

fn normals<const D: usize>(step: u64, shape: [usize; D]) -> Tensor<D> {
    let address = Address { stream: Stream::Other(1), epoch: Epoch(0), sample: SampleId(0), step };
    let values = Noise::new(0, Domain::Other(7)).at(address).normals(shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn gaussian(mean: f64) -> GaussianDenoiser {
    GaussianDenoiser { mean, std: 0.8, kind: PredictionKind::Epsilon, schedule: stable_diffusion_schedule() }
}

#[test]
fn the_mean_sensitivity_of_stable_diffusion_in_fifty_steps_is_pcpos() {
    let config = DdimConfig { steps: 50, spacing: Spacing::Leading { offset: 1 }, ..DdimConfig::default() };
    let scheduler = Ddim::new(&stable_diffusion_schedule(), config).unwrap();
    let steps = stochastic_steps(&scheduler).unwrap();
    let total: f64 = steps.iter().map(|&step| scheduler.coefficients(step).unwrap().sensitivity()).sum();
    assert_close(&[total / steps.len() as f64], &[0.5169], Tolerance { absolute: 5e-5, relative: 0.0 });
}

/// The divergence from the policy that drew the actions needs nothing but their noise, whose address says it again.
#[test]
fn the_divergence_from_what_drew_an_action_is_that_of_the_two_transitions() {
    let (device, noise) = (Device::flex(), Noise::new(3, Domain::Training));
    let (samples, prompts) = ([SampleId(4), SampleId(9)], [PromptId(0); 2]);
    let condition = Condition::none(2, &device);
    for named in schedulers(6) {
        let scheduler = &*named.scheduler;
        let request = RolloutRequest {
            shape: [1, 5],
            samples: &samples,
            prompts: &prompts,
            condition: &condition,
            noise,
            epoch: Epoch(2),
            reduction: Reduction::Mean,
            device: &device,
        };
        let chains = rollout::<2>(&gaussian(0.0), scheduler, &request, &mut |_| {}).unwrap();
        let set = chains.score(vec![0.0, 1.0]).unwrap().into_training_set(vec![-1.0, 1.0]).unwrap();
        for step in stochastic_steps(scheduler).unwrap() {
            let actions = [0, 1].map(|row| Action { row, step });
            let batch = set.minibatch(&actions).unwrap();
            let drawn = set.drawn_noise(noise, &actions);
            let of =
                |mean| propose::<2>(&gaussian(mean), scheduler, &batch.steps, &batch.sample, &batch.condition).unwrap();
            let (old, new) = (of(0.0), of(0.7));
            for reduction in [Reduction::Mean, Reduction::Sum] {
                let found = read(new.kl_from_draw(&batch.next, &drawn, reduction).unwrap());
                let wanted = read(old.kl(&new, reduction).unwrap());
                assert_close(&found, &wanted, Tolerance { absolute: 1e-4, relative: 1e-2 });
            }
            assert!(read(old.kl_from_draw(&batch.next, &drawn, Reduction::Mean).unwrap()).iter().all(|&kl| kl < 1e-6));
        }
    }
}

/// An error of the predicted noise that is the same at all steps: the log-ratios of what the old policy drew, and their divergences.
struct Moved {
    new: Tensor<1>,
    old: Tensor<1>,
    kl: Tensor<1>,
    std: Tensor<1>,
    sensitivity: Tensor<1>,
    /// `mean(z ⊙ Δμ)`, and `mean(z ⊙ Δε)`.
    products: [Vec<f32>; 2],
    /// The mean sensitivity.
    mean: f64,
}

fn moved(size: f64) -> Moved {
    let scheduler = Ddim::new(&stable_diffusion_schedule(), DdimConfig { steps: 10, ..DdimConfig::default() }).unwrap();
    let steps = stochastic_steps(&scheduler).unwrap();
    let table: Vec<_> = steps.iter().map(|&step| scheduler.coefficients(step).unwrap()).collect();
    let (rows, elements) = (steps.len(), 64);
    let mean = table.iter().map(|row| row.sensitivity()).sum::<f64>() / rows as f64;
    let (sample, noise) = (normals(0, [rows, elements]), normals(1, [rows, elements]));
    let error = normals::<2>(2, [1, elements]).repeat_dim(0, rows) * size;
    let epsilon = normals(3, [rows, elements]);
    let at = |epsilon: Tensor<2>| {
        transition(&scheduler, &steps, &sample, &Prediction::new(PredictionKind::Epsilon, epsilon)).unwrap()
    };
    let (old, new) = (at(epsilon.clone()), at(epsilon + error.clone()));
    let next = old.sample(noise.clone()).unwrap();
    let column = |f: &dyn Fn(usize) -> f64| vector(&(0..rows).map(|i| f(i) as f32).collect::<Vec<_>>());
    let product = |by: Tensor<2>| read((noise.clone() * by).mean_dim(1));
    Moved {
        new: new.log_prob(&next, Reduction::Mean).unwrap(),
        old: old.log_prob(&next, Reduction::Mean).unwrap(),
        kl: new.kl_from_draw(&next, &noise, Reduction::Mean).unwrap(),
        std: column(&|i| table[i].std),
        sensitivity: column(&|i| table[i].sensitivity() / mean),
        products: [product(new.mean().clone() - old.mean().clone()), product(error)],
        mean,
    }
}

impl Moved {
    fn terms<'a>(&'a self, advantage: &'a Tensor<1>) -> LogProbTerms<'a> {
        let steps = StepTerms { kl_to_old: &self.kl, std: &self.std, sensitivity: &self.sensitivity };
        LogProbTerms { steps: Some(steps), ..LogProbTerms::new(&self.new, &self.old, advantage) }
    }
}

/// GRPO-Guard's identity.
#[test]
fn the_normalised_ratio_is_the_product_of_the_noise_and_what_the_mean_has_moved() {
    let moved = moved(0.1);
    let log_ratio = (moved.new.clone() - moved.old.clone() + moved.kl.clone()) * moved.std.clone();
    assert_close(&read(log_ratio), &moved.products[0], Tolerance { absolute: 2e-5, relative: 2e-3 });
}

/// PCPO's: to first order no step's log-ratio is larger than another's. Signs alternate with those of ∂μ/∂ε̂.
#[test]
fn weighted_log_ratios_are_alike_at_all_steps() {
    let moved = moved(1e-2);
    let scaled = |log_prob: &Tensor<1>| read(log_prob.clone() / moved.sensitivity.clone());
    let first_order = read(moved.kl.clone() / moved.sensitivity.clone());
    let differences = scaled(&moved.new).into_iter().zip(scaled(&moved.old)).zip(first_order);
    let found: Vec<f32> = differences.map(|((new, old), kl)| (new - old + kl).abs()).collect();
    let wanted: Vec<f64> = moved.products[1].iter().map(|&product| moved.mean * f64::from(product.abs())).collect();
    assert_close(&found, &wanted, Tolerance { absolute: 2e-5, relative: 2e-2 });
    // The objective sees these, and the score function is weighted so.
    let advantage = vector(&vec![1.0; wanted.len()]);
    let weighted = EqualSteps::new(DdpoSf::default()).loss(&moved.terms(&advantage)).unwrap().value;
    let mean = scaled(&moved.new).iter().sum::<f32>() / wanted.len() as f32;
    assert_close(&read(weighted), &[-mean], Tolerance::STEP);
}

#[test]
fn nothing_is_clipped_where_nothing_has_moved_and_the_gradient_is_that_of_the_scale() {
    let moved = moved(0.0);
    let leaf = moved.old.clone().autodiff().require_grad();
    let rows = moved.old.dims()[0];
    let advantage = vector(&(0..rows).map(|i| i as f32 - 4.0).collect::<Vec<_>>());
    let zero = vector(&vec![0.0; rows]);
    let gradient = |objective: &dyn Objective| {
        let steps = StepTerms { kl_to_old: &zero, std: &moved.std, sensitivity: &moved.sensitivity };
        let terms = LogProbTerms { steps: Some(steps), ..LogProbTerms::new(&leaf, &moved.old, &advantage) };
        let loss = objective.loss(&terms).unwrap();
        if let Some(clipped) = loss.clipped {
            assert_eq!(read(clipped), [0.0]);
        }
        read(leaf.grad(&loss.value.backward()).unwrap())
    };
    let plain = gradient(&DdpoIs::default());
    let times = |scale: Vec<f32>| plain.iter().zip(scale).map(|(g, s)| g * s).collect::<Vec<f32>>();
    assert_close(&gradient(&DivergenceMask::default()), &plain, Tolerance::STEP);
    assert_close(&gradient(&NormalisedRatio::default()), &times(read(moved.std.clone())), Tolerance::STEP);
    let equal = times(read(moved.sensitivity.clone().recip()));
    assert_close(&gradient(&EqualSteps::new(DdpoIs::default())), &equal, Tolerance::STEP);
    assert_close(&gradient(&EqualSteps::new(DivergenceMask::default())), &equal, Tolerance::STEP);
}

#[test]
fn a_step_that_is_far_goes_back_but_no_farther() {
    let (new, old) = ([-0.9_f32, -1.1, -0.9, -1.1, -0.9], [-1.0_f32; 5]);
    let (kl, advantage) = ([1.0_f32, 1.0, 1.0, 1.0, 0.0], [1.0_f32, 1.0, -1.0, -1.0, 1.0]);
    let leaf = vector(&new).autodiff().require_grad();
    let ones = vector(&[1.0; 5]);
    let (old, kl, advantage) = (vector(&old), vector(&kl), vector(&advantage));
    let steps = StepTerms { kl_to_old: &kl, std: &ones, sensitivity: &ones };
    let terms = LogProbTerms { steps: Some(steps), ..LogProbTerms::new(&leaf, &old, &advantage) };
    let loss = DivergenceMask { most: 0.5, advantage_clip: 5.0 }.loss(&terms).unwrap();
    assert_close(&read(loss.clipped.clone().unwrap()), &[0.4], Tolerance::STEP);
    let gradient = read(leaf.grad(&loss.value.backward()).unwrap());
    // The first goes farther up, the fourth farther down; the last is not far.
    assert!(gradient[0] == 0.0 && gradient[3] == 0.0, "{gradient:?}");
    assert!(gradient[1] < 0.0 && gradient[2] > 0.0 && gradient[4] < 0.0, "{gradient:?}");
}

#[test]
fn an_objective_that_is_told_nothing_of_the_steps_says_so() {
    let terms = vector(&[0.0]);
    let objectives: [Box<dyn Objective>; 3] = [
        Box::new(NormalisedRatio::default()),
        Box::new(DivergenceMask::default()),
        Box::new(EqualSteps::new(DdpoIs::default())),
    ];
    for objective in objectives {
        assert!(objective.needs().steps);
        let error = objective.loss(&LogProbTerms::new(&terms, &terms, &terms)).unwrap_err().to_string();
        assert!(error.contains("steps of the actions"), "{error}");
    }
}
