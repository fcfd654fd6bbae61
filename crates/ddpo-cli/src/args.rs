//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use ddpo::pretrain::PretrainConfig;

use crate::values::{self, at_least_one, at_least_two, or_default, or_run_default};

const MODEL: &str =
    "`emoji` (embedded), a diffusers directory, a one-file checkpoint, or a hub id `org/name[@revision]`";
const DEVICE: &str = "Where to compute: auto, cpu, or a GPU of `ddpo devices`, such as cuda or cuda:1";
const DTYPE: &str = "What frozen weights are held and multiplied in: f32 or bf16; on a GPU also f16";
const STEPS: &str = "Denoising steps";
const GUIDANCE: &str = "Classifier-free guidance; 1 switches it off";

fn prompts_help(what: &str) -> String {
    values::prompts().list(what) + "; or a text file, a prompt a line"
}

/// Fine-tunes diffusion models by reinforcement learning.
#[derive(Debug, Parser)]
#[command(name = "ddpo", version, about, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
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
    /// Measure the gradient that a run would follow first, by denoising step, and how much of it is noise
    Gradient(Gradient),
    /// Say what a reward thinks of images
    Score(Score),
    /// Name what images show, with nothing but a text-to-image model
    Classify(Classify),
    /// Train a small text-to-image model from scratch on an image folder with captions
    Pretrain(Pretrain),
    /// Make a few-step model of one that takes many steps
    Distill(Distill),
    /// Write the page about a run, RUN/report.html, or one page that compares several
    Report(Report),
    /// List the devices that can compute, by the names that --device takes
    Devices,
    /// Print the commented configuration: every option, its default and where that is from
    Config(Config),
    /// Print what a shell needs to complete the words of this program
    Completions(Completions),
    /// Write the manual pages
    Man(Man),
    /// Print a reference page in Markdown
    #[command(hide = true)]
    Reference(Reference),
}

/// `ddpo train`.
#[derive(Args, Clone, Debug, Default)]
pub struct Train {
    /// A configuration file (TOML); see `ddpo config`
    pub config: Option<PathBuf>,
    /// A named configuration under the file and the options
    #[arg(long, value_name = "P", help = values::presets().list("A named configuration under the file and the options"), value_parser = values::presets(), hide_possible_values = true)]
    pub preset: Option<String>,
    /// The model to fine-tune
    #[arg(long, value_name = "M", help = or_default(MODEL, "model.path"), value_parser = values::models(), hide_possible_values = true)]
    pub model: Option<String>,
    /// Of a one-file checkpoint: the diffusers directory or the hub id that has its tokenizer and its configurations
    #[arg(long, value_name = "DIR|ID")]
    pub model_config: Option<String>,
    /// The algorithm
    #[arg(long, value_name = "A", help = or_default(&values::algorithms().list("The algorithm"), "train.algorithm"), value_parser = values::algorithms(), hide_possible_values = true)]
    pub algorithm: Option<String>,
    /// The reward
    #[arg(long, value_name = "R", help = or_default(&values::rewards().list("What images are scored with"), "reward"), value_parser = values::rewards(), hide_possible_values = true)]
    pub reward: Option<String>,
    /// What the model is asked to draw
    #[arg(long, value_name = "P", help = or_default(&prompts_help("A kind of prompts"), "prompts.kind"), value_parser = values::prompts(), hide_possible_values = true)]
    pub prompts: Option<String>,
    /// Rounds of sample, score, update
    #[arg(long, value_name = "N", help = or_default("Rounds of sample, score, update", "run.epochs"))]
    pub epochs: Option<u64>,
    /// An adapter below the one that is trained, and how much of it: it stays as it is; may be given more than once
    #[arg(long, value_name = "FILE|RUN[:STRENGTH]")]
    pub lora: Vec<String>,
    /// A textual-inversion embedding: a safetensors file, a folder or a hub id, and another word for it than its own; may be given
    /// more than once
    #[arg(long, value_name = "FILE[:WORD]")]
    pub embedding: Vec<String>,
    /// Whose names the adapter's file has
    #[arg(long, value_name = "F", help = or_default("Whose names the adapter's file has: diffusers, or kohya for ComfyUI and A1111", "lora.format"), value_parser = values::lora_formats(), hide_possible_values = true)]
    pub lora_format: Option<String>,
    /// What the run is called [default: the configuration file's name, else the model's and the reward's]
    #[arg(long, value_name = "NAME", conflicts_with = "run_dir")]
    pub name: Option<String>,
    /// Where everything the run makes goes [default: runs/NAME-NNN, the first number that is free]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub run_dir: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_name = "D", help = or_default(DEVICE, "run.device"), value_parser = values::devices(), hide_possible_values = true)]
    pub device: Option<String>,
    /// What the denoiser computes in
    #[arg(long, value_name = "T", help = or_default(DTYPE, "model.dtype"), value_parser = values::dtypes(), hide_possible_values = true)]
    pub dtype: Option<String>,
    /// Seed of everything
    #[arg(long, value_name = "N", help = or_default("Seed of everything; same seed, same bytes", "run.seed"))]
    pub seed: Option<u64>,
    /// Set any option of the configuration; may be given more than once
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Say what would be done and what it would cost, and do nothing: no run directory is made
    #[arg(long)]
    pub dry_run: bool,
    /// Go on with a run from its last checkpoint; without a value, with the one in --run-dir
    #[arg(long, value_name = "RUN", num_args = 0..=1, conflicts_with_all = ["config", "preset", "name"], value_hint = ValueHint::DirPath)]
    pub resume: Option<Option<PathBuf>>,
}

