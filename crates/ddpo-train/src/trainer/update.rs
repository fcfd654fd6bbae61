//! The update: gradients of the objective over minibatches and timesteps, and the optimizer's steps.

use burn::tensor::Tensor;
use ddpo_core::objective::Diagnostics;
use ddpo_core::{
    Action, Denoiser, Epoch, Guided, LogProbTerms, Loss, Minibatch, PromptId, StepIndex, TrainingSet, Transition,
    propose,
};

use super::ddpo::DdpoTrainer;
use super::failed::Failed;
use super::fork::ForkPolicy;
use super::trainer_core::{read, total};
use crate::error::{Error, Location, Result};
use crate::events::{Progress, Record, Stage, UpdateRecord};
use crate::non_finite::{BatchMembers, NonFiniteBatch};
use crate::observer::Observer;
use crate::optimizer::{GradientSum, gradients_of};

impl<P: ForkPolicy<D>, const D: usize> DdpoTrainer<P, D> {
    /// The optimizer steps of an epoch, over all its chains in each of the inner epochs.
    pub(super) fn update(&mut self, set: &TrainingSet<D>, epoch: Epoch, observer: &mut Observer<'_>) -> Result<()> {
        let mut done = 0;
        let trained = self.plan.trained_steps(&*self.core.parts.scheduler)?;
        for pass in 0..self.plan.inner_epochs as u64 {
            let rows = set.row_order(self.core.noise(), pass);
            let steps = set.step_orders(self.core.noise(), pass, &trained, self.plan.timestep_fraction)?;
            for micro_batches in self.micro_batches(&rows, &steps) {
                self.optimizer_step(set, &micro_batches, epoch, &mut done, observer)?;
            }
        }
        Ok(())
    }

    /// The actions of each forward pass of each optimizer step. Minibatch by minibatch, the j-th action of a chain is at
    /// the j-th step of the chain's own permutation.
    fn micro_batches(&self, rows: &[usize], steps: &[Vec<StepIndex>]) -> Vec<Vec<Vec<Action>>> {
        let plan = &self.plan;
        let timesteps = steps.first().map_or(0, Vec::len);
        let columns: Vec<usize> = (0..timesteps).collect();
        let forward = |batch: &[usize], columns: &[usize]| {
            columns.iter().flat_map(|&j| batch.iter().map(move |&row| Action { row, step: steps[row][j] })).collect()
        };
        let minibatch =
            |batch: &[usize]| columns.chunks(plan.timesteps_per_forward).map(|c| forward(batch, c)).collect::<Vec<_>>();
        rows.chunks(plan.train_batch * plan.accumulation)
            .map(|update| update.chunks(plan.train_batch).flat_map(minibatch).collect())
            .collect()
    }

    /// One step of the optimizer against the mean gradient over all `micro_batches`, unless a number of them is not finite
    /// and the plan says to leave the step out.
    fn optimizer_step(
        &mut self,
        set: &TrainingSet<D>,
        micro_batches: &[Vec<Action>],
        epoch: Epoch,
        done: &mut usize,
        observer: &mut Observer<'_>,
    ) -> Result<()> {
        let end = *done + micro_batches.len();
        let outcome = self.mean_gradient(set, micro_batches, epoch, done, observer).and_then(|(gradients, means)| {
            let (step, grad_norm) = self.core.step(gradients, epoch)?;
            Ok(means.record(epoch, step, grad_norm))
        });
        *done = end;
        match outcome {
            Ok(record) => observer.record(&Record::Update(record)),
            Err(failed) if failed.is_non_finite() => {
                let (error, actions) = self.locate_failure(failed, set, micro_batches, epoch);
                let batch_record = self.batch_record(&error, set, &actions, epoch)?;
                self.core.leave_out_update(error, &batch_record, observer)?;
            }
            Err(failed) => return Err(failed.error),
        }
        Ok(())
    }

