//! The losses of regressions and of preference, and the gradient of DDPO-SF, against PyTorch; the values are made by
//! `fixtures/make_losses.py`.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use ddpo_core::correction::{CorrectedTarget, ErrorSpace, ErrorWeight, Models, NoisedStates};
use ddpo_core::distillation::{ConsistencyDistillation, DistillationModels, GridStates};
use ddpo_core::objective::{DdpoSf, PairClip, Pairwise, ReferenceTerms};
use ddpo_core::preference::DiffusionDpo;
use ddpo_core::scheduler::{Ddim, DdimConfig};
use ddpo_core::weighting::SoftmaxWeights;
use ddpo_core::{
    Condition, Denoiser, Grouping, Guided, LogProbTerms, Objective, Prediction, PredictionKind, PromptId, Reduction,
    Result, StepIndex, Timestep, Weighting, denoising_error, propose,
};
use ddpo_testing::{Tolerance, assert_close, stable_diffusion_schedule};
use serde_json::Value;

/// f32 against f32, in another order of operations, through a division by σ² of the last steps.
const GRADIENT: Tolerance = Tolerance { absolute: 2e-4, relative: 2e-4 };

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn integers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|number| number as f32).collect()
}

fn tensor<const D: usize>(value: &Value, shape: [usize; D]) -> Tensor<D> {
    Tensor::<1>::from_floats(&floats(value)[..], &Device::default()).reshape(shape)
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

/// `ε(x, t, c) = a x + b t / 1000 + d c` with leaves a, b, d.
struct Linear([Tensor<1>; 3]);

impl Linear {
    fn new(golden: &Value) -> Self {
        Self(["a", "b", "d"].map(|name| tensor(&golden[name], [4]).autodiff().require_grad()))
    }

    #[track_caller]
    fn check_gradients(&self, loss: Tensor<1>, wanted: &Value) {
        let gradients = loss.backward();
        for (leaf, wanted) in self.0.iter().zip(wanted.as_array().unwrap()) {
            assert_close(&read(leaf.grad(&gradients).unwrap()), &numbers(wanted), GRADIENT);
        }
    }
}

impl Denoiser<2> for Linear {
    fn predict(&self, x: &Tensor<2>, timesteps: &[Timestep], condition: &Condition) -> Result<Prediction<2>> {
        let [a, b, d] = self.0.clone().map(|leaf| leaf.reshape([1, 4]));
        let times: Vec<f32> = timesteps.iter().map(|t| (t.0 / 1000.0) as f32).collect();
        let rows = times.len();
        let times = Tensor::<2>::from_data(TensorData::new(times, [rows, 1]), &x.device());
        let value = x.clone() * a + times * b + condition.states.clone().reshape([rows, 1]) * d;
        Ok(Prediction::new(PredictionKind::Epsilon, value))
    }
}

fn golden() -> Value {
    serde_json::from_str(include_str!("fixtures/losses.json")).unwrap()
}

fn guided<'a>(model: &'a Linear, golden: &Value) -> Guided<'a, 2> {
    let unconditional = golden["unconditional"].as_f64().unwrap() as f32;
    let unconditional = Condition::new(Tensor::full([1, 1, 1], unconditional, &Device::default()));
    Guided::new(model, unconditional, golden["guidance"].as_f64().unwrap()).unwrap()
}

fn condition(golden: &Value) -> Condition {
    Condition::new(tensor(&golden["condition"], [6, 1, 1]))
}