/// `ddpo distill`.
#[derive(Args, Debug)]
#[command(
    mut_arg("preset", |arg| arg.hide(true)),
    mut_arg("algorithm", |arg| arg.hide(true)),
    mut_arg("epochs", |arg| arg.help(or_default("Rounds of drawing and learning", "run.epochs"))),
    mut_arg("reward", |arg| arg.help("What evaluations measure and nothing follows")),
    mut_arg("name", |arg| arg.help("What the run is called [default: the configuration file's name, else the model's and the steps]"))
)]
pub struct Distill {
    /// Steps in which evaluations sample the few-step model
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    pub steps: usize,
    /// The teacher's guidance, which the few-step model has learnt in the end
    #[arg(long, value_name = "G", help = or_default("The teacher's guidance, which the few-step model has learnt in the end", "distill.guidance"))]
    pub guidance: Option<f64>,
    #[command(flatten)]
    pub train: Train,
}

/// `ddpo sample`.
#[derive(Args, Debug)]
pub struct Sample {
    /// The model
    #[arg(long, value_name = "M", help = or_run_default(MODEL, "model.path"), value_parser = values::models(), hide_possible_values = true)]
    pub model: Option<String>,
    /// Of a one-file checkpoint: the diffusers directory or the hub id that has its tokenizer and its configurations
    #[arg(long, value_name = "DIR|ID")]
    pub model_config: Option<String>,
    /// Which weight files to prefer, such as fp16 [default: the run's, else the plain files]
    #[arg(long, value_name = "V")]
    pub variant: Option<String>,
    /// An adapter to apply, a safetensors file or a run directory, and how much of it; may be given more than once
    #[arg(long, value_name = "FILE|RUN[:STRENGTH]")]
    pub lora: Vec<String>,
    /// A textual-inversion embedding: a safetensors file, a folder or a hub id, and another word for it than its own; may be given
    /// more than once
    #[arg(long, value_name = "FILE[:WORD]")]
    pub embedding: Vec<String>,
    /// What to draw; more than one prompt may follow, and the option may be repeated
    #[arg(long, value_name = "TEXT", required = true, num_args = 1..)]
    pub prompt: Vec<String>,
    /// Images of each prompt
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = at_least_one)]
    pub count: usize,
    /// Where the images go, and metadata.jsonl with their prompts; numbers go on after those of images that are there
    #[arg(long, value_name = "DIR", default_value = "samples", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    #[command(flatten)]
    pub sampler: SamplerOptions,
    /// What guidance steers away from [default: the run's, else nothing]
    #[arg(long, value_name = "TEXT")]
    pub negative_prompt: Option<String>,
    /// Last layers of the text encoder that prompts do not go through, as diffusers counts them: A1111's 2 is 1 here [default:
    /// the run's, else 0]
    #[arg(long, value_name = "N")]
    pub clip_skip: Option<usize>,
    /// How prompts are read
    #[arg(long, value_name = "S", help = or_run_default(&values::prompt_syntaxes().list("How prompts are read"), "sample.prompt-syntax"), value_parser = values::prompt_syntaxes(), hide_possible_values = true)]
    pub prompt_syntax: Option<String>,
    /// Image height in pixels [default: the run's, else the model's own]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub height: Option<usize>,
    /// Image width in pixels [default: the run's, else the model's own]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub width: Option<usize>,
    /// Images that are denoised together; changes memory and time, and no image
    #[arg(long, value_name = "N", help = or_run_default("Images that are denoised together; changes memory and time, and no image", "sample.batch-size"), value_parser = at_least_one)]
    pub batch_size: Option<usize>,
    #[command(flatten)]
    pub search: SearchOptions,
    /// Seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Also write every latent, log-probability, embedding and image, as safetensors in the diffusers layout
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_name = "D", help = or_run_default(DEVICE, "run.device"), value_parser = values::devices(), hide_possible_values = true)]
    pub device: Option<String>,
    /// What the denoiser computes in
    #[arg(long, value_name = "T", help = or_run_default(DTYPE, "model.dtype"), value_parser = values::dtypes(), hide_possible_values = true)]
    pub dtype: Option<String>,
}

