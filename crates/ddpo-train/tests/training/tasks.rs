//! Several tasks of one policy: whose epoch it is, what each remembers, and that twins are one.

use std::sync::{Arc, Mutex};

use ddpo_core::advantage::{AdvantageByRange, BatchAdvantage, PerPromptAdvantage};
use ddpo_core::objective::DdpoIs;
use ddpo_core::weighting::SparseWeights;
use ddpo_core::{Advantage, Grouping, Judge, Result, Reward, RewardBatch};
use ddpo_testing::{MeanBrightness, ToyPolicy};
use ddpo_train::{
    DdpoParts, DdpoPlan, DdpoTrainer, EpochRecord, EvalRecord, ForwardParts, ForwardTrainer, Learner, Parts, Ranks,
    Record, Run, RwrParts, RwrTrainer, SamplePlan, StopFlag, Task,
};

use crate::common::{
    Signed, Trainer, bits, encode_prompts, forward_parts, forward_plan, listening, parts, plan, rwr_parts, rwr_plan,
    sampling, timeless,
};

/// Prompts of training and of evaluation, by task.
type Lists<'a> = [(&'a [&'a str], &'a [&'a str])];

const CATS: (&[&str], &[&str]) = (&["a cat", "a dog", "a fish"], &["a bird", "a bee"]);
const ANTS: (&[&str], &[&str]) = (&["a cat", "an ant"], &["a fly"]);

fn task(name: &str, reward: impl Reward + 'static) -> Task {
    Task { name: name.to_owned(), reward: Judge::Image(Box::new(reward)), samples_per_prompt: None }
}

/// The parts of a run with these tasks.
pub fn with_tasks(shared: Parts<ToyPolicy, 4>, tasks: Vec<Task>, lists: &Lists<'_>) -> Parts<ToyPolicy, 4> {
    let joined = |texts: Vec<&[&str]>| {
        let lengths: Vec<usize> = texts.iter().map(|list| list.len()).collect();
        encode_prompts(&texts.concat(), &shared.device).in_lists(&lengths).unwrap()
    };
    let prompts = joined(lists.iter().map(|list| list.0).collect());
    let of_evaluation = joined(lists.iter().map(|list| list.1).collect());
    let evaluation =
        shared.evaluation.map(|evaluation| ddpo_train::Evaluation { prompts: of_evaluation, ..evaluation });
    Parts { tasks, prompts, evaluation, ..shared }
}

/// Two tasks that pull in opposite directions, one of which has fewer prompts.
pub fn opposed(shared: Parts<ToyPolicy, 4>) -> Parts<ToyPolicy, 4> {
    with_tasks(shared, vec![task("bright", Signed(1.0)), task("dark", Signed(-100.0))], &[CATS, ANTS])
}

/// Which remembers by task, and compares the second task's samples with all of an epoch.
pub fn opposed_advantage() -> Box<dyn Advantage> {
    let per_prompt = Box::new(PerPromptAdvantage::new(8, 2).unwrap());
    Box::new(AdvantageByRange::new(vec![(0..3, per_prompt), (3..5, Box::new(BatchAdvantage))]).unwrap())
}

fn ddpo(shared: Parts<ToyPolicy, 4>, advantage: Box<dyn Advantage>) -> Trainer {
    DdpoTrainer::new(plan(), DdpoParts { shared, objective: Box::new(DdpoIs::default()), advantage }).unwrap()
}

/// A trainer of both tasks.
pub fn opposed_trainer(ranks: Ranks) -> Trainer {
    ddpo(Parts { ranks, ..opposed(parts(Box::new(MeanBrightness))) }, opposed_advantage())
}

fn records(learner: impl Learner, epochs: u64) -> Vec<Record> {
    let (mut trackers, memory) = listening();
    Run::new(learner, &mut trackers, StopFlag::new()).run(epochs).unwrap();
    timeless(memory.records())
}

fn evals(records: &[Record]) -> Vec<EvalRecord> {
    records.iter().filter_map(|r| if let Record::Eval(eval) = r { Some(eval.clone()) } else { None }).collect()
}

fn epochs(records: &[Record]) -> Vec<EpochRecord> {
    records.iter().filter_map(|r| if let Record::Epoch(epoch) = r { Some(epoch.clone()) } else { None }).collect()
}

/// Brightness, and the prompts that it was asked about.
struct Listener(Arc<Mutex<Vec<String>>>, f32);

impl Reward for Listener {
    fn name(&self) -> &str {
        "listener"
    }

    fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        self.0.lock().unwrap().extend(batch.prompts.iter().cloned());
        Signed(self.1).score(batch)
    }
}

#[test]
fn tasks_have_epochs_in_turns_with_prompts_and_groups_of_their_own() {
    let (first, second) = (Arc::default(), Arc::default());
    let grouped = Task { samples_per_prompt: Some(4), ..task("grouped", Listener(Arc::clone(&second), -1.0)) };
    let shared = with_tasks(
        Parts { evaluation: None, ..parts(Box::new(MeanBrightness)) },
        vec![task("single", Listener(Arc::clone(&first), 1.0)), grouped],
        &[CATS, ANTS],
    );
    let records = records(ddpo(shared, Box::new(BatchAdvantage)), 3);
    let (first, second): (Vec<String>, Vec<String>) = (first.lock().unwrap().clone(), second.lock().unwrap().clone());
    assert_eq!((first.len(), second.len()), (48, 24));
    assert!(first.iter().all(|prompt| CATS.0.contains(&prompt.as_str())) && second.iter().any(|p| p == "an ant"));
    assert!(second.chunks(4).all(|group| group.iter().all(|prompt| *prompt == group[0])), "{second:?}");
    assert!(first.chunks(4).any(|group| group.iter().any(|prompt| *prompt != group[0])), "{first:?}");
    let epochs = epochs(&records);
    let names: Vec<_> = epochs.iter().map(|epoch| epoch.task.as_deref().unwrap()).collect();
    assert_eq!(names, ["single", "grouped", "single"]);
    assert!(epochs[0].reward_mean > 0.0 && epochs[1].reward_mean < 0.0 && epochs[2].reward_mean > 0.0);
    assert_eq!(epochs[2].reward_queries, 72);
}

/// The law: whose epoch it is changes no byte where the tasks want the same.
#[test]
fn twins_with_an_epoch_each_are_one_task_with_two() {
    fn twins(shared: Parts<ToyPolicy, 4>, names: &[&str]) -> Parts<ToyPolicy, 4> {
        let tasks = names.iter().map(|name| task(name, MeanBrightness)).collect();
        with_tasks(shared, tasks, &vec![CATS; names.len()])
    }
    let ddpo = |names: &[&str]| {
        let batch = || Box::new(BatchAdvantage) as Box<dyn Advantage>;
        let estimators = (0..names.len()).map(|task| (3 * task..3 * task + 3, batch())).collect();
        let advantage = Box::new(AdvantageByRange::new(estimators).unwrap());
        let mut trainer = ddpo(twins(parts(Box::new(MeanBrightness)), names), advantage);
        records(&mut trainer, 4);
        bits(trainer.policy())
    };
    let rwr = |names: &[&str]| {
        let weighting = Box::new(ddpo_core::weighting::SoftmaxWeights::new(10.0, Grouping::Prompt).unwrap());
        let parts = rwr_parts(Box::new(MeanBrightness), weighting);
        let mut trainer =
            RwrTrainer::new(rwr_plan(), RwrParts { shared: twins(parts.shared, names), ..parts }).unwrap();
        records(&mut trainer, 4);
        bits(trainer.policy())
    };
    let forward = |names: &[&str]| {
        let parts = forward_parts(Box::new(MeanBrightness));
        let parts = ForwardParts { advantage: Box::new(BatchAdvantage), shared: twins(parts.shared, names), ..parts };
        let mut trainer = ForwardTrainer::new(forward_plan(), parts).unwrap();
        records(&mut trainer, 4);
        bits(trainer.policy())
    };
    for (what, end) in [("ddpo", &ddpo as &dyn Fn(&[&str]) -> Vec<u32>), ("rwr", &rwr), ("forward", &forward)] {
        let one = end(&[""]);
        assert!(one == end(&["a", "b"]), "{what}: two");
        assert!(one == end(&["a", "b", "c"]), "{what}: three");
    }
}

/// What is remembered of a prompt's rewards is remembered by task, also where both ask for it.
#[test]
fn memory_is_kept_by_task() {
    let snapshot = |advantage: Box<dyn Advantage>| {
        let mut trainer = ddpo(opposed(parts(Box::new(MeanBrightness))), advantage);
        records(&mut trainer, 2);
        trainer.snapshot().unwrap()
    };
    let per_prompt = || Box::new(PerPromptAdvantage::new(64, 2).unwrap());
    let remembered: Vec<(u64, Vec<f32>)> = snapshot(per_prompt())
        .tensors
        .into_iter()
        .filter_map(|tensor| Some((tensor.name.strip_prefix("advantage/")?.parse().unwrap(), tensor.values)))
        .collect();
    // The cat of the first task is 0, that of the second is 3.
    assert!(remembered.iter().any(|(id, _)| *id == 0) && remembered.iter().any(|(id, _)| *id == 3));
    for (id, values) in &remembered {
        assert!(values.iter().all(|value| (*value > 0.0) == (*id < 3)), "{id}: {values:?}");
    }
    assert_eq!(remembered.iter().map(|(_, values)| values.len()).sum::<usize>(), 48);
}

#[test]
fn every_task_is_evaluated_as_it_is_alone() {
    let joint = evals(&records(opposed_trainer(Ranks::default()), 2));
    let alone = |reward: Signed, list| {
        let shared =
            with_tasks(parts(Box::new(MeanBrightness)), vec![Task::only(Judge::Image(Box::new(reward)))], &[list]);
        evals(&records(ddpo(shared, Box::new(BatchAdvantage)), 0)).remove(0)
    };
    let (bright, dark) = (alone(Signed(1.0), CATS), alone(Signed(-100.0), ANTS));
    let tasks = &joint[0].tasks;
    assert_eq!(tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["bright", "dark"]);
    assert_eq!((&tasks[0].rewards, &tasks[1].rewards), (&bright.rewards, &dark.rewards));
    assert_eq!((tasks[0].reward_mean, tasks[1].reward_mean), (bright.reward_mean, dark.reward_mean));
    assert_eq!((joint[0].reward_mean, joint[0].improved, tasks[0].improved), (0.0, None, None));
    // Both have pictures, in turns, and what is held out judges all of them.
    let held_out = &joint[0].held_out_rewards["mean-brightness"];
    let wanted = [bright.rewards[0], dark.rewards[0] / -100.0, bright.rewards[1], dark.rewards[1] / -100.0];
    assert_eq!((held_out.len(), joint[0].rewards.len()), (20, 20));
    assert!(held_out.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-6), "{held_out:?}");
    // Later, gains are in deviations of the base model's, task by task.
    let last = joint.last().unwrap();
    let gain = |task: usize| {
        let base = &joint[0].tasks[task].rewards;
        let mean = joint[0].tasks[task].reward_mean;
        let variance = base.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / base.len() as f64;
        (last.tasks[task].reward_mean - mean) / variance.sqrt()
    };
    assert!(
        (last.reward_mean - (gain(0) + gain(1)) / 2.0).abs() < 1e-9,
        "{} {} {}",
        last.reward_mean,
        gain(0),
        gain(1)
    );
    assert!(last.improved.is_some() && last.tasks[1].improved.is_some());
}

