//! Laws that every scheduler keeps, and every schedule.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use ddpo_core::schedule::{BetaSchedule, Spacing};
use ddpo_core::scheduler::{
    Coefficients, Consistency, ConsistencyConfig, Ddim, DdimConfig, stochastic_steps, transition,
};
use ddpo_core::{
    Address, Chains, Clipping, Condition, Domain, Epoch, Error, Noise, NoiseSchedule, Prediction, PredictionKind,
    PromptId, Reduction, RolloutRequest, SampleId, Sampling, Scheduler, StepIndex, Stream, Transition, propose,
    rollout,
};
use ddpo_testing::{
    GaussianDenoiser, NamedScheduler, Tolerance, ToyPolicy, ToyPolicyConfig, assert_bit_equal, assert_close,
    schedulers, stable_diffusion_schedule,
};

const KINDS: [PredictionKind; 3] = [PredictionKind::Epsilon, PredictionKind::Sample, PredictionKind::Velocity];

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

fn normals<const D: usize>(step: u64, shape: [usize; D]) -> Tensor<D> {
    let address = Address { stream: Stream::Other(1), epoch: Epoch(0), sample: SampleId(0), step };
    let samples: Vec<SampleId> = (0..shape[0] as u64).map(SampleId).collect();
    Noise::new(7, Domain::Other(0)).normal_batch(address, &samples, shape, &Device::default())
}

fn steps_of(scheduler: &dyn Scheduler) -> Vec<StepIndex> {
    (0..scheduler.timesteps().len()).map(StepIndex).collect()
}

#[test]
fn schedules_are_finite_and_monotone() {
    let linear = BetaSchedule::Linear { start: 1e-4, end: 0.02 };
    for betas in [linear, BetaSchedule::STABLE_DIFFUSION, BetaSchedule::SquaredCosCapV2] {
        for count in [10, 100, 1000] {
            let schedule = NoiseSchedule::new(betas, count).unwrap();
            for table in [&schedule, &schedule.rescale_zero_terminal_snr().unwrap()] {
                let table = table.alphas_cumprod();
                assert!(table.iter().all(|alpha| alpha.is_finite() && (0.0..1.0).contains(alpha)));
                assert!(table.windows(2).all(|pair| pair[1] < pair[0]), "{betas:?}");
            }
        }
    }
}

#[test]
fn timesteps_are_strictly_decreasing() {
    for NamedScheduler { name, scheduler } in schedulers(20) {
        assert_eq!(scheduler.timesteps().len(), 20, "{name}");
        assert!(scheduler.timesteps().windows(2).all(|pair| pair[1] < pair[0]), "{name}");
    }
}

#[test]
fn coefficients_are_finite_and_end_with_the_list() {
    for NamedScheduler { name, scheduler } in schedulers(20) {
        for step in steps_of(&*scheduler) {
            let Coefficients { signal, noise, x0, epsilon, sample, std } = scheduler.coefficients(step).unwrap();
            assert!([signal, noise, x0, epsilon, sample, std].iter().all(|c| c.is_finite() && *c >= 0.0), "{name}");
        }
        assert!(
            matches!(scheduler.coefficients(StepIndex(20)), Err(Error::Index { found: 20, len: 20, .. })),
            "{name}"
        );
    }
}

