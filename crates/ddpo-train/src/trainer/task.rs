//! Which task an epoch belongs to: all have their turns.

use std::collections::BTreeSet;

use ddpo_core::Epoch;

use super::fork::ForkPolicy;
use super::parts::{Parts, Task};
use super::trainer_core::TrainerCore;
use crate::error::{Error, Result};
use crate::plan::SamplePlan;

impl<P, const D: usize> Parts<P, D> {
    /// Checks that there is a list of prompts for each task, and a name where there are several.
    pub(super) fn check_tasks(&self, plan: &SamplePlan) -> Result<()> {
        let wanted = self.tasks.len();
        let lists = std::iter::once(&self.prompts).chain(self.evaluation.iter().map(|evaluation| &evaluation.prompts));
        if let Some(found) = lists.map(|prompts| prompts.lists()).find(|found| *found != wanted) {
            return Err(Error::Count { what: "lists of prompts, one a task", found, wanted });
        }
        let names: BTreeSet<&str> = self.tasks.iter().map(|task| task.name.as_str()).collect();
        if wanted > 1 && (names.len() < wanted || names.contains("")) {
            let found = self.tasks.iter().map(|task| format!("`{}`", task.name)).collect::<Vec<_>>().join(", ");
            return Err(Error::plan("names of tasks", found, "a name each, no two the same"));
        }
        self.check_samples_per_prompt(plan, 1)
    }

    /// Checks that the samples of a prompt fill epochs, in all tasks, and are as many times `unit`.
    pub(super) fn check_samples_per_prompt(&self, plan: &SamplePlan, unit: usize) -> Result<()> {
        let samples = plan.samples_per_epoch();
        match self
            .tasks
            .iter()
            .filter_map(|task| task.samples_per_prompt)
            .find(|&own| own == 0 || !samples.is_multiple_of(own) || !own.is_multiple_of(unit))
        {
            Some(own) => {
                let wanted = format!("a divisor of {samples}, the samples of an epoch, and a multiple of {unit}");
                Err(Error::plan("samples per prompt of a task", own, wanted))
            }
            None => Ok(()),
        }
    }
}

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// The number of the task that an epoch belongs to: all have their turns, in their order.
    pub(super) fn task_number(&self, epoch: Epoch) -> usize {
        (epoch.0.saturating_sub(1) % self.parts.tasks.len().max(1) as u64) as usize
    }

    /// The task that an epoch belongs to.
    pub(super) fn task(&self, epoch: Epoch) -> &Task {
        &self.parts.tasks[self.task_number(epoch)]
    }

    /// Whether a run has tasks with names, which its records go by.
    pub(super) fn has_tasks(&self) -> bool {
        self.parts.tasks.iter().any(|task| !task.name.is_empty())
    }

    /// Consecutive samples of an epoch which share a prompt.
    pub(super) fn samples_per_prompt(&self, epoch: Epoch) -> usize {
        self.task(epoch).samples_per_prompt.unwrap_or(self.plan.samples_per_prompt)
    }
}
