//! What an evaluation says of a run as a whole, where each task has pictures and a reward of its own.
//!
//! Rewards of different tasks cannot be added as they are. The reward of a whole evaluation is counted in standard deviations of the base
//! model's pictures from their mean, task by task: 0 for the base model, and a task that asks for kilobytes counts as much as one
//! that asks for shares.

use std::collections::BTreeMap;

use ddpo_core::distance::ModelDistance;
use ddpo_core::{Judge, RgbImage};

use super::evaluation::share_as_asked;
use super::scores::Scores;
use crate::prompts::EncodedPrompts;
use crate::record::TaskEvalRecord;

/// The pictures of an evaluation and the divergence of the chains they ended.
pub(super) struct Sampled {
    pub images: Vec<RgbImage>,
    pub kl: Vec<f64>,
    pub distances: Vec<ModelDistance>,
}

/// The pictures of a list of prompts, and what the tasks say of them that have it.
pub(super) struct View {
    /// The tasks, by their numbers.
    pub tasks: Vec<usize>,
    /// The prompt of each picture.
    pub prompts: Vec<String>,
    pub sampled: Sampled,
    /// What their rewards say, and then those which are not optimised.
    pub scores: Vec<Scores>,
    /// Which pictures are as asked for, where somebody can tell.
    pub as_asked: Option<Vec<Option<bool>>>,
}

/// What views have of each picture, one view after the other for each number of a picture, so that the first few are of all.
pub(super) fn each<T: Clone>(views: &[View], of: impl Fn(&View) -> &[T]) -> Vec<T> {
    in_turns(&views.iter().map(of).collect::<Vec<_>>())
}

fn in_turns<T: Clone>(lists: &[&[T]]) -> Vec<T> {
    let longest = lists.iter().map(|list| list.len()).max().unwrap_or(0);
    (0..longest).flat_map(|i| lists.iter().filter_map(move |list| list.get(i).cloned())).collect()
}

/// The scores of each task, in their order, with its view.
fn tasks(views: &[View]) -> Vec<(&View, &Scores)> {
    let mut found: Vec<_> = views
        .iter()
        .flat_map(|view| view.tasks.iter().zip(&view.scores).map(move |(task, scores)| (task, view, scores)))
        .collect();
    found.sort_by_key(|(task, ..)| **task);
    found.into_iter().map(|(_, view, scores)| (view, scores)).collect()
}

/// The rewards of all tasks, one behind the other.
pub(super) fn by_task(views: &[View]) -> Vec<f32> {
    tasks(views).into_iter().flat_map(|(_, scores)| scores.reported.iter().copied()).collect()
}

/// The base model's rewards of a task.
fn base_of(base: &[f32], task: usize, count: usize) -> &[f32] {
    base.get(task * count..(task + 1) * count).unwrap_or_default()
}

