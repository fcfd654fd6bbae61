//! Rewards of sets: what they see, and that no batch size is part of it.

use ddpo_core::advantage::BatchAdvantage;
use ddpo_core::objective::DdpoIs;
use ddpo_core::{Grouping, Judge, Result, Reward, RewardBatch, SetReward};
use ddpo_testing::MeanBrightness;
use ddpo_train::{DdpoParts, DdpoPlan, DdpoTrainer, Record, Run, SamplePlan, StopFlag};

use crate::common::{listening, parts, plan, sampling, timeless};

/// How much brighter an image is than the mean of its set, as many times as the set has images.
pub struct Brighter;

impl SetReward for Brighter {
    fn name(&self) -> &str {
        "brighter"
    }

    fn score(&self, set: &RewardBatch<'_>) -> Result<Vec<f32>> {
        let values = MeanBrightness.score(set)?;
        let sum: f32 = values.iter().sum();
        Ok(values.iter().map(|value| value * values.len() as f32 - sum).collect())
    }
}

/// The records of two epochs with 24 samples, `sample_batch` at a time, optimised by a reward of sets.
fn records(over: Grouping, sample_batch: usize) -> Vec<Record> {
    let mut shared = parts(Box::new(MeanBrightness));
    shared.tasks[0].reward = Judge::Set { reward: Box::new(Brighter), over };
    let evaluation = shared.evaluation.as_mut().unwrap();
    evaluation.batch = sample_batch;
    evaluation.held_out = vec![Judge::Set { reward: Box::new(Brighter), over: Grouping::Epoch }];
    let (objective, advantage) = (Box::new(DdpoIs::default()), Box::new(BatchAdvantage));
    let plan = DdpoPlan {
        sampling: SamplePlan { sample_batch, batches_per_epoch: 24 / sample_batch, ..sampling() },
        ..plan()
    };
    let mut trainer = DdpoTrainer::new(plan, DdpoParts { shared, objective, advantage }).unwrap();
    let (mut trackers, memory) = listening();
    Run::new(&mut trainer, &mut trackers, StopFlag::new()).run(2).unwrap();
    timeless(memory.records())
}

#[test]
fn scores_do_not_depend_on_the_batch() {
    for over in [Grouping::Prompt, Grouping::Epoch] {
        let whole = records(over, 24);
        for sample_batch in [1, 4, 6] {
            assert_eq!(records(over, sample_batch), whole, "{over:?} in batches of {sample_batch}");
        }
    }
    assert_ne!(records(Grouping::Prompt, 6), records(Grouping::Epoch, 6));
}
