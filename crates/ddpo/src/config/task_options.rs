//! The options that tasks may have of their own, and the table of a task.

use serde::{Deserialize, Serialize};

use super::choices::{AdvantageKind, EvalPrompts, PromptKind};
use super::options::{Kind, OptionType, options};
use super::rewards::RewardList;

options! {
    /// What the model is asked to draw while it trains.
    PromptOptions = "prompts" {
        /// "simple-animals" (45), "imagenet-animals" (398), "compositions" (1080), "nouns-activities" (135), "counting", "from-file" or "list".
        kind: PromptKind = PromptKind::SimpleAnimals, "paper, section 5";
        /// kind = "from-file": a text file (UTF-8) with a prompt a line, JSON Lines (.jsonl) whose objects have a field "prompt", or a
        /// table (.csv, .tsv) with a column of that name. Of a text, blank lines and lines that start with # are left out, and spaces
        /// around a prompt; a prompt that is listed twice is drawn twice as often.
        path: Option<String> = None, "none", "\"prompts.txt\"";
        /// kind = "from-file": the first line to use, from 0; of a table, the first row below the header.
        start: Option<usize> = None, "the first line", "0";
        /// kind = "from-file": the line to stop before.
        end: Option<usize> = None, "the last line", "100";
        /// kind = "list": the prompts themselves.
        values: Option<Vec<String>> = None, "none", "[\"a cat\", \"a dog\"]";
        /// kind = "counting": how many of a thing a prompt may ask for, at most.
        max_count: Option<usize> = None, "9 for \"counting\"", "9";
    }
}

options! {
    /// How rewards become advantages.
    AdvantageOptions = "advantage" {
        /// "per-prompt" (running statistics of each prompt), "batch", or "group" (an equal number of samples a prompt).
        kind: AdvantageKind = AdvantageKind::PerPrompt, "paper" => emoji AdvantageKind::Group;
        /// kind = "per-prompt": how many of a prompt's last rewards are remembered.
        buffer_size: usize = 16, "ddpo-pytorch";
        /// kind = "per-prompt": with fewer rewards than this, the batch's statistics are used.
        min_count: usize = 16, "ddpo-pytorch";
        /// kind = "group", and "pso" and "d3po" whatever the kind: samples drawn of each prompt; must divide the samples of an epoch.
        group_size: Option<usize> = None, "8 for \"group\", 2 for \"pso\" and \"d3po\"", "8";
        /// kind = "group" or "per-prompt": divide by the standard deviation of all rewards of the epoch in place of the prompt's own, so
        /// that a prompt whose samples hardly differ has little to say (Flow-GRPO's global std).
        global_std: bool = false, "ddpo-pytorch";
    }
}

options! {
    /// One of several tasks of a model, which have their turns, an epoch each, in the order of their tables. What a task leaves out it takes
    /// from the sections; what else there is in them all tasks share.
    TaskOptions = "task" {
        /// What curves, tables and messages call it: a name of its own.
        name: String = String::new(), "none", "\"small\"";
        /// What its images are scored with.
        reward: Option<RewardList> = None, "reward", "\"jpeg-compressibility\"";
        /// What it draws while it trains, in place of the section "prompts".
        prompts: Option<PromptOptions> = None, "prompts", "{ kind = \"simple-animals\" }";
        /// What is drawn when it is evaluated.
        eval_prompts: Option<EvalPrompts> = None, "eval.prompts", "\"held-out\"";
        /// How its rewards become advantages: options over those of the section "advantage".
        advantage: Option<TaskAdvantage> = None, "advantage", "{ kind = \"group\", group-size = 16 }";
    }
}

/// The advantage of a task, as far as it is not that of the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct TaskAdvantage {
    /// [`AdvantageOptions::kind`].
    pub kind: Option<AdvantageKind>,
    /// [`AdvantageOptions::buffer_size`].
    pub buffer_size: Option<usize>,
    /// [`AdvantageOptions::min_count`].
    pub min_count: Option<usize>,
    /// [`AdvantageOptions::group_size`].
    pub group_size: Option<usize>,
    /// [`AdvantageOptions::global_std`].
    pub global_std: Option<bool>,
}

impl TaskAdvantage {
    /// These options over those of the run.
    pub(super) fn over(&self, run: &AdvantageOptions) -> AdvantageOptions {
        AdvantageOptions {
            kind: self.kind.unwrap_or(run.kind),
            buffer_size: self.buffer_size.unwrap_or(run.buffer_size),
            min_count: self.min_count.unwrap_or(run.min_count),
            group_size: self.group_size.or(run.group_size),
            global_std: self.global_std.unwrap_or(run.global_std),
        }
    }
}

impl OptionType for PromptOptions {
    const KIND: Kind = Kind::Any("a table of the options of `[prompts]`");
}

impl OptionType for TaskAdvantage {
    const KIND: Kind = Kind::Any("a table of options of `[advantage]`");
}
