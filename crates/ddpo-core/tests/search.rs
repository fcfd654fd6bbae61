//! Search at sampling time: what it is without choices, and how far it goes where that can be computed.

use std::cell::RefCell;

use burn::tensor::{Device, Tensor};
use ddpo_core::scheduler::{Ddim, DdimConfig};
use ddpo_core::search::{Demon, Lookahead, Searched, Synthesis, Temperature, demon};
use ddpo_core::{
    Address, Condition, Domain, Epoch, Noise, PredictionKind, PromptId, Reduction, RolloutRequest, SampleId, Scheduler,
    Stream, rollout,
};
use ddpo_testing::{GaussianDenoiser, stable_diffusion_schedule};

const ADAPTIVE: Temperature = Temperature::Adaptive;

fn sampler(steps: usize, eta: f64) -> Ddim {
    Ddim::new(&stable_diffusion_schedule(), DdimConfig { steps, eta, ..DdimConfig::default() }).unwrap()
}

fn model() -> GaussianDenoiser {
    GaussianDenoiser { mean: 0.5, std: 0.3, kind: PredictionKind::Epsilon, schedule: stable_diffusion_schedule() }
}

fn plain(candidates: usize, synthesis: Synthesis) -> Demon {
    Demon { candidates, synthesis, lookahead: Lookahead::Ode(20), starts: candidates, last_timestep: 0.0 }
}

/// Chains of so many elements for some samples, where `value` is a number for a clean sample.
fn search(
    demon_: &Demon,
    scheduler: &dyn Scheduler,
    samples: &[u64],
    len: usize,
    value: impl Fn(&[f32]) -> f32,
) -> Searched<2> {
    let device = Device::flex();
    let samples: Vec<SampleId> = samples.iter().copied().map(SampleId).collect();
    let (prompts, condition) = (vec![PromptId(0); samples.len()], Condition::none(samples.len(), &device));
    let request = request(&samples, &prompts, &condition, len, &device);
    let mut values = |clean: &Tensor<2>, _: PromptId| {
        let all: Vec<f32> = clean.clone().into_data().try_into_vec().unwrap();
        Ok(all.chunks(len).map(&value).collect())
    };
    demon(&model(), scheduler, &request, demon_, &mut values, &mut |_| {}).unwrap()
}

fn request<'a>(
    samples: &'a [SampleId],
    prompts: &'a [PromptId],
    condition: &'a Condition,
    len: usize,
    device: &'a Device,
) -> RolloutRequest<'a, 2> {
    let (shape, noise) = ([1, len], Noise::new(7, Domain::Sampling));
    RolloutRequest { shape, samples, prompts, condition, noise, epoch: Epoch(0), reduction: Reduction::Mean, device }
}

fn states(searched: &Searched<2>) -> Vec<f32> {
    let states = searched.rollout.states().iter();
    states.flat_map(|state| state.clone().into_data().try_into_vec::<f32>().unwrap()).collect()
}

fn sum(clean: &[f32]) -> f32 {
    clean.iter().sum()
}

#[test]
fn without_a_choice_it_is_plain_sampling_to_the_bit() {
    let (device, samples, scheduler) = (Device::flex(), [SampleId(3), SampleId(4)], sampler(6, 1.0));
    let (prompts, condition) = ([PromptId(0); 2], Condition::none(2, &device));
    let rolled =
        rollout(&model(), &scheduler, &request(&samples, &prompts, &condition, 8, &device), &mut |_| {}).unwrap();
    let wanted: Vec<f32> =
        rolled.states().iter().flat_map(|state| state.clone().into_data().try_into_vec::<f32>().unwrap()).collect();
    for demon in [
        plain(1, Synthesis::Tanh(ADAPTIVE)),
        // Nobody is better than anybody else.
        plain(5, Synthesis::Best),
        plain(5, Synthesis::Tanh(ADAPTIVE)),
        plain(5, Synthesis::Boltzmann(Temperature::Fixed(0.1))),
    ] {
        let searched = search(&demon, &scheduler, &[3, 4], 8, |_| 1.0);
        assert_eq!(states(&searched), wanted, "{demon:?}");
        assert_eq!(searched.rollout.log_probs(), rolled.log_probs());
    }
    let late = Demon { last_timestep: 1000.0, ..plain(5, Synthesis::Best) };
    assert_eq!(states(&search(&late, &scheduler, &[3, 4], 8, sum)), wanted);
}

