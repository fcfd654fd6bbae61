//! Several ranks do what one does: the same bytes, and they end together.

use ddpo_core::advantage::{BatchAdvantage, PairAdvantage, PerPromptAdvantage};
use ddpo_core::correction::{CorrectedTarget, ErrorWeight};
use ddpo_core::objective::{DdpoIs, DdpoSf, PairClip, Pairwise};
use ddpo_core::weighting::{SoftmaxWeights, SparseWeights};
use ddpo_core::{Advantage, Grouping, Judge, Objective, Reward, RewardBatch, WeightedSum, WeightedTerm, Weighting};
use ddpo_testing::{MeanBrightness, ToyPolicy};
use ddpo_train::{
    DdpoParts, DdpoPlan, DdpoTrainer, DistillParts, DistillTrainer, Error, ForwardParts, ForwardPlan, ForwardTrainer,
    Learner, NonFinitePolicy, OldPolicy, Outcome, Parts, PreferenceParts, PreferenceTrainer, Ranks, Record, Run,
    RwrParts, RwrTrainer, SamplePlan, Snapshot, StopFlag, Task, Team,
};

use crate::common::{
    Signed, Trainer, forward_parts, forward_plan, listening, parts, plan, rwr_parts, rwr_plan, sampling, timeless,
};
use crate::sets::Brighter;
use crate::{distill, given_pairs, tasks};

/// Where two epochs lead, and what is said on the way, as text, in which NaN equals itself.
fn outcome(learner: impl Learner, ranks: Ranks) -> (Snapshot, Vec<String>) {
    let (trackers, memory) = listening();
    let mut run = Run::new(learner, trackers, StopFlag::new()).with_ranks(ranks.clone());
    assert_eq!(run.run(2).unwrap(), Outcome::Finished);
    let records = memory.records();
    let exchanged =
        records.iter().filter_map(|r| if let Record::Epoch(x) = r { Some(x.exchange_seconds) } else { None });
    assert!(exchanged.into_iter().all(|seconds| seconds.is_some() != ranks.is_alone()));
    let records = timeless(records).iter().map(|record| format!("{record:?}")).collect();
    (run.learner().snapshot().unwrap(), records)
}

/// Whether any number of ranks ends where one does, with the same records on all of them.
#[track_caller]
fn check<L: Learner>(what: &str, learner: impl Fn(Ranks) -> L + Sync) {
    let alone = outcome(learner(Ranks::default()), Ranks::default());
    assert!(alone.1.len() > 4, "{what}: {} records", alone.1.len());
    for size in [2, 3, 4, 8] {
        for (rank, found) in Team::each(size, |ranks| outcome(learner(ranks.clone()), ranks)).into_iter().enumerate() {
            assert!(found.0 == alone.0, "{what}: the state of rank {rank} of {size}");
            assert_eq!(found.1, alone.1, "{what}: the records of rank {rank} of {size}");
        }
    }
}

fn ddpo(plan: DdpoPlan, reward: Box<dyn Reward>, ranks: Ranks) -> Trainer {
    ddpo_of(plan, Parts { ranks, ..parts(reward) })
}

fn ddpo_of(plan: DdpoPlan, shared: Parts<ToyPolicy, 4>) -> Trainer {
    let advantage = Box::new(PerPromptAdvantage::new(8, 2).unwrap());
    let objective = Box::new(DdpoIs { clip_range: 1e-4, advantage_clip: 5.0 });
    DdpoTrainer::new(plan, DdpoParts { shared, objective, advantage }).unwrap()
}

#[test]
fn any_number_of_ranks_trains_by_ddpo_to_the_same_bytes() {
    check("ddpo-is", |ranks| ddpo(plan(), Box::new(MeanBrightness), ranks));
    check("ddpo-is with an average", |ranks| {
        ddpo_of(plan(), Parts { ranks, average_decay: Some(0.9), ..parts(Box::new(MeanBrightness)) })
    });
    check("ddpo-sf", |ranks| {
        let shared = Parts { ranks, ..parts(Box::new(MeanBrightness)) };
        let (objective, advantage) = (Box::new(DdpoSf::default()), Box::new(BatchAdvantage));
        DdpoTrainer::new(DdpoPlan { inner_epochs: 1, ..plan() }, DdpoParts { shared, objective, advantage }).unwrap()
    });
}