#[test]
fn the_weighted_denoising_loss_is_pytorchs() {
    let golden = golden();
    let (case, model) = (&golden["rwr"], Linear::new(&golden));
    let beta = case["beta"].as_f64().unwrap();
    let mut weighting = SoftmaxWeights::new(beta, Grouping::Epoch).unwrap();
    let weights = weighting.weights(&[PromptId(0); 6], &floats(&case["rewards"])).unwrap();
    assert_close(&weights, &numbers(&case["weights"]), Tolerance::STEP);
    let errors = denoising_error(
        &guided(&model, &golden),
        &stable_diffusion_schedule(),
        &tensor(&case["clean"], [6, 4]),
        &tensor(&case["noise"], [6, 4]),
        &integers(&case["timesteps"]),
        &condition(&golden),
    )
    .unwrap();
    assert_close(&read(errors.clone()), &numbers(&case["errors"]), GRADIENT);
    let loss = (errors * Tensor::from_floats(&weights[..], &Device::default())).mean();
    assert_close(&read(loss.clone()), &[case["loss"].as_f64().unwrap()], GRADIENT);
    model.check_gradients(loss, &case["gradients"]);
}

/// A model that says what it was told.
struct Said(Tensor<2>);

impl Denoiser<2> for Said {
    fn predict(&self, _: &Tensor<2>, _: &[Timestep], _: &Condition) -> Result<Prediction<2>> {
        Ok(Prediction::new(PredictionKind::Epsilon, self.0.clone()))
    }
}

#[test]
fn the_loss_of_corrected_targets_is_pytorchs() {
    let golden = golden();
    let (case, model) = (&golden["correction"], Linear::new(&golden));
    let number = |name: &str| case[name].as_f64().unwrap();
    let weight = ErrorWeight { space: ErrorSpace::Sample, cap: number("cap"), is_normalised: true };
    let target = CorrectedTarget { strength: number("strength"), anchor: number("anchor"), weight };
    let states = NoisedStates {
        clean: &tensor(&case["clean"], [6, 4]),
        epsilon: &tensor(&case["noise"], [6, 4]),
        timesteps: &integers(&case["timesteps"]),
        condition: &condition(&golden),
        advantages: &floats(&case["advantages"]),
    };
    let (old, base) = (Said(tensor(&case["old"], [6, 4])), Said(tensor(&case["base"], [6, 4])));
    let models = Models { policy: &guided(&model, &golden), old: Some(&old), base: &base };
    let losses = target.loss(&stable_diffusion_schedule(), &states, &models).unwrap().loss;
    assert_close(&read(losses.clone()), &numbers(&case["losses"]), GRADIENT);
    model.check_gradients(losses.mean(), &case["gradients"]);
}

#[test]
fn the_score_function_gradient_is_pytorchs() {
    let golden = golden();
    let (case, model) = (&golden["score_function"], Linear::new(&golden));
    let config = DdimConfig { steps: 20, ..DdimConfig::default() };
    let scheduler = Ddim::new(&stable_diffusion_schedule(), config).unwrap();
    let steps: Vec<StepIndex> = integers(&case["steps"]).into_iter().map(StepIndex).collect();
    let sample = tensor(&case["sample"], [6, 4]);
    let proposal = propose(&guided(&model, &golden), &scheduler, &steps, &sample, &condition(&golden)).unwrap();
    let new = proposal.log_prob(&tensor(&case["next"], [6, 4]), Reduction::Mean).unwrap();
    assert_close(&read(new.clone()), &numbers(&case["log_probs"]), GRADIENT);
    let old = new.clone().inner();
    let advantage = tensor(&case["advantages"], [6]);
    let terms = LogProbTerms::new(&new, &old, &advantage);
    let loss = DdpoSf { advantage_clip: f64::from(f32::MAX) }.loss(&terms).unwrap().value;
    assert_close(&read(loss.clone()), &[case["loss"].as_f64().unwrap()], GRADIENT);
    model.check_gradients(loss, &case["gradients"]);
}

/// The step of each row of a case, its states before and after.
fn chains(case: &Value) -> (Vec<StepIndex>, Tensor<2>, Tensor<2>) {
    let steps = integers(&case["steps"]).into_iter().map(StepIndex).collect();
    (steps, tensor(&case["sample"], [6, 4]), tensor(&case["next"], [6, 4]))
}