/// The density of each step against the textbook's, in f64 and element by element.
#[test]
fn the_density_is_the_closed_form() {
    for NamedScheduler { name, scheduler } in schedulers(20) {
        let (sample, output) = (normals::<3>(0, [2, 4, 3]), normals(1, [2, 4, 3]));
        for step in stochastic_steps(&*scheduler).unwrap() {
            let prediction = Prediction::new(PredictionKind::Velocity, output.clone());
            let transition = transition(&*scheduler, &[step; 2], &sample, &prediction).unwrap();
            let next = transition.sample(normals(2, [2, 4, 3])).unwrap();
            let (mean, drawn) = (read(transition.mean().clone()), read(next.clone()));
            let std = transition.std()[0];
            let density = |i: usize| {
                let z = (f64::from(drawn[i]) - f64::from(mean[i])) / std;
                -0.5 * z * z - std.ln() - 0.5 * std::f64::consts::TAU.ln()
            };
            let sums: Vec<f64> = (0..2).map(|row| (0..12).map(|i| density(row * 12 + i)).sum()).collect();
            let means: Vec<f64> = sums.iter().map(|sum| sum / 12.0).collect();
            println!("{name} {step:?}");
            assert_close(&read(transition.log_prob(&next, Reduction::Sum).unwrap()), &sums, Tolerance::STEP);
            assert_close(&read(transition.log_prob(&next, Reduction::Mean).unwrap()), &means, Tolerance::STEP);
        }
    }
}

#[test]
fn steps_without_noise_ignore_it_and_have_no_density() {
    for NamedScheduler { name, scheduler } in schedulers(20) {
        let stochastic = stochastic_steps(&*scheduler).unwrap();
        for step in steps_of(&*scheduler).into_iter().filter(|step| !stochastic.contains(step)) {
            let prediction = Prediction::new(PredictionKind::Epsilon, normals(1, [2, 3]));
            let transition = transition(&*scheduler, &[step; 2], &normals(0, [2, 3]), &prediction).unwrap();
            assert!(transition.is_deterministic());
            let (a, b) =
                (transition.sample(normals(2, [2, 3])).unwrap(), transition.sample(normals(3, [2, 3])).unwrap());
            assert_bit_equal(&read(a.clone()), &read(b));
            let error = transition.log_prob(&a, Reduction::Mean).unwrap_err();
            assert!(matches!(error, Error::DeterministicStep { row: 0, .. }), "{name}");
            let error = transition.kl(&transition, Reduction::Mean).unwrap_err();
            assert!(matches!(error, Error::DeterministicStep { .. }), "{name}");
        }
    }
}

#[test]
fn one_deterministic_row_is_named() {
    let transition = Transition::new(normals(0, [3, 2]), vec![1.0, 0.5, 0.0]).unwrap();
    let error = transition.log_prob(&normals(1, [3, 2]), Reduction::Sum).unwrap_err();
    assert_eq!(error.to_string(), "log-probability: row 2 has standard deviation 0, a step with noise wanted");
}

/// What the samples have become after each step, followed in closed form: mean and variance of a linear recursion.
fn marginals(scheduler: &dyn Scheduler, denoiser: &GaussianDenoiser, start: (f64, f64)) -> Vec<(f64, f64)> {
    let mut now = start;
    let mut all = Vec::new();
    for step in steps_of(scheduler) {
        let c = scheduler.coefficients(step).unwrap();
        // The level of a moment between two training timesteps is in no table.
        let alpha_bar = c.signal.powi(2);
        let clean = GaussianDenoiser { kind: PredictionKind::Sample, ..denoiser.clone() }.line(alpha_bar);
        let noise = GaussianDenoiser { kind: PredictionKind::Epsilon, ..denoiser.clone() }.line(alpha_bar);
        let slope = c.x0 * clean.0 + c.epsilon * noise.0 + c.sample;
        let intercept = c.x0 * clean.1 + c.epsilon * noise.1;
        now = (slope * now.0 + intercept, slope * slope * now.1 + c.std * c.std);
        all.push(now);
    }
    all
}

/// The noise level that each step arrives at, from the coefficients alone.
fn arrivals(scheduler: &dyn Scheduler) -> Vec<f64> {
    let steps = steps_of(scheduler);
    let level = |step: &StepIndex| scheduler.coefficients(*step).unwrap().signal.powi(2);
    steps[1..].iter().map(level).collect()
}

fn gaussian(mean: f64, std: f64) -> GaussianDenoiser {
    GaussianDenoiser { mean, std, kind: PredictionKind::Epsilon, schedule: stable_diffusion_schedule() }
}

