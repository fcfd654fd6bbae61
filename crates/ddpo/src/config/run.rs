//! The configuration as a file states it: every option, its default and where the default is from.

use ddpo_rewards::RewardRegistry;
use serde::{Deserialize, Serialize};

use crate::adapter::AdapterSource;
use crate::embedding::EmbeddingSource;
use crate::error::Result;
use crate::model::ModelSource;

use super::choices::{
    AdapterFormat, Algorithm, Dtype, ErrorSpace, EvalPrompts, NonFinitePolicy, PairClipChoice, PairJudge,
    PairTimesteps, Parameters, PromptSyntax, Reduction, SchedulerKind, SpacingKind, StepWeights, TimestepChoice,
    TrustRegion,
};
use super::kind::ModelKind;
use super::options::{Section, options};
use super::rewards::RewardList;
use super::task_options::{AdvantageOptions, PromptOptions, TaskOptions};

options! {
    /// The run as a whole.
    RunOptions = "run" {
        /// Seed of everything: noise, prompts, order of samples and steps. Same seed, same bytes.
        seed: u64 = 0, "ours";
        /// Rounds of sample, score, update; several tasks share them.
        epochs: usize = 100, "ddpo-pytorch" => emoji 20;
        /// Where to compute: "auto" (a GPU if there is one), "cpu", or a GPU of `ddpo devices`: "cuda", "cuda:1" and so on. The
        /// numbers depend on it.
        device: String = "auto".into(), "ours";
        /// Worker threads; 0: one for every core. The numbers do not depend on it.
        threads: usize = 0, "ours";
    }
}

options! {
    /// The model to fine-tune.
    ModelOptions = "model" {
        /// "emoji" (embedded in the program), a diffusers directory, a one-file checkpoint "model.safetensors", or a hub id
        /// "org/name".
        path: String = "emoji".into(), "ours";
        /// Of a one-file checkpoint: the diffusers directory or the hub id that has its tokenizer and its configurations.
        config: Option<String> = None, "of Stable Diffusion 1.x, diffusers': \"stable-diffusion-v1-5/stable-diffusion-v1-5\"", "\"org/name\"";
        /// The hub revision: a branch, a tag or a commit.
        revision: Option<String> = None, "the hub's main branch", "\"main\"";
        /// Which weight files to prefer, such as "fp16" for `*.fp16.safetensors`.
        variant: Option<String> = None, "the plain files, if there are any", "\"fp16\"";
        /// Textual-inversion embeddings, files or folders or hub ids "org/name", ":WORD" behind one for another word than its own.
        embeddings: Vec<String> = Vec::new(), "ours";
        /// What frozen weights are held in and their products computed in: "f32" or "bf16"; on a GPU also "f16", and there only the
        /// denoiser's. What is trained, norms, log-probabilities, losses and the optimizer are in f32 in any case.
        dtype: Dtype = Dtype::F32, "ours";
    }
}

options! {
    /// The adapter that is trained.
    LoraOptions = "lora" {
        /// Rank of each pair of factors.
        rank: usize = 4, "ddpo-pytorch";
        /// Scale: the adapter adds alpha / rank times the product of its factors. Unless it is given, it is the rank.
        alpha: f64 = 4.0, "diffusers: alpha = rank";
        /// Which projections of every UNet attention carry an adapter.
        targets: Vec<String> = ["to_q", "to_k", "to_v", "to_out.0"].map(String::from).to_vec(), "ddpo-pytorch";
        /// Adapters below the one that is trained, which stay as they are: files or runs, ":0.7" behind one for its strength.
        frozen: Vec<String> = Vec::new(), "ours";
        /// Start from an existing adapter file instead of a fresh one.
        path: Option<String> = None, "fresh adapter", "\"pytorch_lora_weights.safetensors\"";
        /// Whose names the product has: "diffusers" (`pipe.load_lora_weights`) or "kohya" (ComfyUI, A1111).
        format: AdapterFormat = AdapterFormat::Diffusers, "ours";
    }
}

