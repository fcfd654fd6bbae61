//! What an anchor must do beside an algorithm.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use ddpo_core::advantage::PerPromptAdvantage;
use ddpo_core::objective::DdpoIs;
use ddpo_core::{Condition, Domain, Epoch, Noise, PromptId, SampleId, Stream, denoising_error};
use ddpo_testing::{ToyPolicy, stable_diffusion_schedule};
use ddpo_train::{
    AdamWConfig, Anchor, AnchorRecord, AnchorTarget, DdpoParts, DdpoPlan, DdpoTrainer, EncodedPrompts, ForwardParts,
    ForwardTrainer, Learner, Parts, Record, Run, RwrParts, RwrTrainer, StopFlag,
};

use crate::common::{
    Signed, Trainer, forward_parts, forward_plan, listening, parts, plan, rwr_parts, rwr_plan, timeless, updates,
};

/// Seven pictures of two prompts.
fn anchor(target: AnchorTarget, weight: f64) -> Anchor<4> {
    let device = Device::flex();
    let states = Noise::new(5, Domain::Evaluation).normal_batch(
        ddpo_core::Address { stream: Stream::InitialState, epoch: Epoch(0), sample: SampleId(0), step: 0 },
        &(0..7).map(SampleId).collect::<Vec<_>>(),
        [1, 4, 4, 3],
        &device,
    );
    let values = burn::tensor::TensorData::new(vec![0.5_f32, 0.7], [2, 1, 1]);
    let conditions = Condition::new(Tensor::from_data(values, &device));
    let texts = vec!["a sheep".to_owned(), "a horse".to_owned()];
    Anchor {
        states,
        prompts: EncodedPrompts::new(texts, conditions, Condition::none(1, &device)).unwrap(),
        ids: (0..7).map(|i| PromptId(i % 2)).collect(),
        schedule: stable_diffusion_schedule(),
        target,
        weight,
        batch: 9,
        first_timestep: 200,
    }
}

fn anchored(brightness: f32, plan: DdpoPlan, anchor: Option<Anchor<4>>, lanes: usize) -> Trainer {
    let shared = Parts { anchor: anchor.map(Arc::new), lanes, ..parts(Box::new(Signed(brightness))) };
    let advantage = Box::new(PerPromptAdvantage::new(8, 2).unwrap());
    DdpoTrainer::new(plan, DdpoParts { shared, objective: Box::new(DdpoIs::default()), advantage }).unwrap()
}

fn records(learner: impl Learner, epochs: u64) -> Vec<Record> {
    let (trackers, memory) = listening();
    Run::new(learner, trackers, StopFlag::new()).run(epochs).unwrap();
    timeless(memory.records())
}

fn anchors(records: &[Record]) -> Vec<AnchorRecord> {
    records.iter().filter_map(|r| if let Record::Anchor(anchor) = r { Some(anchor.clone()) } else { None }).collect()
}

#[test]
fn its_gradient_is_added_with_its_weight() {
    // Rewards that are all alike leave nothing of the algorithm's own gradient.
    let unclipped = || DdpoPlan { adamw: AdamWConfig { max_norm: None, ..AdamWConfig::default() }, ..plan() };
    let first = |weight| {
        let records = records(anchored(0.0, unclipped(), Some(anchor(AnchorTarget::Noise, weight)), 1), 1);
        (updates(&records)[0].grad_norm, anchors(&records)[0].loss)
    };
    let ((one, loss), (three, same)) = (first(1.0), first(3.0));
    assert!(one > 0.0 && (three / one - 3.0).abs() < 1e-5, "{one} {three}");
    assert_eq!(loss, same);
    let none = records(anchored(0.0, unclipped(), None, 1), 1);
    assert_eq!((updates(&none)[0].grad_norm, anchors(&none)), (0.0, Vec::new()));
    // Beside a reward it changes what is learnt, and what is said of the algorithm's own loss is still of that alone.
    let own = |anchor| updates(&records(anchored(1.0, plan(), anchor, 1), 1))[0].loss;
    assert_eq!(own(None), own(Some(anchor(AnchorTarget::Noise, 1.0))));
}

