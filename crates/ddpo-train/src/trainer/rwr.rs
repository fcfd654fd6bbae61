//! Reward-weighted regression (Black et al., arXiv 2305.13301, section 4.2) in one screen.

use burn::tensor::Tensor;
use ddpo_core::{Epoch, NoiseSchedule, PromptId, RgbImage, ScoredRollout, Weighting};

use super::exchange::exchange_states;
use super::fork::ForkPolicy;
use super::parts::{Encoder, RwrParts};
use super::regression::{RegressionLoss, RegressionSet};
use super::trainer_core::{TrainerCore, timed};
use crate::error::Result;
use crate::observer::Observer;
use crate::plan::RwrPlan;
use crate::record::EpochRecord;

/// Trains a policy by reward-weighted regression, a round at a time.
///
/// As in [`DdpoTrainer`](super::DdpoTrainer), every random choice is a function of the seed and of counters.
pub struct RwrTrainer<P, const D: usize> {
    pub(super) plan: RwrPlan,
    pub(super) core: TrainerCore<P, D>,
    pub(super) encoder: Box<dyn Encoder<D>>,
    pub(super) schedule: NoiseSchedule,
    pub(super) weighting: Box<dyn Weighting>,
}

impl<P: ForkPolicy<D>, const D: usize> RwrTrainer<P, D> {
    /// A trainer which has done nothing yet.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) where the plan's numbers do not fit each other,
    /// [`Error::Threads`](crate::Error::Threads) where there are no threads for its lanes.
    pub fn new(plan: RwrPlan, parts: RwrParts<P, D>) -> Result<Self> {
        plan.validate()?;
        let RwrParts { shared, encoder, schedule, weighting } = parts;
        let core = TrainerCore::new(plan.sampling, shared, plan.adamw, plan.learning_rate)?;
        Ok(Self { plan, core, encoder, schedule, weighting })
    }

    /// One round: sample from the policy as it is, score, weigh, and regress on the pictures so weighted.
    ///
    /// # Errors
    /// As [`DdpoTrainer::epoch`](super::DdpoTrainer::epoch).
    pub fn round(&mut self, observer: &mut Observer<'_>) -> Result<()> {
        let round = self.core.next_epoch();
        let mut record = EpochRecord { epoch: round.0, ..EpochRecord::default() };

        let (scored, images) = self.core.sample_and_score(round, &mut record, observer)?;
        let set = self.weigh(&scored, &images)?;
        timed(&mut record.train_seconds, || self.regress(set.as_ref(), round, observer))?;

        self.core.finish(record, observer);
        Ok(())
    }

    /// The pictures that have a weight, as clean states; none where every weight is 0.
    pub(super) fn weigh(&mut self, scored: &ScoredRollout<D>, images: &[RgbImage]) -> Result<Option<RegressionSet<D>>> {
        let mut weights = self.weighting.weights(scored.prompts(), scored.rewards())?;
        self.core.leave_out_samples(&mut weights);
        let rows: Vec<usize> = (0..weights.len()).filter(|&row| weights[row] > 0.0).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let prompts: Vec<PromptId> = rows.iter().map(|&row| scored.prompts()[row]).collect();
        let weights = rows.iter().map(|&row| weights[row]).collect();
        Ok(Some(RegressionSet { states: self.encode(&rows, images)?, samples: rows, prompts, weights }))
    }

    /// The clean states of these pictures; each rank encodes its share of them.
    fn encode(&self, rows: &[usize], images: &[RgbImage]) -> Result<Tensor<D>> {
        let (ranks, device) = (&self.core.parts.ranks, &self.core.parts.device);
        let mine = &rows[ranks.share(rows.len())];
        let images: Vec<RgbImage> = mine.iter().map(|&row| images[row].clone()).collect();
        let states = if images.is_empty() { None } else { Some(self.encoder.encode(&images)?) };
        exchange_states(ranks, states, device)
    }

    /// The optimizer steps of a round; without a set there is nothing to learn, and there are none.
    fn regress(&mut self, set: Option<&RegressionSet<D>>, round: Epoch, observer: &mut Observer<'_>) -> Result<()> {
        let Some(set) = set else { return Ok(()) };
        let loss = RegressionLoss { plan: &self.plan, schedule: &self.schedule, set, round };
        let steps = loss.steps(self.core.noise());
        self.core.optimise(&loss, &steps, round, observer)
    }

    /// The policy as it is now.
    pub fn policy(&self) -> &P {
        &self.core.parts.policy
    }

    /// What evaluations see, and what is handed back: the moving average of the policy where one is kept, else the policy.
    pub fn product(&self) -> &P {
        self.core.product()
    }

    /// The plan.
    pub fn plan(&self) -> &RwrPlan {
        &self.plan
    }

    /// The rounds done.
    pub fn rounds_done(&self) -> u64 {
        self.core.counters.epochs
    }
}
