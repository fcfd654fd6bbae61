//! Schedules and samplers against diffusers and TRL; the values are made by `fixtures/make_core.py`.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use ddpo_core::schedule::{BetaSchedule, Spacing};
use ddpo_core::scheduler::{Ddim, DdimConfig, Ddpm, DdpmConfig, EulerAncestral, EulerAncestralConfig, transition};
use ddpo_core::{Clipping, Error, NoiseSchedule, Prediction, PredictionKind, Reduction, Scheduler, StepIndex};
use ddpo_testing::{Tolerance, assert_close};
use serde_json::Value;

/// One step in f32, of which the schedule's own rounding in torch is the larger part: its alphas are cumulated in f32.
const STEP: Tolerance = Tolerance { absolute: 1e-5, relative: 1e-5 };

/// torch rounds each of a thousand alphas to f32 before it multiplies them, which leaves 4e-6 at the noisy end of the table.
const TABLE: Tolerance = Tolerance { absolute: 1e-9, relative: 5e-6 };

fn golden() -> Value {
    serde_json::from_str(include_str!("fixtures/diffusers.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn integer(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn schedule(name: &str) -> NoiseSchedule {
    let betas = match name {
        "linear" => BetaSchedule::Linear { start: 1e-4, end: 0.02 },
        "squaredcos_cap_v2" => BetaSchedule::SquaredCosCapV2,
        _ => BetaSchedule::STABLE_DIFFUSION,
    };
    let schedule = NoiseSchedule::new(betas, 1000).unwrap();
    if name == "zero_terminal_snr" { schedule.rescale_zero_terminal_snr().unwrap() } else { schedule }
}

fn spacing(case: &Value) -> Spacing {
    match case["spacing"].as_str().unwrap() {
        "leading" => Spacing::Leading { offset: integer(&case["offset"]) },
        "trailing" => Spacing::Trailing,
        _ => Spacing::Linspace,
    }
}

fn scheduler(case: &Value) -> Box<dyn Scheduler> {
    let schedule = schedule(case["betas"].as_str().unwrap());
    let (steps, spacing) = (integer(&case["steps"]), spacing(case));
    let clipping = case["clip"].as_f64().map_or(Clipping::None, Clipping::Range);
    if case["scheduler"] == "ddpm" {
        return Box::new(Ddpm::new(&schedule, DdpmConfig { steps, spacing, clipping }).unwrap());
    }
    if case["scheduler"] == "euler-ancestral" {
        return Box::new(EulerAncestral::new(&schedule, EulerAncestralConfig { steps, spacing }).unwrap());
    }
    let (eta, set_alpha_to_one) = (case["eta"].as_f64().unwrap(), case["set_alpha_to_one"].as_bool().unwrap());
    Box::new(Ddim::new(&schedule, DdimConfig { steps, spacing, eta, set_alpha_to_one, clipping }).unwrap())
}

fn kind(case: &Value) -> PredictionKind {
    match case["kind"].as_str().unwrap() {
        "epsilon" => PredictionKind::Epsilon,
        "sample" => PredictionKind::Sample,
        _ => PredictionKind::Velocity,
    }
}

/// The fixture's tensors have two rows of three.
fn tensor(value: &Value) -> Tensor<2> {
    let values: Vec<f32> = numbers(value).into_iter().map(|number| number as f32).collect();
    Tensor::from_data(TensorData::new(values, [2, 3]), &Device::default())
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

#[test]
fn noise_levels_are_those_of_diffusers() {
    for (name, table) in golden()["tables"].as_object().unwrap() {
        let ours = schedule(name);
        let found: Vec<f64> =
            table["timesteps"].as_array().unwrap().iter().map(|t| ours.alphas_cumprod()[integer(t)]).collect();
        println!("{name}");
        assert_close(&found, &numbers(&table["alphas_cumprod"]), TABLE);
    }
}

#[test]
fn timesteps_are_those_of_diffusers() {
    let schedule = NoiseSchedule::new(BetaSchedule::STABLE_DIFFUSION, 1000).unwrap();
    for case in golden()["timesteps"].as_array().unwrap() {
        let found = schedule.timesteps(spacing(case), integer(&case["steps"])).unwrap();
        let wanted: Vec<usize> = case["timesteps"].as_array().unwrap().iter().map(integer).collect();
        assert_eq!(found, wanted, "{case}");
    }
}

#[test]
fn steps_are_those_of_diffusers_and_their_log_probs_those_of_trl() {
    let golden = golden();
    let mut log_probs = 0;
    for case in golden["steps"].as_array().unwrap() {
        println!("{case}");
        let scheduler = scheduler(case);
        if let Some(moment) = case["timestep"].as_f64() {
            assert_close(&[scheduler.timesteps()[integer(&case["index"])].0], &[moment], STEP);
        }
        let steps = [StepIndex(integer(&case["index"])); 2];
        let prediction = Prediction::new(kind(case), tensor(&case["output"]));
        let transition = transition(scheduler.as_ref(), &steps, &tensor(&case["sample"]), &prediction).unwrap();
        // Noise from a predicted clean sample is a difference over √(1−ᾱ), and 1−ᾱ is rounded to f32 in torch: 4e-5 at t = 1.
        let tolerance = if case["kind"] == "sample" { Tolerance { absolute: 1e-4, relative: 1e-4 } } else { STEP };
        assert_close(&read(transition.mean().clone()), &numbers(&case["mean"]), tolerance);
        let std = case["std"].as_f64().unwrap();
        // diffusers gives a DDPM step without noise a variance of 1e-20; here it is 0.
        let std = if std < 1e-9 { 0.0 } else { std };
        assert_close(transition.std(), &[std; 2], STEP);
        let next = transition.sample(tensor(&case["noise"])).unwrap();
        match &case["log_prob"] {
            Value::Null if std == 0.0 => {
                let error = transition.log_prob(&next, Reduction::Mean).unwrap_err();
                assert!(matches!(error, Error::DeterministicStep { row: 0, .. }));
            }
            Value::Null => {}
            wanted => {
                log_probs += 1;
                assert_close(&read(transition.log_prob(&next, Reduction::Mean).unwrap()), &numbers(wanted), tolerance);
            }
        }
    }
    assert!(log_probs > 20, "{log_probs} log-probs in the fixture");
}

/// The trap of both references: they clamp the previous timestep to 0 before they compare it with 0, so that
/// `set_alpha_to_one` does nothing and the last step is never the deterministic one it should be.
#[test]
fn the_last_step_arrives_where_the_configuration_says() {
    let schedule = schedule("scaled_linear");
    let last = |set_alpha_to_one| {
        let config = DdimConfig { set_alpha_to_one, ..DdimConfig::default() };
        Ddim::new(&schedule, config).unwrap().coefficients(StepIndex(49)).unwrap().std
    };
    assert!((last(false) - 0.0206).abs() < 1e-4, "{}", last(false));
    assert_eq!(last(true), 0.0);
}