/// The reward of each picture. With tasks, in standard deviations of the base model's, a mean over the tasks that judge it.
pub(super) fn rewards(views: &[View], names: &[&str], base: &[f32]) -> Vec<f32> {
    if names.is_empty() {
        return by_task(views);
    }
    let gains = views.iter().map(|view| {
        let count = view.prompts.len();
        let scales: Vec<_> = view.tasks.iter().map(|&task| Scale::of(base_of(base, task, count))).collect();
        let gain = |i: usize| {
            mean(scales.iter().zip(&view.scores).map(|(scale, scores)| scale.gain(scores.reported[i].into())))
        };
        (0..count).map(|i| gain(i) as f32).collect::<Vec<_>>()
    });
    let gains: Vec<Vec<f32>> = gains.collect();
    in_turns(&gains.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The mean of [`rewards`], without their rounding: 0 for the base model of a run with tasks.
pub(super) fn reward_mean(views: &[View], names: &[&str], base: &[f32]) -> f64 {
    if names.is_empty() {
        return mean_of(&by_task(views));
    }
    let gain = |view: &View| {
        let of = |(&task, scores): (&usize, &Scores)| {
            Scale::of(base_of(base, task, view.prompts.len())).gain(mean_of(&scores.reported))
        };
        mean(view.tasks.iter().zip(&view.scores).map(of))
    };
    mean(views.iter().map(gain))
}

/// The rewards which are not optimised, of all pictures.
pub(super) fn held_out(views: &[View], judges: &[Judge]) -> BTreeMap<String, Vec<f32>> {
    let of = |(number, judge): (usize, &Judge)| {
        (judge.name().to_owned(), each(views, |view| &view.scores[view.tasks.len() + number].reported))
    };
    judges.iter().enumerate().map(of).collect()
}

/// The means of what the rewards are made of, those of tasks behind their names.
pub(super) fn reward_parts(views: &[View], names: &[&str]) -> BTreeMap<String, f64> {
    let of = |(task, (_, scores)): (usize, (&View, &Scores))| {
        let prefix = names.get(task).map(|name| format!("{name}/")).unwrap_or_default();
        scores.parts.iter().map(|(part, &value)| (format!("{prefix}{part}"), value)).collect::<Vec<_>>()
    };
    tasks(views).into_iter().enumerate().flat_map(of).collect()
}

/// Which pictures are as asked for, where somebody can tell.
pub(super) fn verdicts(views: &[View]) -> Option<Vec<Option<bool>>> {
    let known = views.iter().all(|view| view.as_asked.is_some());
    known.then(|| each(views, |view| view.as_asked.as_deref().unwrap_or_default()))
}

/// For each task the share of its prompts whose pictures are worth more than the base model's, in the mean.
pub(super) fn improved(views: &[View], prompts: &EncodedPrompts, base: &[f32]) -> Vec<f64> {
    let share = |(task, (_, scores)): (usize, (&View, &Scores))| {
        let rewards = &scores.reported;
        share_improved(base_of(base, task, rewards.len()), rewards, prompts.list(task).len())
    };
    tasks(views).into_iter().enumerate().map(share).collect()
}

/// The share of `prompts` prompts whose samples are worth more than the base model's, in the mean; sample i has the prompt i modulo
/// their number.
fn share_improved(base: &[f32], rewards: &[f32], prompts: usize) -> f64 {
    let gain = |prompt: usize| {
        let rows = rewards.iter().zip(base).skip(prompt).step_by(prompts.max(1));
        rows.map(|(now, before)| f64::from(*now) - f64::from(*before)).sum::<f64>()
    };
    let seen = prompts.min(rewards.len()).max(1);
    (0..seen).filter(|&prompt| gain(prompt) > 0.0).count() as f64 / seen as f64
}

/// What each task says by itself; nothing of a run without tasks.
pub(super) fn records(views: &[View], names: &[&str], improved: Option<&Vec<f64>>) -> Vec<TaskEvalRecord> {
    let record = |(task, (name, (view, scores))): (usize, (&&str, (&View, &Scores)))| TaskEvalRecord {
        name: (*name).to_owned(),
        reward_mean: mean_of(&scores.reported),
        as_asked: view.as_asked.as_deref().and_then(share_as_asked),
        improved: improved.and_then(|shares| shares.get(task).copied()),
        rewards: scores.reported.clone(),
    };
    names.iter().zip(tasks(views)).enumerate().map(record).collect()
}

/// Where a task's rewards begin, and what is much for them.
struct Scale {
    mean: f64,
    deviation: f64,
}

impl Scale {
    /// That of these rewards; where they are all alike, of differences as they are.
    fn of(base: &[f32]) -> Self {
        let mean_of_base = mean_of(base);
        let variance = mean(base.iter().map(|&value| (f64::from(value) - mean_of_base).powi(2)));
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        Self { mean: mean_of_base, deviation }
    }

    fn gain(&self, reward: f64) -> f64 {
        (reward - self.mean) / self.deviation
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

fn mean_of(values: &[f32]) -> f64 {
    mean(values.iter().map(|&value| f64::from(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(tasks: &[usize], rewards: &[&[f32]]) -> View {
        let scores = |values: &&[f32]| Scores {
            reported: values.to_vec(),
            parts: [("p".to_owned(), 1.0)].into(),
            ..Scores::default()
        };
        View {
            tasks: tasks.to_vec(),
            prompts: vec![format!("of {tasks:?}"); rewards[0].len()],
            sampled: Sampled { images: Vec::new(), kl: Vec::new(), distances: Vec::new() },
            scores: rewards.iter().map(scores).collect(),
            as_asked: None,
        }
    }

    /// The tasks 0 and 2 on the same pictures, and the task 1.
    fn views(second: &[f32]) -> Vec<View> {
        vec![view(&[0, 2], &[&[1.0, 3.0], second]), view(&[1], &[&[5.0, 5.0]])]
    }

    #[test]
    fn tasks_have_their_own_order_and_pictures_turns() {
        let views = views(&[10.0, 30.0]);
        assert_eq!(by_task(&views), [1.0, 3.0, 5.0, 5.0, 10.0, 30.0]);
        assert_eq!(each(&views, |view| &view.prompts), ["of [0, 2]", "of [1]", "of [0, 2]", "of [1]"]);
        let names = ["a", "b", "c"];
        assert_eq!(reward_parts(&views, &names).into_keys().collect::<Vec<_>>(), ["a/p", "b/p", "c/p"]);
        let records = records(&views, &names, None);
        assert_eq!(records.iter().map(|record| record.reward_mean).collect::<Vec<_>>(), [2.0, 5.0, 20.0]);
        assert_eq!(records[2].rewards, [10.0, 30.0]);
    }

    #[test]
    fn gains_are_in_deviations_of_the_base_model_and_the_base_model_has_none() {
        let (names, before) = (["a", "b", "c"], views(&[10.0, 30.0]));
        let base = by_task(&before);
        assert_eq!(reward_mean(&before, &names, &base), 0.0);
        // The deviations are 1 and 10; the task whose pictures are all alike counts as it is.
        assert_eq!(rewards(&before, &names, &base), [-1.0, 0.0, 1.0, 0.0]);
        let after = vec![view(&[0, 2], &[&[2.0, 4.0], &[10.0, 30.0]]), view(&[1], &[&[5.5, 5.5]])];
        assert_eq!(rewards(&after, &names, &base), [-0.5, 0.5, 1.5, 0.5]);
        assert_eq!(reward_mean(&after, &names, &base), 0.5);
        // Without names, a run's rewards are its own.
        assert_eq!(rewards(&after[1..], &[], &base), [5.5, 5.5]);
        assert_eq!(reward_mean(&after[1..], &[], &base), 5.5);
    }

    #[test]
    fn prompts_improve_by_the_mean_of_their_samples() {
        // Two prompts, three samples: the first prompt has the rows 0 and 2.
        let share = |rewards: [f32; 3]| share_improved(&[1.0, 1.0, 1.0], &rewards, 2);
        assert_eq!([share([0.0, 2.0, 1.5]), share([0.0, 2.0, 2.5]), share([1.0; 3])], [0.5, 1.0, 0.0]);
    }
}
