//! Runs small enough for a test: 4×4 pictures, a perceptron as the policy, brightness as the reward.

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_core::advantage::PerPromptAdvantage;
use ddpo_core::objective::DdpoIs;
use ddpo_core::scheduler::{Ddim, DdimConfig};
use ddpo_core::{Condition, Judge, Objective, Policy, Reward, RewardBatch, RgbImage, Weighting};
use ddpo_testing::{GaussianPolicy, MeanBrightness, ToyPolicy, ToyPolicyConfig, stable_diffusion_schedule};
use ddpo_train::{
    AdamWConfig, Broadcast, DdpoParts, DdpoPlan, DdpoTrainer, EncodedPrompts, EvalRecord, Evaluation, ForwardParts,
    ForwardPlan, ForwardTrainer, Memory, OldPolicy, Parts, Ranks, Record, RwrParts, RwrPlan, RwrTrainer, SamplePlan,
    StopRule, Task, UpdateRecord,
};

pub type Trainer = DdpoTrainer<ToyPolicy, 4>;

/// Batches of different sizes in sampling and training, several updates and two inner epochs.
pub fn plan() -> DdpoPlan {
    DdpoPlan {
        sampling: sampling(),
        train_guidance: 2.0,
        train_batch: 4,
        accumulation: 3,
        inner_epochs: 2,
        timestep_fraction: 0.8,
        learning_rate: 3e-3,
        adamw: AdamWConfig::default(),
        ..DdpoPlan::default()
    }
}

/// Two dozen samples an epoch.
pub fn sampling() -> SamplePlan {
    SamplePlan { seed: 7, sample_batch: 6, batches_per_epoch: 4, sample_guidance: 2.0, ..SamplePlan::default() }
}

pub fn trainer(plan: DdpoPlan) -> Trainer {
    trainer_with(plan, Box::new(MeanBrightness), Box::new(DdpoIs::default()))
}

pub fn trainer_with(plan: DdpoPlan, reward: Box<dyn Reward>, objective: Box<dyn Objective>) -> Trainer {
    let advantage = Box::new(PerPromptAdvantage::new(8, 2).unwrap());
    DdpoTrainer::new(plan, DdpoParts { shared: parts(reward), objective, advantage }).unwrap()
}

/// The model, and what judges it.
pub fn parts(reward: Box<dyn Reward>) -> Parts<ToyPolicy, 4> {
    let device = Device::flex();
    let config = ToyPolicyConfig { elements: 48, hidden: 16, seed: 3 };
    let ddim = DdimConfig { steps: 5, ..DdimConfig::default() };
    Parts {
        policy: ToyPolicy::new(config, &device),
        scheduler: Box::new(Ddim::new(&stable_diffusion_schedule(), ddim).unwrap()),
        decoder: Box::new(decode),
        tasks: vec![Task::only(Judge::Image(reward))],
        prompts: encode_prompts(&["a cat", "a dog", "a fish"], &device),
        shape: [1, 4, 4, 3],
        device: device.clone(),
        average_decay: None,
        anchor: None,
        evaluation: Some(evaluation(&device)),
        lanes: 1,
        ranks: Ranks::default(),
    }
}

/// Reward-weighted regression with the same sampling, in passes of different sizes.
pub fn rwr_plan() -> RwrPlan {
    RwrPlan {
        sampling: sampling(),
        updates_per_round: 4,
        train_batch: 5,
        accumulation: 2,
        train_guidance: 2.0,
        learning_rate: 3e-3,
        adamw: AdamWConfig::default(),
    }
}

pub fn rwr_trainer(plan: RwrPlan, reward: Box<dyn Reward>, weighting: Box<dyn Weighting>) -> RwrTrainer<ToyPolicy, 4> {
    RwrTrainer::new(plan, rwr_parts(reward, weighting)).unwrap()
}

pub fn rwr_parts(reward: Box<dyn Reward>, weighting: Box<dyn Weighting>) -> RwrParts<ToyPolicy, 4> {
    RwrParts { shared: parts(reward), encoder: Box::new(encode), schedule: stable_diffusion_schedule(), weighting }
}

/// The forward process with the same sampling, two updates an epoch, and an old policy that is some way behind.
pub fn forward_plan() -> ForwardPlan {
    ForwardPlan {
        sampling: sampling(),
        train_batch: 4,
        accumulation: 3,
        old_policy: OldPolicy { ramp: 0.2, most: 0.5 },
        learning_rate: 3e-3,
        ..ForwardPlan::default()
    }
}

pub fn forward_trainer(plan: ForwardPlan, reward: Box<dyn Reward>) -> ForwardTrainer<ToyPolicy, 4> {
    ForwardTrainer::new(plan, forward_parts(reward)).unwrap()
}

pub fn forward_parts(reward: Box<dyn Reward>) -> ForwardParts<ToyPolicy, 4> {
    forward_parts_of(parts(reward))
}