    /// The gradients of all `micro_batches`, summed in their order, and what was measured on the way.
    fn mean_gradient(
        &self,
        set: &TrainingSet<D>,
        micro_batches: &[Vec<Action>],
        epoch: Epoch,
        done: &mut usize,
        observer: &mut Observer<'_>,
    ) -> Result<(GradientSum, Means), Failed> {
        let (mut gradients, mut means) = (GradientSum::new(), Means::default());
        let policies = self.core.policies()?;
        let total = self.plan.updates_per_epoch() * micro_batches.len();
        self.core.lanes.each(
            micro_batches.iter().enumerate().collect(),
            |lane, (piece, actions): (usize, &Vec<Action>), _| {
                self.micro_step(&policies[lane], set, actions, epoch)
                    .map_err(|error| Failed { piece: Some(piece), error })
            },
            &mut || {},
            |step: MicroStep| {
                means.add(&step);
                gradients.add_tensors(step.gradients, step.rows)?;
                *done += 1;
                observer.progress(Progress { stage: Stage::Training, epoch: epoch.0, done: *done, total });
                Ok(observer.check(epoch.0)?)
            },
        )?;
        Ok((gradients, means))
    }

    /// The gradient of the loss's sum over these actions.
    fn micro_step(&self, policy: &P, set: &TrainingSet<D>, actions: &[Action], epoch: Epoch) -> Result<MicroStep> {
        let rows = actions.len() as f64;
        let PairLoss { objective, value, kl_to_base } = self.loss(policy, set, actions, epoch)?;
        let gradients = gradients_of(&policy.parameters(), objective.value.mul_scalar(rows).backward())?;
        Ok(MicroStep { rows, loss: value, diagnostics: objective.diagnostics, kl_to_base, gradients })
    }

    /// The objective on these actions, a mean over them, through the same path as the rollout's log-probabilities, plus
    /// the divergence from the base model where that has a weight.
    fn loss(&self, policy: &P, set: &TrainingSet<D>, actions: &[Action], epoch: Epoch) -> Result<PairLoss> {
        let batch = set.minibatch(actions)?;
        let proposal = self.propose(policy, &batch)?;
        let new = proposal.log_prob(&batch.next, self.plan.reduction)?;
        let terms = LogProbTerms { new: &new, old: &batch.old_log_prob, advantage: &batch.advantage };
        let mut objective = self.objective.loss(&terms)?;
        let mut kl_to_base = None;
        if self.plan.kl_weight > 0.0 {
            let divergence = self.divergence(policy, &proposal, &batch)?;
            kl_to_base = Some(total(&divergence)?);
            objective.value = objective.value + divergence.mul_scalar(self.plan.kl_weight);
        }
        let value = total(&objective.value)?;
        match value.is_finite() {
            true => Ok(PairLoss { objective, value, kl_to_base }),
            false => {
                let culprit =
                    read(&new)?.iter().position(|log_prob| !log_prob.is_finite()).and_then(|i| actions.get(i));
                let location = culprit.map(|action| self.location(set, *action)).unwrap_or_default();
                Err(Error::NonFinite { what: "the loss", value, epoch: epoch.0, location })
            }
        }
    }

    /// `mean(KL(π_θ(·|x_t, c) ‖ π_base(·|x_t, c)))` `[1]`, exact: the penalty of DPOK (Fan et al., arXiv 2305.16381),
    /// whose base model is the policy without its adapter. It adds up over elements as log-probabilities do.
    fn divergence(&self, policy: &P, proposal: &Transition<D>, batch: &Minibatch<D>) -> Result<Tensor<1>> {
        let base = self.propose(&*policy.reference(), batch)?;
        Ok(proposal.kl(&base, self.plan.reduction)?.mean())
    }

    /// The failure with its location, and the actions it came of: those of the micro-batch whose loss is not finite, or the one
    /// action whose own gradient is not. A sum alone can overflow, too; then nobody is accused but the first micro-batch.
    fn locate_failure(
        &self,
        failed: Failed,
        set: &TrainingSet<D>,
        micro_batches: &[Vec<Action>],
        epoch: Epoch,
    ) -> (Error, Vec<Action>) {
        if let Some(piece) = failed.piece {
            return (failed.error, micro_batches[piece].clone());
        }
        let policy = &self.core.parts.policy;
        let is_culprit = |action: &&Action| match self.micro_step(policy, set, &[**action], epoch) {
            Ok(step) => !step.gradients.iter().all(is_finite),
            Err(_) => true,
        };
        match micro_batches.iter().flatten().find(is_culprit) {
            Some(action) => (failed.error.at(self.location(set, *action)), vec![*action]),
            None => (failed.error, micro_batches.first().cloned().unwrap_or_default()),
        }
    }