/// How pictures are drawn, of commands that have a run's sampler without them.
#[derive(Args, Debug)]
pub struct SamplerOptions {
    /// Denoising steps
    #[arg(long, value_name = "N", help = or_run_default(STEPS, "sample.steps"), value_parser = at_least_one)]
    pub steps: Option<usize>,
    /// Classifier-free guidance; 1 switches it off
    #[arg(long, value_name = "G", help = or_run_default(GUIDANCE, "sample.guidance"))]
    pub guidance: Option<f64>,
    /// How noise becomes an image
    #[arg(long, value_name = "S", help = or_run_default(&values::schedulers().list("How noise becomes an image"), "sample.scheduler"), value_parser = values::schedulers(), hide_possible_values = true)]
    pub scheduler: Option<String>,
    #[arg(long, value_name = "S", help = or_run_default(&values::spacings().list("How steps are spread over the training timesteps"), "sample.spacing"), value_parser = values::spacings(), hide_possible_values = true)]
    pub spacing: Option<String>,
    /// Share of the DDPM noise each DDIM step adds; 0 is deterministic
    #[arg(long, value_name = "E", help = or_run_default("Share of the DDPM noise each DDIM step adds; 0 is deterministic", "sample.eta"))]
    pub eta: Option<f64>,
}

/// A search at sampling time.
#[derive(Args, Debug)]
pub struct SearchOptions {
    /// Search for pictures that a reward likes, for more computation a picture and no training
    #[arg(long, value_name = "KIND", help = values::searches().list("Search for pictures that --reward likes, for more computation a picture and no training"), value_parser = values::searches(), hide_possible_values = true, requires = "reward")]
    pub search: Option<String>,
    /// What is searched for
    #[arg(long, value_name = "R", help = values::rewards().list("What is searched for"), value_parser = values::rewards(), hide_possible_values = true, requires = "search")]
    pub reward: Option<String>,
    /// Candidates: of best-of whole pictures, else those of each step
    #[arg(long, value_name = "K", default_value_t = 16, value_parser = at_least_one, requires = "search")]
    pub candidates: usize,
    /// How much better a candidate must be to count for more: adaptive (the standard deviation of a step's rewards) or a number
    /// [of demon and demon-boltzmann; default: adaptive]
    #[arg(long, value_name = "T", requires = "search")]
    pub temperature: Option<String>,
    /// How a candidate's picture is guessed: one (the model's guess at once) or ode:N (at most N deterministic steps)
    /// [of demons; default: ode:4]
    #[arg(long, value_name = "L", requires = "search")]
    pub lookahead: Option<String>,
    /// Noises that a picture may begin with, of which the best is taken [of demons; default: 1]
    #[arg(long, value_name = "N", value_parser = at_least_one, requires = "search")]
    pub starts: Option<usize>,
    /// The timestep below which steps are drawn without a search [of demons; default: 0]
    #[arg(long, value_name = "T", requires = "search")]
    pub search_until: Option<f64>,
}

