//! The numbers of a run, checked.

use ddpo_core::correction::CorrectedTarget;
use ddpo_core::distillation::ConsistencyDistillation;
use ddpo_core::preference::DiffusionDpo;
use ddpo_core::{Epoch, Reduction};

use crate::error::{Error, Result};
use crate::optimizer::AdamWConfig;

/// The numbers of a DDPO run. Together with the parts they determine every byte of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct DdpoPlan {
    /// How samples are made.
    pub sampling: SamplePlan,
    /// Samples of a minibatch.
    pub train_batch: usize,
    /// Minibatches of an optimizer step.
    pub accumulation: usize,
    /// Passes over an epoch's samples.
    pub inner_epochs: usize,
    /// The least timestep which is trained on; 0 for all.
    pub first_timestep: f64,
    /// The share of each sample's timesteps, of those that are trained on, which an epoch takes.
    pub timestep_fraction: f64,
    /// The weight of guidance in training. Any other than in sampling makes the first ratio differ from 1.
    pub train_guidance: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The optimizer's numbers.
    pub adamw: AdamWConfig,
}

/// What to do about a loss, a gradient or a reward that is NaN or infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NonFinitePolicy {
    /// End the run; its last boundary is on the disk.
    #[default]
    Fail,
    /// Leave out what it came of, with a warning, and go on: the optimizer's step of a loss or a gradient, the sample of
    /// a reward.
    Skip,
}

/// How samples are made, in every algorithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplePlan {
    /// Where all randomness comes from.
    pub seed: u64,
    /// Samples of one sampling batch.
    pub sample_batch: usize,
    /// Sampling batches of an epoch.
    pub batches_per_epoch: usize,
    /// Consecutive samples which share a prompt.
    pub samples_per_prompt: usize,
    /// Of a reward that is a sum: each so many consecutive samples are compared by one of its terms, drawn for them; `None`: by the
    /// sum.
    pub samples_per_term: Option<usize>,
    /// The weight of classifier-free guidance in sampling; 1 is none.
    pub sample_guidance: f64,
    /// How log-probabilities add up over the elements of a state.
    pub reduction: Reduction,
    /// What to do about a number that is not finite.
    pub non_finite: NonFinitePolicy,
    /// In how many parts a gradient is summed; the ranks of a run have shares of them. It changes the rounding of the sum.
    pub gradient_shards: usize,
}

/// The numbers of a run of reward-weighted regression. Together with the parts they determine every byte of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct RwrPlan {
    /// How samples are made.
    pub sampling: SamplePlan,
    /// Optimizer steps of a round.
    pub updates_per_round: usize,
    /// Samples of one forward and backward pass.
    pub train_batch: usize,
    /// Passes of an optimizer step.
    pub accumulation: usize,
    /// The weight of guidance in training. Without any, training decays from the second round on.
    pub train_guidance: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The optimizer's numbers.
    pub adamw: AdamWConfig,
}

/// The numbers of a run of the forward process. Together with the parts they determine every byte of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwardPlan {
    /// How samples are made.
    pub sampling: SamplePlan,
    /// Samples of a minibatch.
    pub train_batch: usize,
    /// Minibatches of an optimizer step, each with all of its noisings.
    pub accumulation: usize,
    /// Passes over an epoch's samples, each with noisings of its own.
    pub inner_epochs: usize,
    /// Noisings of a sample.
    pub noisings: usize,
    /// The least timestep which is trained on; 0 for all.
    pub first_timestep: usize,
    /// How timesteps are drawn.
    pub density: TimestepDensity,
    /// What is regressed on.
    pub target: CorrectedTarget,
    /// Advantages are clipped to plus and minus this.
    pub advantage_clip: f64,
    /// Who draws the samples.
    pub old_policy: OldPolicy,
    /// The weight of guidance in training; 1 trains the conditional prediction.
    pub train_guidance: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The optimizer's numbers.
    pub adamw: AdamWConfig,
}

/// The numbers of a run on given pairs. Together with the parts they determine every byte of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct PreferencePlan {
    /// How samples of evaluations are made, and where all randomness comes from.
    pub sampling: SamplePlan,
    /// Pairs of an epoch.
    pub pairs_per_epoch: usize,
    /// Pairs of one forward and backward pass.
    pub train_batch: usize,
    /// Passes of an optimizer step.
    pub accumulation: usize,
    /// The timesteps that are drawn from, all alike.
    pub timesteps: Vec<usize>,
    /// What is minimised.
    pub objective: DiffusionDpo,
    /// The weight of guidance in training; 1 trains the conditional prediction.
    pub train_guidance: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// The optimizer's numbers.
    pub adamw: AdamWConfig,
}

