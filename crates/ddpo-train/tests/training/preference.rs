//! Preference within pairs: pairs that must not be separated, and what the reference model says of them.

use std::sync::{Arc, Mutex};

use ddpo_core::advantage::PairAdvantage;
use ddpo_core::objective::{DdpoIs, Needs, Pairwise};
use ddpo_core::{Judge, LogProbTerms, Loss, Objective, Result, WeightedSum, WeightedTerm};
use ddpo_testing::MeanBrightness;
use ddpo_train::{DdpoParts, DdpoPlan, DdpoTrainer, EvalRecord, Parts, Record, Run, SamplePlan, StopFlag, Task};

use crate::common::{Signed, listening, parts, plan, sampling, updates};

fn pairwise_plan() -> DdpoPlan {
    let sampling = SamplePlan { sample_batch: 32, samples_per_prompt: 2, ..sampling() };
    DdpoPlan { sampling, train_batch: 16, accumulation: 4, inner_epochs: 1, ..plan() }
}

/// The records of some epochs toward brightness, or darkness where the sign is negative.
fn run(sign: f32, epochs: u64, objective: Box<dyn Objective>) -> Vec<Record> {
    let shared = parts(Box::new(Signed(sign)));
    let advantage = Box::new(PairAdvantage);
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
        let records = run(sign, 60, Box::new(Pairwise::default()));
        // Before the first step the policy is the reference and what drew the samples, and no pair has a margin.
        assert_eq!(updates(&records)[0].ratio_max_deviation, 0.0);
        assert!((updates(&records)[0].loss - 2f64.ln()).abs() < 1e-6, "{:?}", updates(&records)[0]);
        let evals = evals(&records);
        let brightness = |eval: &EvalRecord| eval.held_out["mean-brightness"];
        let rise = brightness(&evals[60]) - brightness(&evals[0]);
        assert!(f64::from(sign) * rise > 0.001, "{sign}: {rise}");
    }
}

/// Brightness and darkness, a term each: their sum says nothing, and each of them something else.
fn quarrel(samples_per_term: Option<usize>) -> (Vec<Record>, Seen) {
    let seen = Seen::default();
    let term = |sign| WeightedTerm::new(Judge::Image(Box::new(MeanBrightness)), sign);
    let reward = Judge::Sum(WeightedSum::new(vec![term(1.0), term(-1.0)]).unwrap());
    let shared = Parts { tasks: vec![Task::only(reward)], ..parts(Box::new(MeanBrightness)) };
    let (objective, advantage) = (Box::new(Witness(Arc::clone(&seen))), Box::new(PairAdvantage));
    let plan = pairwise_plan();
    let plan = DdpoPlan { sampling: SamplePlan { samples_per_term, ..plan.sampling }, accumulation: 8, ..plan };
    let mut trainer = DdpoTrainer::new(plan, DdpoParts { shared, objective, advantage }).unwrap();
    let (mut trackers, memory) = listening();
    Run::new(&mut trainer, &mut trackers, StopFlag::new()).run(1).unwrap();
    (memory.records(), seen)
}

#[test]
fn one_term_of_a_sum_decides_a_pair_at_all_its_steps() {
    let (records, seen) = quarrel(None);
    let shares = updates(&records)[0].pairs.clone().unwrap();
    assert!(shares.pair_ties == 1.0 && shares.pair_accuracy.is_nan() && updates(&records)[0].loss == 0.0);
    assert!(seen.lock().unwrap().iter().all(|(advantages, _)| advantages.iter().all(|&advantage| advantage == 0.0)));

    let (records, seen) = quarrel(Some(2));
    let shares = updates(&records)[0].pairs.clone().unwrap();
    assert_eq!((shares.pair_ties, shares.pair_accuracy, shares.pair_stranded), (0.0, 0.0, 0.0));
    assert!((updates(&records)[0].loss - 2f64.ln()).abs() < 1e-6);
    // A minibatch is a chunk of the epoch's order, and comes at as many steps: the same pairs have the same winners in each.
    let passes = seen.lock().unwrap();
    let steps = parts(Box::new(MeanBrightness)).scheduler.timesteps().len();
    for minibatch in passes.chunks((steps as f64 * pairwise_plan().timestep_fraction) as usize) {
        assert!(minibatch.iter().all(|(advantages, _)| *advantages == minibatch[0].0), "{minibatch:?}");
    }
}

/// The advantages of each pass, and whether each had a reference.
type Seen = Arc<Mutex<Vec<(Vec<f32>, bool)>>>;

/// Pairwise preference that takes note of what it is given.
struct Witness(Seen);

impl Objective for Witness {
    fn needs(&self) -> Needs {
        Pairwise::default().needs()
    }

    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        assert_eq!(terms.unit, 2);
        let advantages = terms.advantage.clone().into_data().try_into_vec().unwrap();
        self.0.lock().unwrap().push((advantages, terms.reference.is_some()));
        Pairwise::default().loss(terms)
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
        let (objective, advantage) = (Box::new(Pairwise::default()), PairAdvantage);
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
    let message = Pairwise::default().loss(&terms).unwrap_err().to_string();
    assert_eq!(message, "reference log-probabilities: none found, those of the minibatch wanted");
}
