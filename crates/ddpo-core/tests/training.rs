//! From rollout to minibatch: the first ratio is 1 to the bit, and no stage loses anything.

use burn::Tensor;
use burn::tensor::Device;
use ddpo_core::objective::{DdpoIs, DdpoSf, Diagnostics};
use ddpo_core::scheduler::{Ddim, DdimConfig};
use ddpo_core::{
    Action, Advantage, Chains, Condition, Denoiser, Domain, Epoch, Error, Guided, LogProbTerms, Noise, Objective,
    Policy, PromptId, Reduction, Reward, Rollout, RolloutRequest, SampleId, Sampling, Scheduler, StepIndex, Timestep,
    TrainingSet, propose, rollout,
};
use ddpo_testing::{
    NamedScheduler, ToyPolicy, ToyPolicyConfig, assert_bit_equal, schedulers, stable_diffusion_schedule,
};

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

fn condition(rows: std::ops::Range<u64>) -> Condition {
    let rows: Vec<f32> = rows.map(|row| row as f32 / 3.0).collect();
    let count = rows.len();
    Condition::new(Tensor::<1>::from_floats(&rows[..], &Device::default()).reshape([count, 1, 1]))
}

fn sample<const D: usize>(
    denoiser: &dyn Denoiser<D>,
    scheduler: &dyn Scheduler,
    shape: [usize; D],
    rows: std::ops::Range<u64>,
) -> Rollout<D> {
    let samples: Vec<SampleId> = rows.clone().map(SampleId).collect();
    let prompts: Vec<PromptId> = rows.clone().map(|row| PromptId(row % 2)).collect();
    let request = RolloutRequest {
        shape,
        samples: &samples,
        prompts: &prompts,
        condition: &condition(rows),
        noise: Noise::new(5, Domain::Training),
        epoch: Epoch(2),
        reduction: Reduction::Mean,
        device: &Device::default(),
    };
    rollout(denoiser, scheduler, &request, &mut |_| {}).unwrap()
}

fn toy(elements: usize) -> ToyPolicy {
    ToyPolicy::new(ToyPolicyConfig { elements, hidden: 7, seed: 3 }, &Device::default())
}

fn ddim(steps: usize) -> Ddim {
    Ddim::new(&stable_diffusion_schedule(), DdimConfig { steps, ..DdimConfig::default() }).unwrap()
}

fn training_set<const D: usize>(rollout: Rollout<D>) -> TrainingSet<D> {
    let count = rollout.len();
    let scored = rollout.score((0..count).map(|i| i as f32).collect()).unwrap();
    scored.into_training_set((0..count).map(|i| i as f32 - 2.0).collect()).unwrap()
}

fn pairs<const D: usize>(set: &TrainingSet<D>) -> Vec<Action> {
    let row_pairs = |row| set.steps().iter().map(move |&step| Action { row, step });
    (0..set.len()).flat_map(row_pairs).collect()
}

/// Samples in one batch size with guidance and without a graph, evaluates in others with a graph: the same bits.
fn first_ratio_is_one<const D: usize>(shape: [usize; D]) {
    let policy = toy(shape[1..].iter().product());
    let unconditional = condition(9..10);
    for NamedScheduler { name, scheduler } in schedulers(6) {
        let sampler = Policy::<D>::sampler(&policy);
        let sampler = Guided::new(&*sampler, unconditional.clone(), 3.0).unwrap();
        let trained = Guided::<D>::new(&policy, unconditional.clone(), 3.0).unwrap();
        let set = training_set(sample(&sampler, &*scheduler, shape, 0..5));
        let all = pairs(&set);
        for size in [1, 3, 7, all.len().max(1)] {
            for chunk in all.chunks(size) {
                let batch = set.minibatch(chunk).unwrap();
                let proposal = propose(&trained, &*scheduler, &batch.steps, &batch.sample, &batch.condition).unwrap();
                let new = proposal.log_prob(&batch.next, Reduction::Mean).unwrap();
                assert_bit_equal(&read(new.clone()), &read(batch.old_log_prob.clone()));
                let terms = LogProbTerms::new(&new, &batch.old_log_prob, &batch.advantage);
                let (new, old) = (read(new.clone()), read(batch.old_log_prob.clone()));
                let diagnostics = Diagnostics::of(&new, &old, DdpoIs::default().clip_range());
                assert_eq!(diagnostics, Diagnostics::default(), "{name}");
                let loss = DdpoIs::default().loss(&terms).unwrap();
                assert!(read(loss.value)[0].is_finite(), "{name}");
            }
        }
    }
}

