//! The table of an experiment: where each line began and where it ended.

use std::path::Path;

use ddpo::report::Estimate;

use crate::experiment::Experiment;
use crate::figure::described;
use crate::runs::{Line, slug};
use crate::statistics::curve;

/// What every table has.
const ALWAYS: [&str; 4] = ["reward", "kl", "diversity", "as-asked"];

/// Writes `NAME.md`: a table, and the figures.
pub fn write(name: &str, experiment: &Experiment, lines: &[Line], out: &Path) -> std::io::Result<()> {
    let extra: Vec<&str> = experiment.figures.iter().map(String::as_str).filter(|f| !ALWAYS.contains(f)).collect();
    let columns: Vec<&str> = extra.iter().map(|figure| described(figure)).collect();
    let mut text = format!(
        "# {}\n\nMade by `cargo run --release -p ddpo --example paper -- {name}`. Mean and 95 % interval over seeds (Student). \
         Reward on prompts and noise that training never uses, before and after training.\n\n\
         | task | variant | learning rate | seeds | before | after | gain | as asked before | as asked after | nats from the base | diversity |{}\n|{}\n",
        experiment.title,
        columns.iter().map(|column| format!(" {column} |")).collect::<String>(),
        "---|".repeat(11 + columns.len())
    );
    lines.iter().for_each(|line| text += &row(line, &extra));
    text += "\nAs asked: the share of the evaluation's pictures that show what their prompts name, by the judge that is shipped with the \
             model.\n";
    for task in &experiment.tasks {
        for figure in &experiment.figures {
            let file = format!("{name}-{}-{figure}.svg", slug(&task.name).display());
            text += &format!("\n![{}: {}]({file})\n", task.name, described(figure));
        }
    }
    let path = out.join(format!("{name}.md"));
    std::fs::write(&path, text)?;
    println!("{}", path.display());
    Ok(())
}

fn row(line: &Line, extra: &[&str]) -> String {
    let ends = |figure: &str| -> Vec<(f64, f64)> {
        let of_run = |records| {
            let curve = curve(records, figure);
            Some((curve.first()?.1, curve.last()?.1))
        };
        line.runs.iter().filter_map(of_run).collect()
    };
    let of = |values: Vec<f64>| shown(Estimate::of(&values));
    let (reward, asked) = (ends("reward"), ends("as-asked"));
    let last = |figure: &str| of(ends(figure).into_iter().map(|end| end.1).collect());
    let measured = [
        of(reward.iter().map(|end| end.0).collect()),
        of(reward.iter().map(|end| end.1).collect()),
        of(reward.iter().map(|end| end.1 - end.0).collect()),
        of(asked.iter().map(|end| end.0).collect()),
        of(asked.iter().map(|end| end.1).collect()),
        last("kl"),
        last("diversity"),
    ];
    let cells: Vec<String> = measured.into_iter().chain(extra.iter().map(|figure| last(figure))).collect();
    let (rate, seeds) = (line.rate, line.runs.len());
    format!("| {} | {} | {rate:e} | {seeds} | {} |\n", line.task, line.variant, cells.join(" | "))
}

/// At least three digits of the mean, and its interval to the same decimal.
fn shown(estimate: Estimate) -> String {
    let decimals = (2.0 - estimate.mean.abs().max(0.1).log10().floor()).clamp(0.0, 3.0) as usize;
    match estimate.half.is_finite() {
        true => format!("{:.decimals$} ± {:.decimals$}", estimate.mean, estimate.half),
        false => format!("{:.decimals$}", estimate.mean),
    }
}
