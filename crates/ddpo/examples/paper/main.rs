//! The experiments of the paper on the embedded model: `cargo run --release -p ddpo --example paper -- NAME`.
//!
//! An experiment is a committed configuration in `configs/`: tasks times variants times seeds. Runs go to `runs/paper` and
//! are skipped or resumed when they are there already, so that the command may be killed and repeated. Figures and a table
//! are drawn from `metrics.jsonl` of all runs into `docs/paper`.

mod experiment;
mod figure;
mod frontier;
mod runs;
mod statistics;
mod table;

use std::error::Error;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use experiment::Experiment;

/// The experiments, with their configurations.
const EXPERIMENTS: [(&str, &str); 10] = [
    ("fig4", include_str!("configs/fig4.toml")),
    ("alignment", include_str!("configs/alignment.toml")),
    ("composing", include_str!("configs/composing.toml")),
    ("fig10", include_str!("configs/fig10.toml")),
    ("fig11", include_str!("configs/fig11.toml")),
    ("generalisation", include_str!("configs/generalisation.toml")),
    ("overoptimisation", include_str!("configs/overoptimisation.toml")),
    ("frontier", include_str!("configs/frontier.toml")),
    ("ablations", include_str!("configs/ablations.toml")),
    ("anchor", include_str!("configs/anchor.toml")),
];

const USAGE: &str = "usage: paper NAME... [--runs DIR] [--out DIR] [--smoke] [--draw]\n\
    NAME: fig4, alignment, composing, fig10, fig11, generalisation, overoptimisation, frontier, ablations, anchor, all, or the file of another experiment\n\
    --smoke: tiny runs, to see that everything works; their numbers mean nothing\n\
    --draw: run nothing; draw what is finished";

/// What the command line says.
struct Options {
    names: Vec<String>,
    runs: PathBuf,
    out: PathBuf,
    smoke: bool,
    draw: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = parse(std::env::args().skip(1))?;
    for name in &options.names {
        let (name, text) = configuration(name)?;
        let experiment = Experiment::parse(&text, options.smoke).map_err(|error| format!("{name}.toml: {error}"))?;
        let runs = options.runs.join(&name);
        let results =
            if options.draw { runs::read_all(&experiment, &runs)? } else { runs::run_all(&experiment, &runs)? };
        std::fs::create_dir_all(&options.out)?;
        figure::write_all(&name, &experiment, &results, &options.out)?;
        table::write(&name, &experiment, &results, &options.out)?;
        frontier::write(&name, &experiment, &results, &options.out)?;
    }
    Ok(())
}

/// The name of an experiment and its configuration, a committed one or a file.
fn configuration(argument: &str) -> Result<(String, String), Box<dyn Error>> {
    let path = Path::new(argument);
    if let (Some("toml"), Some(name)) = (path.extension().and_then(OsStr::to_str), path.file_stem()) {
        let text = std::fs::read_to_string(path).map_err(|error| format!("read `{argument}`: {error}"))?;
        return Ok((name.to_string_lossy().into_owned(), text));
    }
    let known = EXPERIMENTS.iter().find(|(name, _)| *name == argument);
    let (name, text) = known.ok_or_else(|| format!("unknown experiment `{argument}`\n{USAGE}"))?;
    Ok(((*name).to_owned(), (*text).to_owned()))
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let (runs, out) = ("runs/paper".into(), "docs/paper".into());
    let mut options = Options { names: Vec::new(), runs, out, smoke: false, draw: false };
    let (mut runs, mut out) = (None, None);
    while let Some(argument) = args.next() {
        match argument.as_str() {
            "--smoke" => options.smoke = true,
            "--draw" => options.draw = true,
            "--runs" => runs = args.next(),
            "--out" => out = args.next(),
            "all" => options.names.extend(EXPERIMENTS.map(|(name, _)| name.to_owned())),
            name if !name.starts_with('-') => options.names.push(name.to_owned()),
            other => return Err(format!("unknown option `{other}`\n{USAGE}")),
        }
    }
    if options.smoke {
        // Numbers that mean nothing must never land among those that do.
        (options.runs, options.out) = ("runs/paper-smoke".into(), "runs/paper-smoke/figures".into());
    }
    options.runs = runs.map_or(options.runs, PathBuf::from);
    options.out = out.map_or(options.out, PathBuf::from);
    if options.names.is_empty() { Err(USAGE.to_owned()) } else { Ok(options) }
}