options! {
    /// How images are sampled.
    SampleOptions = "sample" {
        /// Denoising steps.
        steps: usize = 50, "paper" => emoji 10;
        /// "ddim", "ddpm", "euler-ancestral" or "consistency" (a clean guess and fresh noise at every step). The last step of all but
        /// DDIM draws nothing and is not trained on.
        scheduler: SchedulerKind = SchedulerKind::Ddim, "paper";
        /// Share of the DDPM noise each DDIM step adds. 1 is what the policy gradient is made for; 0 draws nothing, which "nft", "ram",
        /// "rwr" and "rwr-sparse" can learn from, too.
        eta: f64 = 1.0, "paper";
        /// The same for each DDIM step by itself, the noisiest first, in place of `eta`. A step of 0 is deterministic: it draws nothing, is
        /// not trained on, and adds nothing to the divergence.
        eta_by_step: Option<Vec<f64>> = None, "none", "[1.0, 1.0, 1.0, 1.0, 0.0]";
        /// How steps are spread over the training timesteps: "model" (as its own file says), "leading", "trailing", "linspace", or "log-snr",
        /// where every step has the same share of the divergence and not one nearly all of it.
        spacing: SpacingKind = SpacingKind::Model, "diffusers";
        /// Classifier-free guidance; 1 switches it off.
        guidance: f64 = 5.0, "paper" => emoji 3.0;
        /// Images that are denoised together.
        batch_size: usize = 8, "ddpo-pytorch" => emoji 16;
        /// Batches an epoch.
        batches_per_epoch: usize = 32, "paper: 256 images an epoch" => emoji 4;
        /// Image height in pixels.
        height: Option<usize> = None, "the model's own", "512";
        /// Image width in pixels.
        width: Option<usize> = None, "the model's own", "512";
        /// What guidance steers away from.
        negative_prompt: String = String::new(), "paper: the empty prompt";
        /// Layers of the text encoder, from the last one back, that prompts do not go through: diffusers' clip_skip, and one less
        /// than the number that A1111 calls clip skip.
        clip_skip: Option<usize> = None, "none", "1";
        /// "plain": prompts as they stand, cut off where the text encoder ends, as in diffusers. "a1111": weights in round and square
        /// brackets such as "(word:1.2)", and BREAK, as A1111's web UI means them, and prompts of any length.
        prompt_syntax: PromptSyntax = PromptSyntax::Plain, "diffusers";
    }
}

options! {
    /// How the model is updated.
    TrainOptions = "train" {
        /// "ddpo-is" (importance sampling with clipping), "ddpo-sf" (score function, one update an epoch), or, with the
        /// section "rwr", "rwr" and "rwr-sparse", with the section "forward", "nft" and "ram", with the section "pairs", "pso", "d3po" and
        /// "diffusion-dpo"; or, with the section "distill", "lcd", which makes a few-step model and follows no reward (`ddpo distill`).
        algorithm: Algorithm = Algorithm::DdpoIs, "paper" => emoji Algorithm::Nft;
        /// What is trained: "lora" or "full".
        parameters: Parameters = Parameters::Lora, "ddpo-pytorch";
        /// Compute the layers of the UNet again in the backward pass instead of keeping all they computed: a third slower, for
        /// models whose activations do not fit into memory. With the default targets it changes no bit.
        gradient_checkpointing: bool = true, "ours: without it a batch of Stable Diffusion does not fit" => emoji false;
        /// Images a gradient is computed for at once.
        batch_size: usize = 4, "ddpo-pytorch" => emoji 64;
        /// Batches whose gradients are averaged into one update.
        accumulation: Option<usize> = None,
            "for \"ddpo-sf\" all of an epoch's; else 1 for `emoji`, as many as make 64 images for other models: paper", "1";
        /// Passes over an epoch's samples.
        inner_epochs: usize = 1, "paper";
        /// The least timestep that is trained on (all but the regressions). What a picture shows is decided at the first
        /// steps, and the noise of the gradient is made by the last ones.
        first_timestep: usize = 0, "paper: all of them";
        /// Share of each sample's steps that is trained on, chosen at random.
        timestep_fraction: f64 = 1.0, "ddpo-pytorch";
        /// AdamW's step size.
        learning_rate: f64 = 3e-4, "ddpo-pytorch, and 1e-5 with parameters = \"full\"" => emoji 6e-3;
        /// AdamW's decay of the gradient's mean.
        adam_beta1: f64 = 0.9, "ddpo-pytorch";
        /// AdamW's decay of the gradient's square.
        adam_beta2: f64 = 0.999, "ddpo-pytorch";
        /// AdamW's guard against division by zero.
        adam_epsilon: f64 = 1e-8, "ddpo-pytorch";
        /// AdamW's decoupled weight decay.
        weight_decay: f64 = 1e-4, "ddpo-pytorch";
        /// A moving average of what is trained keeps this share of itself at an update, less at the first ones, and is what is evaluated
        /// and handed back. It smooths the steps of a high rate; training itself goes on without it.
        ema_decay: Option<f64> = None, "no average", "0.9";
        /// Gradients longer than this are scaled down to it.
        max_grad_norm: f64 = 1.0, "ddpo-pytorch";
        /// How far the policy ratio may go from 1 before the gradient stops ("ddpo-is").
        clip_range: f64 = 1e-4, "paper" => emoji 2e-3;
        /// How "ddpo-is" keeps near the policy that drew the samples: "clip", "normalised-clip" (GRPO-Guard: ratios of the same scale at
        /// every step, clip-range 2e-6 where none is given), or "kl-mask" (Flow-DPPO: by the exact divergence of each step).
        trust_region: TrustRegion = TrustRegion::Clip, "paper";
        /// trust-region = "kl-mask": from this divergence of a step on, a mean over elements as log-prob-reduction says, it goes no farther.
        mask_kl: f64 = 1e-5, "Flow-DPPO";
        /// "likelihood", or "equal" (PCPO: log-probabilities divided by how much the predicted noise moves the step, so that no step has
        /// most of the gradient; "ddpo-is", "ddpo-sf").
        step_weights: StepWeights = StepWeights::Likelihood, "paper";
        /// Advantages are clamped to plus and minus this.
        advantage_clip: f64 = 5.0, "ddpo-pytorch";
        /// Apply the sampling guidance in training too. Without it, training decays (paper, appendix E). The forward process has an
        /// option of its own.
        guidance: bool = true, "paper";
        /// Weight of the divergence from the base model in the loss ("ddpo-is", "ddpo-sf", "pso", "d3po"; DPOK's term).
        kl_weight: f64 = 0.0, "paper";
        /// How a log-probability adds up over pixels: "mean" or "sum". The clip range belongs to "mean".
        log_prob_reduction: Reduction = Reduction::Mean, "ddpo-pytorch";
        /// In how many parts the gradient of an update is summed. Ranks share them out; the sum rounds by this number, and not by how many
        /// ranks there are.
        gradient_shards: usize = 8, "ours";
        /// A loss, gradient or reward that is not finite: "fail" ends the run, "skip" leaves out the update, or the sample of a
        /// reward. The batch goes into non-finite/ of the run directory.
        non_finite: NonFinitePolicy = NonFinitePolicy::Fail, "ours";
    }
}

