//! What a checked configuration says of tasks.

use ddpo_rewards::RewardRegistry;

use crate::error::{Error, Result};
use crate::prompts::PromptSource;

use super::advantage::AdvantagePlan;
use super::check::invalid;
use super::choices::{Algorithm, EvalPrompts};
use super::prompt_sources::{eval_source, prompt_source};
use super::rewards::{RewardList, RewardTerm};
use super::run::RunConfig;
use super::task_options::{PromptOptions, TaskOptions};

/// A task of several, with what it takes from the run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TaskPlan {
    /// Its name, which no other task has.
    pub name: String,
    /// The terms of what it optimises.
    pub reward: Vec<RewardTerm>,
    /// Where its training prompts come from.
    pub prompts: PromptSource,
    /// Where its evaluation prompts come from; `None`: a part of the training prompts, set aside.
    pub eval_prompts: Option<PromptSource>,
    /// How its rewards become advantages.
    pub advantage: AdvantagePlan,
}

/// The tasks of a configuration, in their order; none where it has none.
///
/// # Errors
/// Names the first option that does not fit, and the task that it is of.
pub(super) fn task_plans(config: &RunConfig, registry: &RewardRegistry, samples: usize) -> Result<Vec<TaskPlan>> {
    if config.task.is_empty() {
        return Ok(Vec::new());
    }
    check_names(&config.task)?;
    check_run(config)?;
    check_defaults(config)?;
    let plan = |task: &TaskOptions| {
        let named = |source| Error::Task { name: task.name.clone(), source: Box::new(source) };
        TaskPlan::new(config, task, registry, samples).map_err(named)
    };
    config.task.iter().map(plan).collect()
}

impl TaskPlan {
    fn new(config: &RunConfig, task: &TaskOptions, registry: &RewardRegistry, samples: usize) -> Result<Self> {
        let mut own = config.clone();
        if let Some(advantage) = &task.advantage {
            own.advantage = advantage.over(&config.advantage);
        }
        let advantage = AdvantagePlan::new(&own, samples)?;
        let reward = task.reward.as_ref().unwrap_or(&config.reward).terms(registry)?;
        check_credit(&reward, advantage)?;
        Ok(Self {
            name: task.name.clone(),
            reward,
            prompts: prompt_source(task.prompts.as_ref().unwrap_or(&config.prompts))?,
            eval_prompts: eval_source(task.eval_prompts.as_ref().unwrap_or(&config.eval.prompts))?,
            advantage,
        })
    }

    /// Where what is drawn in its evaluations comes from: tasks for which that is the same are evaluated on the same pictures.
    pub(crate) fn evaluated(&self) -> (&PromptSource, bool) {
        self.eval_prompts.as_ref().map_or((&self.prompts, true), |source| (source, false))
    }
}

fn check_names(tasks: &[TaskOptions]) -> Result<()> {
    for (number, task) in tasks.iter().enumerate() {
        let name = task.name.trim();
        if name.is_empty() || name != task.name || name.contains(|letter: char| letter.is_control() || letter == '/') {
            let found = format!("`{}` of task {}", task.name, number + 1);
            return Err(invalid("task.name", found, "a word or a few, without a slash"));
        }
        if tasks[..number].iter().any(|other| other.name == task.name) {
            let found = format!("`{name}` twice");
            return Err(invalid("task.name", found, "a name of its own for each task, as each is a curve of its own"));
        }
    }
    Ok(())
}

/// Tasks have epochs of their own, in which they draw pictures and compare them.
fn check_run(config: &RunConfig) -> Result<()> {
    let (epochs, tasks, algorithm) = (config.run.epochs, config.task.len(), config.train.algorithm);
    let why_not = match algorithm {
        Algorithm::DiffusionDpo => "learns from pictures that are given and asks no reward",
        Algorithm::Lcd => "makes a few-step model and follows no reward",
        _ if epochs < tasks => {
            return Err(invalid("run.epochs", epochs, format_args!("at least {tasks}, an epoch for each task")));
        }
        _ => return Ok(()),
    };
    Err(invalid("task", format!("{tasks} of them"), format_args!("none with `{algorithm}`, which {why_not}")))
}

