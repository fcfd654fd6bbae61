//! What the program says of itself: help, completions, manual pages, the reference made of them, and what it says of mistakes.
//!
//! Texts are kept in `snapshots/`; `cargo xtask reference` writes them again.

#[path = "../../ddpo/tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Command;

const COMMANDS: [&str; 12] = [
    "train",
    "sample",
    "evaluate",
    "gradient",
    "score",
    "classify",
    "pretrain",
    "distill",
    "report",
    "config",
    "completions",
    "man",
];

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
        "ddpo-is ddpo-sf rwr rwr-sparse nft ram pso d3po diffusion-dpo lcd",
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
    for command in COMMANDS {
        let page = std::fs::read_to_string(pages.join(format!("ddpo-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(!pages.join("ddpo-reference.1").exists(), "a hidden command has a page");
}

#[test]
fn help_says_every_default() {
    insta::assert_snapshot!("help", printed(&["--help"]));
    for command in COMMANDS {
        insta::assert_snapshot!(format!("help-{command}"), printed(&[command, "--help"]));
    }
}

#[test]
fn the_configuration_is_printed_with_its_reasons() {
    insta::assert_snapshot!("config", printed(&["config"]));
    insta::assert_snapshot!("config-sd", printed(&["config", "--preset", "sd"]));
}

/// Commands that are mistaken, in a directory with a model `tiny`, a folder `empty`, and two files.
const MISTAKES: &[&str] = &[
    // A run that is none: one wording, whatever the command.
    "train --resume",
    "train --resume nope",
    "train --resume notes.txt",
    "train --resume empty",
    "train --resume nope --run-dir other",
    "train --resume nope my.toml",
    "evaluate nope",
    "evaluate notes.txt",
    "evaluate empty",
    "report nope",
    "report notes.txt",
    "report empty",
    "sample --lora empty --prompt cat",
    "sample --model tiny --lora nope --prompt cat",
    "sample --model tiny --lora notes.txt --prompt cat",
    "sample --model tiny --lora tiny/unet/diffusion_pytorch_model.safetensors --prompt cat",
    // A model that is none.
    "train --model ./nope",
    "train --model notes.txt",
    "train --model empty",
    "evaluate --model tiny/unet",
    "sample --model model.ckpt --prompt cat",
    // Files and folders of pictures.
    "score --reward jpeg-compressibility nope.png",
    "score --reward jpeg-compressibility notes.txt",
    "score --reward jpeg-compressibility empty",
    "score --reward jpeg-compressibility grey.png --prompts two.txt",
    "score --reward jpeg-compressibility grey.png --prompts nope.jsonl",
    "classify --model tiny --classes cat,dog empty",
    // Names.
    "train --preset compresibility",
    "train --algorithm ppo",
    "train --reward jpeg-compresibility",
    "train --prompts animal",
    "train --set train.lerning-rate=1",
    "train --set train.learning-rate",
    "sample --model tiny --prompt cat --scheduler heun",
    "train --device cuda",
    "completions csh",
    // Numbers.
    "sample --model tiny --prompt cat --count 0",
    "sample --model tiny --prompt cat --steps 5000",
    "evaluate --model tiny --count 1.5",
    "train --epochs -1",
    "train --set run.epochs=five",
    "train --set run.seed=-1",
    "train --set sample.guidance=high",
    "train --set train.guidance=5",
    // What is missing.
    "sample --model tiny",
    "sample --model tiny --prompt",
    "evaluate",
    "train my.toml",
    "train --prompts prompts.txt",
];

#[test]
fn mistakes_are_named_with_what_to_do_about_them() {
    let place = tempfile::tempdir().unwrap();
    common::tiny_model(place.path());
    std::fs::create_dir(place.path().join("empty")).unwrap();
    for (name, text) in [("notes.txt", "notes"), ("model.ckpt", "pickle"), ("two.txt", "a cat\na dog\n")] {
        std::fs::write(place.path().join(name), text).unwrap();
    }
    let grey = ddpo::core::RgbImage::new(8, 8, vec![128; 192]).unwrap();
    ddpo::images::write_png(&place.path().join("grey.png"), &grey).unwrap();
    let mut text = String::new();
    for mistake in MISTAKES {
        text += &format!("$ ddpo {mistake}\n{}\n", complaint(place.path(), &mistake.split(' ').collect::<Vec<_>>()));
    }
    // An empty prompt is no word of a command line above.
    text += &format!("$ ddpo sample --prompt ''\n{}", complaint(place.path(), &["sample", "--prompt", ""]));
    insta::assert_snapshot!("mistakes", text);
    assert!(!place.path().join("runs").exists() && !place.path().join("samples").exists(), "a mistake left something");
}

/// What the program says of a mistake, and its exit code.
fn complaint(place: &Path, args: &[&str]) -> String {
    // No test reaches the network.
    let environment = [("HF_HOME", place.join("hf").into_os_string()), ("HF_HUB_OFFLINE", "1".into())];
    let output =
        Command::new(env!("CARGO_BIN_EXE_ddpo")).current_dir(place).args(args).envs(environment).output().unwrap();
    assert!(!output.status.success(), "{args:?} was no mistake: {}", String::from_utf8_lossy(&output.stdout));
    let text = String::from_utf8(output.stderr).unwrap();
    let text = text.replace(&format!("{}/", place.display()), "");
    format!("{text}[exit code {}]\n", output.status.code().unwrap_or_default())
}
