//! The options of the kind.

use serde::{Deserialize, Serialize};

use crate::diversity::Over;
use crate::options::reward_options;

/// The name of the kind.
pub(super) const KIND: &str = "parity";

reward_options! {
    /// Which classes pictures are of, which pictures are to be of all of them alike, and what each of these is told.
    ParityOptions {
        /// What the classes are: the "style" or the "ground" that the model's judge sees, or, with a program, its answers: "program".
        by: By = By::Style;
        /// by = "program": the program, which is asked as a reward is, and answers the number of a picture's class, from 0.
        program: Option<String> = None, example = "\"./classes.py\"";
        /// Its arguments, a word each.
        args: Vec<String> = Vec::new();
        /// How many classes there are; by default as many as the judge knows, and 2 of a program.
        classes: Option<usize> = None, example = "4";
        /// Which images are to be of all classes alike: those of one "prompt", or all of an "epoch".
        over: Over = Over::Prompt;
        /// What an image is told: what it adds to its set ("marginal"), or the set's value ("shared").
        credit: Credit = Credit::Marginal;
    }
}

/// What the classes of pictures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The hand that drew it, by the judge that is shipped with the model.
    Style,
    /// What is behind the subject, by the same.
    Ground,
    /// What a program answers.
    Program,
}

/// What a picture of a set is told of the set's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credit {
    /// What the set would have lost without it, `R(S) − R(S∖{i})`: the rest of the set is the baseline.
    Marginal,
    /// The value of the whole set, the same for all of it (the paper's).
    Shared,
}