/// What the run says for tasks that say nothing themselves, where there are no such tasks, would be passed over in silence.
fn check_defaults(config: &RunConfig) -> Result<()> {
    let stray = [
        ("reward", config.reward != RewardList::default(), config.task.iter().all(|task| task.reward.is_some())),
        ("prompts", config.prompts != PromptOptions::default(), config.task.iter().all(|task| task.prompts.is_some())),
        (
            "eval.prompts",
            config.eval.prompts != EvalPrompts::default(),
            config.task.iter().all(|task| task.eval_prompts.is_some()),
        ),
    ];
    match stray.into_iter().find(|(_, is_set, is_replaced)| *is_set && *is_replaced) {
        Some((key, ..)) => {
            let expected = "nothing where every [[task]] has its own, or a task that leaves it out";
            Err(invalid(key, "a value that no task takes", expected))
        }
        None => Ok(()),
    }
}

/// What all samples of a prompt are told alike says nothing to whoever compares them with each other.
pub(super) fn check_credit(terms: &[RewardTerm], advantage: AdvantagePlan) -> Result<()> {
    let says = |term: &RewardTerm, key: &str, value: &str| {
        term.reward.option(key).and_then(toml::Value::as_str) == Some(value)
    };
    let is_same_for_all = |term: &RewardTerm| {
        term.reward.kind() == "parity" && says(term, "credit", "shared") && !says(term, "over", "epoch")
    };
    match advantage {
        AdvantagePlan::Group { .. } | AdvantagePlan::Pairs { .. } if terms.iter().any(is_same_for_all) => {
            let expected = "\"marginal\", or advantage.kind = \"batch\": samples of a prompt are compared with each other, and \
                            would all be told the same";
            Err(invalid("reward.credit", "shared", expected))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunPlan;
    use crate::config::{AdvantageKind, Layers, document};

    const TWO: &str = "[[task]]\nname = \"small\"\nprompts = { kind = \"list\", values = [\"a cat\", \"a dog\"] }\n\
                       [[task]]\nname = \"varied\"\nreward = { kind = \"diversity\", weight = 2 }\neval-prompts = [\"a fox\"]\n\
                       advantage = { group-size = 16 }\n";

    fn plan(text: &str, changes: &[&str]) -> Result<RunPlan> {
        let mut layers = Layers::default();
        layers.push_toml("run.toml", text)?;
        changes.iter().try_for_each(|change| layers.push_assignment(change))?;
        RunPlan::new(layers.resolve()?)
    }

    #[test]
    fn what_a_task_leaves_out_it_takes_from_the_run() {
        let plan = plan(TWO, &["advantage.global-std=true"]).unwrap();
        let [small, varied] = plan.tasks.as_slice() else { panic!("{:?}", plan.tasks) };
        assert_eq!((small.reward[0].reward.name(), small.eval_prompts.is_none()), ("jpeg-compressibility", true));
        assert_eq!(small.prompts, PromptSource::List(vec!["a cat".into(), "a dog".into()]));
        assert_eq!((varied.reward[0].weight, &varied.prompts), (2.0, &PromptSource::SimpleAnimals));
        assert_eq!(varied.eval_prompts, Some(PromptSource::List(vec!["a fox".into()])));
        assert_eq!((small.advantage.samples_per_prompt(), varied.advantage.samples_per_prompt()), (8, 16));
        let AdvantagePlan::Group { deviation, .. } = varied.advantage else { panic!("{varied:?}") };
        assert_eq!(deviation, ddpo_core::advantage::Deviation::Epoch);
        assert_eq!(plan.rewards().map(|reward| reward.name().to_owned()).collect::<Vec<_>>().len(), 2);
    }

    #[test]
    fn tasks_read_back_from_the_document_and_from_the_command() {
        let config = plan(TWO, &[]).unwrap().config;
        assert_eq!(config.task[1].advantage.as_ref().unwrap().group_size, Some(16));
        let text = document(&config).unwrap();
        assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), config, "{text}");
        let command = crate::config::command(&config);
        assert!(
            command.starts_with("ddpo train --set 'task=[{ name = \"small\", prompts = { kind = \"list\""),
            "{command}"
        );
        let mut layers = Layers::default();
        let table = toml::Table::try_from(&config).unwrap();
        for difference in crate::config::differences(&table) {
            layers.push_assignment(&format!("{}={}", difference.key, difference.value)).unwrap();
        }
        assert_eq!(layers.resolve().unwrap(), config);
        // Without tasks there is no word of them.
        assert!(!toml::to_string(&RunConfig::default()).unwrap().contains("task"));
    }

    #[track_caller]
    fn check_error(text: &str, changes: &[&str], expected: &str) {
        let error = plan(text, changes).unwrap_err();
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        assert!(format!("{error}{source}").starts_with(expected), "{error}{source}");
        assert!(error.is_usage(), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_task() {
        check_error("[[task]]\nreward = \"diversity\"", &[], "invalid `task.name`: found `` of task 1");
        check_error("[[task]]\nname = \"a\"\n[[task]]\nname = \"a\"", &[], "invalid `task.name`: found `a` twice");
        check_error(
            TWO,
            &["run.epochs=1"],
            "invalid `run.epochs`: found 1, expected at least 2, an epoch for each task",
        );
        check_error(TWO, &["train.algorithm=lcd"], "invalid `task`: found 2 of them, expected none with `lcd`");
        let wrong = "[[task]]\nname = \"a\"\nadvantage = { kind = \"group\", group-size = 7 }";
        check_error(wrong, &[], "in the task `a`: invalid `advantage.group-size`: found 7");
        let shared = "[[task]]\nname = \"a\"\nreward = { kind = \"parity\", by = \"style\", credit = \"shared\" }";
        check_error(shared, &[], "in the task `a`: invalid `reward.credit`: found shared");
        plan(shared, &["advantage.kind=batch"]).unwrap();
        check_error("[[task]]\nname = \"a\"\nreward = \"jpeg\"", &[], "in the task `a`: unknown reward `jpeg`");
        check_error(
            "[[task]]\nname = \"a\"\nreward = \"diversity\"",
            &["reward=jpeg-incompressibility"],
            "invalid `reward`: found a value that no task takes",
        );
        check_error(
            "[[task]]\nname = \"a\"\nrewrd = 1",
            &[],
            "unknown key `task.rewrd` in run.toml (did you mean `task.reward`?)",
        );
        check_error(
            "[[task]]\nname = \"a\"\nadvantage = { group = 3 }",
            &[],
            "unknown key `task.advantage.group` in run.toml (did you mean `task.advantage.",
        );
    }

    #[test]
    fn every_algorithm_that_compares_samples_takes_tasks() {
        for algorithm in ["ddpo-is", "ddpo-sf", "rwr", "rwr-sparse", "nft", "ram", "pso", "d3po"] {
            let plan = plan(TWO, &[&format!("train.algorithm={algorithm}")]).unwrap();
            let of = |task: usize| plan.tasks[task].advantage.samples_per_prompt();
            let pairs = ["pso", "d3po"].contains(&algorithm);
            assert_eq!((of(0), of(1)), (if pairs { 2 } else { 8 }, 16), "{algorithm}");
        }
        let kind = |task: &TaskOptions| task.advantage.as_ref().and_then(|advantage| advantage.kind);
        let batch = "[[task]]\nname = \"a\"\nadvantage = { kind = \"batch\" }";
        assert_eq!(kind(&plan(batch, &[]).unwrap().config.task[0]), Some(AdvantageKind::Batch));
    }
}