/// Where the data is one point, x̂₀ is right and every sampler arrives at exactly the forward process's marginal, however
/// few its steps: mean √ᾱ m, variance 1 − ᾱ.
#[test]
fn marginals_are_exact_for_data_in_one_point() {
    for steps in [3, 20, 50, 61] {
        for NamedScheduler { name, scheduler } in schedulers(steps) {
            let denoiser = gaussian(1.5, 0.0);
            let first = scheduler.coefficients(StepIndex(0)).unwrap();
            let found = marginals(&*scheduler, &denoiser, (first.signal * 1.5, first.noise.powi(2)));
            for (found, level) in found.into_iter().zip(arrivals(&*scheduler)) {
                println!("{name}");
                assert_close(
                    &[found.0, found.1],
                    &[level.sqrt() * 1.5, 1.0 - level],
                    Tolerance { absolute: 1e-9, relative: 0.0 },
                );
            }
        }
    }
}

/// Of data that spreads, the mean is exact, and the variance converges as steps are added.
#[test]
fn marginals_converge_on_gaussian_data() {
    let worst = |steps: usize| -> Vec<f64> {
        let worst = |scheduler: &dyn Scheduler| {
            let denoiser = gaussian(-2.0, 0.5);
            let first = scheduler.coefficients(StepIndex(0)).unwrap();
            let start = (first.signal * -2.0, 0.25 * first.signal.powi(2) + first.noise.powi(2));
            let found = marginals(scheduler, &denoiser, start);
            let error = found.into_iter().zip(arrivals(scheduler)).map(|(found, level)| {
                assert!((found.0 - level.sqrt() * -2.0).abs() < 1e-9);
                (found.1 / (0.25 * level + 1.0 - level)).ln().abs()
            });
            error.fold(0.0, f64::max)
        };
        schedulers(steps).iter().map(|named| worst(&*named.scheduler)).collect()
    };
    let (few, many) = (worst(50), worst(500));
    for ((few, many), named) in few.iter().zip(&many).zip(schedulers(50)) {
        // A posterior mean is no consistency function: its chain keeps the mean and loses the spread, however many steps.
        if named.name.starts_with("Consistency") {
            assert!(*many > 0.1, "{}: error {many}", named.name);
            continue;
        }
        assert!(*many < 0.05 && many < few, "{}: error {few} with 50 steps, {many} with 500", named.name);
    }
}

/// The same through tensors, noise and rollout: 4,000 chains arrive at the mean and variance of the closed form.
#[test]
fn rollouts_have_the_marginals_of_the_closed_form() {
    let device = Device::default();
    for NamedScheduler { name, scheduler } in schedulers(20) {
        for kind in KINDS {
            let denoiser = GaussianDenoiser { kind, ..gaussian(0.7, 0.5) };
            let (samples, prompts): (Vec<_>, Vec<_>) = (0..1000).map(|i| (SampleId(i), PromptId(0))).unzip();
            let request = RolloutRequest {
                shape: [0, 4],
                samples: &samples,
                prompts: &prompts,
                condition: &Condition::none(1000, &device),
                noise: Noise::new(11, Domain::Other(3)),
                epoch: Epoch(1),
                reduction: Reduction::Mean,
                device: &device,
            };
            let rollout = rollout::<2>(&denoiser, &*scheduler, &request, &mut |_| {}).unwrap();
            let (mean, variance) = *marginals(&*scheduler, &denoiser, (0.0, 1.0)).last().unwrap();
            let values: Vec<f64> = read(rollout.last_state().clone()).into_iter().map(f64::from).collect();
            let found = values.iter().sum::<f64>() / 4000.0;
            let spread = values.iter().map(|value| (value - found).powi(2)).sum::<f64>() / 4000.0;
            assert!((found - mean).abs() < 5.0 * (variance / 4000.0).sqrt() + 1e-4, "{name} {kind:?}: {found}, {mean}");
            assert!((spread / variance - 1.0).abs() < 5.0 * (2.0_f64 / 4000.0).sqrt(), "{name}: {spread}, {variance}");
        }
    }
}