/// The numbers of a distillation. Together with the parts they determine every byte of the result.
#[derive(Clone, Debug, PartialEq)]
pub struct DistillPlan {
    /// How many pictures the teacher draws an epoch, and how samples of evaluations are made.
    pub sampling: SamplePlan,
    /// Pictures of one forward and backward pass.
    pub train_batch: usize,
    /// Passes of an optimizer step.
    pub accumulation: usize,
    /// Times that an epoch's pictures are learnt from, each with noise of its own.
    pub inner_epochs: usize,
    /// The timesteps that the teacher's deterministic chain visits, the noisiest first.
    pub grid: Vec<usize>,
    /// The weight of guidance of the teacher, which the student has learnt in the end.
    pub teacher_guidance: f64,
    /// How much of itself the target network keeps at every optimizer step.
    pub target_decay: f64,
    /// What is minimised.
    pub objective: ConsistencyDistillation,
    /// The learning rate.
    pub learning_rate: f64,
    /// The optimizer's numbers.
    pub adamw: AdamWConfig,
}

/// How the timesteps of noisings are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestepDensity {
    /// All alike.
    #[default]
    Uniform,
    /// In proportion to their number, so that noisy ones come most often.
    Linear,
}

/// The policy that draws the samples, which follows the one that learns: after epoch e it becomes
/// `d · old + (1 − d) · policy` with `d = min(ramp · e, most)` (DiffusionNFT, arXiv 2509.16117).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OldPolicy {
    /// How fast the decay rises.
    pub ramp: f64,
    /// Where it ends; 0: the policy draws its samples itself.
    pub most: f64,
}

impl Default for OldPolicy {
    /// DiffusionNFT's first kind.
    fn default() -> Self {
        Self { ramp: 1e-3, most: 0.5 }
    }
}

impl OldPolicy {
    /// How much of the old policy is kept after an epoch.
    pub fn decay(&self, epoch: Epoch) -> f64 {
        (self.ramp * epoch.0 as f64).min(self.most)
    }
}

impl Default for DistillPlan {
    /// The paper's numbers, otherwise as the others.
    fn default() -> Self {
        Self {
            sampling: SamplePlan { sample_guidance: 1.0, ..SamplePlan::default() },
            train_batch: 4,
            accumulation: 16,
            inner_epochs: 1,
            grid: (1..=50).rev().map(|step| 20 * step - 1).collect(),
            teacher_guidance: 5.0,
            target_decay: 0.95,
            objective: ConsistencyDistillation::default(),
            learning_rate: 3e-4,
            adamw: AdamWConfig::default(),
        }
    }
}

impl DistillPlan {
    /// The optimizer steps of an epoch of a plan that is valid.
    pub fn updates_per_epoch(&self) -> usize {
        self.inner_epochs * self.sampling.samples_per_epoch() / (self.train_batch * self.accumulation)
    }

    /// Checks that the numbers fit each other.
    ///
    /// # Errors
    /// [`Error::Plan`] naming the number, its value and what it must satisfy; those of [`ConsistencyDistillation::validate`].
    pub fn validate(&self) -> Result<()> {
        check_positive(&[
            ("training batch size", self.train_batch),
            ("accumulation", self.accumulation),
            ("inner epochs", self.inner_epochs),
            ("timesteps of the grid", self.grid.len()),
        ])?;
        self.sampling.validate()?;
        let samples = self.sampling.samples_per_epoch();
        check_divides("samples per epoch", samples, "the samples of an update", self.train_batch * self.accumulation)?;
        if !self.grid.is_sorted_by(|here, next| here > next) {
            return Err(Error::plan("grid", format!("{:?}", self.grid), "timesteps that fall"));
        }
        if !(0.0..1.0).contains(&self.target_decay) {
            return Err(Error::plan("decay of the target network", self.target_decay, "at least 0 and below 1"));
        }
        self.objective.validate()?;
        check_learning_rate(self.learning_rate)
    }
}

