//! The update: gradients of the objective over minibatches and timesteps, and the optimizer's steps.

use burn::tensor::Tensor;
use ddpo_core::objective::Diagnostics;
use ddpo_core::{
    Denoiser, Epoch, Guided, LogProbTerms, Loss, Minibatch, Pair, PromptId, StepIndex, TrainingSet, Transition, propose,
};

use super::ddpo::DdpoTrainer;
use super::failed::Failed;
use super::fork::ForkPolicy;
use super::workshop::{read, total};
use crate::error::{Error, Place, Result};
use crate::events::{Progress, Record, Stage, UpdateRecord};
use crate::evidence::{Evidence, Facts};
use crate::observer::Observer;
use crate::optimizer::{GradientSum, gradients_of};

impl<P: ForkPolicy<D>, const D: usize> DdpoTrainer<P, D> {
    /// The optimizer steps of an epoch, over all its chains in each of the inner epochs.
    pub(super) fn update(&mut self, set: &TrainingSet<D>, epoch: Epoch, observer: &mut Observer<'_>) -> Result<()> {
        let mut done = 0;
        let trained = self.plan.trained_steps(&*self.shop.parts.scheduler)?;
        for pass in 0..self.plan.inner_epochs as u64 {
            let rows = set.row_order(self.shop.noise(), pass);
            let steps = set.step_orders(self.shop.noise(), pass, &trained, self.plan.timestep_fraction)?;
            for micro_batches in self.micro_batches(&rows, &steps) {
                self.optimizer_step(set, &micro_batches, epoch, &mut done, observer)?;
            }
        }
        Ok(())
    }

