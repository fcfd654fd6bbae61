//! The table of an experiment: where each line began and where it ended.

use std::path::Path;

use ddpo::report::Estimate;

use crate::experiment::Experiment;
use crate::figure::described;
use crate::runs::{Line, slug};
use crate::statistics::curve;

/// What every table has.
const ALWAYS: [&str; 3] = ["reward", "kl", "diversity"];

/// What a table has when samples were compared with labelled pictures.
const LABELLED: &[&str] = &["as asked for, before", "as asked for, after"];

/// Writes `NAME.md`: a table, and the figures.
pub fn write(name: &str, experiment: &Experiment, lines: &[Line], out: &Path) -> std::io::Result<()> {
    let extra: Vec<&str> = experiment.figures.iter().map(String::as_str).filter(|f| !ALWAYS.contains(f)).collect();
    let labelled = lines.iter().any(|line| line.shares.is_some());
    let mut columns: Vec<&str> = extra.iter().map(|figure| described(figure)).collect();
    columns.extend(if labelled { LABELLED } else { &[] });
    let mut text = format!(
        "# {}\n\nMade by `cargo run --release -p ddpo --example paper -- {name}`. Mean and 95 % interval over seeds (Student). \
         Reward on prompts and noise that training never uses, before and after training.\n\n\
         | task | variant | learning rate | seeds | before | after | gain | nats from the base | diversity |{}\n|{}\n",
        experiment.title,
        columns.iter().map(|column| format!(" {column} |")).collect::<String>(),
        "---|".repeat(9 + columns.len())
    );
    lines.iter().for_each(|line| text += &row(line, &extra));
    if labelled {
        text += "\nAs asked for: the share of samples, 8 of each animal, drawn as the runs drew theirs, whose nearest picture of the \
                 training data shows the animal of the prompt.\n";
    }
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
    let reward = ends("reward");
    let last = |figure: &str| of(ends(figure).into_iter().map(|end| end.1).collect());
    let measured = [
        of(reward.iter().map(|end| end.0).collect()),
        of(reward.iter().map(|end| end.1).collect()),
        of(reward.iter().map(|end| end.1 - end.0).collect()),
        last("kl"),
        last("diversity"),
    ];
    let shares = line.shares.iter().flat_map(|shares| [of(vec![shares.before]), of(shares.after.clone())]);
    let cells: Vec<String> =
        measured.into_iter().chain(extra.iter().map(|figure| last(figure))).chain(shares).collect();
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
