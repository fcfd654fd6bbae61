//! The class of each picture of a set.

use std::sync::Arc;

use ddpo_core::{Judge, RewardBatch};
use toml::Table;

use super::options::{By, KIND, ParityOptions};
use crate::exec::ExecFactory;
use crate::recogniser::Recogniser;
use crate::{Error, Result, RewardContext, RewardFactory};

/// What says of which class a picture is.
pub(super) enum Labels {
    Style(Arc<Recogniser>),
    Ground(Arc<Recogniser>),
    Program(Judge),
}

/// The options of the program, where there is one.
pub(super) fn program(options: &ParityOptions) -> Option<Table> {
    let program = options.program.clone()?;
    Some(Table::from_iter([("program".to_owned(), program.into()), ("args".to_owned(), options.args.clone().into())]))
}

fn judge(options: &ParityOptions, context: &RewardContext) -> Result<Arc<Recogniser>> {
    context.judge_for(&format!("{KIND}:{:?}", options.by).to_lowercase())
}

impl Labels {
    /// Checks that the model has the judge, where it is asked.
    pub fn check(options: &ParityOptions, context: &RewardContext) -> Result<()> {
        match options.by {
            By::Style | By::Ground => judge(options, context).map(drop),
            By::Program => Ok(()),
        }
    }

    pub fn open(options: &ParityOptions, context: &RewardContext) -> Result<Self> {
        Ok(match options.by {
            By::Style => Self::Style(judge(options, context)?),
            By::Ground => Self::Ground(judge(options, context)?),
            By::Program => Self::Program(ExecFactory.open(&program(options).unwrap_or_default(), context)?),
        })
    }

    /// How many classes there are, where that is known.
    pub fn classes(&self) -> Option<usize> {
        match self {
            Self::Style(judge) => Some(judge.config().styles.len()),
            Self::Ground(judge) => Some(judge.config().grounds.len()),
            Self::Program(_) => None,
        }
    }

    /// The class of each picture, below `classes`.
    ///
    /// # Errors
    /// Whatever the judge or the program reports; an answer that is no class.
    pub fn of(&self, set: &RewardBatch<'_>, classes: usize) -> Result<Vec<usize>> {
        let labels: Vec<usize> = match self {
            Self::Style(judge) => judge.recognise(set.images)?.iter().map(|seen| seen.style).collect(),
            Self::Ground(judge) => judge.recognise(set.images)?.iter().map(|seen| seen.ground).collect(),
            Self::Program(program) => {
                let answers = program.score(set, set.images.len().max(1))?;
                answers.into_iter().map(|answer| class(answer, classes)).collect::<Result<_>>()?
            }
        };
        match labels.iter().find(|label| **label >= classes) {
            Some(label) => Err(no_class(label, classes)),
            None => Ok(labels),
        }
    }
}

/// The class that a program's answer names.
fn class(answer: f32, classes: usize) -> Result<usize> {
    let is_one = answer >= 0.0 && answer < classes as f32 && answer.fract() == 0.0;
    if is_one { Ok(answer as usize) } else { Err(no_class(answer, classes)) }
}

fn no_class(found: impl std::fmt::Display, classes: usize) -> Error {
    let reason = format!("{found} found as the class of a picture, expected a whole number from 0 to {}", classes - 1);
    Error::Options { kind: KIND.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn answers_are_classes_or_refused() {
        assert_eq!((class(0.0, 3).unwrap(), class(2.0, 3).unwrap()), (0, 2));
        for answer in [-1.0, 3.0, 0.5, f32::NAN, f32::INFINITY] {
            assert!(class(answer, 3).unwrap_err().to_string().contains("from 0 to 2"));
        }
    }
}