    /// The pairs of each forward pass of each optimizer step. Minibatch by minibatch, the j-th pair of a chain is at
    /// the j-th step of the chain's own permutation.
    fn micro_batches(&self, rows: &[usize], steps: &[Vec<StepIndex>]) -> Vec<Vec<Vec<Pair>>> {
        let plan = &self.plan;
        let timesteps = steps.first().map_or(0, Vec::len);
        let columns: Vec<usize> = (0..timesteps).collect();
        let forward = |batch: &[usize], columns: &[usize]| {
            columns.iter().flat_map(|&j| batch.iter().map(move |&row| Pair { row, step: steps[row][j] })).collect()
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
        micro_batches: &[Vec<Pair>],
        epoch: Epoch,
        done: &mut usize,
        observer: &mut Observer<'_>,
    ) -> Result<()> {
        let end = *done + micro_batches.len();
        let outcome = self.mean_gradient(set, micro_batches, epoch, done, observer).and_then(|(gradients, means)| {
            let (step, grad_norm) = self.shop.step(gradients, epoch)?;
            Ok(means.record(epoch, step, grad_norm))
        });
        *done = end;
        match outcome {
            Ok(record) => observer.record(&Record::Update(record)),
            Err(failed) if failed.is_non_finite() => {
                let (error, pairs) = self.accuse(failed, set, micro_batches, epoch);
                let evidence = self.evidence(&error, set, &pairs, epoch)?;
                self.shop.leave_out_update(error, &evidence, observer)?;
            }
            Err(failed) => return Err(failed.error),
        }
        Ok(())
    }

    /// The gradients of all `micro_batches`, summed in their order, and what was measured on the way.
    fn mean_gradient(
        &self,
        set: &TrainingSet<D>,
        micro_batches: &[Vec<Pair>],
        epoch: Epoch,
        done: &mut usize,
        observer: &mut Observer<'_>,
    ) -> Result<(GradientSum, Means), Failed> {
        let (mut gradients, mut means) = (GradientSum::new(), Means::default());
        let policies = self.shop.policies()?;
        let total = self.plan.updates_per_epoch() * micro_batches.len();
        self.shop.lanes.each(
            micro_batches.iter().enumerate().collect(),
            |lane, (piece, pairs): (usize, &Vec<Pair>), _| {
                self.micro_step(&policies[lane], set, pairs, epoch)
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

    /// The gradient of the loss's sum over these pairs.
    fn micro_step(&self, policy: &P, set: &TrainingSet<D>, pairs: &[Pair], epoch: Epoch) -> Result<MicroStep> {
        let rows = pairs.len() as f64;
        let PairLoss { objective, value, kl_to_base } = self.loss(policy, set, pairs, epoch)?;
        let gradients = gradients_of(&policy.parameters(), objective.value.mul_scalar(rows).backward())?;
        Ok(MicroStep { rows, loss: value, diagnostics: objective.diagnostics, kl_to_base, gradients })
    }

    /// The objective on these pairs, a mean over them, through the same path as the rollout's log-probabilities, plus
    /// the divergence from the base model where that has a weight.
    fn loss(&self, policy: &P, set: &TrainingSet<D>, pairs: &[Pair], epoch: Epoch) -> Result<PairLoss> {
        let batch = set.minibatch(pairs)?;
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
                let guilty = read(&new)?.iter().position(|log_prob| !log_prob.is_finite()).and_then(|i| pairs.get(i));
                let place = guilty.map(|pair| self.place(set, *pair)).unwrap_or_default();
                Err(Error::NonFinite { what: "the loss", value, epoch: epoch.0, place })
            }
        }
    }

    /// `mean(KL(π_θ(·|x_t, c) ‖ π_base(·|x_t, c)))` `[1]`, exact: the penalty of DPOK (Fan et al., arXiv 2305.16381),
    /// whose base model is the policy without its adapter. It adds up over elements as log-probabilities do.
    fn divergence(&self, policy: &P, proposal: &Transition<D>, batch: &Minibatch<D>) -> Result<Tensor<1>> {
        let base = self.propose(&*policy.reference(), batch)?;
        Ok(proposal.kl(&base, self.plan.reduction)?.mean())
    }

    /// The failure with its place, and the pairs it came of: those of the micro-batch whose loss is not finite, or the one
    /// pair whose own gradient is not. A sum alone can overflow, too; then nobody is accused but the first micro-batch.
    fn accuse(
        &self,
        failed: Failed,
        set: &TrainingSet<D>,
        micro_batches: &[Vec<Pair>],
        epoch: Epoch,
    ) -> (Error, Vec<Pair>) {
        if let Some(piece) = failed.piece {
            return (failed.error, micro_batches[piece].clone());
        }
        let policy = &self.shop.parts.policy;
        let is_guilty = |pair: &&Pair| match self.micro_step(policy, set, &[**pair], epoch) {
            Ok(step) => !step.gradients.iter().all(is_finite),
            Err(_) => true,
        };
        match micro_batches.iter().flatten().find(is_guilty) {
            Some(pair) => (failed.error.at(self.place(set, *pair)), vec![*pair]),
            None => (failed.error, micro_batches.first().cloned().unwrap_or_default()),
        }
    }

    fn evidence(&self, error: &Error, set: &TrainingSet<D>, pairs: &[Pair], epoch: Epoch) -> Result<Evidence> {
        let batch = set.minibatch(pairs)?;
        let prompts: Vec<PromptId> = pairs.iter().map(|pair| set.prompts()[pair.row]).collect();
        let facts = Facts {
            error: error.to_string(),
            epoch: epoch.0,
            update: Some(self.shop.counters.updates + 1),
            samples: pairs.iter().map(|pair| pair.row).collect(),
            steps: pairs.iter().map(|pair| pair.step.0).collect(),
            prompts: self.shop.parts.prompts.texts(&prompts),
        };
        let proposal = self.propose(&self.shop.parts.policy, &batch);
        let log_prob = proposal.and_then(|proposal| Ok(proposal.log_prob(&batch.next, self.plan.reduction)?));
        let evidence = Evidence::new(facts)
            .with("sample", &batch.sample)
            .with("next", &batch.next)
            .with("old_log_prob", &batch.old_log_prob)
            .with("advantage", &batch.advantage);
        Ok(match log_prob {
            Ok(log_prob) => evidence.with("log_prob", &log_prob),
            Err(_) => evidence,
        })
    }

    fn place(&self, set: &TrainingSet<D>, pair: Pair) -> Place {
        let prompt = self.shop.parts.prompts.texts(&set.prompts()[pair.row..=pair.row]).pop();
        let update = Some(self.shop.counters.updates + 1);
        Place { sample: Some(pair.row), step: Some(pair.step.0), update, prompt }
    }

    fn propose(&self, denoiser: &dyn Denoiser<D>, batch: &Minibatch<D>) -> Result<Transition<D>> {
        let (plan, parts) = (&self.plan, &self.shop.parts);
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