/// `ddpo evaluate`.
#[derive(Args, Debug)]
pub struct Evaluate {
    /// A run: its model before and after training is measured on its evaluation prompts
    #[arg(value_name = "RUN", conflicts_with_all = ["model", "lora"], value_hint = ValueHint::DirPath)]
    pub run: Option<PathBuf>,
    /// A model to measure
    #[arg(long, value_name = "M", help = MODEL, required_unless_present = "run", value_parser = values::models(), hide_possible_values = true)]
    pub model: Option<String>,
    /// Of a one-file checkpoint: the diffusers directory or the hub id that has its tokenizer and its configurations
    #[arg(long, value_name = "DIR|ID")]
    pub model_config: Option<String>,
    /// An adapter to compare with the model alone, a file or a run, and how much of it; several are compared together
    #[arg(long, value_name = "FILE|RUN[:STRENGTH]")]
    pub lora: Vec<String>,
    /// A textual-inversion embedding: a safetensors file, a folder or a hub id, and another word for it than its own; may be given
    /// more than once
    #[arg(long, value_name = "FILE[:WORD]")]
    pub embedding: Vec<String>,
    /// Rewards to measure
    #[arg(long, value_name = "R,R", help = or_run_default("Rewards to measure, separated by commas; the option may be repeated", "reward"), value_parser = values::rewards(), hide_possible_values = true)]
    pub rewards: Vec<String>,
    /// What to draw
    #[arg(long, value_name = "P", help = prompts_help("A kind of prompts") + " [default: the prompts set aside for evaluation]", value_parser = values::prompts(), hide_possible_values = true)]
    pub prompts: Option<String>,
    /// Images to measure
    #[arg(long, value_name = "N", help = or_run_default("Images to measure", "eval.count"), value_parser = at_least_one)]
    pub count: Option<usize>,
    #[command(flatten)]
    pub sampler: SamplerOptions,
    /// How prompts are read
    #[arg(long, value_name = "S", help = or_run_default(&values::prompt_syntaxes().list("How prompts are read"), "sample.prompt-syntax"), value_parser = values::prompt_syntaxes(), hide_possible_values = true)]
    pub prompt_syntax: Option<String>,
    #[command(flatten)]
    pub search: SearchOptions,
    /// Also write the numbers as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_name = "D", help = or_run_default(DEVICE, "run.device"), value_parser = values::devices(), hide_possible_values = true)]
    pub device: Option<String>,
    /// What the denoiser computes in
    #[arg(long, value_name = "T", help = or_run_default(DTYPE, "model.dtype"), value_parser = values::dtypes(), hide_possible_values = true)]
    pub dtype: Option<String>,
}

/// `ddpo gradient`.
#[derive(Args, Debug)]
pub struct Gradient {
    /// A configuration file (TOML); see `ddpo config`
    pub config: Option<PathBuf>,
    /// Measure at what a run has made, with its configuration under the file and the options
    #[arg(long, value_name = "RUN", conflicts_with = "preset", value_hint = ValueHint::DirPath)]
    pub run: Option<PathBuf>,
    /// A named configuration under the file and the options
    #[arg(long, value_name = "P", help = values::presets().list("A named configuration under the file and the options"), value_parser = values::presets(), hide_possible_values = true)]
    pub preset: Option<String>,
    /// The model
    #[arg(long, value_name = "M", help = or_default(MODEL, "model.path"), value_parser = values::models(), hide_possible_values = true)]
    pub model: Option<String>,
    /// Of a one-file checkpoint: the diffusers directory or the hub id that has its tokenizer and its configurations
    #[arg(long, value_name = "DIR|ID")]
    pub model_config: Option<String>,
    /// The algorithm
    #[arg(long, value_name = "A", help = or_default(&values::algorithms().list("The algorithm"), "train.algorithm"), value_parser = values::algorithms(), hide_possible_values = true)]
    pub algorithm: Option<String>,
    /// The reward
    #[arg(long, value_name = "R", help = or_default(&values::rewards().list("What images are scored with"), "reward"), value_parser = values::rewards(), hide_possible_values = true)]
    pub reward: Option<String>,
    /// What the model is asked to draw
    #[arg(long, value_name = "P", help = or_default(&prompts_help("A kind of prompts"), "prompts.kind"), value_parser = values::prompts(), hide_possible_values = true)]
    pub prompts: Option<String>,
    /// An adapter below the one that would be trained, and how much of it; may be given more than once
    #[arg(long, value_name = "FILE|RUN[:STRENGTH]")]
    pub lora: Vec<String>,
    /// A textual-inversion embedding: a safetensors file, a folder or a hub id, and another word for it than its own; may be given
    /// more than once
    #[arg(long, value_name = "FILE[:WORD]")]
    pub embedding: Vec<String>,
    /// Independent epochs; the gradients of their first updates are compared
    #[arg(long, value_name = "B", default_value_t = 8, value_parser = at_least_two)]
    pub batches: usize,
    /// Bands of timesteps, for algorithms that do not learn from denoising steps
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one)]
    pub bands: usize,
    /// Also write the numbers as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_name = "D", help = or_default(DEVICE, "run.device"), value_parser = values::devices(), hide_possible_values = true)]
    pub device: Option<String>,
    /// What the denoiser computes in
    #[arg(long, value_name = "T", help = or_default(DTYPE, "model.dtype"), value_parser = values::dtypes(), hide_possible_values = true)]
    pub dtype: Option<String>,
    /// Seed of the adapter and of the first epoch; the others have the seeds after it
    #[arg(long, value_name = "N", help = or_default("Seed of the adapter and of the first epoch; the others have the seeds after it", "run.seed"))]
    pub seed: Option<u64>,
    /// Set any option of the configuration; may be given more than once
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

