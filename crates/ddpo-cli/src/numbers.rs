//! Numbers for people.

use std::time::Duration;

/// `1 image`, `2 images`: what is counted in words whose plural ends in s.
pub fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// `3 s`, `2 min 05 s`, `1 h 20 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The values as a row of bars, from the least to the greatest.
pub fn sparkline(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let span = if high > low { high - low } else { 1.0 };
    values.iter().map(|value| BARS[(((value - low) / span) * 7.0).round().clamp(0.0, 7.0) as usize]).collect()
}

/// The mean and half the width of its 95 % interval (normal approximation).
pub fn mean_with_interval(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, 1.96 * (variance / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_no_things() {
        assert_eq!([0, 1, 2].map(|number| counted(number, "image")), ["0 images", "1 image", "2 images"]);
    }

    #[test]
    fn times_are_short() {
        let text = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!([text(3), text(125), text(4_800)], ["3 s", "2 min 05 s", "1 h 20 min"]);
    }

    #[test]
    fn bars_go_from_least_to_greatest() {
        assert_eq!(sparkline(&[1.0, 2.0, 1.5]), "▁█▅");
        assert_eq!(sparkline(&[1.0]), "▁");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn the_interval_is_the_textbooks() {
        let (mean, half) = mean_with_interval(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(mean, 2.5);
        assert!((half - 1.96 * (5.0f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
    }
}
