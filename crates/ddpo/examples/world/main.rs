//! Measures the embedded model's world: the pictures it is trained on, its judge, and what it draws.
//!
//! `DATA` is the folder that `cargo xtask emoji-dataset` makes.

mod judge;
mod model;
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
  judge MODEL DATA             how often the judge shipped with a model is right, by split and by hand
  model MODEL DATA OUT         16 samples of each animal, held-out hands, pairs: how many are as asked for, how much they differ;
                               the pictures go into the folder OUT
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
        ["judge", model, data] => judge::measure(model, Path::new(data)),
        ["model", model, data, out] => model::measure(model, Path::new(data), Path::new(out)),
        _ => Err(USAGE.into()),
    }
}
