//! The loss of a policy gradient: an objective on the log-probabilities of actions.

use ddpo_core::objective::{Diagnostics, Loss, ReferenceTerms};
use ddpo_core::scheduler::trained_steps;
use ddpo_core::{
    Action, Denoiser, Epoch, Guided, LogProbTerms, Minibatch, Noise, Objective, Scheduler, StepIndex, TrainingSet,
    Transition, propose,
};

use super::fork::ForkPolicy;
use super::optimise::{BatchLoss, Pass, Reading};
use super::trainer_core::TrainerCore;
use crate::error::{Location, Result};
use crate::non_finite::NonFiniteBatch;
use crate::plan::DdpoPlan;
use crate::record::{Record, UpdateRecord};

/// An objective on a training set.
pub(super) struct PolicyGradientLoss<'a, const D: usize> {
    pub plan: &'a DdpoPlan,
    pub objective: &'a dyn Objective,
    pub set: &'a TrainingSet<D>,
}

impl<const D: usize> PolicyGradientLoss<'_, D> {
    /// The actions of each pass of each optimizer step of an epoch: all chains in each of the inner epochs, minibatch by
    /// minibatch; the j-th pass over a minibatch has the j-th step of each chain's own permutation.
    pub fn steps(&self, scheduler: &dyn Scheduler, noise: Noise) -> Result<Vec<Vec<Vec<Action>>>> {
        let (plan, unit) = (self.plan, self.objective.needs().unit);
        let trained = trained_steps(scheduler, plan.first_timestep)?;
        let mut steps = Vec::with_capacity(plan.updates_per_epoch());
        for pass in 0..plan.inner_epochs as u64 {
            let rows = self.set.row_order(noise, pass, unit)?;
            let orders = self.set.step_orders(noise, pass, &trained, plan.timestep_fraction, unit)?;
            let updates = rows.chunks(plan.train_batch * plan.accumulation);
            steps.extend(updates.map(|rows| passes(rows, plan.train_batch, &orders)));
        }
        Ok(steps)
    }

    fn propose<P>(
        &self,
        core: &TrainerCore<P, D>,
        denoiser: &dyn Denoiser<D>,
        batch: &Minibatch<D>,
    ) -> Result<Transition<D>> {
        let unconditional = core.parts.prompts.unconditional().clone();
        let guided = Guided::new(denoiser, unconditional, self.plan.train_guidance)?;
        Ok(propose(&guided, &*core.parts.scheduler, &batch.steps, &batch.sample, &batch.condition)?)
    }
}

/// The actions of each pass over the minibatches of one optimizer step.
fn passes(rows: &[usize], train_batch: usize, orders: &[Vec<StepIndex>]) -> Vec<Vec<Action>> {
    let timesteps = orders.first().map_or(0, Vec::len);
    let pass = |batch: &[usize], j: usize| batch.iter().map(|&row| Action { row, step: orders[row][j] }).collect();
    rows.chunks(train_batch).flat_map(|batch| (0..timesteps).map(move |j| pass(batch, j))).collect()
}

impl<P: ForkPolicy<D>, const D: usize> BatchLoss<P, D> for PolicyGradientLoss<'_, D> {
    type Row = Action;

    /// The objective, a mean over the actions, through the same path as the rollout's log-probabilities.
    fn pass(&self, core: &TrainerCore<P, D>, policy: &P, actions: &[Action]) -> Result<Pass> {
        let (batch, reduction) = (self.set.minibatch(actions)?, self.plan.sampling.reduction);
        let proposal = self.propose(core, policy, &batch)?;
        let new = proposal.log_prob(&batch.next, reduction)?;
        let needs = self.objective.needs();
        let reference = match needs.reference {
            true => {
                let base = self.propose(core, &*policy.reference(), &batch)?;
                Some((base.log_prob(&batch.next, reduction)?, proposal.kl(&base, reduction)?))
            }
            false => None,
        };
        let reference = reference.as_ref().map(|(log_prob, kl)| ReferenceTerms { log_prob, kl });
        let (old, advantage) = (&batch.old_log_prob, &batch.advantage);
        let terms = LogProbTerms { new: &new, old, advantage, reference, unit: needs.unit };
        let Loss { value, kl_to_base } = self.objective.loss(&terms)?;
        Pass::backward(policy, actions.len(), value, &new, [old.clone()].into_iter().chain(kl_to_base))
    }

    fn record(&self, epoch: Epoch, step: u64, grad_norm: f64, passes: &[Reading]) -> Record {
        let mut record = UpdateRecord { epoch: epoch.0, step, grad_norm, ..UpdateRecord::default() };
        let rows: f64 = passes.iter().map(|pass| pass.rows).sum();
        let mut kl_to_base = None;
        for Reading { rows, loss, per_row, others } in passes {
            let (old, kl) = (others.first().map_or(&[][..], Vec::as_slice), others.get(1).and_then(|kl| kl.first()));
            let diagnostics = Diagnostics::of(per_row, old, self.objective.clip_range());
            record.loss += rows * loss;
            record.approx_kl += rows * f64::from(diagnostics.approx_kl);
            record.clip_fraction += rows * f64::from(diagnostics.clip_fraction);
            record.ratio_max_deviation = record.ratio_max_deviation.max(diagnostics.ratio_max_deviation.into());
            if let Some(&kl) = kl {
                *kl_to_base.get_or_insert(0.0) += rows * f64::from(kl);
            }
        }
        Record::Update(UpdateRecord {
            loss: record.loss / rows,
            approx_kl: record.approx_kl / rows,
            clip_fraction: record.clip_fraction / rows,
            kl_to_base: kl_to_base.map(|kl| kl / rows),
            ..record
        })
    }

    fn location(&self, core: &TrainerCore<P, D>, action: Action) -> Location {
        let prompt = core.parts.prompts.texts(&self.set.prompts()[action.row..=action.row]).pop();
        Location { sample: Some(action.row), step: Some(action.step.0), prompt, ..Location::default() }
    }

    fn describe(&self, core: &TrainerCore<P, D>, rows: &[Action], record: NonFiniteBatch) -> Result<NonFiniteBatch> {
        let batch = self.set.minibatch(rows)?;
        let proposal = self.propose(core, &core.parts.policy, &batch);
        let log_prob = proposal.and_then(|proposal| Ok(proposal.log_prob(&batch.next, self.plan.sampling.reduction)?));
        let record = record
            .with("sample", &batch.sample)
            .with("next", &batch.next)
            .with("old_log_prob", &batch.old_log_prob)
            .with("advantage", &batch.advantage);
        Ok(match log_prob {
            Ok(log_prob) => record.with("log_prob", &log_prob),
            Err(_) => record,
        })
    }

    fn unit(&self) -> usize {
        self.objective.needs().unit
    }
}