#[test]
fn any_number_of_ranks_asks_rewards_of_sets_and_sums_for_the_same_bytes() {
    for over in [Grouping::Prompt, Grouping::Epoch] {
        check(&format!("a reward of sets, {over:?}"), |ranks| {
            let reward = Judge::Set { reward: Box::new(Brighter), over };
            ddpo_of(plan(), Parts { ranks, tasks: vec![Task::only(reward)], ..parts(Box::new(MeanBrightness)) })
        });
    }
    check("a sum", |ranks| {
        let term = |sign| WeightedTerm::new(Judge::Image(Box::new(Signed(sign))), 0.5);
        let reward = Judge::Sum(WeightedSum::new(vec![term(1.0), term(-2.0)]).unwrap());
        ddpo_of(plan(), Parts { ranks, tasks: vec![Task::only(reward)], ..parts(Box::new(MeanBrightness)) })
    });
}

/// Preference within pairs, each decided by one of two terms of a sum.
fn pairs(objective: impl Objective + 'static, ranks: Ranks) -> Trainer {
    let term = |sign| WeightedTerm::new(Judge::Image(Box::new(Signed(sign))), 1.0);
    let reward = Judge::Sum(WeightedSum::new(vec![term(1.0), term(-1.0)]).unwrap());
    let shared = Parts { ranks, tasks: vec![Task::only(reward)], ..parts(Box::new(MeanBrightness)) };
    let sampling = SamplePlan { samples_per_prompt: 2, samples_per_term: Some(2), ..sampling() };
    let advantage: Box<dyn Advantage> = Box::new(PairAdvantage);
    let plan = DdpoPlan { sampling, inner_epochs: 1, ..plan() };
    DdpoTrainer::new(plan, DdpoParts { shared, objective: Box::new(objective), advantage }).unwrap()
}

#[test]
fn any_number_of_ranks_learns_from_pairs_to_the_same_bytes() {
    check("pso", |ranks| pairs(Pairwise::default(), ranks));
    check("d3po", |ranks| pairs(Pairwise { beta: 2.0, clip: PairClip::OneSided, ..Pairwise::default() }, ranks));
    check("diffusion-dpo", |ranks| {
        let parts = given_pairs::parts(2.0, 7);
        let parts = PreferenceParts { shared: Parts { ranks, ..parts.shared }, ..parts };
        PreferenceTrainer::new(given_pairs::plan(), parts).unwrap()
    });
}

#[test]
fn any_number_of_ranks_regresses_to_the_same_bytes() {
    let softmax = || -> Box<dyn Weighting> { Box::new(SoftmaxWeights::new(10.0, Grouping::Epoch).unwrap()) };
    let sparse = || -> Box<dyn Weighting> { Box::new(SparseWeights::new(70.0, Grouping::Prompt, 128, 4).unwrap()) };
    for (name, weighting) in [("rwr", softmax as fn() -> Box<dyn Weighting>), ("rwr-sparse", sparse)] {
        check(name, |ranks| {
            let parts = rwr_parts(Box::new(MeanBrightness), weighting());
            RwrTrainer::new(rwr_plan(), RwrParts { shared: Parts { ranks, ..parts.shared }, ..parts }).unwrap()
        });
    }
}

#[test]
fn any_number_of_ranks_corrects_targets_to_the_same_bytes() {
    let ram = ForwardPlan {
        target: CorrectedTarget { strength: 1.0, anchor: 0.5, weight: ErrorWeight::default() },
        old_policy: OldPolicy { most: 0.0, ..OldPolicy::default() },
        inner_epochs: 2,
        ..forward_plan()
    };
    for (name, plan) in [("nft", forward_plan()), ("ram", ram)] {
        check(name, |ranks| {
            let parts = forward_parts(Box::new(MeanBrightness));
            let parts = ForwardParts { shared: Parts { ranks, ..parts.shared }, ..parts };
            ForwardTrainer::new(plan.clone(), parts).unwrap()
        });
    }
}

#[test]
fn any_number_of_ranks_distils_to_the_same_bytes() {
    check("lcd", |ranks| {
        let parts = distill::distill_parts(1);
        let parts = DistillParts { shared: Parts { ranks, ..parts.shared }, ..parts };
        DistillTrainer::new(distill::plan(), parts).unwrap()
    });
}

