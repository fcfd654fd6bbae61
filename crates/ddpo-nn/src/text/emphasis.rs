//! Prompts with weights, in the syntax of A1111's web UI: `(word:1.2)`, `((word))`, `[word]`, `\(`, `BREAK`.

use crate::error::{Error, Result};

/// What a pair of parentheses multiplies a weight by, and a pair of brackets divides it by.
const STEP: f64 = 1.1;

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum PromptPart {
    /// A text, and the weight of each of its tokens.
    Text(String, f64),
    /// The next text begins another piece.
    Break,
}

/// Which bracket was opened, and how many parts there were before it.
struct Open {
    is_round: bool,
    at: usize,
}

/// Takes a prompt apart: `(a)` has 1.1 times the weight of what is around it, `[a]` 1/1.1 times, `(a:1.5)` 1.5 times; brackets that
/// are not closed end with the prompt; a backslash takes its meaning from the bracket behind it; `BREAK` between two words begins
/// another piece. Neighbours of the same weight are one part. A prompt of nothing is one empty text.
///
/// # Errors
///
/// What the web UI means something else by: `[a:b:0.5]`, `[a|b]`, `a AND b`, `<lora:a:1>`; and a weight that is no number.
pub fn parse_weights(prompt: &str) -> Result<Vec<PromptPart>> {
    let refuse =
        |found: &str, wanted: &str| Err(Error::input("read a prompt with weights", "the prompt", found, wanted));
    if prompt.split_whitespace().any(|word| word == "AND") {
        return refuse(prompt, "no `AND`: prompts that are composed are not implemented");
    }
    if prompt.contains("<lora:") || prompt.contains("<lyco:") || prompt.contains("<hypernet:") {
        return refuse(prompt, "no `<lora:...>` in it: adapters are given with --lora");
    }
    let (mut parts, mut open): (Vec<PromptPart>, Vec<Open>) = (Vec::new(), Vec::new());
    let mut rest = prompt;
    while let Some(first) = rest.chars().next() {
        let is_square = open.last().is_some_and(|bracket| !bracket.is_round);
        match first {
            '\\' => {
                let escaped = rest[1..].chars().next().filter(|next| "()[]\\".contains(*next));
                parts.push(PromptPart::Text(escaped.map(String::from).unwrap_or_default(), 1.0));
                rest = &rest[1 + escaped.map_or(0, char::len_utf8)..];
            }
            '(' | '[' => {
                open.push(Open { is_round: first == '(', at: parts.len() });
                rest = &rest[1..];
            }
            ':' | ')' | ']' => {
                let (token, weight) = closing(rest);
                if is_square && token.starts_with(':') {
                    return refuse(prompt, "no `[a:b:0.5]`: prompts that change on the way are not implemented");
                }
                let factor = match (first, weight) {
                    (':', Some(text)) => match text.parse::<f64>() {
                        Ok(weight) if weight.is_finite() => Some((true, weight)),
                        _ => return refuse(text, "a number for a weight"),
                    },
                    (')', _) => Some((true, STEP)),
                    (']', _) => Some((false, 1.0 / STEP)),
                    _ => None,
                };
                let bracket = factor.and_then(|(is_round, _)| open.iter().rposition(|open| open.is_round == is_round));
                match (bracket, factor) {
                    (Some(bracket), Some((_, factor))) => multiply(&mut parts, open.remove(bracket).at, factor),
                    _ => parts.push(PromptPart::Text(token.to_owned(), 1.0)),
                }
                rest = &rest[token.len()..];
            }
            _ => {
                let end = rest.find(['\\', '(', ')', '[', ']', ':']).unwrap_or(rest.len());
                let (run, after) = rest.split_at(end);
                if is_square && run.contains('|') {
                    return refuse(prompt, "no `[a|b]`: prompts that alternate are not implemented");
                }
                push_run(&mut parts, run);
                rest = after;
            }
        }
    }
    for bracket in &open {
        multiply(&mut parts, bracket.at, if bracket.is_round { STEP } else { 1.0 / STEP });
    }
    Ok(merged(parts))
}

/// The token at the start of `text`, which begins with a colon or a closing bracket; with a colon, a number and a parenthesis,
/// also the number.
fn closing(text: &str) -> (&str, Option<&str>) {
    let colon = text.strip_prefix(':').map(str::trim_start);
    let number = colon.and_then(|rest| {
        let signed = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let digits = signed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(signed.len());
        let end = rest.len() - signed.len() + digits;
        let after = rest[end..].trim_start().strip_prefix(')')?;
        (digits > 0).then(|| (&text[..text.len() - after.len()], &rest[..end]))
    });
    number.map_or((&text[..1], None), |(token, number)| (token, Some(number)))
}