#[test]
fn the_base_model_has_lost_nothing_and_what_has_moved_is_pulled_back() {
    let run = |weight| {
        let plan = DdpoPlan { learning_rate: 3e-2, ..plan() };
        let mut trainer = anchored(1.0, plan, Some(anchor(AnchorTarget::Base, weight)), 1);
        let said = anchors(&records(&mut trainer, 6));
        assert_eq!(said[0].loss, 0.0);
        said.last().unwrap().loss
    };
    let (free, held) = (run(1e-9), run(30.0));
    assert!(free > 0.0 && held < 0.3 * free, "{free} {held}");
}

#[test]
fn the_noise_is_the_target_of_pictures_that_are_given() {
    let said = anchors(&records(anchored(0.0, plan(), Some(anchor(AnchorTarget::Noise, 1.0)), 1), 1));
    // A mean over nine rows is within the errors of single ones at any timestep that it holds.
    let (of, shared) = (anchor(AnchorTarget::Noise, 1.0), parts(Box::new(Signed(0.0))));
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for (timestep, sample) in (200..1000).step_by(20).zip(0..) {
        let address = ddpo_core::Address { stream: Stream::AnchorNoise, epoch: Epoch(9), sample: SampleId(0), step: 9 };
        let epsilon = Noise::new(3, Domain::Training).normal_batch(
            address,
            &(sample..sample + 7).map(SampleId).collect::<Vec<_>>(),
            [1, 4, 4, 3],
            &Device::flex(),
        );
        let condition = of.prompts.condition(&of.ids).unwrap();
        let policy: &ToyPolicy = &shared.policy;
        let errors =
            denoising_error(policy, &of.schedule, &of.states, &epsilon, &[timestep; 7], &condition).unwrap().inner();
        for error in errors.into_data().try_into_vec::<f32>().unwrap() {
            (least, most) = (least.min(error.into()), most.max(error.into()));
        }
    }
    assert!(said.iter().all(|said| (least..most).contains(&said.loss)), "{said:?} within {least} to {most}");
}

#[test]
fn every_algorithm_takes_it_and_lanes_and_resuming_change_no_byte() {
    let of = || Some(Arc::new(anchor(AnchorTarget::Noise, 0.5)));
    let rwr = |lanes| {
        let weighting = Box::new(ddpo_core::weighting::SoftmaxWeights::new(10.0, ddpo_core::Grouping::Epoch).unwrap());
        let parts = rwr_parts(Box::new(Signed(1.0)), weighting);
        let shared = Parts { anchor: of(), lanes, ..parts.shared };
        RwrTrainer::new(rwr_plan(), RwrParts { shared, ..parts }).unwrap()
    };
    let forward = |lanes| {
        let parts = forward_parts(Box::new(Signed(1.0)));
        let shared = Parts { anchor: of(), lanes, ..parts.shared };
        ForwardTrainer::new(forward_plan(), ForwardParts { shared, ..parts }).unwrap()
    };
    let ddpo = |lanes| anchored(1.0, plan(), Some(anchor(AnchorTarget::Noise, 0.5)), lanes);
    check(rwr);
    check(forward);
    check(ddpo);
}

#[track_caller]
fn check<L: Learner>(fresh: impl Fn(usize) -> L) {
    let whole = records(fresh(1), 4);
    assert!(!anchors(&whole).is_empty());
    assert_eq!(whole, records(fresh(3), 4));
    let (mut first, mut second) = (fresh(2), fresh(1));
    records(&mut first, 2);
    second.restore(&first.snapshot().unwrap()).unwrap();
    let rest = records(&mut second, 4);
    assert_eq!(rest[..], whole[whole.len() - rest.len()..]);
}

#[test]
fn what_cannot_be_held_is_refused() {
    let refused = |change: fn(&mut Anchor<4>)| {
        let mut anchor = anchor(AnchorTarget::Base, 1.0);
        change(&mut anchor);
        let shared = Parts { anchor: Some(Arc::new(anchor)), ..parts(Box::new(Signed(1.0))) };
        let advantage = Box::new(PerPromptAdvantage::new(8, 2).unwrap());
        let parts = DdpoParts { shared, objective: Box::new(DdpoIs::default()), advantage };
        DdpoTrainer::new(plan(), parts).err().unwrap().to_string()
    };
    assert!(refused(|anchor| anchor.weight = f64::NAN).contains("weight of the anchor"));
    assert!(refused(|anchor| anchor.batch = 0).contains("pictures of the anchor an update"));
    assert!(refused(|anchor| anchor.first_timestep = 1000).contains("first timestep of the anchor"));
    assert!(refused(|anchor| anchor.ids.truncate(6)).contains("7"));
}
