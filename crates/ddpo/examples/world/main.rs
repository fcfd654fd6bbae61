//! Measures the embedded model's world: the pictures it is trained on, its judge, and what it draws.
//!
//! `DATA` is the folder that `cargo xtask emoji-dataset` makes.

mod bytes;
mod judge;
mod model;
mod nearest;
mod sheet;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: world TASK

tasks:
  sheet DATA OUT.png [SPLIT]   draw 96 compositions of the drawings of a split: train, judge, held-out or unseen
  pictures DATA OUT SPLIT      the animals of a split by themselves on white, a file each with metadata.jsonl: what `ddpo classify` and
                               others are tried on
  bytes DATA                   how much the JPEG sizes of compositions differ, by ground and within a subject
  judge MODEL DATA             how often the judge shipped with a model is right, by split and by hand
  nearest MODEL DATA OUT.png   32 samples of animals, below each the composition nearest to it
  model MODEL DATA OUT [SECTION.KEY=VALUE]...
                               16 samples of each animal, held-out hands, pairs: how many are as asked for, how much they differ;
                               the pictures go into the folder OUT; drawn by the default settings but for those given
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), Box<dyn Error>> {
    match words {
        ["sheet", data, out] => sheet::draw(Path::new(data), Path::new(out), "train"),
        ["sheet", data, out, split] => sheet::draw(Path::new(data), Path::new(out), split),
        ["pictures", data, out, split] => sheet::singles(Path::new(data), Path::new(out), split),
        ["bytes", data] => bytes::measure(Path::new(data)),
        ["nearest", model, data, out] => nearest::draw(model, Path::new(data), Path::new(out)),
        ["judge", model, data] => judge::measure(model, Path::new(data)),
        ["model", model, data, out, settings @ ..] => model::measure(model, Path::new(data), Path::new(out), settings),
        _ => Err(USAGE.into()),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The population standard deviation.
fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}