fn multiply(parts: &mut [PromptPart], from: usize, factor: f64) {
    for part in parts.iter_mut().skip(from) {
        if let PromptPart::Text(_, weight) = part {
            *weight *= factor;
        }
    }
}

/// A text without brackets, broken at each `BREAK` that is a word.
fn push_run(parts: &mut Vec<PromptPart>, run: &str) {
    const BREAK: &str = "BREAK";
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut start = 0;
    for (at, _) in run.match_indices(BREAK) {
        let (before, after) = (&run[..at], &run[at + BREAK.len()..]);
        if before.ends_with(is_word) || after.starts_with(is_word) {
            continue;
        }
        parts.push(PromptPart::Text(trimmed(&run[start..at], start > 0, true).to_owned(), 1.0));
        parts.push(PromptPart::Break);
        start = at + BREAK.len();
    }
    parts.push(PromptPart::Text(trimmed(&run[start..], start > 0, false).to_owned(), 1.0));
}

/// The space around a `BREAK` is part of it.
fn trimmed(text: &str, at_start: bool, at_end: bool) -> &str {
    let text = if at_start { text.trim_start() } else { text };
    if at_end { text.trim_end() } else { text }
}

fn merged(parts: Vec<PromptPart>) -> Vec<PromptPart> {
    let mut merged: Vec<PromptPart> = Vec::new();
    for part in parts {
        match (merged.last_mut(), part) {
            (Some(PromptPart::Text(text, weight)), PromptPart::Text(more, other)) if *weight == other => {
                text.push_str(&more)
            }
            (_, part) => merged.push(part),
        }
    }
    if merged.is_empty() { vec![PromptPart::Text(String::new(), 1.0)] } else { merged }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prompt: &str, expected: &[(&str, f64)]) {
        let parts = parse_weights(prompt).unwrap();
        let shown: Vec<(&str, f64)> = parts
            .iter()
            .map(|part| match part {
                PromptPart::Text(text, weight) => (text.as_str(), *weight),
                PromptPart::Break => ("BREAK", -1.0),
            })
            .collect();
        assert_eq!(shown.len(), expected.len(), "{shown:?}");
        for ((text, weight), (wanted, at)) in shown.iter().zip(expected) {
            assert!(text == wanted && (weight - at).abs() < 1e-9, "{shown:?}");
        }
    }

    /// The examples of the web UI's own documentation of this syntax.
    #[test]
    fn weights_are_the_web_uis() {
        check("normal text", &[("normal text", 1.0)]);
        check("an (important) word", &[("an ", 1.0), ("important", 1.1), (" word", 1.0)]);
        check("(unbalanced", &[("unbalanced", 1.1)]);
        check(r"\(literal\]", &[("(literal]", 1.0)]);
        check("(unnecessary)(parens)", &[("unnecessaryparens", 1.1)]);
        check(
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            &[
                ("a ", 1.0),
                ("house", 1.3 * STEP * STEP),
                (" ", STEP),
                ("on", 1.0),
                (" a ", STEP),
                ("hill", 0.55),
                (", sun, ", STEP),
                ("sky", STEP * STEP * STEP * STEP),
                (".", STEP),
            ],
        );
    }

    #[test]
    fn what_is_no_bracket_of_its_own_is_text() {
        check("", &[("", 1.0)]);
        check("a) b] c: d:1.2)", &[("a) b] c: d:1.2)", 1.0)]);
        check("(a: 1.5 ) b", &[("a", 1.5), (" b", 1.0)]);
        check("(a:-0.5)", &[("a", -0.5)]);
        check(r"a\b \\", &[(r"ab \", 1.0)]);
        check("(猫:1.2)é", &[("猫", 1.2), ("é", 1.0)]);
    }

    #[test]
    fn a_break_is_a_word() {
        check("a BREAK b", &[("a", 1.0), ("BREAK", -1.0), ("b", 1.0)]);
        check("(a BREAK b:1.2)", &[("a", 1.2), ("BREAK", -1.0), ("b", 1.2)]);
        check("BREAKS aBREAK", &[("BREAKS aBREAK", 1.0)]);
    }

    #[test]
    fn what_means_something_else_is_refused() {
        for (prompt, reason) in [
            ("[a:b:0.5]", "prompts that change on the way are not implemented"),
            ("[a|b]", "prompts that alternate are not implemented"),
            ("a AND b", "prompts that are composed are not implemented"),
            ("a <lora:b:1>", "adapters are given with --lora"),
            ("(a:1.2.3)", "a number for a weight"),
        ] {
            let error = parse_weights(prompt).unwrap_err().to_string();
            assert!(error.ends_with(reason), "{error}");
        }
    }
}