/// `ddpo score`.
#[derive(Args, Debug)]
pub struct Score {
    /// A reward; more than one may be given
    #[arg(long, value_name = "R", help = values::rewards().list("A reward; the option may be repeated"), required_unless_present = "check", value_parser = values::rewards(), hide_possible_values = true)]
    pub reward: Vec<String>,
    /// Try a reward instead of scoring images: sizes, batches, prompts in any script, order, repetition. Says line by line what holds
    #[arg(long, value_name = "R", conflicts_with_all = ["reward", "images", "prompt", "prompts", "model", "json"])]
    pub check: Option<String>,
    /// PNG, JPEG, WebP, GIF or BMP files, or folders: of a folder, the pictures that its metadata.jsonl lists, else all such files
    /// directly in it, by name
    #[arg(value_name = "IMAGE|FOLDER", required_unless_present = "check")]
    pub images: Vec<PathBuf>,
    /// What all images should show, for rewards that look at it [default: the folder's metadata.jsonl, else nothing]
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// What each image should show: a text file, a prompt an image, or a metadata.jsonl with `file_name` and `text`
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    pub prompts: Option<PathBuf>,
    /// The model that diffusion-classifier and as-asked ask
    #[arg(long, value_name = "M", help = format!("The model that diffusion-classifier and as-asked ask: {MODEL}"), value_parser = values::models(), hide_possible_values = true)]
    pub model: Option<String>,
    /// Of a one-file checkpoint: the diffusers directory or the hub id that has its tokenizer and its configurations
    #[arg(long, value_name = "DIR|ID", requires = "model")]
    pub model_config: Option<String>,
    /// Where that model computes
    #[arg(long, value_name = "D", help = or_default(DEVICE, "run.device"), requires = "model", value_parser = values::devices(), hide_possible_values = true)]
    pub device: Option<String>,
    /// Also write the values as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `ddpo classify`.
#[derive(Args, Debug)]
pub struct Classify {
    /// The model
    #[arg(long, value_name = "M", help = MODEL, default_value = "emoji", value_parser = values::models(), hide_possible_values = true)]
    pub model: String,
    /// Of a one-file checkpoint: the diffusers directory or the hub id that has its tokenizer and its configurations
    #[arg(long, value_name = "DIR|ID")]
    pub model_config: Option<String>,
    /// What the images may show, separated by commas, as the model would be prompted for it
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', required = true)]
    pub classes: Vec<String>,
    /// PNG, JPEG, WebP, GIF or BMP files, or folders: of a folder, the pictures that its metadata.jsonl lists, else all such files
    /// directly in it, by name
    #[arg(value_name = "IMAGE|FOLDER", required = true)]
    pub images: Vec<PathBuf>,
    /// Pairs of timestep and noise at which the likeliest classes are compared
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
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
    /// Where to compute
    #[arg(long, value_name = "D", help = or_default(DEVICE, "run.device"), value_parser = values::devices(), hide_possible_values = true)]
    pub device: Option<String>,
}

/// `ddpo pretrain`.
#[derive(Args, Debug)]
pub struct Pretrain {
    /// An image folder: square pictures of one size, and metadata.jsonl with `file_name`, `text` and optional `labels`
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: PathBuf,
    /// Where the model goes, in the diffusers layout; must not exist yet
    #[arg(long, value_name = "MODEL")]
    pub out: PathBuf,
    /// Where states and metrics go [default: beside the model, with `-pretrain` after its name]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub run_dir: Option<PathBuf>,
    /// Steps of the UNet and the text encoder
    #[arg(long, value_name = "N", default_value_t = PretrainConfig::default().denoiser.stage.steps)]
    pub steps: u64,
    /// Pictures in each of these steps
    #[arg(long, value_name = "N", default_value_t = PretrainConfig::default().denoiser.stage.batch_size, value_parser = at_least_one)]
    pub batch_size: usize,
    /// Steps of the autoencoder
    #[arg(long, value_name = "N", default_value_t = PretrainConfig::default().autoencoder.stage.steps)]
    pub vae_steps: u64,
    /// Steps of the decoder alone, which learns to leave out what noise a denoiser leaves in latents
    #[arg(long, value_name = "N", default_value_t = PretrainConfig::default().decoder.stage.steps)]
    pub decoder_steps: u64,
    /// Steps of the judge, which a folder of cut-outs also gives
    #[arg(long, value_name = "N", default_value_t = PretrainConfig::default().judge.stage.steps)]
    pub judge_steps: u64,
    /// Pictures in each step of the autoencoder
    #[arg(long, value_name = "N", default_value_t = PretrainConfig::default().autoencoder.stage.batch_size, value_parser = at_least_one)]
    pub vae_batch_size: usize,
    /// Channels of the autoencoder at each resolution, the finest first; each but the first halves the picture
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = PretrainConfig::default().autoencoder.channels, value_parser = at_least_one)]
    pub vae_channels: Vec<usize>,
    /// Channels of a latent
    #[arg(long, value_name = "N", default_value_t = PretrainConfig::default().autoencoder.latent_channels, value_parser = at_least_one)]
    pub latent_channels: usize,
    /// Channels of the UNet at each resolution of the latent, the finest first
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = PretrainConfig::default().denoiser.channels, value_parser = at_least_one)]
    pub unet_channels: Vec<usize>,
    /// Same seed, same model
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Threads that compute; 0: one for every core
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Where to compute
    #[arg(long, value_name = "D", help = or_default(DEVICE, "run.device"), value_parser = values::devices(), hide_possible_values = true)]
    pub device: Option<String>,
    /// Go on with the run that was interrupted
    #[arg(long)]
    pub resume: bool,
}

