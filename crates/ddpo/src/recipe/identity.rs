//! Which run a checkpoint belongs to: the model and every setting that decides the results.

use std::collections::BTreeMap;

use ddpo_train::Identity;
use toml::{Table, Value};

use crate::config::{RunConfig, RunPlan};
use crate::error::{Error, Result};
use crate::prompts::{PromptList, PromptSource, pairs_fingerprint};

use super::run_prompts::RunPrompts;

/// Sections and options that may change when a run goes on: none of them changes a number that was or will be computed.
/// Files may move; what was in them counts by checksum, or is in the checkpoint.
const FREE: [&str; 20] = [
    "run.epochs",
    "run.device",
    "run.threads",
    "model.path",
    "model.config",
    "model.revision",
    "model.variant",
    "model.embeddings",
    "lora.path",
    "lora.frozen",
    "lora.format",
    "prompts.path",
    "pairs.path",
    "anchor.data",
    "train.non-finite",
    "eval.every",
    "checkpoint.every",
    "checkpoint.keep",
    "checkpoint.best",
    "track",
];

/// The identity of a run of `plan` on a model with this fingerprint, with [files](fingerprints) that are put on it, over these
/// training prompts; `text` is its configuration as it is written down.
pub(super) fn identity(
    plan: &RunPlan,
    text: &str,
    fingerprint: &str,
    files: BTreeMap<String, String>,
    prompts: &RunPrompts,
) -> Result<Identity> {
    let table = Table::try_from(fixed(plan)).map_err(|error| Error::ConfigOutput { source: error })?;
    let mut settings = BTreeMap::new();
    for (name, value) in &table {
        match value {
            Value::Table(section) => {
                settings.extend(section.iter().map(|(key, value)| (format!("{name}.{key}"), value.to_string())));
            }
            other => drop(settings.insert(name.clone(), other.to_string())),
        }
    }
    settings.retain(|key, _| !FREE.iter().any(|free| key == free || key.starts_with(&format!("{free}."))));
    settings.extend(files);
    for (number, split) in prompts.tasks().iter().enumerate() {
        let of = plan.tasks.get(number).map(|task| format!(" of {}", task.name)).unwrap_or_default();
        settings.insert(format!("training prompts{of}"), contents(&split.training));
    }
    Ok(Identity { model: fingerprint.to_owned(), settings, config: text.to_owned() })
}

/// How many prompts there are, and a checksum of what they say.
fn contents(prompts: &PromptList) -> String {
    let mut text = prompts.texts.join("\n");
    for known in &prompts.metadata {
        text += &serde_json::to_string(&**known).unwrap_or_default();
    }
    format!("{} of them, checksum {:08x}", prompts.len(), crc32fast::hash(text.as_bytes()))
}

/// What is put on the model and what it learns from, by content and strength and word, so that files may move: nothing of what there is none of.
///
/// # Errors
///
/// Fails when a file cannot be read, or is of another kind.
pub(super) fn fingerprints(plan: &RunPlan) -> Result<BTreeMap<String, String>> {
    let frozen = super::stack::fingerprint(&plan.frozen)?.map(|frozen| ("frozen adapters".to_owned(), frozen));
    let embeddings = super::embeddings::fingerprint(&plan.config.model.embeddings())?;
    let embeddings = embeddings.map(|embeddings| ("embeddings".to_owned(), embeddings));
    let pairs = match &plan.prompts {
        PromptSource::Pairs(path) => Some(("pairs".to_owned(), pairs_fingerprint(path)?)),
        _ => None,
    };
    let anchor = plan
        .config
        .anchor
        .data
        .as_ref()
        .map(|folder| super::anchor_pictures::fingerprint(folder.as_ref()))
        .transpose()?;
    let anchor = anchor.map(|anchor| ("anchor pictures".to_owned(), anchor));
    Ok(frozen.into_iter().chain(embeddings).chain(pairs).chain(anchor).collect())
}