options! {
    /// Reward-weighted regression (algorithm = "rwr" or "rwr-sparse"): an epoch is a round of sample, weigh, regress.
    RwrOptions = "rwr" {
        /// "rwr": the weights are the softmax of beta times the reward.
        beta: f64 = 0.2, "paper";
        /// "rwr-sparse": samples of at least this percentile of their prompt's rewards are kept.
        percentile: f64 = 90.0, "paper";
        /// Compare the samples of a prompt with each other, and not all of a round.
        per_prompt: Option<bool> = None, "false for \"rwr\", true for \"rwr-sparse\"", "true";
        /// "rwr-sparse" per prompt: how many of a prompt's last rewards are remembered.
        buffer_size: usize = 32, "ours";
        /// "rwr-sparse" per prompt: with fewer rewards than this, the round's percentile is used.
        min_count: usize = 8, "ours";
        /// Optimizer steps a round.
        updates_per_round: usize = 200, "ours: as many passes as an epoch of \"ddpo-is\"; paper: 400" => emoji 10;
        /// Images an update; passes hold at most train.batch-size of them.
        batch_size: usize = 64, "ours; paper: 128";
    }
}

options! {
    /// Forward-process learning (algorithm = "nft" or "ram"): samples are noised again, and the model learns what it should have
    /// predicted of them, from whatever sampler they are.
    ForwardOptions = "forward" {
        /// How far a target goes from the old policy's prediction toward the noise that was added, for an advantage of 1.
        strength: Option<f64> = None, "0.2 for \"nft\" (its beta of 1; 0.2 / beta for others), 100 for \"ram\"", "0.2";
        /// What targets are corrected from: 0 for the old policy, 1 for the base model, or between the two.
        anchor: Option<f64> = None, "0.05 for \"nft\" (ours), which tasks share, 1 for \"ram\"", "0.5";
        /// Noisings of a sample, the same for all samples of a group: timesteps from equal parts of all, each with a noise of its own.
        noisings: Option<usize> = None, "4 for \"nft\" (V-GRPO), 8 for \"ram\"", "4";
        /// How timesteps are drawn: "uniform", or "linear", in proportion to their number.
        timesteps: Option<TimestepChoice> = None, "\"uniform\" for \"nft\", \"linear\" for \"ram\"", "\"uniform\"";
        /// What errors are measured in, whatever the model predicts: "sample" (the clean one), "velocity", or "noise", in which all
        /// timesteps count alike.
        space: ErrorSpace = ErrorSpace::Sample, "DiffusionNFT";
        /// An error of the predicted noise counts at most so many times, where little of the sample is left.
        cap: f64 = 5.0, "ours";
        /// Divide each error by the old policy's mean absolute one.
        normalise: bool = true, "DiffusionNFT";
        /// The old policy, which draws the samples, keeps this share of itself in each epoch at the end; 0: the policy draws them.
        old_decay: Option<f64> = None, "0.5 for \"nft\", 0.9 for \"ram\"", "0.0";
        /// And at the beginning this times the epoch.
        old_ramp: f64 = 0.001, "DiffusionNFT";
        /// Train the guided prediction in place of the conditional one.
        guidance: bool = false, "DiffusionNFT";
    }
}

