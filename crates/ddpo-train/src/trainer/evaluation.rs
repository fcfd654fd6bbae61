//! The held-out evaluation: prompts and seeds that training never uses, the same every time.

use ddpo_core::{Judge, NoiseSchedule, PromptId, RgbImage};

use super::early_stopping::StopRule;
use crate::error::Result;
use crate::plan::check_positive;
use crate::prompts::EncodedPrompts;
use crate::record::EvalRecord;

/// What is evaluated, and when.
pub struct Evaluation {
    /// The evaluation prompts, a list for each task; sample i has the prompt i modulo the number of its list.
    pub prompts: EncodedPrompts,
    /// The samples of each list.
    pub count: usize,
    /// The samples of one batch.
    pub batch: usize,
    /// The seed, in a domain of its own: no training seed shares its noise.
    pub seed: u64,
    /// Evaluate after every so many epochs, before the first, and at the end of a run; at least 1.
    pub every: u64,
    /// Rewards which are not optimised, recorded by name.
    pub held_out: Vec<Judge>,
    /// The noise levels that the model was trained with, at which the policy's distance from the base model is measured; without
    /// them it is not.
    pub schedule: Option<NoiseSchedule>,
    /// How different the pictures are from each other, such as their mean pairwise distance.
    pub diversity: DiversityMeasure,
    /// Which pictures show what their prompts name; many models come without a judge of that.
    pub as_asked: Option<AsAskedMeasure>,
    /// When to end the run early.
    pub stop: StopRule,
}

/// A measure of how different pictures are from each other.
pub type DiversityMeasure = Box<dyn Fn(&[RgbImage]) -> f64 + Send + Sync>;

/// A judge of which pictures show what their prompts name: no answer for a prompt that names nothing it knows.
pub type AsAskedMeasure = Box<dyn Fn(&[RgbImage], &[String]) -> ddpo_core::Result<Vec<Option<bool>>> + Send + Sync>;

/// The share of pictures that show what their prompts name, of those whose prompts name something.
#[must_use]
pub fn share_as_asked(verdicts: &[Option<bool>]) -> Option<f64> {
    let known: Vec<bool> = verdicts.iter().copied().flatten().collect();
    let shown = known.iter().filter(|shown| **shown).count();
    (!known.is_empty()).then(|| shown as f64 / known.len() as f64)
}

impl Evaluation {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) naming the one that is 0.
    pub(super) fn validate(&self) -> Result<()> {
        check_positive(&[
            ("samples of an evaluation", self.count),
            ("batch size of an evaluation", self.batch),
            ("epochs from evaluation to evaluation", self.every as usize),
        ])
    }

    /// The prompt of each sample of a task.
    pub(super) fn prompt_ids(&self, task: usize) -> Vec<PromptId> {
        let list = self.prompts.list(task);
        (0..self.count).map(|i| PromptId((list.start + i % list.len()) as u64)).collect()
    }

    /// The prompt of each picture of an evaluation, as far as they are not those before again: picture i has the prompt i modulo their
    /// number. Of several lists of prompts, pictures have their turns.
    pub fn pictured(&self) -> Vec<String> {
        let views = self.views();
        let length = |view: &Vec<usize>| self.prompts.list(view[0]).len();
        let first = views.first().map_or(0, length);
        let period = if views.iter().all(|view| length(view) == first) { first } else { self.count };
        let place = |i: usize, view: &Vec<usize>| {
            let list = self.prompts.list(view[0]);
            PromptId((list.start + i % list.len()) as u64)
        };
        let ids: Vec<PromptId> = (0..period).flat_map(|i| views.iter().map(move |view| place(i, view))).collect();
        self.prompts.texts(&ids)
    }

    /// The tasks by their lists of prompts: those whose lists are the same are evaluated on the same pictures.
    pub(super) fn views(&self) -> Vec<Vec<usize>> {
        let mut views: Vec<Vec<usize>> = Vec::new();
        for task in 0..self.prompts.lists() {
            match views.iter_mut().find(|view| self.prompts.is_same_list(view[0], task)) {
                Some(view) => view.push(task),
                None => views.push(vec![task]),
            }
        }
        views
    }

    /// What says whether a state is better than another: the first reward which is not optimised, or, without one, the
    /// optimised one, of several tasks their mean gain, here on prompts that training never uses.
    pub(super) fn watched(&self, record: &EvalRecord) -> f64 {
        let first = self.held_out.first().and_then(|reward| record.held_out.get(reward.name()));
        first.copied().unwrap_or(record.reward_mean)
    }
}