impl Default for PreferencePlan {
    /// Diffusion-DPO's loss at all timesteps of Stable Diffusion, otherwise as the others.
    fn default() -> Self {
        Self {
            sampling: SamplePlan::default(),
            pairs_per_epoch: 128,
            train_batch: 2,
            accumulation: 16,
            timesteps: (0..1000).collect(),
            objective: DiffusionDpo::default(),
            train_guidance: 1.0,
            learning_rate: 3e-4,
            adamw: AdamWConfig::default(),
        }
    }
}

impl PreferencePlan {
    /// The optimizer steps of an epoch of a plan that is valid.
    pub fn updates_per_epoch(&self) -> usize {
        self.pairs_per_epoch / (self.train_batch * self.accumulation)
    }

    /// Checks that the numbers fit each other.
    ///
    /// # Errors
    /// [`Error::Plan`] naming the number, its value and what it must satisfy; those of [`DiffusionDpo::validate`].
    pub fn validate(&self) -> Result<()> {
        check_positive(&[
            ("pairs per epoch", self.pairs_per_epoch),
            ("pairs of a training batch", self.train_batch),
            ("accumulation", self.accumulation),
            ("timesteps", self.timesteps.len()),
        ])?;
        self.sampling.validate()?;
        let update = self.train_batch * self.accumulation;
        check_divides("pairs per epoch", self.pairs_per_epoch, "the pairs of an update", update)?;
        self.objective.validate()?;
        check_learning_rate(self.learning_rate)
    }
}

impl Default for ForwardPlan {
    /// DiffusionNFT's numbers, with four noisings.
    fn default() -> Self {
        Self {
            sampling: SamplePlan::default(),
            train_batch: 4,
            accumulation: 16,
            inner_epochs: 1,
            noisings: 4,
            first_timestep: 0,
            density: TimestepDensity::Uniform,
            target: CorrectedTarget::default(),
            advantage_clip: 5.0,
            old_policy: OldPolicy::default(),
            train_guidance: 1.0,
            learning_rate: 3e-4,
            adamw: AdamWConfig::default(),
        }
    }
}

impl ForwardPlan {
    /// The optimizer steps of an epoch of a plan that is valid.
    pub fn updates_per_epoch(&self) -> usize {
        self.inner_epochs * self.sampling.samples_per_epoch() / (self.train_batch * self.accumulation)
    }

    /// Checks that the numbers fit each other.
    ///
    /// # Errors
    /// [`Error::Plan`] naming the number, its value and what it must satisfy; those of [`CorrectedTarget::validate`].
    pub fn validate(&self) -> Result<()> {
        check_positive(&[
            ("training batch size", self.train_batch),
            ("accumulation", self.accumulation),
            ("inner epochs", self.inner_epochs),
            ("noisings", self.noisings),
        ])?;
        self.sampling.validate()?;
        let samples = self.sampling.samples_per_epoch();
        check_divides("samples per epoch", samples, "the samples of an update", self.train_batch * self.accumulation)?;
        let OldPolicy { ramp, most } = self.old_policy;
        if !(ramp.is_finite() && ramp >= 0.0) {
            return Err(Error::plan("ramp of the old policy's decay", ramp, "a finite number of at least 0"));
        }
        if !(0.0..1.0).contains(&most) {
            return Err(Error::plan("decay of the old policy", most, "at least 0 and below 1"));
        }
        if self.advantage_clip.is_nan() || self.advantage_clip <= 0.0 {
            return Err(Error::plan("advantage clip", self.advantage_clip, "a number above 0"));
        }
        self.target.validate()?;
        check_learning_rate(self.learning_rate)
    }
}

impl RwrPlan {
    /// Checks that the numbers fit each other.
    ///
    /// # Errors
    /// [`Error::Plan`] naming the number, its value and what it must satisfy.
    pub fn validate(&self) -> Result<()> {
        self.sampling.validate()?;
        check_positive(&[
            ("updates per round", self.updates_per_round),
            ("training batch size", self.train_batch),
            ("accumulation", self.accumulation),
        ])?;
        check_learning_rate(self.learning_rate)
    }
}

impl SamplePlan {
    /// The samples of an epoch.
    pub fn samples_per_epoch(&self) -> usize {
        self.sample_batch * self.batches_per_epoch
    }

    fn validate(&self) -> Result<()> {
        check_positive(&[
            ("sampling batch size", self.sample_batch),
            ("shards of a gradient", self.gradient_shards),
            ("batches per epoch", self.batches_per_epoch),
            ("samples per prompt", self.samples_per_prompt),
            ("samples per term", self.samples_per_term.unwrap_or(1)),
        ])?;
        let samples = self.samples_per_epoch();
        check_divides("samples per epoch", samples, "the samples of a prompt", self.samples_per_prompt)
    }
}