#[test]
fn tasks_on_the_same_prompts_are_evaluated_on_the_same_pictures() {
    let same = vec![task("bright", Signed(1.0)), task("dark", Signed(-1.0))];
    let shared = with_tasks(parts(Box::new(MeanBrightness)), same, &[CATS, (&["an ant"], CATS.1)]);
    let eval = evals(&records(ddpo(shared, Box::new(BatchAdvantage)), 0)).remove(0);
    assert_eq!((eval.rewards.len(), eval.tasks[0].rewards.len()), (10, 10));
    assert!(eval.tasks[0].rewards.iter().zip(&eval.tasks[1].rewards).all(|(a, b)| *a == -b));
}

/// Stopped after an odd number of epochs, it is the second task's turn.
#[test]
fn a_run_goes_on_with_the_task_whose_turn_it_is() {
    let whole = records(opposed_trainer(Ranks::default()), 5);
    for stop in [1, 2, 3] {
        let (mut first, mut second) = (opposed_trainer(Ranks::default()), opposed_trainer(Ranks::default()));
        records(&mut first, stop);
        second.restore(&first.snapshot().unwrap()).unwrap();
        let rest = records(&mut second, 5);
        assert_eq!(rest[..], whole[whole.len() - rest.len()..], "after {stop}");
    }
    // So do weights that remember.
    let rwr = || {
        let parts =
            rwr_parts(Box::new(MeanBrightness), Box::new(SparseWeights::new(60.0, Grouping::Prompt, 12, 2).unwrap()));
        RwrTrainer::new(rwr_plan(), RwrParts { shared: opposed(parts.shared), ..parts }).unwrap()
    };
    let (mut whole, mut first, mut second) = (rwr(), rwr(), rwr());
    records(&mut whole, 4);
    records(&mut first, 3);
    second.restore(&first.snapshot().unwrap()).unwrap();
    records(&mut second, 4);
    assert!(whole.snapshot().unwrap() == second.snapshot().unwrap());
}

