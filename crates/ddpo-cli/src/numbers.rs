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

/// `about 3 s`, `about 2 min`, `about 43 h`, `about 9 days`, `about 1.7 years`: an estimate of a time, to two digits at most.
pub fn about(time: Duration) -> String {
    const UNITS: [(f64, f64, &str); 5] = [
        (90.0, 1.0, "s"),
        (90.0 * 60.0, 60.0, "min"),
        (48.0 * 3600.0, 3600.0, "h"),
        (90.0 * 86400.0, 86400.0, "days"),
        (365.0 * 86400.0, 30.4 * 86400.0, "months"),
    ];
    let seconds = time.as_secs_f64();
    if seconds < 0.95 {
        return "less than 1 s".into();
    }
    match UNITS.iter().find(|(most, ..)| seconds < *most) {
        Some((_, unit, name)) => format!("about {:.0} {name}", seconds / unit),
        None => format!("about {:.1} years", seconds / (365.25 * 86400.0)),
    }
}

/// `480 MiB`, `5.4 GiB`.
pub fn bytes(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes < 1000.0 { format!("{mebibytes:.0} MiB") } else { format!("{:.1} GiB", mebibytes / 1024.0) }
}

/// `1,280`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// The values as a row of bars, from the least to the greatest.
pub fn sparkline(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let span = if high > low { high - low } else { 1.0 };
    values.iter().map(|value| BARS[(((value - low) / span) * 7.0).round().clamp(0.0, 7.0) as usize]).collect()
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
    fn an_estimate_claims_no_more_than_it_knows() {
        let text = |seconds: f64| about(Duration::from_secs_f64(seconds));
        assert_eq!([text(0.2), text(110.4), text(6.0 * 3600.0)], ["less than 1 s", "about 2 min", "about 6 h"]);
        assert_eq!([text(9.3 * 86400.0), text(100.0 * 86400.0)], ["about 9 days", "about 3 months"]);
        assert_eq!([text(5.4e7), about(Duration::MAX)[..6].to_owned()], ["about 1.7 years", "about "]);
    }

    #[test]
    fn sizes_and_counts_are_grouped() {
        assert_eq!([bytes(480 << 20), bytes(5800 << 20)], ["480 MiB", "5.7 GiB"]);
        assert_eq!([grouped(7), grouped(1280), grouped(1_234_567)], ["7", "1,280", "1,234,567"]);
    }

    #[test]
    fn bars_go_from_least_to_greatest() {
        assert_eq!(sparkline(&[1.0, 2.0, 1.5]), "▁█▅");
        assert_eq!(sparkline(&[1.0]), "▁");
        assert_eq!(sparkline(&[]), "");
    }
}