/// `ddpo report`.
#[derive(Args, Debug)]
pub struct Report {
    /// Run directories; of several, one page compares them
    #[arg(value_name = "RUN", required = true, value_hint = ValueHint::DirPath)]
    pub runs: Vec<PathBuf>,
    /// Where to write the page [default: RUN/report.html; of several runs comparison.html]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
}

/// `ddpo config`.
#[derive(Args, Debug)]
pub struct Config {
    /// Print this preset's configuration instead of the default
    #[arg(long, value_name = "P", help = values::presets().list("Print this preset's configuration instead of the default"), value_parser = values::presets(), hide_possible_values = true)]
    pub preset: Option<String>,
    /// Print the defaults for this model
    #[arg(long, value_name = "M", value_parser = values::models(), hide_possible_values = true)]
    pub model: Option<String>,
}

/// `ddpo completions`.
#[derive(Args, Debug)]
#[command(
    after_help = "For bash, with bash-completion: ddpo completions bash > ~/.local/share/bash-completion/completions/ddpo"
)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// `ddpo man`.
#[derive(Args, Debug)]
#[command(after_help = "To read one: man DIR/ddpo-train.1")]
pub struct Man {
    /// Where the pages go, one a command; made if it is not there
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
}

/// `ddpo reference`.
#[derive(Args, Debug)]
pub struct Reference {
    /// Which page
    #[arg(value_enum)]
    pub page: Page,
}

/// The pages of the reference that are written by the program.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Page {
    /// The command line
    Cli,
    /// The configuration
    Config,
}
