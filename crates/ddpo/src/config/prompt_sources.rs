//! Where prompts come from, by the options that say it.

use crate::error::Result;
use crate::prompts::PromptSource;

use super::check::invalid;
use super::choices::{EvalPrompts, PromptKind};
use super::task_options::PromptOptions;

/// The prompts of evaluation; none for a part of those of training.
pub(super) fn eval_source(option: &EvalPrompts) -> Result<Option<PromptSource>> {
    match option {
        EvalPrompts::List(prompts) => PromptSource::list("eval.prompts", prompts).map(Some),
        EvalPrompts::Kind(name) if name == EvalPrompts::HELD_OUT => Ok(None),
        EvalPrompts::Kind(name) => PromptSource::named(name).map(Some),
    }
}

/// The prompts of training.
pub(super) fn prompt_source(options: &PromptOptions) -> Result<PromptSource> {
    reject_stray_prompt_options(options)?;
    match options.kind {
        PromptKind::FromFile => {
            let path = options
                .path
                .as_ref()
                .ok_or_else(|| invalid("prompts.path", "nothing", "a file, for kind = \"from-file\""))?;
            let (start, end) = (options.start.unwrap_or(0), options.end);
            if end.is_some_and(|end| end <= start) {
                return Err(invalid("prompts.end", end.unwrap_or(0), format_args!("more than {start}, the start")));
            }
            Ok(PromptSource::File { path: path.into(), start, end })
        }
        PromptKind::List => PromptSource::list("prompts.values", options.values.as_deref().unwrap_or_default()),
        PromptKind::Counting => {
            let max_count = options.max_count.unwrap_or(PromptSource::MAX_COUNT);
            PromptSource::counting(max_count).ok_or_else(|| {
                invalid("prompts.max-count", max_count, format_args!("2 to {}", PromptSource::MAX_COUNT))
            })
        }
        other => PromptSource::named(other.name()),
    }
}

/// An option of another kind of prompts would be ignored in silence; better to say so.
fn reject_stray_prompt_options(options: &PromptOptions) -> Result<()> {
    let set = [
        ("prompts.path", options.path.is_some(), PromptKind::FromFile),
        ("prompts.start", options.start.is_some(), PromptKind::FromFile),
        ("prompts.end", options.end.is_some(), PromptKind::FromFile),
        ("prompts.values", options.values.is_some(), PromptKind::List),
        ("prompts.max-count", options.max_count.is_some(), PromptKind::Counting),
    ];
    match set.into_iter().find(|(_, set, kind)| *set && *kind != options.kind) {
        None => Ok(()),
        Some((key, _, kind)) => Err(invalid(
            key,
            format_args!("a value with kind = \"{}\"", options.kind),
            format_args!("none, or kind = \"{kind}\""),
        )),
    }
}
