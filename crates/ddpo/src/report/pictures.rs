//! The pictures before and after, prompt by prompt, and a slider over all epochs whose grids are there.
//!
//! Each grid stands in the page once, as an image of a hidden drawing; whatever shows a part of it refers to it.

use super::base64;
use super::chart::push;
use super::grid::{Cell, Grid};
use super::run::ReportRun;
use super::words::{count, escape, with_unit};

/// Below this side, pixels are shown as squares.
const SMALL: u32 = 128;

/// Pictures of a prompt in a row, at most.
const MOST: usize = 4;

/// The pictures of runs that were evaluated alike, side by side; of others, one run after the other.
pub(super) fn pictures(runs: &[ReportRun]) -> String {
    if runs.iter().all(|run| run.grids.is_empty()) {
        return damaged(runs);
    }
    let numbered: Vec<(usize, &ReportRun)> = runs.iter().enumerate().filter(|(_, run)| !run.grids.is_empty()).collect();
    let alike = numbered.iter().all(|(_, run)| is_alike(numbered[0].1, run));
    let sections = match alike {
        true => section(&numbered, ""),
        false => numbered.iter().map(|&(i, run)| section(&[(i, run)], &run.name)).collect(),
    };
    format!("<h2 id=\"pictures\">Pictures</h2>\n{}{}{sections}", definitions(runs), damaged(runs))
}

/// Whether the same pictures stand at the same places.
fn is_alike(a: &ReportRun, b: &ReportRun) -> bool {
    let of = |run: &ReportRun| {
        let record = run.record()?;
        Some((record.prompts.evaluation.clone(), record.evaluation_seed, run.grids.first()?.size, samples(run)))
    };
    of(a).is_some() && of(a) == of(b)
}

/// Every grid, once.
fn definitions(runs: &[ReportRun]) -> String {
    let mut out = "<svg class=\"definitions\" aria-hidden=\"true\" focusable=\"false\"><defs>\n".to_owned();
    for (number, run) in runs.iter().enumerate() {
        for grid in &run.grids {
            let sharp = grid.cell(0, samples(run)).is_some_and(|cell| cell.width < SMALL);
            push(
                &mut out,
                format_args!(
                    "<image id=\"{}\" width=\"{}\" height=\"{}\"{} href=\"data:image/png;base64,{}\"/>\n",
                    id(number, grid),
                    grid.size[0],
                    grid.size[1],
                    if sharp { " class=\"sharp\"" } else { "" },
                    base64::encode(&grid.file)
                ),
            );
        }
    }
    out + "</defs></svg>\n"
}

fn id(run: usize, grid: &Grid) -> String {
    format!("run{run}-epoch{}", grid.epoch)
}

/// The pictures of a grid: as many as rewards, as far as the grid holds them.
fn samples(run: &ReportRun) -> usize {
    /// As many as a run writes into a grid.
    const MOST: usize = 32;
    run.records.evals.iter().map(|eval| eval.rewards.len()).max().unwrap_or(0).min(MOST)
}

/// The pictures of runs whose places are the same.
fn section(runs: &[(usize, &ReportRun)], name: &str) -> String {
    let heading = if name.is_empty() { String::new() } else { format!("<h3>{}</h3>\n", escape(name)) };
    let by_prompt = cards(runs);
    let whole = if by_prompt.is_empty() { whole_grids(runs) } else { by_prompt };
    format!("{heading}<div class=\"pictures\">\n{}{whole}{}</div>\n", slider(runs), all_grids(runs))
}

/// The slider, which a script brings to life; without it, the last pictures are shown.
fn slider(runs: &[(usize, &ReportRun)]) -> String {
    let mut epochs: Vec<u64> = runs.iter().flat_map(|(_, run)| run.grids.iter().map(|grid| grid.epoch)).collect();
    epochs.sort_unstable();
    epochs.dedup();
    if epochs.len() < 2 {
        return String::new();
    }
    let at = |run: &ReportRun, epoch: u64| run.grids.iter().rposition(|grid| grid.epoch <= epoch).unwrap_or(0);
    let stop = |&epoch: &u64| {
        let shown = runs.iter().map(|(number, run)| format!("{number}={}", id(*number, &run.grids[at(run, epoch)])));
        format!("<li data-show=\"{}\">{}</li>", shown.collect::<Vec<_>>().join(" "), escape(&stop_text(runs, epoch)))
    };
    let last = epochs.len() - 1;
    format!(
        "<div class=\"slider\" hidden><label>Pictures after epoch <input type=\"range\" min=\"0\" max=\"{last}\" value=\"{last}\" step=\"1\"></label>\
         <output aria-live=\"polite\">{}</output><ol hidden>{}</ol></div>\n",
        escape(&stop_text(runs, epochs[last])),
        epochs.iter().map(stop).collect::<String>()
    )
}

