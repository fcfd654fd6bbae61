//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Fine-tunes diffusion models by reinforcement learning.
#[derive(Debug, Parser)]
#[command(name = "ddpo", version, about, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

fn at_least_one() -> clap::builder::RangedU64ValueParser<usize> {
    clap::builder::RangedU64ValueParser::new().range(1..)
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fine-tune a model toward a reward; without arguments, the embedded model in minutes
    Train(Train),
    /// Draw images
    Sample(Sample),
    /// Measure a model, or what a run has made of it, on prompts and seeds that training never uses
    Evaluate(Evaluate),
    /// Say what a reward thinks of images
    Score(Score),
    /// Name what images show, with nothing but a text-to-image model
    Classify(Classify),
    /// Train a small text-to-image model from scratch on an image folder with captions
    Pretrain(Pretrain),
    /// Write RUN/report.html: curves, images before and after, warnings
    Report(Report),
    /// Print the commented configuration: every option, its default and where that is from
    Config(Config),
}

/// `ddpo train`.
#[derive(Args, Debug, Default)]
pub struct Train {
    /// A configuration file (TOML); see `ddpo config`
    pub config: Option<PathBuf>,
    /// A named configuration under the file and the options: quick, sd, compressibility, incompressibility, aesthetic,
    /// prompt-image-alignment
    #[arg(long)]
    pub preset: Option<String>,
    /// `emoji` (embedded), a diffusers directory, or a hub id `org/name[@revision]`
    #[arg(long, value_name = "M")]
    pub model: Option<String>,
    /// ddpo-is, ddpo-sf, rwr or rwr-sparse
    #[arg(long, value_name = "A")]
    pub algorithm: Option<String>,
    /// jpeg-compressibility, jpeg-incompressibility, diffusion-classifier, exec:PROGRAM
    #[arg(long, value_name = "R")]
    pub reward: Option<String>,
    /// A kind of prompts (simple-animals, imagenet-animals, nouns-activities, counting) or a text file, a prompt a line
    #[arg(long, value_name = "P")]
    pub prompts: Option<String>,
    /// Rounds of sample, score, update
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// An adapter below the one that is trained, and how much of it: it stays as it is; may be given more than once
    #[arg(long, value_name = "FILE|RUN[:STRENGTH]")]
    pub lora: Vec<String>,
    /// Whose names the adapter's file has: diffusers, or kohya for ComfyUI and A1111
    #[arg(long, value_name = "F")]
    pub lora_format: Option<String>,
    /// Where everything the run makes goes; by default runs/NAME-NNN
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Where to compute: cpu
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Same seed, same bytes
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Set any option of the configuration; may be given more than once
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Go on with the run in --run-dir from its last checkpoint
    #[arg(long, requires = "run_dir", conflicts_with_all = ["config", "preset"])]
    pub resume: bool,
}

/// `ddpo sample`.
#[derive(Args, Debug)]
pub struct Sample {
    /// `emoji` (embedded), a diffusers directory, or a hub id; by default the run's, else `emoji`
    #[arg(long, value_name = "M")]
    pub model: Option<String>,
    /// Which weight files to prefer, such as fp16
    #[arg(long, value_name = "V")]
    pub variant: Option<String>,
    /// An adapter to apply, a safetensors file or a run directory, and how much of it; may be given more than once
    #[arg(long, value_name = "FILE|RUN[:STRENGTH]")]
    pub lora: Vec<String>,
    /// What to draw; more than one prompt may follow, and the option may be repeated
    #[arg(long, value_name = "TEXT", required = true, num_args = 1..)]
    pub prompt: Vec<String>,
    /// Images of each prompt
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one())]
    pub count: usize,
    /// Where the images go
    #[arg(long, value_name = "DIR", default_value = "samples")]
    pub out: PathBuf,
    /// Denoising steps
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub steps: Option<usize>,
    /// Classifier-free guidance; 1 switches it off
    #[arg(long, value_name = "G")]
    pub guidance: Option<f64>,
    /// How noise becomes an image: ddim, ddpm, euler-ancestral
    #[arg(long, value_name = "S")]
    pub scheduler: Option<String>,
    /// Share of the DDPM noise each DDIM step adds; 0 is deterministic
    #[arg(long, value_name = "E")]
    pub eta: Option<f64>,
    /// What guidance steers away from
    #[arg(long, value_name = "TEXT")]
    pub negative_prompt: Option<String>,
    /// Image height in pixels; by default the model's own
    #[arg(long, value_name = "N")]
    pub height: Option<usize>,
    /// Image width in pixels; by default the model's own
    #[arg(long, value_name = "N")]
    pub width: Option<usize>,
    /// Images that are denoised together; changes memory and time, and no image
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub batch_size: Option<usize>,
    /// Seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Also write every latent, log-probability, embedding and image, as safetensors in the diffusers layout
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Where to compute: cpu
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
}

