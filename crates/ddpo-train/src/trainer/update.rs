//! The update: gradients of the objective over minibatches and timesteps, and the optimizer's steps.

use burn::tensor::Tensor;
use ddpo_core::objective::Diagnostics;
use ddpo_core::{Epoch, Guided, LogProbTerms, Loss, Minibatch, Pair, StepIndex, TrainingSet, propose};

use super::ddpo::DdpoTrainer;
use super::fork::ForkPolicy;
use crate::error::{Error, Place, Result};
use crate::events::{Progress, Record, Stage, UpdateRecord};
use crate::observer::Observer;
use crate::optimizer::{GradientSum, gradients_of};

impl<P: ForkPolicy<D>, const D: usize> DdpoTrainer<P, D> {
    /// The optimizer steps of an epoch, over all its chains in each of the inner epochs.
    pub(super) fn update(&mut self, set: &TrainingSet<D>, epoch: Epoch, observer: &mut Observer<'_>) -> Result<()> {
        let mut done = 0;
        for pass in 0..self.plan.inner_epochs as u64 {
            let rows = set.row_order(self.noise(), pass);
            let steps = set.step_orders(self.noise(), pass, self.plan.timestep_fraction)?;
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

    /// One step of the optimizer against the mean gradient over all `micro_batches`.
    fn optimizer_step(
        &mut self,
        set: &TrainingSet<D>,
        micro_batches: &[Vec<Pair>],
        epoch: Epoch,
        done: &mut usize,
        observer: &mut Observer<'_>,
    ) -> Result<()> {
        let (mut gradients, mut means) = (GradientSum::new(), Means::default());
        let policies = self.policies()?;
        let total = self.plan.updates_per_epoch() * micro_batches.len();
        self.lanes.each(
            micro_batches.iter().collect(),
            |lane, pairs: &Vec<Pair>, _| self.micro_step(&policies[lane], set, pairs, epoch),
            &mut || {},
            |step: MicroStep| {
                means.add(&step);
                gradients.add_tensors(step.gradients, step.rows)?;
                *done += 1;
                observer.progress(Progress { stage: Stage::Training, epoch: epoch.0, done: *done, total });
                observer.check(epoch.0)
            },
        )?;
        let values = self.parts.policy.parameters().into_iter().map(|parameter| parameter.value).collect();
        let step = self.counters.updates + 1;
        let update = self.optimizer.step(self.plan.learning_rate, values, gradients);
        let update = update.map_err(|error| locate(error, epoch, step))?;
        self.parts.policy.set_parameters(update.values)?;
        self.counters.updates = step;
        observer.record(&Record::Update(means.record(epoch, step, update.grad_norm)));
        Ok(())
    }

    /// The policy for each lane.
    fn policies(&self) -> Result<Vec<P>> {
        match self.lanes.count() {
            1 => Ok(vec![self.parts.policy.clone()]),
            lanes => (0..lanes).map(|_| self.parts.policy.fork()).collect(),
        }
    }

    /// The gradient of the objective's sum over these pairs.
    fn micro_step(&self, policy: &P, set: &TrainingSet<D>, pairs: &[Pair], epoch: Epoch) -> Result<MicroStep> {
        let rows = pairs.len() as f64;
        let (loss, value) = self.loss(policy, set, pairs, epoch)?;
        let gradients = gradients_of(&policy.parameters(), loss.value.mul_scalar(rows).backward())?;
        Ok(MicroStep { rows, loss: value, diagnostics: loss.diagnostics, gradients })
    }

    /// The objective on these pairs, a mean over them, through the same path as the rollout's log-probabilities; and
    /// its value, which is finite.
    fn loss(&self, policy: &P, set: &TrainingSet<D>, pairs: &[Pair], epoch: Epoch) -> Result<(Loss, f64)> {
        let batch = set.minibatch(pairs)?;
        let new = self.log_prob(policy, &batch)?;
        let terms = LogProbTerms { new: &new, old: &batch.old_log_prob, advantage: &batch.advantage };
        let loss = self.parts.objective.loss(&terms)?;
        let value: f64 = read(&loss.value)?.iter().map(|&x| f64::from(x)).sum();
        match value.is_finite() {
            true => Ok((loss, value)),
            false => Err(blame(value, &read(&new)?, pairs, epoch)),
        }
    }

    fn log_prob(&self, policy: &P, batch: &Minibatch<D>) -> Result<Tensor<1>> {
        let (plan, parts) = (&self.plan, &self.parts);
        let guided = Guided::new(policy, parts.prompts.unconditional().clone(), plan.train_guidance)?;
        let proposal = propose(&guided, &*parts.scheduler, &batch.steps, &batch.sample, &batch.condition)?;
        Ok(proposal.log_prob(&batch.next, plan.reduction)?)
    }
}

/// What one forward and backward pass leaves.
struct MicroStep {
    rows: f64,
    loss: f64,
    diagnostics: Diagnostics,
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
}

impl Means {
    fn add(&mut self, step: &MicroStep) {
        let (rows, diagnostics) = (step.rows, &step.diagnostics);
        self.rows += rows;
        self.loss += rows * step.loss;
        self.approx_kl += rows * f64::from(diagnostics.approx_kl);
        self.clip_fraction += rows * f64::from(diagnostics.clip_fraction);
        self.ratio_max_deviation = self.ratio_max_deviation.max(diagnostics.ratio_max_deviation.into());
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
        }
    }
}

/// The error of a loss which is not finite: it names the first pair whose log-probability is not, if there is one.
fn blame(value: f64, log_probs: &[f32], pairs: &[Pair], epoch: Epoch) -> Error {
    let guilty = log_probs.iter().position(|log_prob| !log_prob.is_finite()).and_then(|i| pairs.get(i));
    let place = Place { sample: guilty.map(|pair| pair.row), step: guilty.map(|pair| pair.step.0), ..Place::default() };
    Error::NonFinite { what: "the loss", value, epoch: epoch.0, place }
}

/// Says where a gradient that is not finite was.
fn locate(error: Error, epoch: Epoch, update: u64) -> Error {
    match error {
        Error::NonFiniteNorm(value) => {
            let place = Place { update: Some(update), ..Place::default() };
            Error::NonFinite { what: "the gradient norm", value, epoch: epoch.0, place }
        }
        other => other,
    }
}

fn read(tensor: &Tensor<1>) -> Result<Vec<f32>> {
    tensor.clone().inner().try_into_vec_as::<f32>().map_err(Error::device)
}
