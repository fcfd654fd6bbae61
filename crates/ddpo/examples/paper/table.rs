//! The table of an experiment: where each line began and where it ended.

use std::path::Path;

use crate::experiment::Experiment;
use crate::runs::{Line, slug};
use crate::statistics::{Estimate, curve};

/// Writes `NAME.md`: a table, and the figures.
pub fn write(name: &str, experiment: &Experiment, lines: &[Line], out: &Path) -> std::io::Result<()> {
    let mut text = format!(
        "# {}\n\nMade by `cargo run --release -p ddpo --example paper -- {name}`; seeds {:?}; mean and 95 % interval over seeds \
         (Student). Reward on prompts and seeds that training never uses.\n\n\
         | task | variant | learning rate | before | after | gain | nats from the base | diversity |\n|---|---|---|---|---|---|---|---|\n",
        experiment.title, experiment.seeds
    );
    lines.iter().for_each(|line| text += &row(line));
    for task in &experiment.tasks {
        for figure in &experiment.figures {
            let file = format!("{name}-{}-{figure}.svg", slug(&task.name).display());
            text += &format!("\n![{}: {figure}]({file})\n", task.name);
        }
    }
    let path = out.join(format!("{name}.md"));
    std::fs::write(&path, text)?;
    println!("{}", path.display());
    Ok(())
}

fn row(line: &Line) -> String {
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
    format!(
        "| {} | {} | {:e} | {} | {} | {} | {} | {} |\n",
        line.task,
        line.variant,
        line.rate,
        of(reward.iter().map(|end| end.0).collect()),
        of(reward.iter().map(|end| end.1).collect()),
        of(reward.iter().map(|end| end.1 - end.0).collect()),
        last("kl"),
        last("diversity"),
    )
}

fn shown(estimate: Estimate) -> String {
    match estimate.half.is_finite() {
        true => format!("{:.4} ± {:.4}", estimate.mean, estimate.half),
        false => format!("{:.4}", estimate.mean),
    }
}