#[test]
fn a_sample_is_the_same_in_any_company_and_a_better_one_is_found_by_more_candidates() {
    let scheduler = sampler(6, 1.0);
    let demon = plain(4, Synthesis::Tanh(ADAPTIVE));
    let together = search(&demon, &scheduler, &[1, 2], 8, sum);
    let alone = search(&demon, &scheduler, &[2], 8, sum);
    let of_second = |searched: &Searched<2>, row: usize| -> Vec<f32> {
        let state = |state: &Tensor<2>| state.clone().narrow(0, row, 1).into_data().try_into_vec::<f32>().unwrap();
        searched.rollout.states().iter().flat_map(state).collect()
    };
    assert_eq!(of_second(&together, 1), of_second(&alone, 0));
    // The beginning and the steps with noise of each of two samples.
    let searched: Vec<usize> = together.steps.iter().map(|step| step.queries).collect();
    assert_eq!(searched, vec![4; (1 + together.rollout.steps().len()) * 2]);
    // What chains begin with can be kept, and is then that of plain sampling.
    let kept = search(&Demon { starts: 1, ..demon }, &scheduler, &[1, 2], 8, sum);
    assert_eq!(kept.steps.len(), kept.rollout.steps().len() * 2);
    let first =
        |searched: &Searched<2>| searched.rollout.states()[0].clone().into_data().try_into_vec::<f32>().unwrap();
    assert_eq!(first(&kept), first(&search(&plain(1, Synthesis::Best), &scheduler, &[1, 2], 8, sum)));
    assert_ne!(first(&kept), first(&together));
    let reward = |candidates: usize| -> f64 {
        let samples: Vec<u64> = (0..16).collect();
        let searched = search(&plain(candidates, Synthesis::Tanh(ADAPTIVE)), &scheduler, &samples, 8, sum);
        let last: Vec<f32> = searched.rollout.last_state().clone().into_data().try_into_vec().unwrap();
        last.chunks(8).map(|row| f64::from(sum(row))).sum::<f64>() / 16.0
    };
    let rewards = [1, 4, 16, 64].map(reward);
    assert!(rewards.windows(2).all(|pair| pair[1] > pair[0] + 0.1), "{rewards:?}");
}

#[test]
fn candidates_of_equal_worth_count_alike_whatever_their_order_and_the_rewards_scale() {
    let noise = Noise::new(1, Domain::Other(0));
    let draw = |k: u64| {
        noise.at(Address { stream: Stream::Other(0), epoch: Epoch(0), sample: SampleId(k), step: 0 }).normals(64)
    };
    let noises: Vec<Vec<f32>> = (0..6).map(draw).collect();
    let rewards = [0.3, -1.0, 2.5, 0.1, f32::NAN, 0.7];
    for synthesis in [Synthesis::Tanh(ADAPTIVE), Synthesis::Boltzmann(ADAPTIVE), Synthesis::Best] {
        let wanted = synthesis.noise(&rewards, &noises);
        let norm: f64 = wanted.iter().map(|z| f64::from(*z).powi(2)).sum();
        if synthesis != Synthesis::Best {
            assert!((norm - 64.0).abs() < 1e-4, "{synthesis:?}: {norm}");
        }
        let near = |found: Vec<f32>| {
            assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-4), "{synthesis:?}");
        };
        near(synthesis.noise(&rewards.map(|reward| 100.0 * reward + 7.0), &noises));
        let order = [4, 2, 0, 5, 1, 3];
        near(synthesis.noise(&order.map(|k| rewards[k]), &order.map(|k| noises[k].clone())));
    }
}

