//! `ddpo pretrain`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use ddpo::device::DeviceName;
use ddpo::pretrain::{PretrainConfig, PretrainEvent, PretrainRequest, pretrain};

use crate::args::Pretrain;
use crate::interrupt::stop_on_signal;
use crate::progress::line;

/// Trains the autoencoder, then the denoiser, and writes the model.
pub fn run(args: &Pretrain) -> Result<()> {
    let device = DeviceName::parse(args.device.as_deref().unwrap_or("auto"))?;
    ddpo::device::set_threads(args.threads);
    let device = device.open()?;
    let config = config(args);
    let run_directory = args.run_dir.clone().unwrap_or_else(|| default_run_directory(args));
    let stop = stop_on_signal("finishing the step and saving")?;
    let request = PretrainRequest {
        data: &args.data,
        out: &args.out,
        run_directory: &run_directory,
        config: &config,
        resume: args.resume,
        stop: &stop,
    };
    if pretrain(request, &device, &mut |event| show(event))? {
        line(&format!("wrote {}", args.out.display()));
        return Ok(());
    }
    bail!("interrupted; go on with the same options and --resume --run-dir {}", run_directory.display())
}

fn config(args: &Pretrain) -> PretrainConfig {
    let mut config = PretrainConfig { seed: args.seed, ..PretrainConfig::default() };
    for (stage, steps, batch) in [
        (&mut config.autoencoder.stage, args.vae_steps, args.vae_batch_size),
        (&mut config.denoiser.stage, args.steps, args.batch_size),
    ] {
        (stage.steps, stage.batch_size) = (steps, batch);
    }
    config.judge.stage.steps = args.judge_steps;
    config.decoder.stage.steps = args.decoder_steps;
    config.autoencoder.channels.clone_from(&args.vae_channels);
    config.autoencoder.latent_channels = args.latent_channels;
    config.denoiser.channels.clone_from(&args.unet_channels);
    config
}

fn default_run_directory(args: &Pretrain) -> PathBuf {
    let mut name = args.out.file_name().unwrap_or_default().to_owned();
    name.push("-pretrain");
    args.out.with_file_name(name)
}

fn show(event: &PretrainEvent) {
    let left = event.seconds_left();
    line(&format!(
        "{} {}/{}  loss {:.4}  mse {:.4}  {:.0} s, about {left:.0} s left",
        event.kind, event.step, event.steps, event.loss, event.mse, event.seconds
    ));
}