#[test]
fn the_first_ratio_is_one_for_vectors() {
    first_ratio_is_one([0, 3]);
}

#[test]
fn the_first_ratio_is_one_for_sequences() {
    first_ratio_is_one([0, 4, 2]);
}

#[test]
fn the_first_ratio_is_one_for_images() {
    first_ratio_is_one([0, 3, 5, 2]);
}

#[test]
fn a_rollout_does_not_depend_on_how_its_samples_are_batched() {
    let (policy, scheduler) = (toy(6), ddim(5));
    let together = sample::<3>(&policy, &scheduler, [0, 3, 2], 0..6);
    let parts = [0..4, 4..5, 5..6].map(|rows| sample::<3>(&policy, &scheduler, [0, 3, 2], rows));
    let joined = Rollout::concat(parts.into()).unwrap();
    assert_eq!((joined.samples(), joined.prompts()), (together.samples(), together.prompts()));
    assert_bit_equal(joined.log_probs(), together.log_probs());
    for (joined, together) in joined.states().iter().zip(together.states()) {
        assert_bit_equal(&read(joined.clone()), &read(together.clone()));
    }
}

#[test]
fn a_rollout_keeps_no_graph() {
    let rollout = sample::<2>(&toy(3), &ddim(4), [0, 3], 0..2);
    assert!(rollout.states().iter().all(|state| !state.is_tracked()));
}

#[test]
fn without_noise_rollouts_agree_and_have_no_log_probs() {
    let config = DdimConfig { steps: 5, eta: 0.0, ..DdimConfig::default() };
    let scheduler = Ddim::new(&stable_diffusion_schedule(), config).unwrap();
    let rollout = sample::<2>(&toy(3), &scheduler, [0, 3], 0..2);
    assert!(rollout.steps().is_empty() && rollout.log_probs().is_empty());
    assert_eq!(rollout.states().len(), 6);
}

#[test]
fn minibatches_hold_the_pairs_that_were_asked_for() {
    let set = training_set(sample::<2>(&toy(3), &ddim(4), [0, 3], 0..5));
    let reference = sample::<2>(&toy(3), &ddim(4), [0, 3], 0..5);
    let pairs = [
        Action { row: 4, step: StepIndex(1) },
        Action { row: 0, step: StepIndex(3) },
        Action { row: 4, step: StepIndex(1) },
    ];
    let batch = set.minibatch(&pairs).unwrap();
    let row = |state: usize, row: usize| read(reference.states()[state].clone().narrow(0, row, 1));
    assert_bit_equal(&read(batch.sample), &[row(1, 4), row(3, 0), row(1, 4)].concat());
    assert_bit_equal(&read(batch.next), &[row(2, 4), row(4, 0), row(2, 4)].concat());
    let log_prob = |row: usize, step: usize| reference.log_probs()[row * 4 + step];
    assert_bit_equal(&read(batch.old_log_prob), &[log_prob(4, 1), log_prob(0, 3), log_prob(4, 1)]);
    assert_eq!(read(batch.advantage), [2.0, -2.0, 2.0]);
    assert_bit_equal(&read(batch.condition.states), &[4.0 / 3.0, 0.0, 4.0 / 3.0]);
}

