//! The prompts training uses, and those it never does.

use crate::error::{Error, Result};

use super::animals::{HELD_OUT, counting, nouns_activities};
use super::compositions;
use super::list::PromptList;
use super::source::PromptSource;

/// Held-out prompts of a list that has no fixed held-out part: at most this many.
const MAX_HELD_OUT: usize = 8;

/// A list shorter than this is not split: too little would be left to train on.
const MIN_TO_SPLIT: usize = 16;

/// The prompts training uses, and those evaluation uses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PromptSplit {
    /// Prompts that training draws from; never empty.
    pub training: PromptList,
    /// Prompts that evaluation uses; never empty.
    pub evaluation: PromptList,
    /// Whether no evaluation prompt is a training prompt.
    pub disjoint: bool,
}

impl PromptSplit {
    /// How many training prompts are the same as an earlier one. They are kept: what is listed twice is drawn twice as often.
    pub fn repeated(&self) -> usize {
        self.training.len() - self.training.texts.iter().collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Loads `training` and takes out of it what is evaluated.
    ///
    /// With `evaluation` given, its prompts are taken out where they occur in both. Without, a fixed part of
    /// `training` is set aside: eight of the animals, or an evenly spaced eighth part of another list of 16 or more.
    /// A shorter list is used whole for both, and `disjoint` says so.
    ///
    /// # Errors
    ///
    /// Fails when a source has no prompts, or evaluation leaves none to train on.
    pub fn load(training: &PromptSource, evaluation: Option<&PromptSource>) -> Result<Self> {
        let all = training.load()?;
        let evaluation = match evaluation {
            Some(source) => source.load()?,
            None => held_out(training, &all),
        };
        if evaluation.is_empty() {
            return Ok(Self { training: all.clone(), evaluation: all, disjoint: false });
        }
        let rest = all.select((0..all.len()).filter(|&place| !evaluation.texts.contains(&all.texts[place])));
        if rest.is_empty() {
            return Err(Error::NoPrompts {
                reason: format!(
                    "all {} training prompts are evaluation prompts too, and none is left to train on",
                    all.len()
                ),
            });
        }
        Ok(Self { training: rest, evaluation, disjoint: true })
    }
}

impl PromptSplit {
    /// The prompts of several tasks, one behind the other.
    pub(crate) fn joined(tasks: &[Self]) -> Self {
        let join = |of: fn(&Self) -> &PromptList| {
            tasks.iter().map(of).fold(PromptList::default(), |all, list| all.chain(list))
        };
        Self {
            training: join(|task| &task.training),
            evaluation: join(|task| &task.evaluation),
            disjoint: tasks.iter().all(|task| task.disjoint),
        }
    }
}

fn held_out(source: &PromptSource, all: &PromptList) -> PromptList {
    match source {
        PromptSource::SimpleAnimals => HELD_OUT.map(String::from).to_vec().into(),
        PromptSource::Compositions => compositions::held_out().into(),
        PromptSource::NounsActivities => nouns_activities(&HELD_OUT).into(),
        PromptSource::Counting { max_count } => counting(&HELD_OUT, *max_count).into(),
        _ if all.len() < MIN_TO_SPLIT => PromptList::default(),
        _ => {
            let count = (all.len() / 8).min(MAX_HELD_OUT);
            all.select((0..count).map(|i| (2 * i + 1) * all.len() / (2 * count)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(count: usize) -> PromptSource {
        PromptSource::List((0..count).map(|i| format!("prompt {i}")).collect())
    }

    #[test]
    fn no_evaluation_prompt_is_ever_trained_on() {
        let named = ["simple-animals", "imagenet-animals", "compositions", "nouns-activities", "counting"];
        let sources = named.map(|name| PromptSource::named(name).unwrap()).into_iter().chain([list(16), list(100)]);
        for source in sources {
            let split = PromptSplit::load(&source, None).unwrap();
            assert!(split.disjoint && !split.evaluation.is_empty(), "{source:?}");
            assert!(split.evaluation.texts.iter().all(|prompt| !split.training.texts.contains(prompt)), "{source:?}");
            assert_eq!(split.training.len() + split.evaluation.len(), source.load().unwrap().len(), "{source:?}");
        }
    }

    #[test]
    fn simple_animals_train_on_37() {
        let split = PromptSplit::load(&PromptSource::SimpleAnimals, None).unwrap();
        assert_eq!((split.training.len(), split.evaluation.len()), (37, 8));
    }

    #[test]
    fn a_short_list_is_shared_and_says_so() {
        let split = PromptSplit::load(&list(3), None).unwrap();
        assert!(!split.disjoint);
        assert_eq!(split.training, split.evaluation);
    }

    #[test]
    fn a_prompt_that_is_listed_twice_is_kept_and_counted() {
        let prompts = PromptSource::List(["a", "b", "a", "a"].map(String::from).to_vec());
        let split = PromptSplit::load(&prompts, None).unwrap();
        assert_eq!((split.training.len(), split.repeated()), (4, 2));
        assert_eq!(PromptSplit::load(&list(20), None).unwrap().repeated(), 0);
    }

    #[test]
    fn given_evaluation_prompts_leave_training() {
        let evaluation = PromptSource::List(vec!["cat".into(), "unicorn".into()]);
        let split = PromptSplit::load(&PromptSource::SimpleAnimals, Some(&evaluation)).unwrap();
        assert_eq!((split.training.len(), split.evaluation.len()), (44, 2));
        let error = PromptSplit::load(&list(2), Some(&list(2))).unwrap_err().to_string();
        assert!(error.contains("none is left to train on"), "{error}");
    }
}
