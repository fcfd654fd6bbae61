//! Several ranks do what one does: the same bytes, and they end together.

use ddpo_core::advantage::PerPromptAdvantage;
use ddpo_core::objective::DdpoIs;
use ddpo_core::weighting::SoftmaxWeights;
use ddpo_core::{Grouping, Reward, RewardBatch};
use ddpo_testing::{MeanBrightness, ToyPolicy};
use ddpo_train::{
    DdpoParts, DdpoPlan, DdpoTrainer, Error, ForwardParts, ForwardTrainer, Learner, NonFinitePolicy, Outcome, Parts,
    Ranks, Record, Run, RwrParts, RwrTrainer, SamplePlan, Snapshot, StopFlag, Team,
};

use crate::common::{
    Signed, Trainer, forward_parts, forward_plan, listening, parts, plan, rwr_parts, rwr_plan, sampling, timeless,
};

/// Where two epochs lead, and what is said on the way.
fn outcome(learner: impl Learner, ranks: Ranks) -> (Snapshot, Vec<Record>) {
    let (trackers, memory) = listening();
    let mut run = Run::new(learner, trackers, StopFlag::new()).with_ranks(ranks);
    assert_eq!(run.run(2).unwrap(), Outcome::Finished);
    (run.learner().snapshot().unwrap(), timeless(memory.records()))
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
    check("ddpo", |ranks| ddpo(plan(), Box::new(MeanBrightness), ranks));
}

#[test]
fn any_number_of_ranks_regresses_to_the_same_bytes() {
    check("rwr", |ranks| {
        let weighting = Box::new(SoftmaxWeights::new(10.0, Grouping::Epoch).unwrap());
        let parts = rwr_parts(Box::new(MeanBrightness), weighting);
        RwrTrainer::new(rwr_plan(), RwrParts { shared: Parts { ranks, ..parts.shared }, ..parts }).unwrap()
    });
}

#[test]
fn any_number_of_ranks_corrects_targets_to_the_same_bytes() {
    check("forward", |ranks| {
        let parts = forward_parts(Box::new(MeanBrightness));
        let parts = ForwardParts { shared: Parts { ranks, ..parts.shared }, ..parts };
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
    let trainer = ddpo(plan(), Box::new(MeanBrightness), Ranks::default());
    let mut run = Run::new(trainer, listening().0, StopFlag::new());
    assert_eq!(run.run(1).unwrap(), Outcome::Finished);
    assert_eq!(run.step(1).unwrap(), Some(Outcome::Finished));
    assert_eq!(run.run(2).unwrap(), Outcome::Finished);
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