/// All kinds of prediction say the same where they are right, so they give the same step.
#[test]
fn prediction_kinds_agree() {
    for NamedScheduler { name, scheduler } in schedulers(20) {
        let sample = normals(0, [2, 3]);
        for step in steps_of(&*scheduler) {
            let mean = |kind| {
                let denoiser = GaussianDenoiser { kind, ..gaussian(0.7, 0.5) };
                let condition = Condition::none(2, &sample.device());
                read(propose(&denoiser, &*scheduler, &[step; 2], &sample, &condition).unwrap().mean().clone())
            };
            println!("{name} {step:?}");
            let tolerance = Tolerance { absolute: 2e-4, relative: 2e-4 };
            assert_close(&mean(PredictionKind::Velocity), &mean(PredictionKind::Epsilon), tolerance);
            assert_close(&mean(PredictionKind::Velocity), &mean(PredictionKind::Sample), tolerance);
        }
    }
}

#[test]
fn the_divergence_is_what_monte_carlo_finds() {
    let n = 100_000;
    let ours = Transition::new(Tensor::<2>::full([n, 1], 0.3, &Device::default()), vec![0.8; n]).unwrap();
    let theirs = Transition::new(Tensor::<2>::full([n, 1], -0.1, &Device::default()), vec![1.1; n]).unwrap();
    let drawn = ours.sample(normals(5, [n, 1])).unwrap();
    let log_ratio = ours.log_prob(&drawn, Reduction::Sum).unwrap() - theirs.log_prob(&drawn, Reduction::Sum).unwrap();
    let log_ratio: Vec<f64> = read(log_ratio).into_iter().map(f64::from).collect();
    let mean = log_ratio.iter().sum::<f64>() / n as f64;
    let variance = log_ratio.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64;
    let closed = f64::from(read(ours.kl(&theirs, Reduction::Sum).unwrap())[0]);
    assert!((mean - closed).abs() < 4.0 * (variance / n as f64).sqrt(), "{mean} found, {closed} in closed form");
    assert!(closed > 0.05);
}

/// Along chains as well: the mean of `Σ_t KL` over chains is the mean of `Σ_t ln π/π_ref` over their actions, which is
/// the divergence of whole chains.
#[test]
fn the_divergence_of_chains_is_what_monte_carlo_finds() {
    let (n, device) = (4000, Device::default());
    let scheduler = Ddim::new(&stable_diffusion_schedule(), DdimConfig { steps: 8, ..DdimConfig::default() }).unwrap();
    let (ours, theirs) = (gaussian(0.3, 0.5), gaussian(-0.1, 0.6));
    let (samples, prompts): (Vec<_>, Vec<_>) = (0..n as u64).map(|i| (SampleId(i), PromptId(0))).unzip();
    let condition = Condition::none(n, &device);
    let sampling = Sampling {
        scheduler: &scheduler,
        guidance: 1.0,
        unconditional: &Condition::none(1, &device),
        shape: [0, 2],
        noise: Noise::new(12, Domain::Other(4)),
        epoch: Epoch(1),
        reduction: Reduction::Sum,
        device: &device,
    };
    let chains = Chains { samples: &samples, prompts: &prompts, condition: &condition };
    let (rollout, closed) = sampling.chains_with_divergence(&ours, &theirs, chains, &mut || {}).unwrap();
    let mut log_ratio = vec![0.0; n];
    for &step in rollout.steps() {
        let (state, next) = (&rollout.states()[step.0], &rollout.states()[step.0 + 1]);
        let log_prob = |denoiser: &GaussianDenoiser| {
            let proposal = propose(denoiser, &scheduler, &vec![step; n], state, &condition).unwrap();
            read(proposal.log_prob(next, Reduction::Sum).unwrap())
        };
        let pairs = log_prob(&ours).into_iter().zip(log_prob(&theirs));
        log_ratio.iter_mut().zip(pairs).for_each(|(sum, (p, q))| *sum += f64::from(p) - f64::from(q));
    }
    let moments = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / n as f64;
        (mean, values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64)
    };
    let ((found, variance), (closed, spread)) = (moments(&log_ratio), moments(&closed));
    assert!(
        (found - closed).abs() < 4.0 * ((variance + spread) / n as f64).sqrt(),
        "{found} found, {closed} in closed form"
    );
    assert!(closed > 0.1, "{closed}");
}