/// The same for a policy that predicts the noise of its own samples, as the forward process expects of a model.
pub fn gaussian_forward_parts(reward: Box<dyn Reward>) -> ForwardParts<GaussianPolicy, 4> {
    let shared = parts(reward);
    let policy = GaussianPolicy::new(vec![4.0; 48], stable_diffusion_schedule(), &shared.device);
    forward_parts_of(with_policy(shared, policy))
}

fn forward_parts_of<P>(shared: Parts<P, 4>) -> ForwardParts<P, 4> {
    let advantage = Box::new(PerPromptAdvantage::new(8, 2).unwrap());
    ForwardParts { shared, schedule: stable_diffusion_schedule(), advantage }
}

/// The same with another policy.
pub fn with_policy<P>(parts: Parts<ToyPolicy, 4>, policy: P) -> Parts<P, 4> {
    let Parts { scheduler, decoder, tasks, prompts, shape, device, average_decay, evaluation, lanes, ranks, .. } =
        parts;
    Parts {
        policy,
        scheduler,
        decoder,
        tasks,
        prompts,
        shape,
        device,
        average_decay,
        anchor: None,
        evaluation,
        lanes,
        ranks,
    }
}

fn evaluation(device: &Device) -> Evaluation {
    Evaluation {
        as_asked: None,
        schedule: Some(stable_diffusion_schedule()),
        prompts: encode_prompts(&["a bird", "a bee"], device),
        count: 10,
        batch: 4,
        seed: 99,
        every: 1,
        held_out: vec![Judge::Image(Box::new(MeanBrightness))],
        diversity: Box::new(contrast),
        stop: StopRule::default(),
    }
}

/// The range of the pictures' first bytes.
fn contrast(images: &[RgbImage]) -> f64 {
    let bytes = || images.iter().map(|image| image.pixels()[0]);
    f64::from(bytes().max().unwrap_or(0)) - f64::from(bytes().min().unwrap_or(0))
}

/// Prompts that differ by their length.
pub fn encode_prompts(prompts: &[&str], device: &Device) -> EncodedPrompts {
    let values: Vec<f32> = prompts.iter().map(|prompt| prompt.len() as f32 / 10.0).collect();
    let states = Tensor::from_data(TensorData::new(values, [prompts.len(), 1, 1]), device);
    let texts = prompts.iter().map(ToString::to_string).collect();
    EncodedPrompts::new(texts, Condition::new(states), Condition::none(1, device)).unwrap()
}

fn decode(states: &Tensor<4>) -> ddpo_core::Result<Vec<RgbImage>> {
    let values = states.clone().inner().into_data().try_into_vec::<f32>().unwrap();
    let unit: Vec<f32> = values.iter().map(|x| 1.0 / (1.0 + (-x / 8.0).exp())).collect();
    unit.chunks(48).map(|pixels| RgbImage::from_unit(4, 4, pixels)).collect()
}

/// The inverse of [`decode`], up to the rounding of a picture.
fn encode(images: &[RgbImage]) -> ddpo_core::Result<Tensor<4>> {
    let unit = |&byte: &u8| ((f32::from(byte) + 0.5) / 256.0).clamp(1e-3, 1.0 - 1e-3);
    let values: Vec<f32> =
        images.iter().flat_map(|image| image.pixels()).map(unit).map(|p| 8.0 * (p / (1.0 - p)).ln()).collect();
    Ok(Tensor::from_data(TensorData::new(values, [images.len(), 4, 4, 3]), &Device::flex()))
}

/// Brightness, or darkness where the sign is negative.
pub struct Signed(pub f32);

impl Reward for Signed {
    fn name(&self) -> &str {
        "signed"
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        Ok(MeanBrightness.score(batch)?.into_iter().map(|value| self.0 * value).collect())
    }
}

/// Trackers with a memory which the test keeps.
pub fn listening() -> (Broadcast, Memory) {
    let memory = Memory::new();
    (Broadcast::new().with(memory.clone()), memory)
}

pub fn updates(records: &[Record]) -> Vec<UpdateRecord> {
    records.iter().filter_map(|r| if let Record::Update(update) = r { Some(update.clone()) } else { None }).collect()
}

/// The records without what no two runs share.
pub fn timeless(records: Vec<Record>) -> Vec<Record> {
    let strip = |record| match record {
        Record::Epoch(mut epoch) => {
            epoch.sample_seconds = 0.0;
            epoch.reward_seconds = 0.0;
            epoch.reward_busy_seconds = 0.0;
            epoch.train_seconds = 0.0;
            epoch.images_per_second = 0.0;
            epoch.exchange_seconds = None;
            Record::Epoch(epoch)
        }
        Record::Eval(eval) => Record::Eval(EvalRecord { eval_seconds: 0.0, ..eval }),
        other => other,
    };
    records.into_iter().map(strip).collect()
}

/// The bits of all parameters.
pub fn bits(policy: &ToyPolicy) -> Vec<u32> {
    let parameters = <ToyPolicy as Policy<4>>::parameters(policy);
    let values = parameters.into_iter().flat_map(|p| p.value.inner().into_data().try_into_vec::<f32>().unwrap());
    values.map(f32::to_bits).collect()
}
