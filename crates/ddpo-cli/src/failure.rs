//! Errors as the user sees them: what failed, why, what to do, and the exit code.

use std::error::Error as StdError;
use std::process::ExitCode;

use ddpo::Error;

use crate::args::Command;

/// The run failed.
const FAILED: u8 = 1;
/// The command or the configuration is wrong.
const USAGE: u8 = 2;

/// What the names after `--prompts` are names of.
const PROMPTS: &str = "kind of prompts";

/// What Linux and macOS say of a text file without an interpreter.
const EXEC_FORMAT: i32 = 8;

/// Prints what went wrong with `command`, the causes and a hint, and chooses the exit code.
pub fn show(error: &anyhow::Error, command: &Command) -> ExitCode {
    eprintln!("error: {error}");
    let mut shown = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        // A transparent wrapper says the same as what it wraps.
        if !shown.contains(text.trim_end()) {
            eprintln!("  cause: {}", in_words(text.trim_end()).replace('\n', "\n         "));
        }
        shown = text;
    }
    let usage = error.chain().find_map(|cause| cause.downcast_ref::<Error>()).is_some_and(Error::is_usage);
    if let Some(hint) = error.chain().find_map(|cause| hint(cause, command)) {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(if usage { USAGE } else { FAILED })
}

/// What a reader of TOML says, without Rust's names of types.
fn in_words(text: &str) -> String {
    const WORDS: [(&str, &str); 5] = [
        ("expected usize", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("unknown variant", "unknown value"),
    ];
    WORDS.iter().fold(text.to_owned(), |text, (name, words)| text.replace(name, words))
}

/// What to do about an error of `command`, where there is something to do.
fn hint(error: &(dyn StdError + 'static), command: &Command) -> Option<String> {
    if let Some(error) = error.downcast_ref::<Error>() {
        return hint_of_recipe(error, command);
    }
    if let Some(error) = error.downcast_ref::<ddpo::train::Error>() {
        return hint_of_training(error, command);
    }
    if let Some(error) = error.downcast_ref::<ddpo::rewards::Error>() {
        return hint_of_reward(error);
    }
    let io = error.downcast_ref::<std::io::Error>()?;
    (io.kind() == std::io::ErrorKind::StorageFull).then(|| match command {
        Command::Train(_) => format!("free some space, then go on with `{}`", go_on(command)),
        _ => "free some space, then try again".to_owned(),
    })
}

/// How to go on with the run of `command`.
fn go_on(command: &Command) -> String {
    let named = match command {
        Command::Train(args) => args.resume.as_ref().and_then(Option::as_ref).or(args.run_dir.as_ref()),
        _ => None,
    };
    named.map_or_else(|| "ddpo train --resume RUN".to_owned(), |run| format!("ddpo train --resume {}", run.display()))
}

/// What a run is, for who gave something else.
fn hint_of_run(command: &Command) -> &'static str {
    match command {
        Command::Train(args) if args.resume.is_some() => "`ddpo train` without --resume starts a new run",
        Command::Sample(_) => {
            "--lora takes a safetensors file, or a directory that `ddpo train` has made; --model takes a model"
        }
        Command::Evaluate(_) => {
            "a run is a directory that `ddpo train` has made, such as runs/NAME-001; --model M measures a model without one"
        }
        _ => "a run is a directory that `ddpo train` has made, such as runs/NAME-001",
    }
}

fn hint_of_recipe(error: &Error, command: &Command) -> Option<String> {
    let hint = match error {
        Error::UnknownKey { .. } => "`ddpo config` prints every option with its default",
        Error::Assignment { .. } => "for example --set sample.steps=30",
        Error::UnknownName { what: PROMPTS, .. } => match command {
            Command::Train(_) => {
                "a file's name has a dot or a slash, as in ./animals; prompts themselves are a list: --set prompts.kind=list \
                 --set 'prompts.values=[\"a cat\", \"a dog\"]'"
            }
            _ => "a file's name has a dot or a slash, as in ./animals",
        },
        Error::NoEmbeddedModel => "give --model DIR, a diffusers directory",
        Error::Hub { denied: true, .. } => {
            "accept the model's terms on its page, and put a token that may read it into HF_TOKEN"
        }
        Error::Hub { .. } => "a directory works without the hub: its path in the place of the name",
        Error::HubCache { offline: true, .. } => "without HF_HUB_OFFLINE it would be downloaded",
        Error::PickledWeights { .. } => {
            "convert it in Python where you trust the file: safetensors.torch.save_file(torch.load(FILE, weights_only=True), \"model.safetensors\"), \
             or for a pipeline DiffusionPipeline.from_pretrained(DIR).save_pretrained(OUT, safe_serialization=True)"
        }
        Error::Rewards(error) => return hint_of_reward(error),
        Error::Train(error) => return hint_of_training(error, command),
        Error::RunExists { path } => {
            return Some(format!(
                "to go on with it: ddpo train --resume {}; to start afresh, choose another --run-dir",
                path.display()
            ));
        }
        Error::ModelIsRun { path } => {
            return Some(match command {
                Command::Evaluate(_) => format!("`ddpo evaluate {}` measures what a run has made", path.display()),
                _ => format!("`--lora {}` takes what a run has made", path.display()),
            });
        }
        Error::ModelIsPart { whole, .. } => return Some(format!("give --model {}", whole.display())),
        Error::NotARun { .. } => hint_of_run(command),
        _ => return None,
    };
    Some(hint.to_owned())
}

fn hint_of_reward(error: &ddpo::rewards::Error) -> Option<String> {
    use ddpo::rewards::Error as Rewards;
    use std::io::ErrorKind;
    let hint = match error {
        Rewards::NeedsModel { .. } => {
            "`ddpo score --model M` names it, as emoji; `ddpo train` and `ddpo evaluate` give the reward theirs"
        }
        Rewards::Timeout { written: true, .. } => {
            "a program answers each line as it comes, and flushes (in Python: print(..., flush=True)); one that reads its input \
             to the end waits for ever. For more time: --set reward.timeout=SECONDS"
        }
        Rewards::Timeout { .. } => "a program reads its requests from standard input, a line each",
        Rewards::Answer { answer, .. }
            if ["np.", "float", "array(", "tensor("].iter().any(|name| answer.contains(name)) =>
        {
            "these are the numbers of NumPy or PyTorch; print(json.dumps([float(score) for score in scores])) prints plain ones"
        }
        Rewards::Answer { .. } => {
            "an answer is one line with a list, a number for each picture; in Python: print(json.dumps(scores), flush=True)"
        }
        Rewards::Unasked { .. } => {
            "in Python: print(..., file=sys.stderr); libraries that print can be silenced by sys.stdout = sys.stderr, with the \
             answers written to sys.__stdout__"
        }
        Rewards::Start { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            "make it executable (chmod +x), or name its interpreter: exec:python3 FILE"
        }
        Rewards::Start { source, .. } if source.raw_os_error() == Some(EXEC_FORMAT) => {
            "begin the file with a line such as #!/usr/bin/env python3, or name its interpreter: exec:python3 FILE"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

fn hint_of_training(error: &ddpo::train::Error, command: &Command) -> Option<String> {
    match error {
        ddpo::train::Error::Locked { .. } => Some("wait for it to end, or choose another --run-dir".to_owned()),
        ddpo::train::Error::NonFinite { .. } => Some(format!(
            "its batch is in non-finite/ of the run directory; to go on without what is not finite: {} --set train.non-finite=skip",
            go_on(command)
        )),
        ddpo::train::Error::ChangedSetting { .. } => Some(
            "a resumed run keeps its settings, except for epochs, threads and how often it evaluates or saves; start a new run for others"
                .to_owned(),
        ),
        _ => None,
    }
}