#[test]
fn any_number_of_ranks_does_several_tasks_to_the_same_bytes() {
    check("tasks", tasks::opposed_trainer);
    check("tasks of the forward process", |ranks| {
        let parts = forward_parts(Box::new(MeanBrightness));
        let shared = Parts { ranks, ..tasks::opposed(parts.shared) };
        let parts = ForwardParts { shared, advantage: tasks::opposed_advantage(), ..parts };
        ForwardTrainer::new(forward_plan(), parts).unwrap()
    });
}

#[test]
fn shards_round_otherwise_and_lanes_do_not() {
    let end = |gradient_shards, lanes| {
        let plan = DdpoPlan { sampling: SamplePlan { gradient_shards, ..sampling() }, ..plan() };
        let shared = Parts { lanes, ..parts(Box::new(MeanBrightness)) };
        outcome(ddpo_of(plan, shared), Ranks::default()).0
    };
    assert!(end(8, 1) != end(1, 1));
    assert!(end(8, 1) == end(8, 2) && end(1, 1) == end(1, 2));
}

/// No score for every fifth picture of a batch by its brightness, and none of its own at all where `fails`.
struct Fickle {
    fails: bool,
}

impl Reward for Fickle {
    fn name(&self) -> &str {
        "fickle"
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        if self.fails {
            return Err(ddpo_core::Error::model("the lamp is broken"));
        }
        let scores = Signed(1.0).score(batch)?;
        Ok(scores.into_iter().map(|score| if score.to_bits() % 5 == 0 { f32::NAN } else { score }).collect())
    }
}

#[test]
fn what_is_not_finite_is_left_out_alike() {
    let sampling = SamplePlan { non_finite: NonFinitePolicy::Skip, ..sampling() };
    check("skipped samples", |ranks| ddpo(DdpoPlan { sampling, ..plan() }, Box::new(Fickle { fails: false }), ranks));
    let errors = Team::each(3, |ranks| {
        let trainer = ddpo(plan(), Box::new(Fickle { fails: false }), ranks.clone());
        Run::new(trainer, listening().0, StopFlag::new()).with_ranks(ranks).run(2).unwrap_err().to_string()
    });
    assert!(errors[0].starts_with("the reward is NaN"), "{errors:?}");
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
}

#[test]
fn a_reward_that_fails_on_one_rank_ends_all() {
    let errors = Team::each(3, |ranks| {
        let reward = Box::new(Fickle { fails: ranks.rank() == 1 });
        let trainer = ddpo(plan(), reward, ranks.clone());
        Run::new(trainer, listening().0, StopFlag::new()).with_ranks(ranks).run(2).unwrap_err()
    });
    assert!(matches!(errors[1], Error::Core(_)), "{errors:?}");
    for rank in [0, 2] {
        assert!(matches!(&errors[rank], Error::Rank { rank: 1, message } if message.contains("the lamp is broken")));
    }
}

#[test]
fn a_run_that_is_over_may_be_asked_again_and_goes_on_to_more_epochs() {
    let whole = outcome(ddpo(plan(), Box::new(MeanBrightness), Ranks::default()), Ranks::default()).0;
    for size in [1, 3] {
        let ends = Team::each(size, |ranks| {
            let trainer = ddpo(plan(), Box::new(MeanBrightness), ranks.clone());
            let mut run = Run::new(trainer, listening().0, StopFlag::new()).with_ranks(ranks);
            assert_eq!(run.run(1).unwrap(), Outcome::Finished);
            assert_eq!(run.step(1).unwrap(), Some(Outcome::Finished));
            assert_eq!(run.run(2).unwrap(), Outcome::Finished);
            run.learner().snapshot().unwrap()
        });
        assert!(ends.iter().all(|end| *end == whole), "{size} ranks");
    }
}

#[test]
fn a_rank_that_is_asked_to_stop_stops_all_at_a_boundary() {
    let stopped = Team::each(3, |ranks| {
        let stop = StopFlag::new();
        let trainer = ddpo(plan(), Box::new(MeanBrightness), ranks.clone());
        let mut run = Run::new(trainer, listening().0, stop.clone()).with_ranks(ranks.clone());
        // The base model is evaluated, then an epoch.
        assert!(run.step(9).unwrap().is_none() && run.step(9).unwrap().is_none());
        if ranks.rank() == 2 {
            stop.stop();
        }
        run.run(9).unwrap()
    });
    assert_eq!(stopped, [Outcome::Interrupted { epochs_done: 1 }; 3]);
}