/// An error of the same size in every step's prediction of the noise: the share of the chain's divergence that the next to last
/// step has. `docs/algorithms/ddpo.md` has these numbers, and what follows from them.
#[test]
fn the_next_to_last_step_has_most_of_the_divergence() {
    for (steps, share) in [(2, 0.999), (5, 0.946), (10, 0.864), (20, 0.730), (50, 0.487)] {
        let config = DdimConfig { steps, ..DdimConfig::default() };
        let scheduler = Ddim::new(&stable_diffusion_schedule(), config).unwrap();
        let sample = normals(3, [steps, 4]);
        let propose = |error: f64| {
            let value = normals(4, [steps, 4]).add_scalar(error);
            let prediction = Prediction { value, kind: PredictionKind::Epsilon };
            transition(&scheduler, &steps_of(&scheduler), &sample, &prediction).unwrap()
        };
        let kl: Vec<f64> =
            read(propose(0.1).kl(&propose(0.0), Reduction::Sum).unwrap()).into_iter().map(f64::from).collect();
        let found = kl[steps - 2] / kl.iter().sum::<f64>();
        assert!((found - share).abs() < 1e-3, "{steps} steps: {found}, wanted {share}");
    }
}

#[test]
fn the_divergence_from_itself_is_zero_and_its_sum_is_elements_times_its_mean() {
    let (a, b) = (normals::<3>(0, [2, 3, 5]), normals(1, [2, 3, 5]));
    let (ours, theirs) = (Transition::new(a, vec![0.5, 2.0]).unwrap(), Transition::new(b, vec![0.7, 1.0]).unwrap());
    assert_eq!(read(ours.kl(&ours, Reduction::Sum).unwrap()), [0.0; 2]);
    let sum = read(ours.kl(&theirs, Reduction::Sum).unwrap());
    let mean: Vec<f32> = read(ours.kl(&theirs, Reduction::Mean).unwrap()).iter().map(|value| value * 15.0).collect();
    assert_close(&sum, &mean, Tolerance::STEP);
}

/// A row's log-prob in a batch is the row's alone, to the bit: for any length of a row, any layout, any number of threads.
#[test]
fn log_probs_do_not_depend_on_the_batch() {
    for elements in [1, 2, 3, 16, 100, 255, 256, 4096, 16384] {
        let (mean, next) = (normals::<2>(0, [5, elements]), normals(1, [5, elements]));
        let std = vec![0.3, 0.5, 0.02, 1.0, 0.7];
        let log_prob = |mean: Tensor<2>, next: Tensor<2>, std: &[f64]| {
            read(Transition::new(mean, std.to_vec()).unwrap().log_prob(&next, Reduction::Mean).unwrap())
        };
        let together = log_prob(mean.clone(), next.clone(), &std);
        for row in 0..5 {
            let pick = |tensor: &Tensor<2>| tensor.clone().narrow(0, row, 1);
            assert_bit_equal(&log_prob(pick(&mean), pick(&next), &std[row..=row]), &together[row..=row]);
        }
        // The same numbers in column order: a layout that Burn would add up in another order.
        let columns = |tensor: &Tensor<2>| {
            let data = read(tensor.clone().transpose().reshape([5 * elements]));
            Tensor::<2>::from_data(TensorData::new(data, [elements, 5]), &Device::default()).transpose()
        };
        assert_bit_equal(&log_prob(columns(&mean), columns(&next), &std), &together);
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| log_prob(mean.clone(), next.clone(), &std));
            assert_bit_equal(&found, &together);
        }
    }
}