#[test]
fn preference_within_pairs_of_chains_is_pytorchs_inside_and_outside_of_the_clip() {
    let golden = golden();
    let case = &golden["pairwise"];
    let config = DdimConfig { steps: 20, ..DdimConfig::default() };
    let scheduler = Ddim::new(&stable_diffusion_schedule(), config).unwrap();
    let (steps, sample, next) = chains(case);
    let number = |name: &str| case[name].as_f64().unwrap();
    let objective = Pairwise { beta: number("beta"), clip_range: number("clip_range"), clip: PairClip::TwoSided };
    for wanted in case["cases"].as_array().unwrap() {
        let (model, base) = (Linear::new(&golden), Linear::new(&case["reference"]));
        let log_prob = |model: &Linear| {
            let model = guided(model, &golden);
            let proposal = propose(&model, &scheduler, &steps, &sample, &condition(&golden)).unwrap();
            proposal.log_prob(&next, Reduction::Mean).unwrap()
        };
        let (new, reference) = (log_prob(&model), log_prob(&base).inner());
        assert_close(&read(new.clone()), &numbers(&case["log_probs"]), GRADIENT);
        assert_close(&read(reference.clone()), &numbers(&case["reference_log_probs"]), GRADIENT);
        let (old, advantage) = (new.clone().inner(), tensor(&wanted["advantages"], [6]));
        let terms = LogProbTerms {
            reference: Some(ReferenceTerms { log_prob: &reference, kl: &old }),
            unit: 2,
            ..LogProbTerms::new(&new, &old, &advantage)
        };
        let loss = objective.loss(&terms).unwrap().value;
        assert_close(&read(loss.clone()), &[wanted["loss"].as_f64().unwrap()], GRADIENT);
        model.check_gradients(loss, &wanted["gradients"]);
    }
}

#[test]
fn preference_between_given_pictures_is_pytorchs() {
    let golden = golden();
    let case = &golden["diffusion_dpo"];
    for wanted in case["cases"].as_array().unwrap() {
        let (model, base) = (Linear::new(&golden), Linear::new(&case["reference"]));
        let errors = |model: &Linear| {
            denoising_error(
                &guided(model, &golden),
                &stable_diffusion_schedule(),
                &tensor(&case["clean"], [6, 4]),
                &tensor(&case["noise"], [6, 4]),
                &integers(&case["timesteps"]),
                &condition(&golden),
            )
            .unwrap()
        };
        let (policy, reference) = (errors(&model), errors(&base).inner());
        assert_close(&read(policy.clone()), &numbers(&case["errors"]), GRADIENT);
        assert_close(&read(reference.clone()), &numbers(&case["reference_errors"]), GRADIENT);
        let number = |name: &str| wanted[name].as_f64().unwrap();
        let objective = DiffusionDpo {
            beta: number("beta"),
            loser_weight: number("loser_weight"),
            loser_denoising: number("loser_denoising"),
        };
        let losses = objective.loss(&policy, &reference).unwrap().loss;
        assert_close(&read(losses.clone()), &numbers(&wanted["losses"]), GRADIENT);
        model.check_gradients(losses.mean(), &wanted["gradients"]);
    }
}

#[test]
fn consistency_distillation_is_pytorchs_with_diffusers_step_of_the_teacher() {
    let golden = golden();
    let case = &golden["distillation"];
    let [student, target, teacher] = [&golden, &case["target"], &case["teacher"]].map(Linear::new);
    let states = GridStates {
        clean: &tensor(&case["clean"], [6, 4]),
        epsilon: &tensor(&case["noise"], [6, 4]),
        grid: &integers(&case["grid"]),
        places: &integers(&case["places"]),
        condition: &condition(&golden),
    };
    let models = DistillationModels { student: &student, target: &target, teacher: &guided(&teacher, &golden) };
    let objective = ConsistencyDistillation { huber: case["huber"].as_f64().unwrap() };
    let found = objective.loss(&stable_diffusion_schedule(), &states, &models).unwrap();
    assert_close(&read(found.loss.clone()), &numbers(&case["losses"]), GRADIENT);
    assert_close(&read(found.distance), &numbers(&case["distances"]), GRADIENT);
    student.check_gradients(found.loss.mean(), &case["gradients"]);
}
