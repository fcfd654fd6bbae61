//! Figures as SVG files: mean curves with bands.

use std::fmt::Write as _;
use std::path::Path;

use crate::experiment::Experiment;
use crate::runs::{Line, slug};
use crate::statistics::{Estimate, mean_curve};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 44.0;

/// Colours that differ for the colour-blind too (Okabe and Ito).
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#000000"];

/// A named mean curve.
struct Curve<'a> {
    name: &'a str,
    points: Vec<(f64, Estimate)>,
}

/// Writes one file for each task and figure of an experiment.
pub fn write_all(name: &str, experiment: &Experiment, lines: &[Line], out: &Path) -> std::io::Result<()> {
    for task in &experiment.tasks {
        for figure in &experiment.figures {
            let of_task = lines.iter().filter(|line| line.task == task.name);
            let curves: Vec<Curve<'_>> =
                of_task.map(|line| Curve { name: &line.variant, points: mean_curve(&line.runs, figure) }).collect();
            let file = out.join(format!("{name}-{}-{figure}.svg", slug(&task.name).display()));
            std::fs::write(&file, svg(&format!("{}: {figure}", task.name), &curves))?;
            println!("{}", file.display());
        }
    }
    Ok(())
}

/// The range of a set of values, widened where it is empty.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    match (low < high, low.is_finite()) {
        (true, _) => (low, high),
        (false, true) => (low - 0.5, low + 0.5),
        (false, false) => (0.0, 1.0),
    }
}

fn svg(title: &str, curves: &[Curve<'_>]) -> String {
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let half = |estimate: &Estimate| if estimate.half.is_finite() { estimate.half } else { 0.0 };
    let x = range(all().map(|point| point.0));
    let y = range(all().flat_map(|(_, e)| [e.mean - half(e), e.mean + half(e)]));
    let place = |px: f64, py: f64| {
        let across = LEFT + (px - x.0) / (x.1 - x.0) * (WIDTH - LEFT - RIGHT);
        (across, HEIGHT - BOTTOM - (py - y.0) / (y.1 - y.0) * (HEIGHT - TOP - BOTTOM))
    };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/><text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>\n",
        escape(title)
    );
    axes(&mut out, x, y, &place);
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let edge = |sign: f64| move |(px, e): &(f64, Estimate)| (*px, e.mean + sign * half(e));
        let (upper, lower) = (curve.points.iter().map(edge(1.0)), curve.points.iter().rev().map(edge(-1.0)));
        let band = joined(upper.chain(lower).map(|(px, py)| place(px, py)));
        let mean = joined(curve.points.iter().map(|(px, e)| place(*px, e.mean)));
        let legend = TOP + 16.0 * i as f64;
        push(&mut out, format_args!("<polygon points=\"{band}\" fill=\"{colour}\" fill-opacity=\"0.18\"/>"));
        push(
            &mut out,
            format_args!("<polyline points=\"{mean}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"),
        );
        let label = escape(curve.name);
        push(
            &mut out,
            format_args!("<text x=\"{}\" y=\"{legend}\" fill=\"{colour}\">{label}</text>\n", WIDTH - RIGHT + 10.0),
        );
    }
    out + "</svg>\n"
}

fn axes(out: &mut String, x: (f64, f64), y: (f64, f64), place: &dyn Fn(f64, f64) -> (f64, f64)) {
    for i in 0..=4 {
        let share = f64::from(i) / 4.0;
        let (vx, vy) = (x.0 + share * (x.1 - x.0), y.0 + share * (y.1 - y.0));
        let ((px, _), (_, py)) = (place(vx, y.0), place(x.0, vy));
        push(
            out,
            format_args!(
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{py:.1}\" y2=\"{py:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <text x=\"{px:.1}\" y=\"{}\" text-anchor=\"middle\">{vx:.0}</text>\n",
                WIDTH - RIGHT,
                LEFT - 6.0,
                py + 4.0,
                label(vy, y.1 - y.0),
                HEIGHT - BOTTOM + 16.0
            ),
        );
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    push(
        out,
        format_args!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">reward queries</text>\n", HEIGHT - 8.0),
    );
}

/// As many decimals as tell ticks of this span apart.
fn label(value: f64, span: f64) -> String {
    let decimals = (2.0 - span.log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{value:.decimals$}")
}

fn joined(points: impl Iterator<Item = (f64, f64)>) -> String {
    points.map(|(px, py)| format!("{px:.1},{py:.1}")).collect::<Vec<_>>().join(" ")
}

fn push(out: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(part);
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