/// Rows of one batch may be at different steps, and each is what it would be in a batch of its own step.
#[test]
fn rows_at_different_steps_do_not_see_each_other() {
    let device = Device::default();
    let policy = ToyPolicy::new(ToyPolicyConfig { elements: 6, hidden: 5, seed: 1 }, &device);
    for NamedScheduler { scheduler, .. } in schedulers(20) {
        let (sample, condition) = (normals::<3>(0, [4, 2, 3]), Condition::new(normals(9, [4, 1, 1])));
        let steps = [3, 0, 17, 3].map(StepIndex);
        let together = propose(&policy, &*scheduler, &steps, &sample, &condition).unwrap();
        for row in 0..4 {
            let (sample, condition) = (sample.clone().narrow(0, row, 1), condition.select(&[row]).unwrap());
            let alone = propose(&policy, &*scheduler, &steps[row..=row], &sample, &condition).unwrap();
            assert_bit_equal(&read(alone.mean().clone()), &read(together.mean().clone().narrow(0, row, 1)));
            assert_eq!(alone.std(), &together.std()[row..=row]);
        }
    }
}

#[test]
fn nothing_is_left_to_predict_noise_from_at_zero_snr() {
    let schedule = stable_diffusion_schedule().rescale_zero_terminal_snr().unwrap();
    let config = DdimConfig { spacing: Spacing::Trailing, ..DdimConfig::default() };
    let scheduler = Ddim::new(&schedule, config).unwrap();
    let step = |kind| {
        transition(&scheduler, &[StepIndex(0)], &normals(0, [1, 2]), &Prediction::new(kind, normals::<2>(1, [1, 2])))
    };
    let error = step(PredictionKind::Epsilon).unwrap_err();
    assert!(matches!(error, Error::UndefinedPrediction { kind: "epsilon", .. }), "{error}");
    assert!(read(step(PredictionKind::Velocity).unwrap().mean().clone()).iter().all(|value| value.is_finite()));
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let scheduler = Ddim::new(&stable_diffusion_schedule(), DdimConfig::default()).unwrap();
    let prediction = Prediction::new(PredictionKind::Epsilon, normals::<2>(1, [2, 3]));
    let sample = normals(0, [2, 3]);
    assert!(transition(&scheduler, &[StepIndex(0)], &sample, &prediction).is_err());
    assert!(transition(&scheduler, &[StepIndex(50); 2], &sample, &prediction).is_err());
    assert!(transition(&scheduler, &[StepIndex(0); 2], &normals(0, [2, 4]), &prediction).is_err());
    assert!(Transition::new(sample.clone(), vec![1.0]).is_err());
    assert!(Transition::new(sample.clone(), vec![1.0, f64::NAN]).is_err());
    let transition = Transition::new(sample, vec![1.0, 1.0]).unwrap();
    assert!(transition.sample(normals(0, [2, 4])).is_err());
    assert!(transition.log_prob(&normals(0, [1, 3]), Reduction::Mean).is_err());
    for eta in [-0.1, 1.1, f64::NAN] {
        let config = DdimConfig { eta, ..DdimConfig::default() };
        assert!(Ddim::new(&stable_diffusion_schedule(), config).is_err());
    }
}

/// How far the mean of a step moves for the predicted noise, in standard deviations of the step, squared; of every stochastic step.
fn sensitivities(scheduler: &dyn Scheduler) -> Vec<f64> {
    let of = |step: StepIndex| scheduler.coefficients(step).unwrap().sensitivity().powi(2);
    stochastic_steps(scheduler).unwrap().into_iter().map(of).collect()
}

