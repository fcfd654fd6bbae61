//! The program as a user runs it: exit codes, what it prints, what it refuses, and what survives a kill.

#[path = "../../ddpo/tests/common/mod.rs"]
mod common;
#[path = "../../ddpo/tests/common/hub_server.rs"]
mod hub_server;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A working directory with a tiny model in it.
fn workplace() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    common::tiny_model(directory.path());
    directory
}

fn program(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo"));
    // No test reaches the network.
    command.current_dir(directory).args(args).env("HF_HOME", directory.join("hf")).env("HF_HUB_OFFLINE", "1");
    command
}

fn ddpo(directory: &Path, args: &[&str]) -> Output {
    program(directory, args).output().unwrap()
}

/// A run of seconds.
fn train<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let quick = [
        "train",
        "--model",
        "tiny",
        "--run-dir",
        run,
        "--epochs",
        "2",
        "--set",
        "sample.steps=3",
        "--set",
        "advantage.kind=per-prompt",
        "--set",
        "sample.batch-size=4",
        "--set",
        "sample.batches-per-epoch=1",
        "--set",
        "train.batch-size=2",
        "--set",
        "train.accumulation=1",
        "--set",
        "eval.count=2",
        "--set",
        "checkpoint.every=1",
    ];
    quick.into_iter().chain(more.iter().copied()).collect()
}

#[track_caller]
fn check_refusal(directory: &Path, args: &[&str], code: i32, expected: &str) {
    let output = ddpo(directory, args);
    // A file that cannot be read is named with its whole path.
    let text = String::from_utf8(output.stderr).unwrap().replace(&format!("{}/", directory.display()), "");
    assert_eq!(text, expected);
    assert_eq!(output.status.code(), Some(code));
}

