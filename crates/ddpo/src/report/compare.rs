//! Several runs side by side.

use super::chart::COLOURS;
use super::run::ReportRun;
use super::summary::relative;
use super::verdict::{Verdict, shift};
use super::words::{count, duration, escape, number, percent};

/// The runs as a table: what each was, and what came of it.
pub(super) fn overview(runs: &[ReportRun]) -> String {
    let row = |(number, run): (usize, &ReportRun)| {
        let cells = cells(run).map(|cell| format!("<td>{}</td>", escape(&cell)));
        let name = escape(&run.name);
        format!(
            "<tr class=\"s{}\"><th><i aria-hidden=\"true\"></i>{name}</th>{}</tr>\n",
            number % COLOURS,
            cells.concat()
        )
    };
    format!(
        "<div class=\"scroll\"><table class=\"runs\"><thead><tr><th>run</th><th>model</th><th>algorithm</th><th>reward</th><th>epochs</th>\
         <th>before</th><th>after</th><th>change</th><th>nats</th><th>σ a step</th><th>as asked</th><th>diversity</th><th>time</th></tr></thead><tbody>\n{}</tbody></table></div>\n",
        runs.iter().enumerate().map(row).collect::<String>()
    )
}

fn cells(run: &ReportRun) -> [String; 12] {
    let record = run.record();
    let text = |value: Option<&String>| value.cloned().unwrap_or("–".into());
    let (base, last) = (run.records.evals.first(), run.records.up_to_product().last());
    let of = |value: Option<f64>| value.map_or("–".into(), number);
    let reward = last.map(|last| match run.half(&last.rewards) {
        Some(half) => format!("{} ± {}", number(last.reward_mean), number(half)),
        None => number(last.reward_mean),
    });
    let change = base.zip(last).and_then(|(base, last)| {
        let share = relative(base.reward_mean, last.reward_mean)?;
        Some(percent(share.copysign(last.reward_mean - base.reward_mean)))
    });
    let unit = run.unit().map(|unit| format!(", {unit}")).unwrap_or_default();
    [
        text(record.map(|record| &record.model.name)),
        text(record.map(|record| &record.algorithm)),
        text(record.map(|record| &record.reward.name)) + &unit,
        run.epochs().0.to_string(),
        of(base.map(|eval| eval.reward_mean)),
        reward.unwrap_or("–".into()),
        change.unwrap_or("–".into()),
        of(last.map(|eval| eval.kl_to_base)),
        of(last.and_then(|eval| shift(&run.records, eval.kl_to_base))),
        last.and_then(|eval| eval.as_asked).map_or("–".into(), percent),
        of(last.map(|eval| eval.diversity)),
        duration(run.seconds().iter().sum()),
    ]
}

/// The warnings of every run that has some.
pub(super) fn warnings(runs: &[ReportRun]) -> String {
    let of = |run: &ReportRun| {
        let warnings = Verdict::of(&run.records).warnings;
        let text: Vec<String> = warnings.iter().map(|warning| escape(&warning.to_string())).collect();
        let name = escape(&run.name);
        (!text.is_empty()).then(|| format!("<p class=\"warning\"><b>{name}.</b> {}</p>\n", text.join(" ")))
    };
    runs.iter().filter_map(of).collect()
}

/// Whether the runs can be compared, in a sentence.
pub(super) fn comparable(runs: &[ReportRun]) -> String {
    let of = |run: &ReportRun| {
        let record = run.record()?;
        Some((
            record.prompts.evaluation.clone(),
            record.evaluation_seed,
            record.reward.clone(),
            record.model.fingerprint.clone(),
        ))
    };
    let first = runs.first().and_then(of);
    let same = first.is_some() && runs.iter().all(|run| of(run) == first);
    match same {
        true => format!("<p class=\"lead\">{} of the same model, reward, evaluation prompts and seeds.</p>\n", count(runs.len(), "run")),
        false => "<p class=\"lead\">These runs differ in model, reward, evaluation prompts or seeds, or do not say what they are: their \
                  numbers cannot be compared one by one.</p>\n"
            .into(),
    }
}
