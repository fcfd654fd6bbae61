//! Line charts as inline SVG: lines, bands of 95 % intervals, and every value under the pointer.

use std::fmt::Write as _;

use super::axis::Axis;
use super::words::{escape, number};

pub(super) const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 250.0;
pub(super) const LEFT: f64 = 54.0;
pub(super) const RIGHT: f64 = 14.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 42.0;

/// Values of a line above which they are not marked one by one.
const MOST_MARKS: usize = 400;

/// Values of a line up to which each has a dot.
const MOST_DOTS: usize = 60;

/// The number of colours; further lines begin again.
pub(super) const COLOURS: usize = 6;

/// A value of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
    /// Half the width of its 95 % interval, where that is known.
    pub half: Option<f64>,
}

impl Point {
    /// A value without an interval.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, half: None }
    }
}

/// A line.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    /// What the legend says.
    pub name: String,
    /// In their order; values that are not finite are left out.
    pub points: Vec<Point>,
    /// Which colour, from 0.
    pub colour: usize,
    /// Whether it stands behind the others.
    pub faint: bool,
}

/// What a vertical axis counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Any number.
    #[default]
    Any,
    /// A number that is not negative.
    Positive,
    /// A share of a whole, shown in per cent.
    Share,
}

/// A chart.
#[derive(Clone, Debug, Default)]
pub(super) struct Chart {
    /// What it shows.
    pub title: String,
    /// What to make of it, in a sentence.
    pub note: String,
    /// What the horizontal axis counts, in the singular.
    pub x: &'static str,
    /// The unit of the vertical axis.
    pub y: String,
    /// What the vertical axis counts.
    pub quantity: Quantity,
    /// The lines.
    pub series: Vec<Series>,
}

/// Where values are on the page.
struct Frame {
    x: Axis,
    y: Axis,
}

impl Frame {
    fn left(&self, x: f64) -> f64 {
        LEFT + self.x.share(x) * (WIDTH - LEFT - RIGHT)
    }

    fn top(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.share(y) * (HEIGHT - TOP - BOTTOM)
    }
}

impl Chart {
    /// The chart as a figure, or nothing where there is no finite value.
    pub fn draw(mut self) -> String {
        self.series.iter_mut().for_each(|series| series.points.retain(|point| point.y.is_finite()));
        self.series.retain(|series| !series.points.is_empty());
        let Some(frame) = self.frame() else { return String::new() };
        let (title, note) = (escape(&self.title), escape(&self.note));
        let mut out = format!("<figure class=\"chart\"><figcaption><b>{title}</b>{}</figcaption>\n", self.legend());
        push(
            &mut out,
            format_args!(
                "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}: {}\">\n",
                self.summary()
            ),
        );
        self.axes(&mut out, &frame);
        self.series.iter().for_each(|series| self.line(&mut out, &frame, series));
        out += "</svg>\n";
        if !note.is_empty() {
            push(&mut out, format_args!("<p class=\"note\">{note}</p>"));
        }
        out + "</figure>\n"
    }

