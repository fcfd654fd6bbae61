//! The prompts of a run: one list to train on and one to evaluate on, or such for each task.

use std::collections::BTreeSet;

use crate::config::RunPlan;
use crate::error::Result;
use crate::prompts::{PromptList, PromptSplit};

/// The prompts that a run draws, by task.
#[derive(Clone, Debug)]
pub struct RunPrompts {
    /// Those of each task; of a run without tasks, one.
    tasks: Vec<PromptSplit>,
    /// All of them, one task's behind the other's.
    all: PromptSplit,
}

impl RunPrompts {
    /// Loads the prompts of a plan. What one task is evaluated on no task trains on, where its own training leaves it out: what an
    /// evaluation calls unseen is so for the whole run.
    ///
    /// # Errors
    ///
    /// Fails when a source has no prompts, or evaluation leaves none to train on.
    pub fn load(plan: &RunPlan) -> Result<Self> {
        let tasks = match plan.tasks.as_slice() {
            [] => vec![PromptSplit::load(&plan.prompts, plan.eval_prompts.as_ref())?],
            tasks => {
                let split =
                    |task: &crate::config::TaskPlan| PromptSplit::load(&task.prompts, task.eval_prompts.as_ref());
                unseen_by_all(tasks.iter().map(split).collect::<Result<_>>()?)
            }
        };
        let all = match tasks.as_slice() {
            [only] => only.clone(),
            tasks => PromptSplit::joined(tasks),
        };
        Ok(Self { tasks, all })
    }

    /// Those of each task, in their order; of a run without tasks, one.
    pub fn tasks(&self) -> &[PromptSplit] {
        &self.tasks
    }

    /// All of them, one task's behind the other's.
    pub fn all(&self) -> &PromptSplit {
        &self.all
    }

    /// What is trained on, by any task: that of several once.
    pub(super) fn trained(&self) -> PromptList {
        match self.tasks.as_slice() {
            [only] => only.training.clone(),
            _ => {
                let mut known = BTreeSet::new();
                let texts = self.all.training.texts.iter().filter(|text| known.insert(text.as_str()));
                texts.cloned().collect::<Vec<_>>().into()
            }
        }
    }
}

#[cfg(test)]
impl RunPrompts {
    /// Those of a run without tasks that is trained and evaluated on these.
    pub(super) fn only(training: PromptList) -> Self {
        let all = PromptSplit { evaluation: training.clone(), training, disjoint: false };
        Self { tasks: vec![all.clone()], all }
    }
}

/// Takes out of each task's training what another task is evaluated on, and says of each whether nobody trains on what it is
/// evaluated on.
fn unseen_by_all(mut tasks: Vec<PromptSplit>) -> Vec<PromptSplit> {
    let set_aside = tasks.iter().filter(|task| task.disjoint).flat_map(|task| task.evaluation.texts.clone());
    let set_aside: BTreeSet<String> = set_aside.collect();
    for task in tasks.iter_mut().filter(|task| task.disjoint) {
        // A task that would have nothing left keeps what it has, and then it is seen.
        if let Some(training) = task.training.without(&set_aside) {
            task.training = training;
        }
    }
    let trained: BTreeSet<String> = tasks.iter().flat_map(|task| task.training.texts.clone()).collect();
    for task in &mut tasks {
        task.disjoint &= !task.evaluation.texts.iter().any(|text| trained.contains(text));
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn load(tasks: &str) -> RunPrompts {
        let mut layers = Layers::default();
        layers.push_toml("test", tasks).unwrap();
        RunPrompts::load(&RunPlan::new(layers.resolve().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn what_one_task_is_evaluated_on_no_other_trains_on() {
        let prompts = load(
            "[[task]]\nname = \"a\"\n[[task]]\nname = \"b\"\nprompts = { kind = \"imagenet-animals\" }\n\
             eval-prompts = [\"cat\", \"unicorn\"]",
        );
        let [a, b] = prompts.tasks() else { panic!("{prompts:?}") };
        assert!(a.disjoint && b.disjoint && prompts.all().disjoint);
        let seen = |text: &String| a.training.texts.contains(text) || b.training.texts.contains(text);
        assert!(!prompts.all().evaluation.texts.iter().any(seen));
        // The cat of the first task has left it.
        assert_eq!((a.training.len(), prompts.all().training.len()), (36, a.training.len() + b.training.len()));
        assert_eq!(prompts.all().evaluation.len(), a.evaluation.len() + 2);
    }

    #[test]
    fn the_same_prompts_are_the_same_for_all() {
        let prompts = load("[[task]]\nname = \"a\"\n[[task]]\nname = \"b\"");
        assert_eq!((prompts.tasks()[0].training.len(), prompts.trained().len()), (37, 37));
        assert_eq!(prompts.tasks()[0], prompts.tasks()[1]);
        // A short list is shared with evaluation, and no other task's prompts are unseen that are in it.
        let list = "prompts = { kind = \"list\", values = [\"fox\", \"horse\"] }";
        let prompts = load(&format!("[[task]]\nname = \"a\"\n[[task]]\nname = \"b\"\n{list}"));
        let disjoint: Vec<bool> = prompts.tasks().iter().map(|task| task.disjoint).collect();
        assert_eq!((disjoint, prompts.tasks()[1].training.len()), (vec![false, false], 2));
    }
}
