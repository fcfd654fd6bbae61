//! The update: gradients of the objective over minibatches and timesteps, and the optimizer's steps.

use burn::tensor::Tensor;
use ddpo_core::{Epoch, Guided, LogProbTerms, Loss, Minibatch, Pair, Policy, StepIndex, TrainingSet, propose};

use super::ddpo::DdpoTrainer;
use crate::error::{Error, Place, Result};
use crate::events::{Progress, Record, Stage, UpdateRecord};
use crate::observer::Observer;
use crate::optimizer::GradientSum;

impl<P: Policy<D>, const D: usize> DdpoTrainer<P, D> {
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
        let parameters = self.parts.policy.parameters();
        let (mut gradients, mut means) = (GradientSum::new(), Means::default());
        for pairs in micro_batches {
            let rows = pairs.len() as f64;
            let (loss, value) = self.loss(set, pairs, epoch)?;
            means.add(&loss, value, rows);
            gradients.add(&parameters, loss.value.mul_scalar(rows).backward(), rows)?;
            *done += 1;
            let total = self.plan.updates_per_epoch() * micro_batches.len();
            observer.progress(Progress { stage: Stage::Training, epoch: epoch.0, done: *done, total });
            observer.check(epoch.0)?;
        }
        let values = parameters.into_iter().map(|parameter| parameter.value).collect();
        let step = self.counters.updates + 1;
        let update = self.optimizer.step(self.plan.learning_rate, values, gradients);
        let update = update.map_err(|error| locate(error, epoch, step))?;
        self.parts.policy.set_parameters(update.values)?;
        self.counters.updates = step;
        observer.record(&Record::Update(means.record(epoch, step, update.grad_norm)));
        Ok(())
    }

    /// The objective on these pairs, a mean over them, through the same path as the rollout's log-probabilities; and
    /// its value, which is finite.
    fn loss(&self, set: &TrainingSet<D>, pairs: &[Pair], epoch: Epoch) -> Result<(Loss, f64)> {
        let batch = set.minibatch(pairs)?;
        let new = self.log_prob(&batch)?;
        let terms = LogProbTerms { new: &new, old: &batch.old_log_prob, advantage: &batch.advantage };
        let loss = self.parts.objective.loss(&terms)?;
        let value: f64 = read(&loss.value)?.iter().map(|&x| f64::from(x)).sum();
        match value.is_finite() {
            true => Ok((loss, value)),
            false => Err(blame(value, &read(&new)?, pairs, epoch)),
        }
    }

    fn log_prob(&self, batch: &Minibatch<D>) -> Result<Tensor<1>> {
        let (plan, parts) = (&self.plan, &self.parts);
        let guided = Guided::new(&parts.policy, parts.prompts.unconditional().clone(), plan.train_guidance)?;
        let proposal = propose(&guided, &*parts.scheduler, &batch.steps, &batch.sample, &batch.condition)?;
        Ok(proposal.log_prob(&batch.next, plan.reduction)?)
    }
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
    fn add(&mut self, loss: &Loss, value: f64, rows: f64) {
        self.rows += rows;
        self.loss += rows * value;
        self.approx_kl += rows * f64::from(loss.diagnostics.approx_kl);
        self.clip_fraction += rows * f64::from(loss.diagnostics.clip_fraction);
        self.ratio_max_deviation = self.ratio_max_deviation.max(loss.diagnostics.ratio_max_deviation.into());
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