options! {
    /// Preference within pairs of pictures of one prompt: the model learns to prefer the better one by more than the base model does. Its own
    /// samples, which a reward compares (algorithm = "pso" or "d3po"), or given ones (algorithm = "diffusion-dpo").
    PairOptions = "pairs" {
        /// What a preference is worth against the distance from the base model, in units of log-probabilities as log-prob-reduction says.
        /// For "diffusion-dpo", of denoising errors.
        beta: Option<f64> = None, "50 for \"pso\", 0.1 for \"d3po\", 5000 for \"diffusion-dpo\": their code", "50.0";
        /// "pso", "d3po": ratios to the base model are clipped to 1 minus and plus this.
        clip_range: f64 = 0.1, "PSO's and D3PO's code";
        /// "two-sided", or "one-sided": only where a ratio has gone as far as it should, as PPO does, so that a winner which has become
        /// less likely is pulled back.
        clip: PairClipChoice = PairClipChoice::TwoSided, "PSO";
        /// Where the reward is a sum: "sum", or "one-term", drawn once for each pair.
        judge: PairJudge = PairJudge::Sum, "ours";
        /// "diffusion-dpo": the pairs, JSON Lines with an object {"prompt": "a cat", "win": "a.png", "lose": "b.png"} a line, whose paths count
        /// from the file's folder. An epoch takes sample.batch-size times sample.batches-per-epoch pictures of it.
        path: Option<String> = None, "none", "\"pairs.jsonl\"";
        /// "diffusion-dpo": the timesteps at which pictures are mixed with noise: "all", or "sampler" for those that sampling visits.
        timesteps: PairTimesteps = PairTimesteps::All, "Diffusion-DPO";
        /// "diffusion-dpo": how much the other picture's error counts beside that of the preferred one.
        loser_weight: f64 = 1.0, "Diffusion-DPO; PSO's code for given pairs: 0.1";
        /// "diffusion-dpo": weight of the other picture's denoising error itself.
        loser_denoising: f64 = 0.0, "Diffusion-DPO; PSO's code for given pairs: 0.5";
    }
}

options! {
    /// Latent consistency distillation (algorithm = "lcd"): the model, as it is, draws pictures in many steps, and what is trained learns to
    /// arrive there in few. The section "sample" is then how evaluations sample the few-step model.
    DistillOptions = "distill" {
        /// The teacher's classifier-free guidance, which the few-step model has learnt in the end: it is sampled without.
        guidance: f64 = 5.0, "paper: 2 to 14";
        /// Steps in which the teacher draws the pictures.
        teacher_steps: usize = 50, "as sample.steps" => emoji 10;
        /// Timesteps of the teacher's deterministic chain, between neighbours of which guesses are made to agree.
        grid: usize = 50, "Luo et al." => emoji 8;
        /// How much of itself the target network keeps at every update.
        target_decay: f64 = 0.95, "Luo et al." => emoji 0.8;
        /// From about which difference on an error counts by itself and not by its square.
        huber: f64 = 0.001, "Luo et al.";
    }
}

