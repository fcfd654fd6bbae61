//! Rewards at work while more pictures are sampled: that they are, and that it changes no byte.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ddpo_core::advantage::BatchAdvantage;
use ddpo_core::objective::DdpoIs;
use ddpo_core::{Assessment, Grouping, Judge, Result, Reward, RewardBatch, SetReward};
use ddpo_testing::MeanBrightness;
use ddpo_train::{DdpoParts, DdpoTrainer, Event, Observer, Record, Remark, Run, StopFlag, Tracker};

use crate::common::{Trainer, bits, listening, parts, plan, timeless};

/// A counter that others wait for.
#[derive(Clone, Default)]
struct Counter(Arc<(Mutex<usize>, Condvar)>);

impl Counter {
    fn add(&self) {
        *self.0.0.lock().unwrap() += 1;
        self.0.1.notify_all();
    }

    fn get(&self) -> usize {
        *self.0.0.lock().unwrap()
    }

    /// Whether it gets so far; not to wait for ever is what makes a test fail instead of hang.
    fn reaches(&self, count: usize) -> bool {
        let found = self.0.0.lock().unwrap();
        let (found, _) = self.0.1.wait_timeout_while(found, Duration::from_secs(20), |found| *found < count).unwrap();
        *found >= count
    }
}

/// Brightness, which is only said once more batches have been decoded.
struct Patient {
    decoded: Counter,
    asked: Counter,
}

impl Reward for Patient {
    fn name(&self) -> &str {
        "patient"
    }

    fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        self.asked.add();
        match self.decoded.reaches(2) {
            true => MeanBrightness.score(batch),
            false => Err(ddpo_core::Error::reward("patient", "sampling waits for the reward")),
        }
    }
}

/// A trainer without an evaluation, of four batches an epoch; `on_decode` hears of each, from 1.
fn trainer(judge: Judge, on_decode: impl Fn(usize) + Send + Sync + 'static, lanes: usize) -> Trainer {
    let mut shared = parts(Box::new(MeanBrightness));
    let (inner, count) =
        (std::mem::replace(&mut shared.decoder, Box::new(|_: &_| Ok(Vec::new()))), AtomicUsize::new(0));
    shared.decoder = Box::new(move |states: &_| {
        on_decode(count.fetch_add(1, Ordering::SeqCst) + 1);
        inner.decode(states)
    });
    (shared.tasks[0].reward, shared.evaluation, shared.lanes) = (judge, None, lanes);
    let (objective, advantage) = (Box::new(DdpoIs::default()), Box::new(BatchAdvantage));
    DdpoTrainer::new(plan(), DdpoParts { shared, objective, advantage }).unwrap()
}

fn epoch(trainer: &mut Trainer) -> ddpo_train::Result<()> {
    let (mut trackers, _) = listening();
    trainer.epoch(&mut Observer::new(&mut trackers, &StopFlag::new()))
}

#[test]
fn a_batch_is_scored_while_the_next_ones_are_sampled() {
    let (decoded, asked) = (Counter::default(), Counter::default());
    let judge = Judge::Image(Box::new(Patient { decoded: decoded.clone(), asked: asked.clone() }));
    let (heard, waited) = (decoded.clone(), asked.clone());
    // The last batch is there only after the first question, which is answered only after the second batch.
    let on_decode = move |count| {
        heard.add();
        assert!(count < 4 || waited.reaches(1), "the reward waits for the end of sampling");
    };
    epoch(&mut trainer(judge, on_decode, 1)).unwrap();
    assert_eq!((decoded.get(), asked.get()), (4, 4));
}

/// Brightness as a reward of sets, which nothing can be said of before all pictures are there.
struct Late;

impl SetReward for Late {
    fn name(&self) -> &str {
        "mean-brightness"
    }

    fn score(&self, set: &RewardBatch<'_>) -> Result<Vec<f32>> {
        MeanBrightness.score(set)
    }
}