#[test]
fn tasks_that_cannot_be_told_apart_are_refused() {
    let refused = |tasks: Vec<Task>, lists: &Lists<'_>| {
        let shared = with_tasks(parts(Box::new(MeanBrightness)), tasks, lists);
        let (objective, advantage) = (Box::new(DdpoIs::default()), Box::new(BatchAdvantage));
        DdpoTrainer::new(plan(), DdpoParts { shared, objective, advantage }).err().unwrap().to_string()
    };
    let two = |names: [&str; 2]| names.map(|name| task(name, MeanBrightness)).into_iter().collect::<Vec<_>>();
    assert!(refused(two(["a", "a"]), &[CATS, ANTS]).contains("names of tasks"));
    assert!(refused(two(["a", ""]), &[CATS, ANTS]).contains("names of tasks"));
    assert!(refused(two(["a", "b"]), &[CATS]).contains("lists of prompts, one a task"));
    assert!(refused(Vec::new(), &[CATS]).contains("lists of prompts, one a task"));
    let seven = Task { samples_per_prompt: Some(7), ..task("a", MeanBrightness) };
    assert!(refused(vec![seven], &[CATS]).contains("samples per prompt of a task is 7"));
    // Pairs stay together in every task.
    let three = || vec![Task { samples_per_prompt: Some(3), ..task("a", MeanBrightness) }];
    let pairwise = Box::new(ddpo_core::objective::Pairwise::default());
    let shared = with_tasks(parts(Box::new(MeanBrightness)), three(), &[CATS]);
    let plan = DdpoPlan { sampling: SamplePlan { samples_per_prompt: 2, ..sampling() }, ..plan() };
    let parts = DdpoParts { shared, objective: pairwise, advantage: Box::new(ddpo_core::advantage::PairAdvantage) };
    assert!(DdpoTrainer::new(plan, parts).err().unwrap().to_string().contains("a multiple of 2"));
}