/// What the slider says at an epoch.
fn stop_text(runs: &[(usize, &ReportRun)], epoch: u64) -> String {
    let when = if epoch == 0 { "before training".to_owned() } else { format!("after epoch {epoch}") };
    match runs {
        [(_, run)] => match run.records.evals.iter().rfind(|eval| eval.epoch == epoch) {
            Some(eval) => format!("{when}: reward {}", with_unit(eval.reward_mean, run.unit())),
            None => when,
        },
        _ => when,
    }
}

/// A card a prompt: its pictures before training, and after it those of each run. Nothing where prompts or places are
/// unknown.
fn cards(runs: &[(usize, &ReportRun)]) -> String {
    let run = runs[0].1;
    let (prompts, total) = (run.prompts(), samples(run));
    let Some(first) = run.grids.first().filter(|grid| !prompts.is_empty() && grid.cell(0, total.max(1)).is_some())
    else {
        return String::new();
    };
    let cells =
        |prompt: usize| (prompt..total).step_by(prompts.len()).filter_map(move |i| first.cell(i, total)).take(MOST);
    let widest = (0..prompts.len()).map(|prompt| cells(prompt).count()).max().unwrap_or(0);
    let mut out = format!("<div class=\"cards\" data-columns=\"{widest}\">\n");
    for (number, prompt) in prompts.iter().enumerate().filter(|(number, _)| *number < total) {
        let cells: Vec<Cell> = cells(number).collect();
        push(&mut out, format_args!("<section class=\"card\"><h3>{}</h3>\n", escape(prompt)));
        if first.epoch == 0 {
            out += &row("before", &cells, &id(runs[0].0, first), None, &format!("{prompt}, before training"));
        }
        for (number, run) in runs {
            let Some(last) = run.grids.last() else { continue };
            let label = if runs.len() == 1 { "after" } else { &run.name };
            let alt =
                if runs.len() == 1 { format!("{prompt}, after training") } else { format!("{prompt}, {}", run.name) };
            out += &row(label, &cells, &id(*number, last), Some(*number), &alt);
        }
        out += "</section>\n";
    }
    out + "</div>\n"
}

/// Parts of a grid in a row; those of a `moving` run are what the slider moves.
fn row(label: &str, cells: &[Cell], grid: &str, moving: Option<usize>, alt: &str) -> String {
    let moving = moving.map(|run| format!(" data-run=\"{run}\"")).unwrap_or_default();
    let picture = |cell: &Cell| {
        format!(
            "<svg viewBox=\"{} {} {} {}\" role=\"img\" aria-label=\"{}\"><use href=\"#{grid}\"{moving}/></svg>",
            cell.left,
            cell.top,
            cell.width,
            cell.height,
            escape(alt)
        )
    };
    format!(
        "<div class=\"row\"><span>{}</span>{}</div>\n",
        escape(label),
        cells.iter().map(picture).collect::<String>()
    )
}

/// The first and the last grid, where it is not known which prompt is where.
fn whole_grids(runs: &[(usize, &ReportRun)]) -> String {
    let mut out = "<div class=\"grids\">\n".to_owned();
    for (number, run) in runs {
        let (Some(first), Some(last)) = (run.grids.first(), run.grids.last()) else { continue };
        if first.epoch != last.epoch {
            out += &figure(*number, first, "", &caption(first));
        }
        out += &figure(*number, last, &format!(" data-run=\"{number}\""), "After training");
    }
    out + "</div>\n"
}

fn caption(grid: &Grid) -> String {
    if grid.epoch == 0 { "Before training".into() } else { format!("After epoch {}", grid.epoch) }
}

fn figure(run: usize, grid: &Grid, moving: &str, caption: &str) -> String {
    let [width, height] = grid.size;
    format!(
        "<figure><figcaption>{caption}</figcaption><svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{caption}\">\
         <use href=\"#{}\"{moving}/></svg></figure>\n",
        id(run, grid)
    )
}

/// All grids one after another, which needs no script.
fn all_grids(runs: &[(usize, &ReportRun)]) -> String {
    let figures = |(number, run): &(usize, &ReportRun)| {
        let name = if runs.len() == 1 { String::new() } else { format!("{}: ", escape(&run.name)) };
        let figure = |grid: &Grid| figure(*number, grid, "", &format!("{name}{}", caption(grid)));
        run.grids.iter().map(figure).collect::<String>()
    };
    let total = runs.iter().map(|(_, run)| run.grids.len()).sum();
    format!(
        "<details><summary>All {}, whole</summary><div class=\"grids\">{}</div></details>\n",
        count(total, "grid"),
        runs.iter().map(figures).collect::<String>()
    )
}

/// What was left out.
fn damaged(runs: &[ReportRun]) -> String {
    let names: Vec<String> = runs.iter().flat_map(|run| &run.damaged).map(|name| escape(name)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("<p class=\"note\">Left out, because it is no PNG picture: {}.</p>\n", names.join(", ")),
    }
}
