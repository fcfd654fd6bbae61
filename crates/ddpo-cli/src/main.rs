//! The `ddpo` binary: the only code that prints, and the only one that knows of terminals, signals and hints.

mod announcement;
mod args;
mod commands;
mod failure;
mod interrupt;
mod numbers;
mod progress;
mod run_name;
mod summary;
mod values;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

#[global_allocator]
static ALLOCATOR: ddpo::device::KeepingAllocator = ddpo::device::KeepingAllocator::new();

fn main() -> ExitCode {
    let command = match Cli::parse().command {
        Command::Distill(args) => match commands::distill::as_training(&args) {
            Ok(train) => Command::Train(train),
            Err(error) => return failure::show(&error.into(), &Command::Distill(args)),
        },
        command => command,
    };
    run(&command).unwrap_or_else(|error| failure::show(&error, &command))
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Train(args) => return commands::train::run(args),
        Command::Distill(args) => return commands::train::run(&commands::distill::as_training(args)?),
        Command::Sample(args) => commands::sample::run(args)?,
        Command::Evaluate(args) => commands::evaluate::run(args)?,
        Command::Gradient(args) => commands::gradient::run(args)?,
        Command::Score(args) => commands::score::run(args)?,
        Command::Classify(args) => commands::classify::run(args)?,
        Command::Pretrain(args) => commands::pretrain::run(args)?,
        Command::Report(args) => commands::report::run(args)?,
        Command::Devices => commands::devices::run()?,
        Command::Config(args) => commands::config::run(args)?,
        Command::Completions(args) => commands::completions::run(args),
        Command::Man(args) => commands::man::run(args)?,
        Command::Reference(args) => commands::reference::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
