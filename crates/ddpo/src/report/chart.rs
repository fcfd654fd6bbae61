//! Line charts as inline SVG.

use std::fmt::Write as _;

use super::axis::Axis;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 58.0;
const BOTTOM: f64 = 32.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 12.0;

/// Colours that differ for the colour-blind too (Okabe and Ito).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// A named line.
pub(super) struct Series<'a> {
    /// What the legend says.
    pub name: &'a str,
    /// `(epoch, value)`; values that are not finite are left out.
    pub points: Vec<(f64, f64)>,
}

/// A chart over epochs, or nothing when there is no point to draw.
pub(super) fn chart(title: &str, series: &[Series<'_>]) -> String {
    let finite = || series.iter().flat_map(|s| &s.points).filter(|(_, y)| y.is_finite());
    let (x, y) = match (Axis::over(finite().map(|p| p.0)), Axis::over(finite().map(|p| p.1))) {
        (Some(x), Some(y)) => (x, y),
        _ => return String::new(),
    };
    let mut svg = format!(
        "<figure><figcaption>{title}{}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">",
        legend(series)
    );
    let place = |point: &(f64, f64)| {
        let px = LEFT + x.share(point.0) * (WIDTH - LEFT - RIGHT);
        let py = HEIGHT - BOTTOM - y.share(point.1) * (HEIGHT - TOP - BOTTOM);
        (px, py)
    };
    for tick in y.ticks() {
        let (_, py) = place(&(0.0, tick));
        push(
            &mut svg,
            format_args!("<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{py:.1}\" y2=\"{py:.1}\" class=\"grid\"/>", WIDTH - RIGHT),
        );
        push(
            &mut svg,
            format_args!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                py + 4.0,
                y.label(tick)
            ),
        );
    }
    for tick in x.ticks() {
        let (px, _) = place(&(tick, 0.0));
        push(
            &mut svg,
            format_args!("<text x=\"{px:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>", HEIGHT - 12.0, x.label(tick)),
        );
    }
    for (line, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let points: Vec<(f64, f64)> = line.points.iter().filter(|(_, y)| y.is_finite()).map(place).collect();
        push_line(&mut svg, &points, colour);
    }
    svg.push_str("</svg></figure>\n");
    svg
}

fn push_line(svg: &mut String, points: &[(f64, f64)], colour: &str) {
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    push(
        svg,
        format_args!("<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join(" ")),
    );
    // A dot for every value while they can be told apart.
    if points.len() <= 60 {
        for (x, y) in points {
            push(svg, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>"));
        }
    }
}

fn legend(series: &[Series<'_>]) -> String {
    if series.len() < 2 {
        return String::new();
    }
    let entry =
        |(line, colour): (&Series<'_>, &&str)| format!(" <span style=\"color:{colour}\">&#9632; {}</span>", line.name);
    series.iter().zip(COLOURS.iter().cycle()).map(entry).collect()
}

fn push(svg: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = svg.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_finite_is_no_chart() {
        assert_eq!(chart("x", &[Series { name: "a", points: vec![(1.0, f64::NAN)] }]), "");
    }

    #[test]
    fn points_are_inside_the_frame() {
        let svg = chart("x", &[Series { name: "a", points: vec![(0.0, 1.0), (10.0, 3.0)] }]);
        assert!(svg.contains("points=\"58.0,188.0 548.0,12.0\""), "{svg}");
    }
}