#[test]
fn pairs_that_do_not_exist_are_refused() {
    let config = DdimConfig { steps: 4, set_alpha_to_one: true, ..DdimConfig::default() };
    let scheduler = Ddim::new(&stable_diffusion_schedule(), config).unwrap();
    let set = training_set(sample::<2>(&toy(3), &scheduler, [0, 3], 0..2));
    assert_eq!(set.steps(), [0, 1, 2].map(StepIndex));
    let refused = |row, step| set.minibatch(&[Action { row, step: StepIndex(step) }]).unwrap_err().to_string();
    assert_eq!(refused(0, 3), "make a minibatch: row 0 has standard deviation 0, a step with noise wanted");
    assert_eq!(refused(0, 4), "step: index 4 found, an index below 4 wanted");
    assert_eq!(refused(2, 0), "chain: index 2 found, an index below 2 wanted");
    assert!(set.minibatch(&[]).is_err());
}

#[test]
fn every_chain_has_an_order_of_its_own_and_every_pass_another() {
    let set = training_set(sample::<2>(&toy(3), &ddim(8), [0, 3], 0..5));
    let noise = Noise::new(5, Domain::Training);
    let orders = set.step_orders(noise, 0, set.steps(), 1.0, 1).unwrap();
    for order in &orders {
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(sorted, set.steps());
    }
    assert!(orders[0] != orders[1] && orders != set.step_orders(noise, 1, set.steps(), 1.0, 1).unwrap());
    let half = set.step_orders(noise, 0, set.steps(), 0.5, 1).unwrap();
    assert!(half.iter().zip(&orders).all(|(half, whole)| half[..] == whole[..4]));
    let refused = |steps, fraction| set.step_orders(noise, 0, steps, fraction, 1).is_err();
    assert!(refused(set.steps(), 0.1) && refused(set.steps(), 1.5) && refused(&[], 1.0));
    let first = set.step_orders(noise, 0, &set.steps()[..3], 1.0, 1).unwrap();
    assert!(first.iter().all(|order| order.len() == 3 && order.iter().all(|step| step.0 < 3)));
    let mut rows = set.row_order(noise, 0, 1).unwrap();
    rows.sort();
    assert_eq!(rows, [0, 1, 2, 3, 4]);
}

#[test]
fn rewards_that_are_not_numbers_are_named() {
    let rollout = sample::<2>(&toy(3), &ddim(4), [0, 3], 3..5);
    let error = rollout.clone().score(vec![1.0, f32::NAN]).unwrap_err();
    assert_eq!(error.to_string(), "reward of sample 4 in epoch 2: NaN found, a finite number wanted");
    let error = rollout.score(vec![1.0]).unwrap_err();
    assert_eq!(error.to_string(), "score a rollout: 1 rewards found, 2 wanted");
}

#[test]
fn rollouts_that_do_not_belong_together_are_not_joined() {
    let parts = vec![sample::<2>(&toy(3), &ddim(4), [0, 3], 0..2), sample(&toy(3), &ddim(5), [0, 3], 0..2)];
    assert!(Rollout::concat(parts).is_err());
    assert!(Rollout::<2>::concat(Vec::new()).is_err());
}