/// The largest share of a sum.
fn largest_share(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max) / values.iter().sum::<f64>()
}

#[test]
fn at_eta_one_a_steps_sensitivity_is_the_gain_in_snr() {
    let schedule = stable_diffusion_schedule();
    for spacing in [Spacing::Leading { offset: 1 }, Spacing::Trailing, Spacing::LogSnr { offset: 1 }] {
        let scheduler = Ddim::new(&schedule, DdimConfig { steps: 10, spacing, ..DdimConfig::default() }).unwrap();
        let levels = schedule.timesteps(spacing, 10).unwrap();
        let snr: Vec<f64> = levels
            .iter()
            .map(|&t| schedule.alphas_cumprod()[t])
            .chain([schedule.alphas_cumprod()[0]])
            .map(|alpha| alpha / (1.0 - alpha))
            .collect();
        for (found, pair) in sensitivities(&scheduler).into_iter().zip(snr.windows(2)) {
            let wanted = pair[1] / pair[0] - 1.0;
            assert!((found - wanted).abs() < 1e-9 * wanted.max(1.0), "{spacing:?}: {found} is not {wanted}");
        }
    }
}

#[test]
fn steps_even_in_log_snr_and_renoised_chains_share_the_divergence() {
    let schedule = stable_diffusion_schedule();
    let ddim = |spacing| Ddim::new(&schedule, DdimConfig { steps: 10, spacing, ..DdimConfig::default() }).unwrap();
    let leading = largest_share(&sensitivities(&ddim(Spacing::Leading { offset: 1 })));
    let even = largest_share(&sensitivities(&ddim(Spacing::LogSnr { offset: 1 })));
    assert!(leading > 0.85 && even < 0.13, "{leading} and {even}");
    let config = ConsistencyConfig { steps: 8, spacing: Spacing::Trailing, clipping: Clipping::None };
    let renoised = Consistency::new(&schedule, config).unwrap();
    let found = sensitivities(&renoised);
    assert!(largest_share(&found) < 0.25, "{found:?}");
    // √((1−ᾱ)/ᾱ), over which a step's sensitivity is a quotient of neighbours.
    let sigma = |t: &usize| ((1.0 - schedule.alphas_cumprod()[*t]) / schedule.alphas_cumprod()[*t]).sqrt();
    let sigmas: Vec<f64> = schedule.timesteps(Spacing::Trailing, 8).unwrap().iter().map(sigma).collect();
    for (found, pair) in found.into_iter().zip(sigmas.windows(2)) {
        assert!((found.sqrt() - pair[0] / pair[1]).abs() < 1e-9);
    }
}

#[test]
fn a_step_of_eta_zero_has_no_density_and_the_others_are_as_before() {
    let schedule = stable_diffusion_schedule();
    let config = DdimConfig { steps: 4, ..DdimConfig::default() };
    let (plain, zero) = (Ddim::new(&schedule, config).unwrap(), DdimConfig { eta: 0.0, ..config });
    let mixed = Ddim::new(&schedule, config).unwrap().with_etas(vec![1.0, 1.0, 0.0, 1.0]).unwrap();
    assert_eq!(stochastic_steps(&mixed).unwrap(), [0, 1, 3].map(StepIndex));
    let still = Ddim::new(&schedule, zero).unwrap();
    for (step, wanted) in [(0, &plain), (1, &plain), (2, &still), (3, &plain)] {
        assert_eq!(mixed.coefficients(StepIndex(step)).unwrap(), wanted.coefficients(StepIndex(step)).unwrap());
    }
    assert!(Ddim::new(&schedule, config).unwrap().with_etas(vec![1.0; 3]).is_err());
    assert!(Ddim::new(&schedule, config).unwrap().with_etas(vec![1.0, 1.0, 1.0, 1.5]).is_err());
}
