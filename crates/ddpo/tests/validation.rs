//! No configuration that is accepted makes a run panic.
//!
//! `VALIDATION_CASES=1000` in the environment tries as many in each test.

mod common;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::LazyLock;

use ddpo::Session;
use ddpo::config::{Layers, RunPlan, document};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

static PLACE: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    (parent, model)
});

fn config(few: u32) -> ProptestConfig {
    let cases = std::env::var("VALIDATION_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(few);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Options whose values are whole numbers: small ones, which a run can be made of.
const COUNTS: [&str; 28] = [
    "run.seed",
    "run.threads",
    "lora.rank",
    "sample.steps",
    "sample.batch-size",
    "sample.batches-per-epoch",
    "sample.height",
    "sample.width",
    "train.batch-size",
    "train.accumulation",
    "train.inner-epochs",
    "distill.teacher-steps",
    "distill.grid",
    "anchor.samples",
    "anchor.batch-size",
    "anchor.first-timestep",
    "train.first-timestep",
    "rwr.buffer-size",
    "rwr.min-count",
    "rwr.updates-per-round",
    "rwr.batch-size",
    "forward.noisings",
    "advantage.buffer-size",
    "advantage.min-count",
    "advantage.group-size",
    "eval.every",
    "eval.count",
    "checkpoint.every",
];

const NUMBERS: [&str; 35] = [
    "lora.alpha",
    "sample.eta",
    "sample.guidance",
    "train.timestep-fraction",
    "train.learning-rate",
    "train.ema-decay",
    "train.adam-beta1",
    "train.adam-beta2",
    "train.adam-epsilon",
    "train.weight-decay",
    "train.max-grad-norm",
    "train.clip-range",
    "train.mask-kl",
    "train.advantage-clip",
    "train.kl-weight",
    "rwr.beta",
    "rwr.percentile",
    "forward.strength",
    "forward.anchor",
    "forward.cap",
    "forward.old-decay",
    "forward.old-ramp",
    "pairs.beta",
    "distill.guidance",
    "distill.target-decay",
    "distill.huber",
    "anchor.weight",
    "pairs.clip-range",
    "pairs.loser-weight",
    "pairs.loser-denoising",
    "eval.stop-kl",
    "eval.stop-as-asked",
    "eval.stop-distance",
    "eval.stop-patience",
    "checkpoint.keep",
];

const CHOICES: [(&str, &[&str]); 29] = [
    (
        "train.algorithm",
        &["ddpo-is", "ddpo-sf", "rwr", "rwr-sparse", "nft", "ram", "pso", "d3po", "diffusion-dpo", "lcd"],
    ),
    ("train.parameters", &["lora", "full"]),
    ("train.gradient-checkpointing", &["true", "false"]),
    ("train.guidance", &["true", "false"]),
    ("train.trust-region", &["clip", "normalised-clip", "kl-mask"]),
    ("train.step-weights", &["likelihood", "equal"]),
    ("train.non-finite", &["fail", "skip"]),
    ("train.log-prob-reduction", &["mean", "sum"]),
    ("sample.scheduler", &["ddim", "ddpm", "euler-ancestral"]),
    ("sample.negative-prompt", &["blurry", "\"\""]),
    ("sample.prompt-syntax", &["plain", "a1111"]),
    ("advantage.kind", &["per-prompt", "batch", "group"]),
    ("advantage.global-std", &["true", "false"]),
    ("pairs.clip", &["two-sided", "one-sided"]),
    ("pairs.path", &["pairs.jsonl", "\"\""]),
    ("pairs.timesteps", &["all", "sampler"]),
    ("pairs.judge", &["sum", "one-term"]),
    ("rwr.per-prompt", &["true", "false"]),
    ("forward.timesteps", &["uniform", "linear"]),
    ("forward.space", &["sample", "velocity", "noise"]),
    ("forward.normalise", &["true", "false"]),
    ("forward.guidance", &["true", "false"]),
    ("anchor.data", &["pictures", "\"\""]),
    ("reward", &["jpeg-compressibility", "diversity", "{ kind = \"diffusion-classifier\", trials = 2 }"]),
    ("prompts.kind", &["simple-animals", "imagenet-animals", "nouns-activities", "counting"]),
    ("lora.targets", &["[\"to_q\"]", "[\"to_out.0\", \"to_q\"]", "[\"nothing\"]", "[\"\"]"]),
    ("lora.format", &["diffusers", "kohya"]),
    (
        "task",
        &[
            "[{ name = \"a\", prompts = { kind = \"counting\" }, advantage = { kind = \"group\", group-size = 2 } }]",
            "[{ name = \"a\", reward = \"diversity\", eval-prompts = [\"a cat\"] }]",
            "[{ name = \"\" }]",
        ],
    ),
    ("eval.prompts", &["held-out", "counting", "[\"a\"]", "[\"\", \"b\"]"]),
];

fn assignment(count: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let numbers =
        ["0", "0.0", "-0.0", "1", "1.0", "0.5", "0.999", "-1.0", "1e-320", "1e-30", "1e30", "1e308", "nan", "inf"];
    let number = prop_oneof![(0.0..2.0f64).prop_map(|x| format!("{x:?}")), select(&numbers)];
    let choice = (0..CHOICES.len(), any::<prop::sample::Index>())
        .prop_map(|(i, value)| format!("{}={}", CHOICES[i].0, CHOICES[i].1[value.index(CHOICES[i].1.len())]));
    prop_oneof![
        (select(&COUNTS), count).prop_map(|(key, value)| format!("{key}={value}")),
        (select(&NUMBERS), number).prop_map(|(key, value)| format!("{key}={value}")),
        choice,
    ]
}

fn select(names: &[&'static str]) -> impl Strategy<Value = String> + use<> {
    prop::sample::select(names.to_vec()).prop_map(String::from)
}

fn small() -> BoxedStrategy<String> {
    (0..9u32).prop_map(|n| n.to_string()).boxed()
}

fn any_count() -> BoxedStrategy<String> {
    let extremes = select(&["9223372036854775807", "4294967296", "4611686018427387904", "1048577", "65536", "-1"]);
    prop_oneof![small(), extremes].boxed()
}

/// The plan of a run small enough for a test with these options, where they make one.
fn plan(assignments: &[String]) -> Option<RunPlan> {
    let mut layers = Layers::default();
    let small = "[sample]\nsteps = 2\nbatch-size = 4\nbatches-per-epoch = 1\n[train]\nbatch-size = 4\n\
                 [advantage]\nkind = \"batch\"\n[rwr]\nbatch-size = 4\nupdates-per-round = 2\n[eval]\ncount = 2\n\
                 [run]\nepochs = 1\n";
    layers.push_toml("test", small).unwrap();
    layers.push_value("test", "model.path", PLACE.1.to_str().unwrap()).unwrap();
    for assignment in assignments {
        // An option that is refused alone is left out, so that the others are tried.
        let _ = layers.push_assignment(assignment);
    }
    RunPlan::new(layers.resolve().ok()?).ok()
}

fn first_epoch(plan: &RunPlan) -> ddpo::Result<()> {
    let parent = tempfile::tempdir().unwrap();
    Session::create(plan.clone(), parent.path().join("run")).open()?.run().map(drop)
}

/// Tries so many lists of at most `most` assignments, and says how many of them make a plan.
fn plans(cases: u32, count: BoxedStrategy<String>, most: usize, check: impl Fn(&[String], RunPlan)) -> u32 {
    let made = Cell::new(0);
    let mut runner = TestRunner::new(config(cases));
    let outcome = runner.run(&prop::collection::vec(assignment(count), 0..=most), |assignments| {
        if let Some(plan) = plan(&assignments) {
            made.set(made.get() + 1);
            check(&assignments, plan);
        }
        Ok(())
    });
    outcome.unwrap();
    made.get()
}

#[test]
fn a_plan_that_is_accepted_runs_or_says_why_not() {
    let finished = Cell::new(0);
    let made = plans(30, small(), 6, |assignments, plan| {
        let outcome = catch_unwind(AssertUnwindSafe(|| first_epoch(&plan)));
        let outcome = outcome.unwrap_or_else(|_| panic!("{assignments:?}"));
        finished.set(finished.get() + u32::from(outcome.is_ok()));
    });
    println!("{made} plans, of which {} ran to their end", finished.get());
    assert!(finished.get() > 0);
}

#[test]
fn no_number_makes_the_check_panic_or_reads_back_as_another() {
    let made = plans(500, any_count(), 8, |_, plan| {
        let mut again = Layers::default();
        again.push_toml("document", &document(&plan.config).unwrap()).unwrap();
        assert_eq!(again.resolve().unwrap(), plan.config);
        // What is held in memory at once has a bound.
        assert!(plan.samples_per_epoch <= 1 << 20);
    });
    println!("{made} plans");
    assert!(made > 0);
}