/// The configuration without the options of rewards that may change when a run goes on, and without the places of files of prompts.
fn fixed(plan: &RunPlan) -> RunConfig {
    let mut config = plan.config.clone();
    for (task, planned) in config.task.iter_mut().zip(&plan.tasks) {
        let terms = || planned.reward.iter().map(|term| &term.reward);
        task.reward = task.reward.as_ref().map(|reward| reward.fixed(terms()));
        task.prompts.iter_mut().for_each(|prompts| prompts.path = None);
    }
    config.reward = config.reward.fixed(plan.reward.iter().map(|term| &term.reward));
    config.eval.held_out = config.eval.held_out.fixed(&plan.held_out);
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NonFinitePolicy, RewardList};

    fn prompts(text: &str) -> PromptList {
        vec![text.to_owned()].into()
    }

    fn of(change: impl Fn(&mut RunConfig)) -> Identity {
        let mut config = RunConfig::default();
        change(&mut config);
        let prompts = RunPrompts::only(prompts("cat"));
        identity(&RunPlan::new(config).unwrap(), "", "model", BTreeMap::new(), &prompts).unwrap()
    }

    #[test]
    fn only_what_changes_results_is_held_fast() {
        let base = of(|_| {});
        of(|c| c.run.epochs = 99).accepts(&base).unwrap();
        of(|c| c.run.threads = 7).accepts(&base).unwrap();
        of(|c| c.track.csv = true).accepts(&base).unwrap();
        // What ended a run may be passed over when it goes on.
        of(|c| c.train.non_finite = NonFinitePolicy::Skip).accepts(&base).unwrap();
        let message = of(|c| c.train.learning_rate = 1.0).accepts(&base).unwrap_err().to_string();
        assert!(message.contains("train.learning-rate"), "{message}");
        assert!(of(|c| c.run.seed = 7).accepts(&base).is_err());
        assert!(of(|c| c.eval.count = 7).accepts(&base).is_err());
    }

    #[test]
    fn frozen_adapters_count_by_content_and_not_by_name() {
        let of = |name: &str, frozen: Option<&str>| {
            let mut config = RunConfig::default();
            config.lora.frozen = vec![name.to_owned()];
            let plan = RunPlan::new(config).unwrap();
            let frozen = frozen.map(|frozen| ("frozen adapters".to_owned(), frozen.to_owned()));
            identity(&plan, "", "model", frozen.into_iter().collect(), &RunPrompts::only(prompts("cat"))).unwrap()
        };
        of("moved", Some("a at 1")).accepts(&of("here", Some("a at 1"))).unwrap();
        for other in [None, Some("a at 0.5"), Some("b at 1")] {
            let error = of("here", other).accepts(&of("here", Some("a at 1"))).unwrap_err().to_string();
            assert!(error.contains("frozen adapters"), "{error}");
        }
    }

    #[test]
    fn a_reward_may_be_given_more_time_and_not_other_options() {
        let with = |kind: &str, options: &str| {
            of(|c| {
                c.reward = RewardList::named(kind);
                c.reward.0[0].options = options.parse().unwrap();
            })
        };
        with("exec:a", "timeout = 9\ndirectory = \"/b\"").accepts(&with("exec:a", "")).unwrap();
        assert!(with("exec:a", "args = [\"-x\"]").accepts(&with("exec:b", "")).is_err());
        assert!(with("diffusion-classifier", "trials = 9").accepts(&with("diffusion-classifier", "")).is_err());
    }

    #[test]
    fn other_prompts_are_another_run() {
        let plan = RunPlan::new(RunConfig::default()).unwrap();
        let of = |prompts: &PromptList| {
            identity(&plan, "", "model", BTreeMap::new(), &RunPrompts::only(prompts.clone())).unwrap()
        };
        assert!(of(&prompts("cat")).accepts(&of(&prompts("dog"))).is_err());
        let known = std::sync::Arc::new(serde_json::Map::from_iter([("tag".to_owned(), 1.into())]));
        let tagged = PromptList { metadata: vec![known], ..prompts("cat") };
        assert!(of(&prompts("cat")).accepts(&of(&tagged)).is_err());
    }
}