#[track_caller]
fn check_done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn wrong_commands_are_usage_errors_that_name_the_remedy() {
    let directory = workplace();
    let refuse = |args: &[&str], expected: &str| check_refusal(directory.path(), args, 2, expected);
    refuse(
        &["train", "--set", "train.lerning-rate=1"],
        "error: unknown key `train.lerning-rate` in --set train.lerning-rate=1 (did you mean `train.learning-rate`?)\n\
         hint: `ddpo config` prints every option with its default\n",
    );
    refuse(
        &["train", "--model", "tiny", "--set", "train.batch-size=5"],
        "error: invalid `train.batch-size`: found 5, expected a divisor of 256, the samples of an epoch \
         (sample.batch-size x sample.batches-per-epoch)\n",
    );
    refuse(
        &["train", "--preset", "compresibility"],
        "error: unknown preset `compresibility` (did you mean `compressibility`?); known: quick, sd, distill, compressibility, \
         incompressibility, aesthetic, prompt-image-alignment\n",
    );
    refuse(
        &["train", "--algorithm", "rwr", "--set", "rwr.batch-size=100"],
        "error: invalid `rwr.batch-size`: found 100, expected a multiple of 64, the train.batch-size\n",
    );
    refuse(
        &["train", "--device", "cuda"],
        "error: the device `cuda` is not built in this version: build the program with `cargo build --release --features cuda`, or use `cpu`\n",
    );
    refuse(
        &["score", "--reward", "jpeg", "x.png"],
        "error: unknown reward `jpeg`; known: jpeg-compressibility, jpeg-incompressibility, \
         diffusion-classifier, diversity, parity:CLASSES, as-asked, aesthetic, clip-score, pickscore, hpsv2, image-reward, \
         alignment:URL, exec:PROGRAM, http://HOST/PATH\n",
    );
    let search = ["sample", "--prompt", "a cat", "--out", "x", "--reward", "jpeg-compressibility", "--search"];
    for (kind, option, value) in
        [("best-of", "--starts", "4"), ("best-of", "--lookahead", "one"), ("demon-best", "--temperature", "2")]
    {
        let why = format!("expected no {option} with --search {kind}, which has no use for it");
        refuse(
            &[&search[..], &[kind, option, value]].concat(),
            &format!("error: invalid `{option}`: found {value}, {why}\n"),
        );
    }
    let output = ddpo(directory.path(), &["train", "--algorithm", "ppo"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("--algorithm ppo") && text.contains("`ddpo-is`"), "{text}");
    assert_eq!(output.status.code(), Some(2));
    assert!(!directory.path().join("runs").exists());
}

#[test]
fn what_cannot_be_run_is_named_and_leaves_nothing() {
    let directory = workplace();
    let refuse = |args: &[&str], expected: &str| check_refusal(directory.path(), args, 1, expected);
    refuse(
        &["train", "--model", "no/such", "--run-dir", "x"],
        "error: the cache hf/hub does not hold the model `no/such`: no revision `main`\n\
         hint: without HF_HUB_OFFLINE it would be downloaded\n",
    );
    refuse(
        &["train", "--model", "./nothing", "--run-dir", "x"],
        "error: cannot load the model ./nothing: there is no such directory\n",
    );
    refuse(
        &["train", "--model", "tiny", "--prompts", "prompts.txt", "--run-dir", "x"],
        "error: cannot read `prompts.txt`\n  cause: No such file or directory (os error 2)\n",
    );
    std::fs::write(directory.path().join("empty.txt"), "\n\n").unwrap();
    refuse(
        &["train", "--model", "tiny", "--prompts", "empty.txt", "--run-dir", "x"],
        "error: no prompts: empty.txt has 2 lines and no prompt in them\n",
    );
    refuse(
        &["train", "--resume", "--run-dir", "x"],
        "error: x is no run: there is no such directory\nhint: `ddpo train` without --resume starts a new run\n",
    );
    std::fs::write(directory.path().join("model.ckpt"), "pickle").unwrap();
    let output = ddpo(directory.path(), &["sample", "--model", "model.ckpt", "--prompt", "a cat"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: cannot load model.ckpt: pickled weights can run any program"), "{text}");
    assert!(text.contains("hint: convert it"), "{text}");
    assert!(!directory.path().join("x").exists());
}

#[test]
fn a_dry_run_says_what_it_would_cost_and_makes_nothing() {
    let directory = workplace();
    let text = check_done(&ddpo(directory.path(), &["train", "--model", "tiny", "--dry-run"]));
    let of =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{text}")).trim();
    assert_eq!(of("epoch"), "256 images of 50 steps at guidance 5, 4 updates of 64 images");
    assert!(of("work").starts_with("an epoch: 25,600 passes through the UNet to sample and 25,600 to train"), "{text}");
    assert!(of("time").contains(" an epoch (sampling ") && of("time").contains(" in all; estimated"), "{text}");
    assert!(of("memory").ends_with(" MiB"), "{text}");
    assert!(!directory.path().join("runs").exists());
    // What cannot be run is refused as ever.
    let output = ddpo(directory.path(), &["train", "--model", "tiny", "--dry-run", "--set", "sample.width=17"]);
    assert_eq!(output.status.code(), Some(1));
    // A run of many years is warned of.
    let output = ddpo(directory.path(), &["train", "--model", "tiny", "--dry-run", "--epochs", "1000000000"]);
    let warning = String::from_utf8(output.stderr).unwrap();
    assert!(
        warning.starts_with("warning: this run takes about ") && warning.contains(" years on this machine"),
        "{warning}"
    );
}

const TASKS: &str = "[[task]]\nname = \"small\"\n[[task]]\nname = \"large\"\nreward = \"jpeg-incompressibility\"\n\
                     [[task]]\nname = \"pets\"\nreward = \"exec:./nope.sh\"\nprompts = { kind = \"list\", values = [\"a cat\"] }\n";

#[test]
fn tasks_are_announced_trained_and_measured_by_name() {
    let directory = workplace();
    std::fs::write(directory.path().join("tasks.toml"), TASKS).unwrap();
    let dry = ["train", "tasks.toml", "--model", "tiny", "--dry-run", "--epochs", "8"];
    let output = ddpo(directory.path(), &dry);
    // All of their rewards are looked for.
    assert!(String::from_utf8_lossy(&output.stderr).contains("start the reward program `./nope.sh`"), "{output:?}");
    let two = TASKS.replace("exec:./nope.sh", "jpeg-compressibility");
    std::fs::write(directory.path().join("tasks.toml"), two).unwrap();
    let text = check_done(&ddpo(directory.path(), &dry));
    for line in [
        "run      runs/tasks-001\n",
        "task     small: jpeg-compressibility; prompts: 37 to train on, 8 held out; 3 of 8 epochs\n",
        "task     large: jpeg-incompressibility; prompts: 37 to train on, 8 held out; 3 of 8 epochs\n",
        "task     pets: jpeg-compressibility; prompts: 1 to train on, too few to hold any out: evaluation shares them, with other \
         seeds; 2 of 8 epochs\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("reward   "), "{text}");
    let text = check_done(&ddpo(directory.path(), &train("run", &["tasks.toml", "--set", "run.epochs=3"])));
    assert!(text.contains("epoch 1/3  small  reward -") && text.contains("epoch 3/3  pets  reward -"), "{text}");
    assert!(text.contains("before training: small -") && text.contains("  mean gain 0.00 σ"), "{text}");
    assert!(text.contains("reward of large on the training prompts, with other seeds: "), "{text}");
    // Two share their prompts and pictures.
    let text = check_done(&ddpo(directory.path(), &["evaluate", "run", "--json", "e.json"]));
    assert!(text.contains("task small, large\n2 images of 2 prompts") && text.contains("task pets\n"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(directory.path().join("e.json")).unwrap()).unwrap();
    let rewards = |names: &str, column: &str| {
        json["tasks"][names][column]["rewards"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(rewards("small, large", "tuned"), ["jpeg-compressibility", "jpeg-incompressibility"]);
    assert_eq!(rewards("pets", "base"), ["jpeg-compressibility"]);
    // What is asked for is measured as a whole.
    let text = check_done(&ddpo(directory.path(), &["evaluate", "run", "--rewards", "diversity", "--count", "2"]));
    assert!(text.contains("diversity") && !text.contains("task "), "{text}");
    check_refusal(
        directory.path(),
        &["evaluate", "run", "--rewards", "diversity", "--rewards", "{ kind = \"diversity\", over = \"epoch\" }"],
        2,
        "error: invalid `--rewards`: found `diversity` twice, expected a reward once, as each is a row of its own\n",
    );
    check_done(&ddpo(directory.path(), &["report", "run"]));
}

#[test]
fn a_dry_run_names_what_is_not_there() {
    let directory = workplace();
    let check = |options: &[&str], code: i32, expected: &str| {
        let args = [&["train", "--model", "tiny", "--run-dir", "run", "--dry-run"], options].concat();
        let output = ddpo(directory.path(), &args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(expected), "{options:?}: {text}");
        assert_eq!(output.status.code(), Some(code), "{options:?}: {text}");
    };
    check(&["--lora", "nope.safetensors:0.5"], 1, "error: cannot read `nope.safetensors`");
    check(&["--set", "lora.path=nope.safetensors"], 1, "error: cannot read `");
    check(&["--embedding", "nope.safetensors"], 1, "error: cannot read `");
    check(&["--lora", "tiny/unet/diffusion_pytorch_model.safetensors"], 1, "no adapter tensors found");
    check(&["--set", "sample.clip-skip=9"], 2, "error: invalid `sample.clip-skip`: found 9");
    check(&["--reward", "exec:./nope.sh"], 1, "error: start the reward program `./nope.sh`");
    let no_judge = "asks the judge that is shipped with the model, and this model has none";
    check(&["--reward", "as-asked"], 1, no_judge);
    let one = ["--reward", "diffusion-classifier", "--set", "prompts={kind=\"list\",values=[\"a cat\"]}"];
    check(&one, 1, "compare prompts: 1 found");
    check(&["--set", "eval.held-out=[\"parity:ground\"]"], 1, no_judge);
    check(&["--reward", "exec:a-program-of-nobody"], 1, "error: start the reward program `a-program-of-nobody`");
    check(&["--set", "eval.held-out=exec:./nope.sh"], 1, "error: start the reward program `./nope.sh`");
    for kind in ["aesthetic", "clip-score", "image-reward"] {
        let missing = format!("error: open the model `./nope` of the reward `{kind}`");
        check(&["--reward", kind, "--set", "reward.model=./nope"], 1, &missing);
    }
    let encoder = "reward.bert-score=./nope";
    check(&["--reward", "alignment:http://localhost:8000/v1", "--set", encoder], 1, "error: open the model `./nope`");
    check(&["--reward", "aesthetic", "--set", "reward.head=nope.safetensors"], 1, "nope.safetensors");
    // What has to be converted first is said as well.
    check(&["--reward", "hpsv2"], 1, "python -c");
    assert!(!directory.path().join("run").exists());
    // A program is not started, and need not be a path.
    check(&["--reward", "exec:sh -c 'touch started'"], 0, "");
    assert!(!directory.path().join("started").exists());
}

#[test]
fn a_run_from_start_to_report() {
    let directory = workplace();
    let at = |args: &[&str]| ddpo(directory.path(), args);
    let text = check_done(&at(&train("run", &[])));
    assert_eq!(
        text.lines().filter(|line| line.starts_with("epoch ") && line.contains("/2  reward")).count(),
        2,
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "a pipe gets no escape codes");

    check_refusal(
        directory.path(),
        &train("run", &[]),
        1,
        "error: the run directory run already holds a run\n\
         hint: to go on with it: ddpo train --resume run; to start afresh, choose another --run-dir\n",
    );

    check_done(&at(&[
        "sample",
        "--lora",
        "run",
        "--prompt",
        "a cat",
        "--count",
        "2",
        "--out",
        "out",
        "--trace",
        "t.safetensors",
    ]));
    for file in ["out/0000-a-cat.png", "out/0001-a-cat.png", "out/grid.png", "t.safetensors"] {
        assert!(directory.path().join(file).is_file(), "{file}");
    }

    check_done(&at(&["sample", "--lora", "run/best", "--prompt", "a cat", "--count", "1", "--out", "best"]));
    check_done(&at(&["evaluate", "run", "--json", "e.json"]));
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(directory.path().join("e.json")).unwrap()).unwrap();
    // The same prompts and noise as the run's own evaluation, so the same mean.
    let metrics = std::fs::read_to_string(directory.path().join("run/metrics.jsonl")).unwrap();
    let base = metrics.lines().find(|line| line.contains("\"kind\":\"eval\"")).unwrap();
    let base: serde_json::Value = serde_json::from_str(base).unwrap();
    let mean = json["base"]["rewards"]["jpeg-compressibility"]["mean"].as_f64().unwrap();
    assert!((mean - base["reward_mean"].as_f64().unwrap()).abs() < 1e-9);

    // What a search finds with the run's product, beside what was drawn without one.
    let search = ["--search", "best-of", "--candidates", "16", "--reward", "jpeg-compressibility", "--json", "f.json"];
    let text = check_done(&at(&[&["evaluate", "run"], &search[..]].concat()));
    assert!(text.contains(" rewards in ") && text.contains("   tuned ") && text.contains("   found "), "{text}");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(directory.path().join("f.json")).unwrap()).unwrap();
    let mean = |column: &str| json[column]["rewards"]["jpeg-compressibility"]["mean"].as_f64().unwrap();
    assert!(mean("found") > mean("tuned"), "{json}");
    let images = json["found"]["count"].as_u64().unwrap();
    assert_eq!(json["found"]["queries"].as_u64(), Some(16 * images));

    // The gradient at the run's product, with its configuration: a part a step.
    let text = check_done(&at(&["gradient", "--run", "run", "--batches", "3", "--json", "g.json"]));
    assert!(text.contains("noise to signal") && text.lines().count() == 1 + 1 + 3 + 1, "{text}");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(directory.path().join("g.json")).unwrap()).unwrap();
    assert_eq!((json["whole"]["batches"].as_u64(), json["parts"].as_array().unwrap().len()), (Some(3), 3));
    assert!(json["adapter"].as_str().unwrap().ends_with("pytorch_lora_weights.safetensors"), "{json}");
    assert!(json["whole"]["norm"].as_f64().unwrap() > 0.0 && json["norms"].as_array().unwrap().len() == 3);

    let text = check_done(&at(&["score", "--reward", "jpeg-compressibility", "out/grid.png", "--json", "s.json"]));
    assert!(text.starts_with("out/grid.png  jpeg-compressibility -"), "{text}");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(directory.path().join("s.json")).unwrap()).unwrap();
    assert_eq!(json[0]["image"], "out/grid.png");
    assert!(json[0]["jpeg-compressibility"].as_f64().unwrap() < 0.0);
    assert_eq!(check_done(&at(&["report", "run"])).trim(), "run/report.html");
}

#[test]
fn a_model_of_the_hub_is_downloaded_and_sampled() {
    let (directory, elsewhere) = (workplace(), tempfile::tempdir().unwrap());
    let server = hub_server::HubServer::start(&directory.path().join("tiny"), hub_server::Behaviour::default());
    let args = ["sample", "--model", "org/tiny@main", "--prompt", "a cat", "--count", "1", "--steps", "2"];
    let mut command = program(elsewhere.path(), &args);
    let output = command.env("HF_ENDPOINT", &server.endpoint).env_remove("HF_HUB_OFFLINE").output().unwrap();
    check_done(&output);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("downloading unet/diffusion_pytorch_model.safetensors, "), "{text}");
    assert!(!server.requests().is_empty());
    // From now on it is there.
    check_done(&ddpo(elsewhere.path(), &args));
    assert!(server.requests().is_empty());
}

#[test]
fn a_pickled_encoder_of_the_hub_is_refused_with_its_conversion() {
    let directory = workplace();
    let repository = directory.path().join("encoder");
    std::fs::create_dir(&repository).unwrap();
    for (name, text) in [("config.json", "{}"), ("pytorch_model.bin", "pickle")] {
        std::fs::write(repository.join(name), text).unwrap();
    }
    let server = hub_server::HubServer::start(&repository, hub_server::Behaviour::default());
    let args = ["--reward", "alignment:http://127.0.0.1:9/v1", "--set", "reward.bert-score=org/tiny"];
    let mut command = program(directory.path(), &train("run", &args));
    let output = command.env("HF_ENDPOINT", &server.endpoint).env_remove("HF_HUB_OFFLINE").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("AutoModel.from_pretrained('org/tiny').save_pretrained('bert-score')"), "{text}");
    assert!(text.contains("name the directory as `reward.bert-score`"), "{text}");
    assert!(!directory.path().join("run").exists());
}

#[test]
fn samples_are_drawn_as_asked() {
    let directory = workplace();
    let sample = |more: &[&str]| {
        let args = ["sample", "--model", "tiny", "--prompt", "a cat", "--count", "1", "--steps", "3"];
        ddpo(directory.path(), &args.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let drawn = |more: &[&str]| {
        let out = tempfile::tempdir_in(directory.path()).unwrap();
        check_done(&sample(&[&["--out", out.path().to_str().unwrap()], more].concat()));
        std::fs::read(out.path().join("0000-a-cat.png")).unwrap()
    };
    let plain = drawn(&[]);
    assert!(plain == drawn(&[]), "the same command, another picture");
    for other in [
        &["--eta", "0"][..],
        &["--scheduler", "ddpm"],
        &["--scheduler", "euler-ancestral"],
        &["--negative-prompt", "a dog"],
        &["--guidance", "1"],
        &["--seed", "1"],
        &["--width", "32"],
    ] {
        assert!(plain != drawn(other), "{other:?} changes nothing");
    }
    let output = sample(&["--prompt", "a cat and a dog and a horse and two birds"]);
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    check_done(&output);
    assert!(text.contains("warning: a prompt is longer than 8 tokens, so `"), "{text}");
    assert!(text.contains("two birds` is dropped from `a cat and a dog and a horse and two birds`"), "{text}");
    check_refusal(
        directory.path(),
        &["sample", "--model", "tiny", "--prompt", "x", "--scheduler", "ddpm", "--eta", "0.5"],
        2,
        "error: invalid `--eta`: found 0.5, expected no --eta with --scheduler ddpm, whose noise is its own\n",
    );
    check_refusal(
        directory.path(),
        &["sample", "--model", "tiny", "--prompt", "x", "--scheduler", "heun"],
        2,
        "error: unknown scheduler `heun`; known: ddim, ddpm, euler-ancestral, consistency\n",
    );
}

#[test]
fn pictures_of_earlier_calls_stay_and_can_be_scored_with_their_prompts() {
    let directory = workplace();
    let at = |args: &[&str]| ddpo(directory.path(), args);
    let sample = |prompt: &str, seed: &str| {
        at(&["sample", "--model", "tiny", "--prompt", prompt, "--count", "1", "--steps", "2", "--seed", seed])
    };
    check_done(&sample("a cat", "0"));
    let read = |name: &str| std::fs::read(directory.path().join("samples").join(name)).unwrap();
    let (first, grid) = (read("0000-a-cat.png"), read("grid.png"));
    let text = check_done(&sample("a cat", "1"));
    assert_eq!(text, "1 image in samples\nsamples/grid-0001.png\n");
    assert!(first == read("0000-a-cat.png") && grid == read("grid.png"), "an earlier picture was overwritten");
    assert!(first != read("0001-a-cat.png"));
    let score = |more: &[&str]| at(&[&["score", "--reward", "jpeg-compressibility"], more].concat());
    let text = check_done(&score(&["samples"]));
    let names: Vec<&str> = text.lines().filter_map(|line| line.split("  ").next()).collect();
    assert_eq!(names, ["samples/0000-a-cat.png", "samples/0001-a-cat.png"], "grids are no samples");
    let text = check_done(&at(&["classify", "--model", "tiny", "--classes", "cat,dog", "--trials", "2", "samples"]));
    assert_eq!(text.lines().count(), 2);
}

#[cfg(unix)]
#[test]
fn a_reward_sees_the_prompt_that_a_picture_was_drawn_for() {
    let directory = workplace();
    let at = |args: &[&str]| ddpo(directory.path(), args);
    check_done(&at(&[
        "sample",
        "--model",
        "tiny",
        "--prompt",
        "a cat",
        "two birds",
        "--count",
        "1",
        "--steps",
        "2",
        "--out",
        "out",
    ]));
    // The length of each prompt, as a reward.
    let program =
        "import json,sys\nfor line in sys.stdin: print([len(p) for p in json.loads(line)['prompts']], flush=True)\n";
    std::fs::write(directory.path().join("length.py"), program).unwrap();
    let score = |more: &[&str]| {
        let text = check_done(&at(&[&["score", "--reward", "exec:python3 length.py", "out"], more].concat()));
        text.lines().map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(score(&[]), ["5.0", "9.0"]);
    assert_eq!(score(&["--prompt", "x"]), ["1.0", "1.0"]);
    std::fs::write(directory.path().join("prompts.txt"), "one\nfour\n").unwrap();
    assert_eq!(score(&["--prompts", "prompts.txt"]), ["3.0", "4.0"]);
}

#[test]
fn a_run_is_called_by_its_file_or_as_asked() {
    let directory = workplace();
    let named = |more: &[&str]| {
        let args = train("x", more);
        // Without the directory that the other tests give.
        let args: Vec<&str> = args.into_iter().filter(|arg| !["--run-dir", "x"].contains(arg)).collect();
        check_done(&ddpo(directory.path(), &args))
    };
    std::fs::write(directory.path().join("my.toml"), "run.epochs = 1\n").unwrap();
    named(&["my.toml"]);
    named(&["--name", "mine"]);
    for run in ["my-001", "mine-001"] {
        assert!(directory.path().join("runs").join(run).join("config.toml").is_file(), "{run}");
    }
}

#[test]
fn an_adapter_is_written_in_either_format_and_both_are_read() {
    let directory = workplace();
    check_done(&ddpo(directory.path(), &train("run", &["--set", "train.gradient-checkpointing=true"])));
    let adapter = directory.path().join("run/pytorch_lora_weights.safetensors");
    let names = || {
        let bytes = std::fs::read(&adapter).unwrap();
        String::from_utf8_lossy(&bytes[8..bytes.len().min(20_000)]).into_owned()
    };
    assert!(names().contains("unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight"));
    let sample = |out: &str| {
        let args = ["sample", "--lora", "run", "--prompt", "a cat", "--count", "1", "--out", out];
        check_done(&ddpo(directory.path(), &args));
        std::fs::read(directory.path().join(out).join("0000-a-cat.png")).unwrap()
    };
    let before = sample("a");
    // A finished run writes its product again, in the format that is asked for now.
    let text =
        check_done(&ddpo(directory.path(), &["train", "--resume", "--run-dir", "run", "--lora-format", "kohya"]));
    assert!(text.contains("already finished after 2 epochs; --epochs M goes on"), "{text}");
    assert!(names().contains("lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight"));
    assert!(before == sample("b"), "the format changes the picture");
    let start = format!("lora.path=\"{}\"", adapter.display());
    check_done(&ddpo(directory.path(), &train("next", &["--set", &start])));
}

#[test]
fn adapters_are_stacked_by_repeating_the_option() {
    let directory = workplace();
    let at = |args: &[&str]| ddpo(directory.path(), args);
    check_done(&at(&train("a", &[])));
    check_done(&at(&train("b", &["--lora", "a:0.5", "--seed", "1", "--dry-run"])));
    check_done(&at(&train("b", &["--lora", "a:0.5", "--seed", "1"])));
    let config = std::fs::read_to_string(directory.path().join("b/config.toml")).unwrap();
    // Whatever the working directory is when the run goes on.
    let absolute = std::path::absolute(directory.path().join("a")).unwrap();
    assert!(config.contains(&format!("frozen = [\"{}:0.5\"]", absolute.display())), "{config}");
    let drawn = |adapters: &[&str]| {
        let args = ["sample", "--model", "tiny", "--prompt", "a cat", "--count", "1", "--steps", "3"];
        let adapters = adapters.iter().flat_map(|adapter| ["--lora", adapter]);
        check_done(&at(&args.into_iter().chain(adapters).chain(["--trace", "t"]).collect::<Vec<_>>()));
        std::fs::read(directory.path().join("t")).unwrap()
    };
    let file = "b/pytorch_lora_weights.safetensors";
    assert!(drawn(&["b"]) == drawn(&["a:0.5", file]), "a run is its frozen adapters and its own");
    assert!(drawn(&["a:0"]) == drawn(&[]) && drawn(&["a:1"]) == drawn(&["a"]));
    assert!(drawn(&["a", file]) != drawn(&["a"]) && drawn(&["a", file]) != drawn(&[file]));
    let text = check_done(&at(&["evaluate", "--model", "tiny", "--lora", "a:0.5", "--lora", file, "--count", "2"]));
    assert!(text.contains("divergence from base"), "{text}");
    check_done(&at(&["evaluate", "b", "--count", "2"]));
    check_done(&at(&["train", "--resume", "--run-dir", "b", "--epochs", "3"]));
}

#[test]
fn what_is_no_adapter_and_what_is_no_model_is_said_plainly() {
    let directory = workplace();
    check_done(&ddpo(directory.path(), &train("run", &[])));
    let refuse = |args: &[&str], code: i32, expected: &str| {
        let args: Vec<&str> = ["sample", "--prompt", "a cat"].iter().chain(args).copied().collect();
        check_refusal(directory.path(), &args, code, expected);
    };
    refuse(
        &["--model", "run"],
        1,
        "error: cannot load the model run: a run directory found, a diffusers directory wanted\n\
         hint: `--lora run` takes what a run has made\n",
    );
    refuse(
        &["--model", "tiny/unet"],
        1,
        "error: cannot load the model tiny/unet: one part of a diffusers directory found, the directory wanted\n\
         hint: give --model tiny\n",
    );
    refuse(
        &["--lora", "run:strong"],
        2,
        "error: invalid `--lora`: found `run:strong`, expected a number such as 0.7 behind the colon\n",
    );
    let unet = "tiny/unet/diffusion_pytorch_model.safetensors";
    let output = ddpo(directory.path(), &["sample", "--model", "tiny", "--prompt", "a cat", "--lora", unet]);
    let text = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "error: cannot read tensors of `{unet}`: no adapter tensors found, wanted `unet.<layer>.lora_A.weight` or "
    );
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn pictures_are_classified_by_the_model_alone() {
    let directory = workplace();
    let at = |args: &[&str]| ddpo(directory.path(), args);
    check_done(&at(&[
        "sample", "--model", "tiny", "--prompt", "a cat", "--count", "2", "--steps", "2", "--out", "out",
    ]));
    let pictures = ["out/0000-a-cat.png", "out/0001-a-cat.png"];
    let options = ["classify", "--model", "tiny", "--classes", "a cat, a dog,two birds", "--trials", "8"];
    let text = check_done(&at(&[&options[..], &pictures[..], &["--json", "c.json"]].concat()));
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.starts_with("out/0000-a-cat.png  "), "{text}");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(directory.path().join("c.json")).unwrap()).unwrap();
    assert_eq!(json[0]["classes"].as_array().unwrap().len(), 3);
    assert!(json[0]["predictions"].as_u64().unwrap() < 24);
    let refuse = |args: &[&str], code, expected: &str| check_refusal(directory.path(), args, code, expected);
    refuse(
        &["classify", "--model", "tiny", "--classes", "cat", pictures[0]],
        2,
        "error: invalid `--classes`: found [\"cat\"], expected at least two classes\n",
    );
    refuse(
        &["score", "--reward", "diffusion-classifier", pictures[0]],
        1,
        "error: the reward `diffusion-classifier` asks the model, and there is none here\n\
         hint: `ddpo score --model M` names it, as emoji; `ddpo train` and `ddpo evaluate` give the reward theirs\n",
    );
    refuse(
        &["score", "--reward", "jpeg-compressibility", "--reward", "jpeg-compressibility", pictures[0]],
        2,
        "error: invalid `--reward`: found `jpeg-compressibility` twice, expected a reward once, as each is a row of its own\n",
    );
    // With a model it says what it thinks, of prompts that are compared with each other.
    std::fs::write(directory.path().join("prompts.txt"), "a cat\na dog\n").unwrap();
    let scored = ["score", "--model", "tiny", "--reward", "diffusion-classifier", "--prompts", "prompts.txt"];
    let text = check_done(&at(&[&scored[..], &pictures[..]].concat()));
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    assert!(text.lines().count() == 2 && text.lines().all(|line| value(line) < 0.0), "{text}");
    // Compared with the empty prompt alone, a prompt needs no other, and the empty prompt says as much as itself.
    let alone = "{ kind = \"diffusion-classifier\", distractors = 0, trials = 2, value = \"log-odds\" }";
    let scored =
        |prompt| check_done(&at(&["score", "--model", "tiny", "--reward", alone, "--prompt", prompt, pictures[0]]));
    assert_eq!(value(scored("").trim_end()), 0.0);
    assert_ne!(value(scored("a cat").trim_end()), 0.0);
    // The folder has the prompts that it was drawn for, which the judge of its model knows.
    check_done(&at(&["sample", "--prompt", "cat", "--count", "2", "--steps", "2", "--out", "emoji"]));
    let text = check_done(&at(&["score", "--model", "emoji", "--reward", "as-asked", "emoji"]));
    assert!(text.lines().count() == 2 && text.lines().all(|line| [0.0, 1.0].contains(&value(line))), "{text}");
}

#[test]
fn the_printed_configuration_is_one() {
    let directory = workplace();
    let text = check_done(&ddpo(directory.path(), &["config", "--preset", "incompressibility"]));
    std::fs::write(directory.path().join("run.toml"), &text).unwrap();
    // Over it, the command line wins.
    let text = check_done(&ddpo(
        directory.path(),
        &["train", "run.toml"]
            .into_iter()
            .chain(train("run", &[]).into_iter().skip(1))
            .chain(["--set", "lora.rank=2"])
            .collect::<Vec<_>>(),
    ));
    assert!(
        text.contains("reward   jpeg-incompressibility")
            && text.contains("4 images of 3 steps at guidance 5, 2 updates"),
        "{text}"
    );
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let directory = workplace();
    for threads in ["1", "2"] {
        check_done(&ddpo(directory.path(), &train(threads, &["--set", &format!("run.threads={threads}")])));
    }
    let product =
        |run: &str| std::fs::read(directory.path().join(run).join("pytorch_lora_weights.safetensors")).unwrap();
    assert!(product("1") == product("2"));
}

/// Waits until the run has recorded so many epochs.
fn wait_for_epochs(run: &Path, epochs: usize) {
    for _ in 0..6000 {
        let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
        if text.matches("\"kind\":\"epoch\"").count() >= epochs {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("no {epochs} epochs after a minute");
}

#[test]
fn a_killed_run_resumes_to_the_same_bytes() {
    let directory = workplace();
    // So slow by its learning steps that the kill comes in the middle.
    let args = |run| train(run, &["--set", "run.epochs=6", "--set", "sample.steps=20"]);
    check_done(&ddpo(directory.path(), &args("whole")));
    let mut child = program(directory.path(), &args("killed")).stdout(Stdio::null()).spawn().unwrap();
    wait_for_epochs(&directory.path().join("killed"), 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let text = check_done(&ddpo(directory.path(), &["train", "--resume", "killed"]));
    assert!(text.contains("goes on  after epoch ") && text.contains(" of 6\n"), "{text}");
    let product =
        |run: &str| std::fs::read(directory.path().join(run).join("pytorch_lora_weights.safetensors")).unwrap();
    assert!(product("whole") == product("killed"));
}

#[cfg(unix)]
#[test]
fn an_interrupt_writes_a_checkpoint_and_says_how_to_resume() {
    let directory = workplace();
    let args = train("run", &["--set", "run.epochs=500"]);
    let child = program(directory.path(), &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_epochs(&directory.path().join("run"), 1);
    let signalled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("to go on: ddpo train --resume run"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    assert!(std::fs::read_dir(directory.path().join("run/checkpoints")).unwrap().count() > 0);
}

#[cfg(unix)]
#[test]
fn a_broken_reward_ends_the_run_by_name_and_keeps_its_work() {
    let directory = workplace();
    // It answers the probe, and then no more.
    std::fs::write(directory.path().join("dies.sh"), "read line; echo '[1]'; read line; exit 3").unwrap();
    let args = train("run", &["--reward", "exec:sh dies.sh", "--set", "eval.every=0"]);
    let output = ddpo(directory.path(), &args);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("reward `exec:sh dies.sh` failed") && text.contains("exit status: 3"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    assert!(directory.path().join("run/checkpoints/epoch_0000").is_dir());
}

#[cfg(unix)]
#[test]
fn a_reward_that_cannot_work_is_known_before_there_is_a_run() {
    let directory = workplace();
    let at = |args: &[&str]| {
        let output = ddpo(directory.path(), args);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    std::fs::write(directory.path().join("one.sh"), "while read line; do echo '[1]'; done").unwrap();
    let (code, text) = at(&train("run", &["--reward", "one.sh"]));
    assert!(text.starts_with("error: unknown reward `one.sh` (did you mean `exec:./one.sh`?)"), "{text}");
    assert_eq!(code, Some(2));
    let (code, text) = at(&train("run", &["--reward", "exec:./one.sh"]));
    assert!(text.contains("hint: make it executable (chmod +x), or name its interpreter"), "{text}");
    assert_eq!(code, Some(1));
    let (_, text) = at(&train("run", &["--reward", "exec:sh -c 'cat > /dev/null'", "--set", "reward.timeout=1"]));
    assert!(text.contains("no answer within 1 s") && text.contains("hint: a program answers each line"), "{text}");
    assert!(!directory.path().join("run").exists());
}

#[cfg(unix)]
#[test]
fn a_run_with_a_program_goes_on_from_another_directory() {
    let directory = workplace();
    let script = "while read line; do echo \"$line\" | sed 's/.*\"prompts\"://; s/}$//; s/\"[^\"]*\"/1/g'; done";
    std::fs::write(directory.path().join("ones.sh"), script).unwrap();
    let more = ["--reward", "exec:sh ones.sh", "--set", "eval.every=0"];
    check_done(&ddpo(directory.path(), &train("run", &more)));
    let elsewhere = tempfile::tempdir().unwrap();
    let run = directory.path().join("run");
    let args = ["train", "--resume", "--run-dir", run.to_str().unwrap(), "--epochs", "3", "--set", "reward.timeout=60"];
    check_done(&ddpo(elsewhere.path(), &args));
    assert!(run.join("checkpoints/epoch_0003").is_dir());
}