impl Default for SamplePlan {
    /// ddpo-pytorch's numbers for one GPU, arXiv 2305.13301's where they agree.
    fn default() -> Self {
        Self {
            seed: 0,
            sample_batch: 8,
            batches_per_epoch: 32,
            samples_per_prompt: 1,
            samples_per_term: None,
            sample_guidance: 5.0,
            reduction: Reduction::Mean,
            non_finite: NonFinitePolicy::Fail,
            gradient_shards: 8,
        }
    }
}

impl Default for DdpoPlan {
    /// ddpo-pytorch's numbers for one GPU and LoRA, arXiv 2305.13301's where they agree.
    fn default() -> Self {
        Self {
            sampling: SamplePlan::default(),
            train_batch: 4,
            accumulation: 16,
            inner_epochs: 1,
            first_timestep: 0.0,
            timestep_fraction: 1.0,
            train_guidance: 5.0,
            learning_rate: 3e-4,
            adamw: AdamWConfig::default(),
        }
    }
}

impl DdpoPlan {
    /// The optimizer steps of an epoch of a plan that is valid.
    pub fn updates_per_epoch(&self) -> usize {
        self.inner_epochs * self.sampling.samples_per_epoch() / (self.train_batch * self.accumulation)
    }

    /// Checks that the numbers fit each other and an objective which compares `unit` samples
    /// ([`Needs::unit`](ddpo_core::objective::Needs)).
    ///
    /// # Errors
    /// [`Error::Plan`] naming the number, its value and what it must satisfy.
    pub fn validate(&self, unit: usize) -> Result<()> {
        check_positive(&[
            ("training batch size", self.train_batch),
            ("accumulation", self.accumulation),
            ("inner epochs", self.inner_epochs),
            ("samples which the objective compares", unit),
        ])?;
        self.sampling.validate()?;
        let samples = self.sampling.samples_per_epoch();
        check_divides("samples per epoch", samples, "the samples of an update", self.train_batch * self.accumulation)?;
        if unit > 1 {
            let compared = "the samples which the objective compares";
            check_divides("samples per prompt", self.sampling.samples_per_prompt, compared, unit)?;
            check_divides("training batch size", self.train_batch, compared, unit)?;
        }
        if !(self.timestep_fraction > 0.0 && self.timestep_fraction <= 1.0) {
            return Err(Error::plan("timestep fraction", self.timestep_fraction, "a number above 0 and at most 1"));
        }
        check_learning_rate(self.learning_rate)
    }
}

pub(crate) fn check_positive(numbers: &[(&'static str, usize)]) -> Result<()> {
    match numbers.iter().find(|(_, number)| *number == 0) {
        Some((what, _)) => Err(Error::plan(what, 0, "at least 1")),
        None => Ok(()),
    }
}

fn check_learning_rate(rate: f64) -> Result<()> {
    match rate.is_finite() && rate >= 0.0 {
        true => Ok(()),
        false => Err(Error::plan("learning rate", rate, "a finite number of at least 0")),
    }
}

fn check_divides(what: &'static str, number: usize, divisor_is: &str, divisor: usize) -> Result<()> {
    match number.is_multiple_of(divisor) {
        true => Ok(()),
        false => Err(Error::plan(what, number, format!("a multiple of {divisor}, {divisor_is}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_four_updates_of_64() {
        let plan = DdpoPlan::default();
        plan.validate(1).unwrap();
        assert_eq!((plan.sampling.samples_per_epoch(), plan.updates_per_epoch()), (256, 4));
    }

    #[test]
    fn numbers_which_do_not_divide_are_named() {
        let plan = DdpoPlan { train_batch: 3, ..DdpoPlan::default() };
        let message = plan.validate(1).unwrap_err().to_string();
        assert_eq!(message, "samples per epoch is 256, wanted a multiple of 48, the samples of an update");
        let message = DdpoPlan::default().validate(2).unwrap_err().to_string();
        assert_eq!(
            message,
            "samples per prompt is 1, wanted a multiple of 2, the samples which the objective compares"
        );
        assert!(DdpoPlan { accumulation: 0, ..DdpoPlan::default() }.validate(1).is_err());
        assert!(DdpoPlan { timestep_fraction: f64::NAN, ..DdpoPlan::default() }.validate(1).is_err());
    }
}