/// `ddpo evaluate`.
#[derive(Args, Debug)]
pub struct Evaluate {
    /// A run: its model before and after training is measured on its evaluation prompts
    #[arg(value_name = "RUN", conflicts_with_all = ["model", "lora"])]
    pub run: Option<PathBuf>,
    /// `emoji` (embedded), a diffusers directory, or a hub id
    #[arg(long, value_name = "M", required_unless_present = "run")]
    pub model: Option<String>,
    /// An adapter to compare with the model alone, a file or a run, and how much of it; several are compared together
    #[arg(long, value_name = "FILE|RUN[:STRENGTH]")]
    pub lora: Vec<String>,
    /// Rewards to measure, separated by commas; by default the run's, else jpeg-compressibility
    #[arg(long, value_name = "R,R", value_delimiter = ',')]
    pub rewards: Vec<String>,
    /// A kind of prompts or a text file; by default the held-out prompts
    #[arg(long, value_name = "P")]
    pub prompts: Option<String>,
    /// Images to measure
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub count: Option<usize>,
    /// Denoising steps; by default the run's
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    pub steps: Option<usize>,
    /// Classifier-free guidance; by default the run's
    #[arg(long, value_name = "G")]
    pub guidance: Option<f64>,
    /// An image folder with labels: also tell how often the picture nearest to a sample has the label it was drawn for
    #[arg(long, value_name = "DIR")]
    pub labels: Option<PathBuf>,
    /// With --labels, also write those samples, the trained model's if there is one, as a PNG, a row a label
    #[arg(long, value_name = "FILE", requires = "labels")]
    pub labels_grid: Option<PathBuf>,
    /// Also write the numbers as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where to compute: cpu
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
}

/// `ddpo score`.
#[derive(Args, Debug)]
pub struct Score {
    /// jpeg-compressibility, jpeg-incompressibility, exec:PROGRAM; more than one may be given
    #[arg(long, value_name = "R", required = true)]
    pub reward: Vec<String>,
    /// PNG or JPEG files
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
    /// What the images should show, for rewards that look at it
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub prompt: String,
    /// Also write the values as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `ddpo classify`.
#[derive(Args, Debug)]
pub struct Classify {
    /// `emoji` (embedded), a diffusers directory, or a hub id
    #[arg(long, value_name = "M", default_value = "emoji")]
    pub model: String,
    /// What the images may show, separated by commas, as the model would be prompted for it
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', required = true)]
    pub classes: Vec<String>,
    /// PNG or JPEG files
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
    /// Pairs of timestep and noise at which the likeliest classes are compared
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one())]
    pub trials: usize,
    /// The least timestep of the pairs: a picture unlike the training data is told by the coarse features that much noise leaves
    #[arg(long, value_name = "T", default_value_t = 600)]
    pub first_timestep: usize,
    /// Try every class at every pair, instead of leaving out the hopeless early
    #[arg(long)]
    pub full: bool,
    /// Seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Also write the evidence as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where to compute: cpu
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
}

/// `ddpo pretrain`.
#[derive(Args, Debug)]
pub struct Pretrain {
    /// An image folder: square pictures of one size, and metadata.jsonl with `file_name`, `text` and optional `labels`
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Where the model goes, in the diffusers layout; must not exist yet
    #[arg(long, value_name = "MODEL")]
    pub out: PathBuf,
    /// Where states and metrics go; by default beside the model, with `-pretrain` after its name
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Steps of the UNet and the text encoder
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Pictures in each of these steps
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Steps of the autoencoder
    #[arg(long, value_name = "N")]
    pub vae_steps: Option<u64>,
    /// Pictures in each step of the autoencoder
    #[arg(long, value_name = "N")]
    pub vae_batch_size: Option<usize>,
    /// Same seed, same model
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Threads that compute; 0: one for every core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Where to compute: cpu
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Go on with the run that was interrupted
    #[arg(long)]
    pub resume: bool,
}

/// `ddpo report`.
#[derive(Args, Debug)]
pub struct Report {
    /// A run directory
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
}

/// `ddpo config`.
#[derive(Args, Debug)]
pub struct Config {
    /// Print this preset's configuration instead of the default
    #[arg(long)]
    pub preset: Option<String>,
    /// Print the defaults for this model
    #[arg(long, value_name = "M")]
    pub model: Option<String>,
}