fn result(judge: Judge, lanes: usize) -> (Vec<Record>, Vec<u32>) {
    let mut trainer = trainer(judge, |_| {}, lanes);
    let (mut trackers, memory) = listening();
    Run::new(&mut trainer, &mut trackers, StopFlag::new()).run(3).unwrap();
    (timeless(memory.records()), bits(trainer.policy()))
}

#[test]
fn the_result_is_the_one_without_overlap() {
    let late = result(Judge::Set { reward: Box::new(Late), over: Grouping::Epoch }, 1);
    for lanes in [1, 3] {
        assert_eq!(result(Judge::Image(Box::new(MeanBrightness)), lanes), late, "{lanes} lanes");
    }
}

/// A reward that fails.
struct Failing(Counter);

impl Reward for Failing {
    fn name(&self) -> &str {
        "failing"
    }

    fn score(&self, _: &RewardBatch<'_>) -> Result<Vec<f32>> {
        self.0.add();
        Err(ddpo_core::Error::reward("failing", "no server"))
    }
}

#[test]
fn a_reward_that_fails_ends_the_sampling() {
    let (asked, decoded) = (Counter::default(), Counter::default());
    let (waited, heard) = (asked.clone(), decoded.clone());
    let on_decode = move |count| {
        heard.add();
        if count > 1 {
            assert!(waited.reaches(1));
            // The failure is on its way from the other thread.
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let error = epoch(&mut trainer(Judge::Image(Box::new(Failing(asked.clone()))), on_decode, 1)).unwrap_err();
    assert_eq!(error.to_string(), "reward `failing` failed");
    assert!(asked.get() == 1 && decoded.get() <= 2, "{} batches", decoded.get());
}

/// Brightness with words, parts and a picture that is left out of every batch.
struct Talking;

impl Reward for Talking {
    fn name(&self) -> &str {
        "talking"
    }

    fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        MeanBrightness.score(batch)
    }

    fn assess(&self, batch: &RewardBatch<'_>) -> Result<Assessment> {
        let mut said = Assessment::of(self.score(batch)?);
        said.parts.insert("precision".to_owned(), vec![0.5; batch.images.len()]);
        (said.values[1], said.left_out) = (f32::NAN, vec![1]);
        said.remarks = vec![(0, format!("{} is bright", batch.prompts[0]))];
        said.warnings = vec!["asked twice".to_owned()];
        Ok(said)
    }
}

/// The remarks that were heard, with the number of their epoch.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(u64, Remark)>>>);

impl Tracker for Heard {
    fn name(&self) -> &str {
        "heard"
    }

    fn record(&mut self, event: &Event<'_>) -> ddpo_train::Result<()> {
        if let Event::Remarks(said) = event {
            self.0.lock().unwrap().extend(said.remarks.iter().map(|remark| (said.epoch, remark.clone())));
        }
        Ok(())
    }
}

#[test]
fn what_a_reward_says_besides_numbers_is_told_and_what_it_leaves_out_has_no_part() {
    let (trackers, memory) = listening();
    let heard = Heard::default();
    let mut trackers = trackers.with(heard.clone());
    // The reward's own policy decides, whatever the run's is.
    let mut trainer = trainer(Judge::Image(Box::new(Talking)), |_| {}, 1);
    trainer.epoch(&mut Observer::new(&mut trackers, &StopFlag::new())).unwrap();
    let records = memory.records();
    let Some(Record::Epoch(record)) = records.last() else { panic!("no epoch") };
    assert_eq!((record.left_out, record.reward_parts["precision"]), (4, 0.5));
    let heard = heard.0.lock().unwrap().clone();
    assert_eq!(heard.iter().map(|(_, remark)| remark.sample).collect::<Vec<_>>(), [0, 6, 12, 18]);
    assert!(heard.iter().all(|(epoch, remark)| *epoch == 1 && remark.text == format!("{} is bright", remark.prompt)));
    let warning = "the reward `talking` in epoch 1: asked twice";
    assert_eq!(memory.warnings(), [warning; 4]);
}
