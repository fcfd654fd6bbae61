//! Rules on the text of a file.

/// The most lines of a library crate's file.
const MAX_LINES: usize = 500;

/// Crates that may print: the program and these tasks.
const PRINTING: &[&str] = &["crates/ddpo-cli/", "xtask/"];

/// The only places of library crates that touch the disk, so that every error there names its path. To ask whether a path exists
/// is free.
const DISK: &[&str] = &[
    "crates/ddpo-nn/src/files/",
    "crates/ddpo-rewards/src/exec/",
    "crates/ddpo-rewards/src/files",
    "crates/ddpo-train/src/fs/",
    "crates/ddpo/src/hub/",
];

/// How Rust and the crates that we use reach the disk.
const DISK_WORDS: [&str; 4] = ["std::fs", "image::open(", "image::save_buffer", "tempfile::"];

/// The only files of the core that know what an image is: the one that says it, and what hands images to rewards.
const IMAGES: &[&str] =
    &["crates/ddpo-core/src/image.rs", "crates/ddpo-core/src/reward/", "crates/ddpo-core/src/lib.rs"];

// The words are put together here so that this file keeps its own rules.
const ALLOW: [&str; 2] = [concat!("#[", "allow("), concat!("#![", "allow(")];
const TO_DO: &str = concat!("TO", "DO");
const PRINTS: [&str; 3] = ["print!(", "println!(", "dbg!("];
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

/// The violations of one file as `path:line: what`, its path relative to the root with forward slashes.
pub fn violations(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if is_module(path) && !text.starts_with("//!") {
        found.push(format!("{path}:1: a module without `//!` documentation"));
    }
    let lines = text.lines().count();
    if is_library(path) && lines > MAX_LINES {
        found.push(format!("{path}:{lines}: {lines} lines found, at most {MAX_LINES} wanted"));
    }
    let tests = text.find("#[cfg(test)]\nmod ").map_or(lines, |at| text[..at].lines().count());
    for (index, line) in text.lines().enumerate() {
        let code = (index < tests).then(|| code_violation(path, line)).flatten();
        found.extend(line_violation(path, line).or(code).map(|what| format!("{path}:{}: {what}", index + 1)));
    }
    found
}

fn line_violation(path: &str, line: &str) -> Option<&'static str> {
    let is_rust = path.ends_with(".rs");
    if MACHINE_PATHS.iter().any(|machine_path| line.contains(machine_path)) {
        return Some("a path of somebody's machine");
    }
    if is_rust && ALLOW.iter().any(|allow| line.contains(allow)) {
        return Some("an `allow` attribute found, `#[expect(lint, reason = \"…\")]` wanted");
    }
    if is_rust && has_bare_to_do(line) {
        return Some("a to-do note without an issue, as in `(#12)`");
    }
    if is_library(path) && is_print(line) {
        return Some("a library crate prints");
    }
    None
}

/// What is wrong with a line that is in no test.
fn code_violation(path: &str, line: &str) -> Option<&'static str> {
    let code = line.trim_start();
    if !is_library(path) || code.starts_with("//") || path.contains("/src/tests/") {
        return None;
    }
    let among = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
    if DISK_WORDS.iter().any(|word| code.contains(word)) && !among(DISK) {
        return Some("it touches the disk outside the crate's module for that");
    }
    let is_core = path.starts_with("crates/ddpo-core/");
    if is_core && ["RgbImage", "RewardBatch"].iter().any(|word| code.contains(word)) && !among(IMAGES) {
        return Some("the core's mathematics knows an image");
    }
    None
}

/// A module of a crate; tests and examples are named by what they do.
fn is_module(path: &str) -> bool {
    path.ends_with(".rs") && path.contains("src/") && !path.contains("/src/tests/")
}

fn is_library(path: &str) -> bool {
    let printing = PRINTING.iter().any(|prefix| path.starts_with(prefix));
    path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs") && !printing
}

fn has_bare_to_do(line: &str) -> bool {
    line.match_indices(TO_DO).any(|(at, word)| !line[at + word.len()..].starts_with("(#"))
}

fn is_print(line: &str) -> bool {
    let code = line.trim_start();
    !code.starts_with("//") && PRINTS.iter().any(|print| code.contains(print))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARY: &str = "crates/ddpo-core/src/noise.rs";

    #[track_caller]
    fn check(path: &str, body: &str, expect: &[&str]) {
        let text = format!("//! A module.\n{body}\n");
        let expect: Vec<String> = expect.iter().map(|what| format!("{path}:2: {what}")).collect();
        assert_eq!(violations(path, &text), expect);
    }

    #[test]
    fn a_module_begins_with_documentation() {
        assert_eq!(violations(LIBRARY, "fn f() {}\n").len(), 1);
        assert!(violations("crates/ddpo-core/tests/laws.rs", "fn f() {}\n").is_empty());
        check(LIBRARY, "fn f() {}", &[]);
    }

    #[test]
    fn long_files_of_libraries_are_named() {
        let text = format!("//! Long.\n{}", "\n".repeat(MAX_LINES));
        assert_eq!(violations(LIBRARY, &text), [format!("{LIBRARY}:501: 501 lines found, at most 500 wanted")]);
        assert!(violations("xtask/src/main.rs", &text).is_empty());
    }

    #[test]
    fn lints_are_expected_not_silenced() {
        let wanted = "an `allow` attribute found, `#[expect(lint, reason = \"…\")]` wanted";
        check(LIBRARY, &format!("{}dead_code)]", ALLOW[0]), &[wanted]);
        check(LIBRARY, "#[expect(dead_code, reason = \"a test\")]", &[]);
    }

    #[test]
    fn notes_carry_an_issue() {
        check(LIBRARY, &format!("// {TO_DO}: later"), &["a to-do note without an issue, as in `(#12)`"]);
        check(LIBRARY, &format!("// {TO_DO}(#7): later"), &[]);
    }

    #[test]
    fn only_the_program_prints() {
        check(LIBRARY, "    eprintln!(\"x\");", &["a library crate prints"]);
        check(LIBRARY, "/// println!(\"x\");", &[]);
        check("crates/ddpo-cli/src/main.rs", "println!(\"x\");", &[]);
    }

    #[test]
    fn the_disk_is_touched_in_one_module_a_crate() {
        let wanted = "it touches the disk outside the crate's module for that";
        check("crates/ddpo/src/model.rs", "use std::fs::File;", &[wanted]);
        check("crates/ddpo-rewards/src/jpeg/reward.rs", "let folder = tempfile::tempdir();", &[wanted]);
        check("crates/ddpo-train/src/fs/lock.rs", "use std::fs::File;", &[]);
        check("crates/ddpo-cli/src/main.rs", "use std::fs::File;", &[]);
        check("crates/ddpo/src/model.rs", "#[cfg(test)]\nmod tests {\n    use std::fs::File;\n}", &[]);
    }

    #[test]
    fn only_what_rewards_see_is_an_image() {
        check(LIBRARY, "use crate::image::RgbImage;", &["the core's mathematics knows an image"]);
        check("crates/ddpo-core/src/reward/judge.rs", "use crate::image::RgbImage;", &[]);
        check("crates/ddpo/src/images.rs", "use ddpo_core::RgbImage;", &[]);
    }

    #[test]
    fn machine_paths_are_found_in_any_file() {
        let line = format!("see {}alice/notes", MACHINE_PATHS[1]);
        assert_eq!(violations("docs/guide.md", &line), ["docs/guide.md:1: a path of somebody's machine"]);
        assert!(violations("docs/guide.md", "see docs/adr").is_empty());
    }
}
