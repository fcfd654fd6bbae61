//! An objective from outside: pairs that must not be separated, and what the reference model says of them.

use std::sync::{Arc, Mutex};

use ddpo_core::advantage::GroupAdvantage;
use ddpo_core::objective::{DdpoIs, Needs};
use ddpo_core::{LogProbTerms, Loss, Objective, Result};
use ddpo_testing::{MeanBrightness, PairwisePreference};
use ddpo_train::{DdpoParts, DdpoPlan, DdpoTrainer, EvalRecord, Record, Run, SamplePlan, StopFlag};

use crate::common::{Signed, listening, parts, plan, sampling, updates};

fn pairwise_plan() -> DdpoPlan {
    let sampling = SamplePlan { sample_batch: 32, samples_per_prompt: 2, ..sampling() };
    DdpoPlan { sampling, train_batch: 16, accumulation: 4, inner_epochs: 1, ..plan() }
}

/// The records of some epochs toward brightness, or darkness where the sign is negative.
fn run(sign: f32, epochs: u64, objective: Box<dyn Objective>) -> Vec<Record> {
    let shared = parts(Box::new(Signed(sign)));
    let advantage = Box::new(GroupAdvantage::new(2).unwrap());
    let mut trainer = DdpoTrainer::new(pairwise_plan(), DdpoParts { shared, objective, advantage }).unwrap();
    let (mut trackers, memory) = listening();
    Run::new(&mut trainer, &mut trackers, StopFlag::new()).run(epochs).unwrap();
    memory.records()
}

fn evals(records: &[Record]) -> Vec<EvalRecord> {
    records.iter().filter_map(|r| if let Record::Eval(eval) = r { Some(eval.clone()) } else { None }).collect()
}

#[test]
fn preferences_between_pairs_are_learnt() {
    for sign in [1.0, -1.0] {
        let records = run(sign, 60, Box::new(PairwisePreference { beta: 1.0 }));
        // Before the first step the policy is the reference, and no pair has a margin.
        assert!((updates(&records)[0].loss - 2f64.ln()).abs() < 1e-6, "{:?}", updates(&records)[0]);
        let evals = evals(&records);
        let brightness = |eval: &EvalRecord| eval.held_out["mean-brightness"];
        let rise = brightness(&evals[60]) - brightness(&evals[0]);
        assert!(f64::from(sign) * rise > 0.001, "{sign}: {rise}");
    }
}

/// The advantages of each pass, and whether each had a reference.
type Seen = Arc<Mutex<Vec<(Vec<f32>, bool)>>>;

/// Pairwise preference that takes note of what it is given.
struct Witness(Seen);

impl Objective for Witness {
    fn needs(&self) -> Needs {
        PairwisePreference { beta: 1.0 }.needs()
    }

    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        assert_eq!(terms.unit, 2);
        let advantages = terms.advantage.clone().into_data().try_into_vec().unwrap();
        self.0.lock().unwrap().push((advantages, terms.reference.is_some()));
        PairwisePreference { beta: 1.0 }.loss(terms)
    }
}

#[test]
fn pairs_stay_together_in_every_pass() {
    let seen = Seen::default();
    run(1.0, 1, Box::new(Witness(Arc::clone(&seen))));
    let passes = seen.lock().unwrap();
    assert!(!passes.is_empty());
    for (advantages, has_reference) in passes.iter() {
        assert!(*has_reference && advantages.len() == 16);
        // The advantages of two are the negative of each other: whoever is not with its partner would show.
        assert!(advantages.chunks(2).all(|pair| pair[0] == -pair[1]), "{advantages:?}");
    }
}

#[test]
fn batches_that_would_separate_a_pair_are_refused() {
    let refused = |plan: DdpoPlan| {
        let (objective, advantage) = (Box::new(PairwisePreference { beta: 1.0 }), GroupAdvantage::new(2).unwrap());
        let parts = DdpoParts { shared: parts(Box::new(MeanBrightness)), objective, advantage: Box::new(advantage) };
        DdpoTrainer::new(plan, parts).err().unwrap().to_string()
    };
    let odd = DdpoPlan { train_batch: 1, accumulation: 16, ..pairwise_plan() };
    assert_eq!(
        refused(odd),
        "training batch size is 1, wanted a multiple of 2, the samples which the objective compares"
    );
    let strangers = DdpoPlan { sampling: sampling(), ..plan() };
    assert!(refused(strangers).starts_with("samples per prompt is 1, wanted a multiple of 2"));
}

#[test]
fn an_objective_without_its_reference_says_so() {
    let one = burn::tensor::Tensor::<1>::from_floats([0.0, 0.0], &burn::tensor::Device::flex());
    let terms = LogProbTerms::new(&one, &one, &one);
    assert!(DdpoIs::default().loss(&terms).is_ok());
    let message = PairwisePreference { beta: 1.0 }.loss(&terms).unwrap_err().to_string();
    assert_eq!(message, "reference log-probabilities: none found, those of the minibatch wanted");
}
