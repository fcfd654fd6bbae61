//! The names of the metrics, as trackers see them. They are the field's own, so that curves compare across systems.

/// ½ mean((ℓ − ℓ_old)²) over a minibatch.
pub const APPROX_KL: &str = "train/approx_kl";
/// The share of ratios outside of `1 ± clip_range`.
pub const CLIP_FRACTION: &str = "train/clip_fraction";
/// max |ratio − 1| over a minibatch: exactly 0 before the first update of an epoch.
pub const RATIO_MAX_DEVIATION: &str = "train/ratio_max_deviation";
/// The surrogate loss.
pub const LOSS: &str = "train/loss";
/// The gradient's L2 norm before clipping.
pub const GRAD_NORM: &str = "train/grad_norm";
/// Exact KL divergence from the base model, a mean over the (sample, step) pairs of an update; recorded where it is penalised.
pub const KL_TO_BASE: &str = "train/kl_to_base";
/// The share of an update's pairs of which neither sample is better.
pub const PAIR_TIES: &str = "train/pair_ties";
/// Of the others, the share whose better sample the policy prefers by more than the base model does.
pub const PAIR_ACCURACY: &str = "train/pair_accuracy";
/// The share of an update's rows that are clipped on the side they ought to come back from.
pub const PAIR_STRANDED: &str = "train/pair_stranded";
/// The unweighted denoising error of a regression update.
pub const DENOISING_ERROR: &str = "train/denoising_error";
/// The squared distance of the predicted noise from the old policy's, in a regression on corrected targets.
pub const DISTANCE_TO_OLD: &str = "train/distance_to_old";
/// The same from the base model's.
pub const DISTANCE_TO_BASE: &str = "train/distance_to_base";
/// The squared distance of a student's guesses at the clean sample from their targets, in distillation.
pub const DISTANCE_TO_TARGET: &str = "train/distance_to_target";
/// The loss of the anchor beside an update, without its weight.
pub const ANCHOR_LOSS: &str = "train/anchor_loss";
/// (Σw)²/Σw² of a regression round's weights: how many samples count.
pub const EFFECTIVE_SAMPLES: &str = "train/effective_samples";
/// The mean reward of an epoch's training samples.
pub const REWARD_MEAN: &str = "reward/mean";
/// The population standard deviation of an epoch's rewards.
pub const REWARD_STD: &str = "reward/std";
/// Rewards asked for since the run began.
pub const REWARD_QUERIES: &str = "reward/queries";
/// Samples and optimizer steps of an epoch that were left out because a number was not finite.
pub const LEFT_OUT: &str = "train/left_out";
/// The mean reward of the evaluation samples.
pub const EVAL_REWARD_MEAN: &str = "eval/reward_mean";
/// The mean per-sample KL divergence of whole chains from the base model, in nats.
pub const EVAL_KL_TO_BASE: &str = "eval/kl_to_base";
/// The mean squared difference of the predicted noise from the base model's, on the evaluation's samples.
pub const EVAL_EPSILON_DISTANCE: &str = "eval/epsilon_distance";
/// The same of the predicted clean sample.
pub const EVAL_X0_DISTANCE: &str = "eval/x0_distance";
/// The share of evaluation prompts whose mean reward is above the base model's.
pub const EVAL_IMPROVED: &str = "eval/improved";
/// The share of evaluation samples that show what their prompts name.
pub const EVAL_AS_ASKED: &str = "eval/as_asked";

/// The diversity of the evaluation samples.
pub const EVAL_DIVERSITY: &str = "eval/diversity";
/// What the means of rewards that are not optimised begin with; the reward's name follows.
pub const EVAL_HELD_OUT: &str = "eval/held_out/";
/// Seconds spent sampling.
pub const SAMPLE_SECONDS: &str = "time/sample_seconds";
/// Seconds spent scoring after the last picture was there.
pub const REWARD_SECONDS: &str = "time/reward_seconds";
/// Seconds that the rewards worked, whatever went on beside them.
pub const REWARD_BUSY_SECONDS: &str = "time/reward_busy_seconds";
/// What the means of an epoch's parts of the reward begin with; the part's name follows.
pub const REWARD_PART: &str = "reward/part/";
/// The same of an evaluation.
pub const EVAL_REWARD_PART: &str = "eval/reward_part/";
/// What the mean reward of an epoch begins with that belongs to a task; the task's name follows.
pub const REWARD_TASK: &str = "reward/task/";
/// The same of an evaluation.
pub const EVAL_TASK: &str = "eval/task/";
/// Seconds spent updating.
pub const TRAIN_SECONDS: &str = "time/train_seconds";
/// Seconds spent on messages between the processes of a run, waiting for slower ones included.
pub const EXCHANGE_SECONDS: &str = "time/exchange_seconds";
/// Training samples over the seconds of sampling, scoring and updating.
pub const IMAGES_PER_SECOND: &str = "time/images_per_second";
/// Seconds spent on an evaluation.
pub const EVAL_SECONDS: &str = "time/eval_seconds";
