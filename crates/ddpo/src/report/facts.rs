//! What a run was: model, algorithm, reward, versions, date, time, command, settings.

use ddpo_train::{ModelRecord, TaskRecord};
use toml::{Table, Value};

use super::run::ReportRun;
use super::words::{count, date, duration, escape, number};
use crate::config::{Difference, differences, leaves};

/// Settings that are shown at once; the others are behind a click.
const FIRST: usize = 10;

/// The facts of a run as a list.
pub(super) fn facts(run: &ReportRun) -> String {
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(record) = run.record() {
        let reward = match &record.reward.unit {
            Some(unit) => format!("{}, in {unit}", record.reward.name),
            None => record.reward.name.clone(),
        };
        let prompts = &record.prompts;
        let evaluation = match prompts.disjoint {
            true => format!("{} that training never uses", prompts.evaluation.len()),
            false => format!("evaluation shares {} of them, with other seeds", prompts.evaluation.len()),
        };
        let chain = &record.chain;
        facts = vec![
            ("model", model(&record.model)),
            ("algorithm", format!("{}, {}", record.algorithm, record.parameters)),
        ];
        if record.tasks.is_empty() {
            facts.push(("reward", reward));
            facts.push(("prompts", format!("{} to train on, {evaluation}", prompts.training)));
        }
        facts.extend(record.tasks.iter().map(|task| ("task", of_task(task))));
        let steps = count(chain.steps as usize, "step");
        facts.push(("sampling", format!("{}, {steps} at guidance {}", chain.scheduler, number(chain.guidance))));
    }
    facts.push(("epochs", epochs(run)));
    facts.push(("time", time(run)));
    if let Some(record) = run.record() {
        let machine = &record.machine;
        let processor = machine.processor.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
        facts.push(("started", date(&record.started)));
        facts.push(("program", record.program.clone()));
        let threads = count(machine.threads as usize, "thread");
        facts.push(("machine", format!("{processor}{} on {}, {threads}", machine.platform, machine.device)));
    }
    let list: String = facts.iter().map(|(name, text)| format!("<dt>{name}</dt><dd>{}</dd>", escape(text))).collect();
    format!("<dl class=\"facts\">{list}</dl>\n{}", command(run))
}

/// A task's reward and prompts.
fn of_task(task: &TaskRecord) -> String {
    let unit = task.reward.unit.as_ref().map(|unit| format!(", in {unit}")).unwrap_or_default();
    let prompts =
        format!("{} to train on and {} to evaluate on", task.training, count(task.evaluation as usize, "prompt"));
    format!("{}: {}{unit}; {prompts}", task.name, task.reward.name)
}

/// A model's name and checksum, and what it was held in where that is not f32.
fn model(record: &ModelRecord) -> String {
    let held = match record.dtype.as_str() {
        "" | "f32" => String::new(),
        half => format!(", held in {half}"),
    };
    format!("{} ({}){held}", record.name, record.fingerprint)
}

fn command(run: &ReportRun) -> String {
    match run.command() {
        Some(command) => {
            format!("<p>The command that repeats it:</p><pre class=\"command\">{}</pre>\n", escape(&command))
        }
        None => String::new(),
    }
}

fn epochs(run: &ReportRun) -> String {
    let (done, asked) = run.epochs();
    let of = asked.filter(|asked| *asked > done).map(|asked| format!(" of {asked}")).unwrap_or_default();
    let records = &run.records;
    let updates = records.updates.len()
        + records.regressions.len()
        + records.corrections.len()
        + records.preferences.len()
        + records.distillations.len();
    let images = records.epochs.last().map_or(0, |epoch| epoch.reward_queries);
    format!("{done}{of}: {}, {} scored", count(updates, "update"), count(images as usize, "picture"))
}

fn time(run: &ReportRun) -> String {
    let seconds = run.seconds();
    let [sampling, scoring, training, evaluating] = seconds.map(duration);
    format!(
        "{}: sampling {sampling}, scoring {scoring}, training {training}, evaluating {evaluating}",
        duration(seconds.iter().sum())
    )
}

/// The settings of a run: what differs from the defaults first, all of them behind a click.
pub(super) fn settings(run: &ReportRun) -> String {
    let Some(config) = &run.config else {
        return "<p>The run has no configuration that can be read.</p>\n".into();
    };
    let differences = differences(config);
    let (first, others) = differences.split_at(differences.len().min(FIRST));
    let shown = match first {
        [] => "<p>Every setting is the default.</p>\n".to_owned(),
        first => table(first),
    };
    let more = match others {
        [] => String::new(),
        others => format!("<details><summary>{} more</summary>{}</details>\n", others.len(), table(others)),
    };
    format!(
        "{shown}{more}<details><summary>The whole configuration</summary><pre>{}</pre></details>\n",
        escape(&run.config_text)
    )
}

fn table(differences: &[Difference]) -> String {
    let row = |difference: &Difference| {
        let default = difference.default.as_ref().map_or("none".into(), Value::to_string);
        format!(
            "<tr><th>{}</th><td>{}</td><td>{}</td></tr>\n",
            escape(&difference.key),
            escape(&difference.value.to_string()),
            escape(&default)
        )
    };
    format!(
        "<div class=\"scroll\"><table class=\"settings\"><thead><tr><th>setting</th><th>value</th><th>default</th></tr></thead><tbody>\n{}</tbody></table></div>\n",
        differences.iter().map(row).collect::<String>()
    )
}

/// The settings in which runs differ from each other, a column a run.
pub(super) fn settings_between(runs: &[ReportRun]) -> String {
    let keys = |config: &Table| leaves(config).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    let mut all: Vec<String> = runs.iter().filter_map(|run| run.config.as_ref()).flat_map(keys).collect();
    all.sort();
    all.dedup();
    let value = |run: &ReportRun, key: &str| {
        leaves(run.config.as_ref()?).into_iter().find(|(known, _)| known == key).map(|(_, value)| value.to_string())
    };
    let row = |key: String| {
        let values: Vec<Option<String>> = runs.iter().map(|run| value(run, &key)).collect();
        let same = values.windows(2).all(|pair| pair[0] == pair[1]);
        let cells = values.into_iter().map(|value| format!("<td>{}</td>", escape(&value.unwrap_or("–".into()))));
        (!same).then(|| format!("<tr><th>{}</th>{}</tr>\n", escape(&key), cells.collect::<String>()))
    };
    let rows: String = all.into_iter().filter_map(row).collect();
    if rows.is_empty() {
        return "<p>The runs have the same settings.</p>\n".into();
    }
    let names: String = runs.iter().map(|run| format!("<th>{}</th>", escape(&run.name))).collect();
    format!(
        "<div class=\"scroll\"><table class=\"settings\"><thead><tr><th>setting</th>{names}</tr></thead><tbody>\n{rows}</tbody></table></div>\n"
    )
}