    fn frame(&self) -> Option<Frame> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let ends = |point: &Point| {
            let half = point.half.unwrap_or(0.0);
            [point.y - half, point.y + half]
        };
        let x = Axis::whole(points().map(|point| point.x))?;
        let y = match self.quantity {
            Quantity::Any => Axis::over(points().flat_map(ends))?,
            Quantity::Positive => Axis::from_zero(points().flat_map(ends))?,
            Quantity::Share => Axis::shares(),
        };
        Some(Frame { x, y })
    }

    /// What the picture says, for those who do not see it: the ends of each line.
    fn summary(&self) -> String {
        let line = |series: &Series| {
            let (first, last) = (series.points.first()?, series.points.last()?);
            let name = if series.name.is_empty() { String::new() } else { format!("{}, ", escape(&series.name)) };
            Some(format!(
                "{name}{} at {} {} and {} at {} {}",
                self.value(first.y),
                self.x,
                Self::place(first.x),
                self.value(last.y),
                self.x,
                Self::place(last.x)
            ))
        };
        self.series.iter().filter_map(line).collect::<Vec<_>>().join("; ")
    }

    fn axes(&self, out: &mut String, frame: &Frame) {
        push(out, format_args!("<text class=\"unit\" x=\"2\" y=\"13\">{}</text>", escape(&self.y)));
        let right = WIDTH - RIGHT;
        for tick in frame.y.ticks() {
            let y = frame.top(tick);
            let label = match self.quantity {
                Quantity::Share => format!("{:.0} %", 100.0 * tick),
                _ => frame.y.label(tick).replace('-', "\u{2212}"),
            };
            push(
                out,
                format_args!(
                    "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text x=\"{}\" y=\"{:.1}\" class=\"end\">{label}</text>\n",
                    LEFT - 6.0,
                    y + 4.0,
                ),
            );
        }
        for tick in frame.x.ticks() {
            let (x, y) = (frame.left(tick), HEIGHT - BOTTOM + 17.0);
            push(out, format_args!("<text x=\"{x:.1}\" y=\"{y}\" class=\"middle\">{}</text>", frame.x.label(tick)));
        }
        let (x, y) = ((LEFT + right) / 2.0, HEIGHT - 6.0);
        push(out, format_args!("<text x=\"{x}\" y=\"{y}\" class=\"middle unit\">{}</text>\n", self.x));
    }

    fn line(&self, out: &mut String, frame: &Frame, series: &Series) {
        let faint = if series.faint { " faint" } else { "" };
        push(out, format_args!("<g class=\"s{}{faint}\">", series.colour % COLOURS));
        band(out, frame, &series.points);
        let place = |point: &Point| format!("{:.1},{:.1}", frame.left(point.x), frame.top(point.y));
        let path: Vec<String> = series.points.iter().map(place).collect();
        push(out, format_args!("<polyline class=\"line\" points=\"{}\"/>\n", path.join(" ")));
        if series.points.len() <= MOST_MARKS {
            series.points.iter().for_each(|point| self.mark(out, frame, series, *point));
        }
        *out += "</g>\n";
    }

    /// A value's dot, and a larger place around it that shows the value under the pointer.
    fn mark(&self, out: &mut String, frame: &Frame, series: &Series, point: Point) {
        let (x, y) = (frame.left(point.x), frame.top(point.y));
        let name = if series.name.is_empty() { String::new() } else { format!("{}, ", escape(&series.name)) };
        let interval = match point.half {
            Some(half) => format!(" ({} to {})", self.value(point.y - half), self.value(point.y + half)),
            None => String::new(),
        };
        let dot = if series.points.len() <= MOST_DOTS {
            format!("<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>")
        } else {
            String::new()
        };
        push(
            out,
            format_args!(
                "<g data-x=\"{}\" data-y=\"{}\">{dot}<circle class=\"hit\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\"><title>{name}{} {}: {}{interval}</title></circle></g>\n",
                point.x,
                point.y,
                self.x,
                Self::place(point.x),
                self.value(point.y)
            ),
        );
    }

    /// An epoch or a step as it is, anything else with the digits that count.
    fn place(value: f64) -> String {
        if value.fract() == 0.0 { format!("{value}") } else { number(value) }
    }

    fn value(&self, value: f64) -> String {
        match self.quantity {
            Quantity::Share => super::words::percent(value),
            _ => number(value),
        }
    }

    fn legend(&self) -> String {
        if self.series.iter().all(|series| series.name.is_empty()) {
            return String::new();
        }
        let entry = |series: &Series| {
            let faint = if series.faint { " faint" } else { "" };
            format!(
                "<li class=\"s{}{faint}\"><svg viewBox=\"0 0 22 8\" aria-hidden=\"true\"><path class=\"line\" d=\"M1 4H21\"/></svg>{}</li>",
                series.colour % COLOURS,
                escape(&series.name)
            )
        };
        format!("<ul class=\"legend\">{}</ul>", self.series.iter().map(entry).collect::<String>())
    }
}

/// The 95 % intervals of consecutive values as an area.
fn band(out: &mut String, frame: &Frame, points: &[Point]) {
    let ends: Vec<(f64, f64, f64)> = points.iter().filter_map(|point| Some((point.x, point.y, point.half?))).collect();
    let upper = ends.iter().map(|(x, y, half)| format!("{:.1},{:.1}", frame.left(*x), frame.top(y + half)));
    let lower = ends.iter().rev().map(|(x, y, half)| format!("{:.1},{:.1}", frame.left(*x), frame.top(y - half)));
    if ends.len() > 1 {
        let outline: Vec<String> = upper.chain(lower).collect();
        push(out, format_args!("<polygon class=\"band\" points=\"{}\"/>", outline.join(" ")));
    } else if let Some((x, y, half)) = ends.first() {
        let (x, low, high) = (frame.left(*x), frame.top(y - half), frame.top(y + half));
        push(out, format_args!("<path class=\"line\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>"));
    }
}

pub(super) fn push(out: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<Point>, quantity: Quantity) -> String {
        let series = vec![Series { name: "a & b".into(), points, ..Series::default() }];
        Chart { title: "t".into(), x: "epoch", y: "kB".into(), quantity, series, ..Chart::default() }.draw()
    }

    #[test]
    fn nothing_finite_is_no_chart() {
        assert_eq!(chart(vec![Point::new(1.0, f64::NAN)], Quantity::Any), "");
    }

    #[test]
    fn points_are_inside_the_frame_and_say_their_value() {
        let svg = chart(vec![Point::new(0.0, 1.0), Point { x: 10.0, y: 3.0, half: Some(0.5) }], Quantity::Any);
        assert!(svg.contains("points=\"54.0,208.0 406.0,64.0\""), "{svg}");
        assert!(svg.contains("<title>a &amp; b, epoch 10: 3.00 (2.50 to 3.50)</title>"), "{svg}");
        assert!(svg.contains("data-x=\"10\" data-y=\"3\""), "{svg}");
        assert!(svg.contains("t: a &amp; b, 1.00 at epoch 0 and 3.00 at epoch 10"), "{svg}");
    }

    #[test]
    fn shares_are_per_cent_of_a_whole() {
        let svg = chart(vec![Point::new(1.0, 1.0)], Quantity::Share);
        assert!(svg.contains(">0 %<") && svg.contains(">100 %<") && svg.contains("epoch 1: 100 %"), "{svg}");
    }
}
