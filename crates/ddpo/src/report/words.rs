//! Numbers, times and text as a page says them.

/// Text as it may stand in HTML, also inside quotes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// A number with three digits that count, or all of a whole number: `−2.74`, `0.0123`, `12 345`.
pub(super) fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".into();
    }
    if size != 0.0 && size < 1e-3 {
        return signed(value, &format!("{size:.1e}"));
    }
    let decimals = if size == 0.0 { 0 } else { (2 - size.log10().floor() as i32).clamp(0, 5) as usize };
    signed(value, &grouped(&format!("{size:.decimals$}")))
}

/// A difference, with its sign.
pub(super) fn change(value: f64) -> String {
    if value > 0.0 { format!("+{}", number(value)) } else { number(value) }
}

/// A share as a whole percentage.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() { signed(share, &format!("{:.0} %", 100.0 * share.abs())) } else { "–".into() }
}

/// A number with its unit, where there is one.
pub(super) fn with_unit(value: f64, unit: Option<&str>) -> String {
    match unit {
        Some(unit) => format!("{} {unit}", number(value)),
        None => number(value),
    }
}

/// Seconds as people say them.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{seconds:.0} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// `1 prompt`, `2 prompts`.
pub(super) fn count(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{} {noun}s", grouped(&count.to_string())) }
}

/// `2026-01-31T12:34:56Z` as `2026-01-31 12:34 UTC`; anything else as it is.
pub(super) fn date(rfc3339: &str) -> String {
    match (rfc3339.get(..10), rfc3339.get(11..16)) {
        (Some(day), Some(time)) if rfc3339.ends_with('Z') => format!("{day} {time} UTC"),
        _ => rfc3339.to_owned(),
    }
}

fn signed(value: f64, text: &str) -> String {
    // A number that is shown as zero has no sign.
    let is_zero = !text.contains(|c: char| ('1'..='9').contains(&c));
    if value < 0.0 && !is_zero { format!("\u{2212}{text}") } else { text.to_owned() }
}

/// Thousands apart, from five digits on.
fn grouped(digits: &str) -> String {
    let whole = digits.split('.').next().unwrap_or(digits);
    if whole.len() < 5 {
        return digits.to_owned();
    }
    let mut text = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text + &digits[whole.len()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let text =
            [-2.7424, 0.012_34, 12.345, 123.4, 37_581.2, 1234.5, 0.0, -0.0, 1.0, -0.000_012, f64::NAN].map(number);
        let expected =
            ["\u{2212}2.74", "0.0123", "12.3", "123", "37\u{202f}581", "1234", "0", "0", "1.00", "\u{2212}1.2e-5", "–"];
        assert_eq!(text, expected);
        assert_eq!([change(0.5), change(-0.5)], ["+0.500", "\u{2212}0.500"]);
        assert_eq!([percent(0.274), percent(-0.001)], ["27 %", "0 %"]);
        assert_eq!([with_unit(1.0, Some("kB")), with_unit(1.0, None)], ["1.00 kB", "1.00"]);
    }

    #[test]
    fn times_and_counts_read_as_said() {
        assert_eq!([12.4, 125.0, 4_800.0].map(duration), ["12 s", "2 min 05 s", "1 h 20 min"]);
        assert_eq!([count(1, "prompt"), count(8, "prompt")], ["1 prompt", "8 prompts"]);
        assert_eq!(date("2026-01-31T12:34:56Z"), "2026-01-31 12:34 UTC");
        assert_eq!(date("yesterday"), "yesterday");
    }

    #[test]
    fn nothing_leaves_its_quotes() {
        assert_eq!(escape("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
    }
}