/// The component of the noise along the gradient of a linear reward, in standard deviations, over many steps: the closed forms
/// of the order statistics, and the published constants for the sums at 512 elements.
#[test]
fn a_sum_of_candidates_goes_farther_than_the_best_of_them() {
    const LEN: usize = 512;
    const TRIALS: u64 = 400;
    let noise = Noise::new(2, Domain::Other(0));
    let component = |synthesis: Synthesis, count: u64| -> (f64, f64) {
        let found: Vec<f64> = (0..TRIALS)
            .map(|trial| {
                let draw = |k| {
                    let address =
                        Address { stream: Stream::Other(1), epoch: Epoch(trial), sample: SampleId(k), step: 0 };
                    noise.at(address).normals(LEN)
                };
                let noises: Vec<Vec<f32>> = (0..count).map(draw).collect();
                let rewards: Vec<f32> = noises.iter().map(|noise| noise[0]).collect();
                f64::from(synthesis.noise(&rewards, &noises)[0])
            })
            .collect();
        let mean = found.iter().sum::<f64>() / TRIALS as f64;
        let variance = found.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (TRIALS - 1) as f64;
        (mean, (variance / TRIALS as f64).sqrt())
    };
    for (count, best, boltzmann, tanh) in [(4, 1.03, 0.93, 1.50), (16, 1.77, 2.40, 3.67), (64, 2.34, 4.80, 7.23)] {
        for (synthesis, wanted) in
            [(Synthesis::Best, best), (Synthesis::Boltzmann(ADAPTIVE), boltzmann), (Synthesis::Tanh(ADAPTIVE), tanh)]
        {
            let (mean, error) = component(synthesis, count);
            let tolerance = 3.5 * error + 0.02 * wanted;
            assert!((mean - wanted).abs() < tolerance, "{synthesis:?} of {count}: {mean} ± {error}, wanted {wanted}");
        }
    }
}

#[test]
fn what_is_looked_ahead_to_is_where_the_deterministic_chain_goes() {
    let (device, len) = (Device::flex(), 5);
    let (stochastic, deterministic) = (sampler(6, 1.0), sampler(6, 0.0));
    // The first candidate of the first step is plain sampling's next state; what is made of it is seen by the reward.
    let seen = RefCell::new(Vec::new());
    let samples = [SampleId(0)];
    let (prompts, condition) = ([PromptId(0)], Condition::none(1, &device));
    let request = request(&samples, &prompts, &condition, len, &device);
    let demon_ = Demon { lookahead: Lookahead::Ode(100), starts: 1, ..plain(2, Synthesis::Best) };
    let mut values = |clean: &Tensor<2>, _: PromptId| {
        let first: Vec<f32> = clean.clone().narrow(0, 0, 1).into_data().try_into_vec().unwrap();
        seen.borrow_mut().push(first);
        Ok(vec![1.0; 2])
    };
    let searched = demon(&model(), &stochastic, &request, &demon_, &mut values, &mut |_| {}).unwrap();
    let mut state = searched.rollout.states()[1].clone();
    let rows = [ddpo_core::StepIndex(1), ddpo_core::StepIndex(2), ddpo_core::StepIndex(3), ddpo_core::StepIndex(4)];
    for step in rows {
        state = ddpo_core::propose(&model(), &deterministic, &[step], &state, &condition).unwrap().mean().clone();
    }
    // The last step arrives at the clean sample, whatever level the sampler ends at.
    let schedule = stable_diffusion_schedule();
    let alpha = schedule.alpha_cumprod_at(deterministic.timesteps()[5]).unwrap();
    let (slope, intercept) = GaussianDenoiser { kind: PredictionKind::Sample, ..model() }.line(alpha);
    let wanted: Vec<f32> = state.into_data().try_into_vec().unwrap();
    for (found, at) in seen.borrow()[0].iter().zip(wanted) {
        let wanted = slope * f64::from(at) + intercept;
        assert!((f64::from(*found) - wanted).abs() < 1e-4, "{found}, wanted {wanted}");
    }
}

#[test]
fn what_cannot_be_searched_for_is_refused() {
    let (device, samples, scheduler) = (Device::flex(), [SampleId(0)], sampler(3, 1.0));
    let (prompts, condition) = ([PromptId(0)], Condition::none(1, &device));
    let request = request(&samples, &prompts, &condition, 4, &device);
    let mut few = |_: &Tensor<2>, _: PromptId| Ok(vec![1.0]);
    let error = |search: Demon, value: &mut dyn FnMut(&Tensor<2>, PromptId) -> ddpo_core::Result<Vec<f32>>| {
        demon(&model(), &scheduler, &request, &search, value, &mut |_| {}).unwrap_err().to_string()
    };
    assert_eq!(error(plain(0, Synthesis::Best), &mut few), "candidates of a search: 0 found, at least 1 wanted");
    assert_eq!(error(plain(3, Synthesis::Best), &mut few), "search: 1 values found, 3 wanted");
}