#[test]
fn the_divergence_from_the_base_model_is_zero_until_the_policy_moves() {
    let (mut policy, scheduler) = (toy(3), ddim(4));
    let (unconditional, condition) = (condition(9..10), condition(0..3));
    let sampling = Sampling {
        scheduler: &scheduler,
        guidance: 2.0,
        unconditional: &unconditional,
        shape: [0, 3],
        noise: Noise::new(5, Domain::Training),
        epoch: Epoch(2),
        reduction: Reduction::Mean,
        device: &Device::default(),
    };
    let chains = Chains { samples: &[0, 1, 2].map(SampleId), prompts: &[PromptId(0); 3], condition: &condition };
    let kl = |policy: &ToyPolicy| {
        let (ours, theirs) = (Policy::<2>::sampler(policy), Policy::<2>::reference(policy));
        let mut steps = 0;
        let count = &mut || steps += 1;
        let (rollout, kl) = sampling.chains_with_divergence(&*ours, &*theirs, chains, count).unwrap();
        assert_eq!(steps, sampling.step_count(true).unwrap());
        // The chains are those that nobody asks the divergence of.
        let alone = sampling.chains(&*ours, chains, &mut || {}).unwrap();
        assert_bit_equal(alone.log_probs(), rollout.log_probs());
        kl
    };
    assert_eq!(kl(&policy), [0.0; 3]);
    let moved = Policy::<2>::parameters(&policy).into_iter().map(|p| p.value.inner() * 1.1).collect();
    Policy::<2>::set_parameters(&mut policy, moved).unwrap();
    assert!(kl(&policy).iter().all(|&kl| kl > 0.0));
}

/// One step of gradient descent on the objective raises what it is meant to raise: the log-prob of good actions.
#[test]
fn a_step_raises_the_log_probs_of_good_actions() {
    let (mut policy, scheduler) = (toy(3), ddim(4));
    let set = training_set(sample::<2>(&policy, &scheduler, [0, 3], 0..5));
    let all = pairs(&set);
    let batch = set.minibatch(&all).unwrap();
    let weighted = |policy: &ToyPolicy| {
        let proposal = propose::<2>(policy, &scheduler, &batch.steps, &batch.sample, &batch.condition).unwrap();
        (batch.advantage.clone() * proposal.log_prob(&batch.next, Reduction::Mean).unwrap()).mean()
    };
    let before = read(weighted(&policy))[0];
    let new = propose::<2>(&policy, &scheduler, &batch.steps, &batch.sample, &batch.condition)
        .and_then(|proposal| proposal.log_prob(&batch.next, Reduction::Mean))
        .unwrap();
    let terms = LogProbTerms::new(&new, &batch.old_log_prob, &batch.advantage);
    let gradients = DdpoIs::default().loss(&terms).unwrap().value.backward();
    let step = |p: ddpo_core::Parameter| p.value.clone().inner() - p.value.grad(&gradients).unwrap() * 1e-2;
    let values = Policy::<2>::parameters(&policy).into_iter().map(step).collect();
    Policy::<2>::set_parameters(&mut policy, values).unwrap();
    assert!(read(weighted(&policy))[0] > before);
}

#[test]
fn objectives_agree_on_the_gradient_of_fresh_samples() {
    let gradient = |objective: &dyn Objective| {
        let new = Tensor::<1>::from_floats([-0.5, -1.0, -2.0], &Device::default()).autodiff().require_grad();
        let old = new.clone().inner();
        let advantage = Tensor::from_floats([1.0, -2.0, 7.0], &Device::default());
        let loss = objective.loss(&LogProbTerms::new(&new, &old, &advantage)).unwrap();
        read(new.grad(&loss.value.backward()).unwrap())
    };
    let wanted = [-1.0 / 3.0, 2.0 / 3.0, -5.0 / 3.0];
    ddpo_testing::assert_close(&gradient(&DdpoIs::default()), &wanted, ddpo_testing::Tolerance::STEP);
    ddpo_testing::assert_close(&gradient(&DdpoSf::default()), &wanted, ddpo_testing::Tolerance::STEP);
}