    fn batch_record(
        &self,
        error: &Error,
        set: &TrainingSet<D>,
        actions: &[Action],
        epoch: Epoch,
    ) -> Result<NonFiniteBatch> {
        let batch = set.minibatch(actions)?;
        let prompts: Vec<PromptId> = actions.iter().map(|action| set.prompts()[action.row]).collect();
        let members = BatchMembers {
            error: error.to_string(),
            epoch: epoch.0,
            update: Some(self.core.counters.updates + 1),
            samples: actions.iter().map(|action| action.row).collect(),
            steps: actions.iter().map(|action| action.step.0).collect(),
            prompts: self.core.parts.prompts.texts(&prompts),
        };
        let proposal = self.propose(&self.core.parts.policy, &batch);
        let log_prob = proposal.and_then(|proposal| Ok(proposal.log_prob(&batch.next, self.plan.reduction)?));
        let batch_record = NonFiniteBatch::new(members)
            .with("sample", &batch.sample)
            .with("next", &batch.next)
            .with("old_log_prob", &batch.old_log_prob)
            .with("advantage", &batch.advantage);
        Ok(match log_prob {
            Ok(log_prob) => batch_record.with("log_prob", &log_prob),
            Err(_) => batch_record,
        })
    }

    fn location(&self, set: &TrainingSet<D>, action: Action) -> Location {
        let prompt = self.core.parts.prompts.texts(&set.prompts()[action.row..=action.row]).pop();
        let update = Some(self.core.counters.updates + 1);
        Location { sample: Some(action.row), step: Some(action.step.0), update, prompt }
    }

    fn propose(&self, denoiser: &dyn Denoiser<D>, batch: &Minibatch<D>) -> Result<Transition<D>> {
        let (plan, parts) = (&self.plan, &self.core.parts);
        let guided = Guided::new(denoiser, parts.prompts.unconditional().clone(), plan.train_guidance)?;
        Ok(propose(&guided, &*parts.scheduler, &batch.steps, &batch.sample, &batch.condition)?)
    }
}

/// The loss of one forward pass, with its value read back.
struct PairLoss {
    objective: Loss,
    value: f64,
    kl_to_base: Option<f64>,
}

/// What one forward and backward pass leaves.
struct MicroStep {
    rows: f64,
    loss: f64,
    diagnostics: Diagnostics,
    kl_to_base: Option<f64>,
    gradients: Vec<Tensor<1>>,
}

/// Means over the rows of an optimizer step.
#[derive(Default)]
struct Means {
    rows: f64,
    loss: f64,
    approx_kl: f64,
    clip_fraction: f64,
    ratio_max_deviation: f64,
    kl_to_base: Option<f64>,
}

impl Means {
    fn add(&mut self, step: &MicroStep) {
        let (rows, diagnostics) = (step.rows, &step.diagnostics);
        self.rows += rows;
        self.loss += rows * step.loss;
        self.approx_kl += rows * f64::from(diagnostics.approx_kl);
        self.clip_fraction += rows * f64::from(diagnostics.clip_fraction);
        self.ratio_max_deviation = self.ratio_max_deviation.max(diagnostics.ratio_max_deviation.into());
        if let Some(kl) = step.kl_to_base {
            *self.kl_to_base.get_or_insert(0.0) += rows * kl;
        }
    }

    fn record(&self, epoch: Epoch, step: u64, grad_norm: f64) -> UpdateRecord {
        UpdateRecord {
            epoch: epoch.0,
            step,
            loss: self.loss / self.rows,
            approx_kl: self.approx_kl / self.rows,
            clip_fraction: self.clip_fraction / self.rows,
            ratio_max_deviation: self.ratio_max_deviation,
            grad_norm,
            kl_to_base: self.kl_to_base.map(|kl| kl / self.rows),
        }
    }
}

fn is_finite(gradient: &Tensor<1>) -> bool {
    read(gradient).is_ok_and(|values| values.iter().all(|value| value.is_finite()))
}
