//! What the program says of itself: help, completions, manual pages, and the reference made of them.

use std::path::Path;
use std::process::Command;

/// What the program prints, which must succeed.
fn printed(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ddpo")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_reference_is_that_of_the_program() {
    for page in ["cli", "config"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(page).with_extension("md");
        let (committed, wanted) = (std::fs::read_to_string(&path).unwrap_or_default(), printed(&["reference", page]));
        let differs = committed.lines().zip(wanted.lines()).find(|(found, wanted)| found != wanted);
        assert!(
            committed == wanted,
            "docs/reference/{page}.md is not that of the program (first difference: {differs:?}): run `cargo xtask reference`"
        );
    }
}

#[test]
fn shells_complete_commands_options_and_their_values() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = printed(&["completions", shell]);
        for word in ["evaluate", "negative-prompt"] {
            assert!(script.contains(word), "{shell} does not complete {word}");
        }
    }
    let script = printed(&["completions", "bash"]);
    for values in [
        "jpeg-compressibility jpeg-incompressibility",
        "ddpo-is ddpo-sf rwr rwr-sparse",
        "ddim ddpm euler-ancestral",
        "diffusers kohya",
        "quick sd",
    ] {
        assert!(script.contains(values), "bash does not complete {values}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man");
    printed(&["man", pages.to_str().unwrap()]);
    for command in ["", "-train", "-sample", "-evaluate", "-score", "-classify", "-pretrain", "-report", "-config"] {
        let page = std::fs::read_to_string(pages.join(format!("ddpo{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(!pages.join("ddpo-reference.1").exists(), "a hidden command has a page");
}