/// The clipped surrogate by hand: it stops pushing where the ratio has moved far enough in the advantage's direction, and
/// only there.
#[test]
fn the_ratio_is_clipped_on_one_side_only() {
    let objective = DdpoIs { clip_range: 0.1, advantage_clip: 5.0 };
    for (log_ratio, advantage, pushed) in [(0.2, 1.0, false), (0.2, -1.0, true), (-0.2, 1.0, true), (-0.2, -1.0, false)]
    {
        let new = Tensor::<1>::from_floats([log_ratio], &Device::default()).autodiff().require_grad();
        let old = Tensor::from_floats([0.0], &Device::default());
        let advantage_tensor = Tensor::from_floats([advantage], &Device::default());
        let terms = LogProbTerms::new(&new, &old, &advantage_tensor);
        let loss = objective.loss(&terms).unwrap();
        let ratio = f32::exp(log_ratio);
        let clipped = ratio.clamp(0.9, 1.1);
        let wanted = (-advantage * ratio).max(-advantage * clipped);
        assert!((read(loss.value.clone())[0] - wanted).abs() < 1e-6);
        let diagnostics = Diagnostics::of(&[log_ratio], &[0.0], objective.clip_range());
        assert_eq!(diagnostics.clip_fraction, 1.0);
        assert!((diagnostics.ratio_max_deviation - (ratio - 1.0).abs()).abs() < 1e-6);
        assert!((diagnostics.approx_kl - 0.02).abs() < 1e-6);
        let gradient = read(new.grad(&loss.value.backward()).unwrap())[0];
        assert_eq!(gradient != 0.0, pushed, "log-ratio {log_ratio}, advantage {advantage}");
    }
}

#[test]
fn terms_of_different_lengths_are_refused() {
    let (two, three) = (Tensor::ones([2], &Device::default()), Tensor::ones([3], &Device::default()));
    let terms = LogProbTerms::new(&two, &three, &two);
    assert!(DdpoIs::default().loss(&terms).is_err() && DdpoSf::default().loss(&terms).is_err());
}

/// A model that answers with its condition and keeps the sizes of the batches it has seen.
struct Echo(std::cell::RefCell<Vec<usize>>);

impl Denoiser<2> for Echo {
    fn predict(
        &self,
        sample: &Tensor<2>,
        timesteps: &[Timestep],
        condition: &Condition,
    ) -> ddpo_core::Result<ddpo_core::Prediction<2>> {
        assert_eq!((timesteps.len(), condition.batch()), (sample.dims()[0], sample.dims()[0]));
        self.0.borrow_mut().push(condition.batch());
        let value = condition.states.clone().reshape([condition.batch(), 1]);
        Ok(ddpo_core::Prediction::new(ddpo_core::PredictionKind::Epsilon, value))
    }
}

#[test]
fn guidance_extrapolates_from_the_unconditional_prediction() {
    let echo = Echo(Default::default());
    let guide = |weight: f64| {
        let guided = Guided::new(&echo, condition(3..4), weight).unwrap();
        let sample = Tensor::zeros([2, 1], &Device::default());
        read(guided.predict(&sample, &[Timestep(1.0), Timestep(2.0)], &condition(6..8)).unwrap().value)
    };
    assert_eq!(guide(1.0), [2.0, 7.0 / 3.0]);
    assert_eq!(guide(0.0), [1.0, 1.0]);
    assert_eq!(guide(3.0)[0], 1.0 + 3.0 * (2.0 - 1.0));
    assert_eq!(*echo.0.borrow(), [2, 4, 4], "a weight of 1 needs no second half");
    assert!(Guided::new(&echo, condition(3..5), 2.0).is_err());
    assert!(Guided::new(&echo, condition(3..4), f64::NAN).is_err());
}

#[test]
fn conditions_of_different_shapes_are_not_joined() {
    let device = Device::default();
    let wide = Condition::new(Tensor::zeros([1, 2, 1], &device));
    let error = Condition::cat(&[condition(0..1), wide]).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }));
    assert!(condition(0..2).select(&[2]).is_err());
}

/// Every contract can be a trait object.
#[test]
fn contracts_are_object_safe() {
    fn size<T: ?Sized>() -> usize {
        size_of::<&T>()
    }
    let pointers = [size::<dyn Scheduler>(), size::<dyn Denoiser<4>>(), size::<dyn Policy<3>>(), size::<dyn Reward>()];
    assert!(pointers.iter().chain(&[size::<dyn Objective>(), size::<dyn Advantage>()]).all(|&size| size == 16));
}
