//! Figures as SVG files: mean curves with bands.

use std::fmt::Write as _;
use std::path::Path;

use ddpo::report::{Axis, Estimate};

use crate::experiment::Experiment;
use crate::runs::{Line, slug};
use crate::statistics::mean_curve;

const WIDTH: f64 = 680.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
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
            std::fs::write(&file, svg(&format!("{}: {}", task.name, described(figure)), &curves))?;
            println!("{}", file.display());
        }
    }
    Ok(())
}

/// What a figure is called.
pub fn described(figure: &str) -> &str {
    match figure {
        "reward" => "reward on held-out prompts",
        "kl" => "divergence from the base model, nats a chain",
        "diversity" => "diversity of pictures",
        "improved" => "share of held-out prompts that improved",
        "as-asked" => "share of pictures that are as asked for",
        "training-reward" => "reward in training",
        "held-out" => "a reward that is not optimised",
        other => other,
    }
}

fn svg(title: &str, curves: &[Curve<'_>]) -> String {
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let half = |estimate: &Estimate| if estimate.half.is_finite() { estimate.half } else { 0.0 };
    let over = |values: &mut dyn Iterator<Item = f64>| Axis::over(values.filter(|value| value.is_finite()));
    let x = over(&mut all().map(|point| point.0));
    let y = over(&mut window(curves).into_iter());
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/><text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>\n\
         <clipPath id=\"frame\"><rect x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\"/></clipPath>\n",
        escape(title),
        WIDTH - LEFT - RIGHT,
        HEIGHT - TOP - BOTTOM
    );
    let (Some(x), Some(y)) = (x, y) else { return out + "</svg>\n" };
    let place = |px: f64, py: f64| {
        let across = LEFT + x.share(px) * (WIDTH - LEFT - RIGHT);
        (across, HEIGHT - BOTTOM - y.share(py) * (HEIGHT - TOP - BOTTOM))
    };
    axes(&mut out, x, y);
    for (i, curve) in curves.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let edge = |sign: f64| move |(px, e): &(f64, Estimate)| (*px, e.mean + sign * half(e));
        let (upper, lower) = (curve.points.iter().map(edge(1.0)), curve.points.iter().rev().map(edge(-1.0)));
        let band = joined(upper.chain(lower).map(|(px, py)| place(px, py)));
        let mean = joined(curve.points.iter().map(|(px, e)| place(*px, e.mean)));
        let legend = TOP + 12.0 + 18.0 * i as f64;
        push(
            &mut out,
            format_args!(
                "<g clip-path=\"url(#frame)\"><polygon points=\"{band}\" fill=\"{colour}\" fill-opacity=\"0.15\"/>\
                 <polyline points=\"{mean}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/></g>\
                 <rect x=\"{}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"{legend}\">{}</text>\n",
                WIDTH - RIGHT + 12.0,
                legend - 9.0,
                WIDTH - RIGHT + 28.0,
                escape(curve.name)
            ),
        );
    }
    out + "</svg>\n"
}

/// The values that a figure must show: all means, and bands as far as half the range of means beyond them. An interval over
/// few seeds may be many times as wide as all lines together are apart, and would leave nothing to be seen of them.
fn window(curves: &[Curve<'_>]) -> Vec<f64> {
    let finite = || curves.iter().flat_map(|curve| &curve.points).map(|(_, e)| e).filter(|e| e.mean.is_finite());
    let low = finite().map(|e| e.mean).fold(f64::INFINITY, f64::min);
    let high = finite().map(|e| e.mean).fold(f64::NEG_INFINITY, f64::max);
    let room = (high - low) / 2.0;
    let edges = finite().filter(|e| e.half.is_finite()).flat_map(|e| [e.mean - e.half, e.mean + e.half]);
    finite().map(|e| e.mean).chain(edges.map(|edge| edge.clamp(low - room, high + room))).collect()
}

fn axes(out: &mut String, x: Axis, y: Axis) {
    for tick in y.ticks() {
        let py = HEIGHT - BOTTOM - y.share(tick) * (HEIGHT - TOP - BOTTOM);
        push(
            out,
            format_args!(
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{py:.1}\" y2=\"{py:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                WIDTH - RIGHT,
                LEFT - 6.0,
                py + 4.0,
                y.label(tick)
            ),
        );
    }
    for tick in x.ticks() {
        let px = LEFT + x.share(tick) * (WIDTH - LEFT - RIGHT);
        let (py, text) = (HEIGHT - BOTTOM + 16.0, x.label(tick));
        push(out, format_args!("<text x=\"{px:.1}\" y=\"{py}\" text-anchor=\"middle\">{text}</text>\n"));
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    push(
        out,
        format_args!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">reward queries</text>\n", HEIGHT - 8.0),
    );
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