options! {
    /// What the model is to keep while it follows the reward: pictures at which its predictions are held to what they were, as a loss of
    /// its own beside the algorithm's in every update.
    AnchorOptions = "anchor" {
        /// What the anchor's gradient counts beside that of the algorithm's loss; 0 holds to nothing.
        weight: f64 = 0.0, "ours";
        /// An image folder with captions, such as what the model was trained on: predictions are held to the noise, as in pretraining.
        /// Without one, pictures that the base model draws before the run begins: predictions are held to the base model's.
        data: Option<String> = None, "the base model's own pictures", "\"pictures\"";
        /// Without `data`: the least number of pictures drawn, the same of every training prompt.
        samples: usize = 64, "ours";
        /// Pictures drawn for an update, each with a timestep and a noise of its own.
        batch_size: usize = 16, "paper: large-scale RL";
        /// The least timestep at which it holds. What a picture shows is decided at the largest ones.
        first_timestep: usize = 0, "ours";
    }
}

options! {
    /// What is measured on prompts and seeds that training never uses.
    EvalOptions = "eval" {
        /// Evaluate every so many epochs, and before the first; 0: never.
        every: usize = 10, "ours" => emoji 5;
        /// Images an evaluation, or of each task in one.
        count: usize = 32, "ours";
        /// "held-out" (a part of the training prompts that is set aside), another kind of prompts, or a list.
        prompts: EvalPrompts = EvalPrompts::default(), "ours";
        /// Seed of the evaluation's noise.
        seed: u64 = 1_000_003, "ours";
        /// Rewards that are measured and never optimised, to show over-optimisation: names, or tables with a kind and its
        /// options.
        held_out: RewardList = RewardList::none(), "ours";
        /// End the run once the divergence from the base model is above so many nats a chain of denoising steps. What a
        /// number means depends on the model and on the number of steps.
        stop_kl: Option<f64> = None, "never", "15000.0";
        /// End the run once what the policy sees in a noised picture differs from what the base model sees by more than this, the mean
        /// square over latent elements (`x0_distance`), which depends on no sampler.
        stop_distance: Option<f64> = None, "never", "0.01";
        /// End the run once less than this share of what the base model showed as asked for is left, by the judge that is shipped with
        /// the model.
        stop_as_asked: Option<f64> = None, "never", "0.9";
        /// End the run after so many evaluations without a better reward: the first held-out one, else the optimised.
        stop_patience: Option<usize> = None, "never", "3";
    }
}

options! {
    /// What is kept to go on from.
    CheckpointOptions = "checkpoint" {
        /// Write a checkpoint every so many epochs; 0: only at the end and on Ctrl-C.
        every: usize = 1, "ours: an epoch may take hours" => emoji 4;
        /// How many checkpoints to keep; 0: all.
        keep: usize = 2, "ours";
        /// Keep the state of the best evaluation besides, and its product in best/. A run that a limit of `eval` ends hands that one
        /// back: what is beyond the limit is not the best.
        best: bool = true, "ours";
    }
}

options! {
    /// Where else metrics go.
    TrackOptions = "track" {
        /// TensorBoard event files in the run directory.
        tensorboard: bool = false, "ours";
        /// metrics.csv beside metrics.jsonl.
        csv: bool = false, "ours";
    }
}

/// A run, as a configuration file states it. Every part has a default, which depends on the kind of model: [`Layers`] fills in
/// those of the model that is named, and `Default`, as serde does, those of the embedded one.
///
/// [`Layers`]: super::Layers
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct RunConfig {
    /// What images are scored with: a name, a table of options, or a weighted list of them.
    pub reward: RewardList,
    /// The run as a whole.
    pub run: RunOptions,
    /// The model to fine-tune.
    pub model: ModelOptions,
    /// The adapter that is trained.
    pub lora: LoraOptions,
    /// What the model is asked to draw.
    pub prompts: PromptOptions,
    /// How images are sampled.
    pub sample: SampleOptions,
    /// How the model is updated.
    pub train: TrainOptions,
    /// Reward-weighted regression.
    pub rwr: RwrOptions,
    /// Forward-process learning.
    pub forward: ForwardOptions,
    /// Preference within pairs.
    pub pairs: PairOptions,
    /// Latent consistency distillation.
    pub distill: DistillOptions,
    /// What the model is to keep.
    pub anchor: AnchorOptions,
    /// How rewards become advantages.
    pub advantage: AdvantageOptions,
    /// What is measured on unseen prompts and seeds.
    pub eval: EvalOptions,
    /// What is kept to go on from.
    pub checkpoint: CheckpointOptions,
    /// Where else metrics go.
    pub track: TrackOptions,
    /// What is optimised in turns, an epoch each; none for the one reward on the one list of prompts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub task: Vec<TaskOptions>,
}

impl ModelOptions {
    /// The textual-inversion embeddings.
    pub fn embeddings(&self) -> Vec<EmbeddingSource> {
        self.embeddings.iter().map(|text| EmbeddingSource::parse(text)).collect()
    }
}

impl LoraOptions {
    /// The frozen adapters, the lowest first.
    ///
    /// # Errors
    ///
    /// Those of [`AdapterSource::parse`].
    pub fn frozen_adapters(&self) -> Result<Vec<AdapterSource>> {
        self.frozen.iter().map(|text| AdapterSource::parse("lora.frozen", text)).collect()
    }
}

impl RunConfig {
    /// The defaults for models of a kind, and the default model, whatever its own kind.
    pub(crate) fn defaults(kind: ModelKind) -> Self {
        Self {
            reward: RewardList::default(),
            run: RunOptions::defaults(kind),
            model: ModelOptions::defaults(kind),
            lora: LoraOptions::defaults(kind),
            prompts: PromptOptions::defaults(kind),
            sample: SampleOptions::defaults(kind),
            train: TrainOptions::defaults(kind),
            rwr: RwrOptions::defaults(kind),
            forward: ForwardOptions::defaults(kind),
            pairs: PairOptions::defaults(kind),
            distill: DistillOptions::defaults(kind),
            anchor: AnchorOptions::defaults(kind),
            advantage: AdvantageOptions::defaults(kind),
            eval: EvalOptions::defaults(kind),
            checkpoint: CheckpointOptions::defaults(kind),
            track: TrackOptions::defaults(kind),
            task: Vec::new(),
        }
    }

    /// The same configuration, meaning the same files from any working directory. Paths of nothing stay as they are, and so do
    /// adapters that cannot be parsed: a plan of them is refused.
    #[must_use]
    pub fn with_absolute_paths(mut self) -> Self {
        let of_tasks = self.task.iter_mut().filter_map(|task| task.prompts.as_mut()?.path.as_mut());
        let paths = self.prompts.path.iter_mut().chain(&mut self.pairs.path).chain(&mut self.lora.path).chain(of_tasks);
        let paths = paths.chain(&mut self.model.config).chain(&mut self.anchor.data);
        let model = (self.model.path != ModelSource::EMBEDDED).then_some(&mut self.model.path);
        for path in paths.chain(model).filter(|path| std::path::Path::new(path.as_str()).exists()) {
            if let Ok(absolute) = std::path::absolute(path.as_str()) {
                *path = absolute.to_string_lossy().into_owned();
            }
        }
        if let Ok(frozen) = self.lora.frozen_adapters() {
            self.lora.frozen = frozen.into_iter().map(|adapter| adapter.absolute().to_string()).collect();
        }
        let embeddings = self.model.embeddings();
        self.model.embeddings = embeddings.into_iter().map(|embedding| embedding.absolute().to_string()).collect();
        if let Ok(directory) = std::env::current_dir() {
            let registry = RewardRegistry::default();
            self.reward.anchor(&registry, &directory);
            self.eval.held_out.anchor(&registry, &directory);
            let of_tasks = self.task.iter_mut().filter_map(|task| task.reward.as_mut());
            of_tasks.for_each(|reward| reward.anchor(&registry, &directory));
        }
        self
    }

    /// What each task optimises, or without tasks the run.
    pub(crate) fn rewards_of_tasks(&self) -> Vec<&RewardList> {
        match self.task.as_slice() {
            [] => vec![&self.reward],
            tasks => tasks.iter().map(|task| task.reward.as_ref().unwrap_or(&self.reward)).collect(),
        }
    }

    /// The table of a task.
    pub(crate) const TASK: Section = TaskOptions::SECTION;

    /// Every section, in the order it is printed.
    pub(crate) const SECTIONS: [Section; 15] = [
        RunOptions::SECTION,
        ModelOptions::SECTION,
        LoraOptions::SECTION,
        PromptOptions::SECTION,
        SampleOptions::SECTION,
        TrainOptions::SECTION,
        RwrOptions::SECTION,
        ForwardOptions::SECTION,
        PairOptions::SECTION,
        DistillOptions::SECTION,
        AnchorOptions::SECTION,
        AdvantageOptions::SECTION,
        EvalOptions::SECTION,
        CheckpointOptions::SECTION,
        TrackOptions::SECTION,
    ];
}
