//! The optimizer's steps, the same in every algorithm: gradients of many passes side by side, their mean, AdamW, and what is to
//! be done about a number that is not finite.

use burn::tensor::Tensor;
use ddpo_core::Epoch;

use super::fork::ForkPolicy;
use super::trainer_core::{TrainerCore, read};
use crate::error::{Error, Location, Result};
use crate::events::{Event, Progress, Stage};
use crate::non_finite::{BatchMembers, NonFiniteBatch};
use crate::observer::Observer;
use crate::optimizer::{GradientSum, ShardSums, Shards, gradients_of};
use crate::plan::NonFinitePolicy;
use crate::ranks::{Reader, Writer};
use crate::record::Record;

/// What an algorithm minimises, a few rows at a time. It is all that differs between the updates of two algorithms.
///
/// ```text
/// for rows in passes {                                    // side by side, in lanes
///     sum.add(loss.pass(core, policy, rows)?.gradients);  // summed in the order of the passes
/// }
/// let (step, grad_norm) = core.step(sum.mean())?;
/// record(loss.record(epoch, step, grad_norm, readings));
/// ```
pub(super) trait BatchLoss<P, const D: usize>: Sync {
    /// What names one row of a batch.
    type Row: Copy + Send + Sync;

    /// One forward and backward pass over `rows`.
    fn pass(&self, core: &TrainerCore<P, D>, policy: &P, rows: &[Self::Row]) -> Result<Pass>;

    /// What an optimizer step saw.
    fn record(&self, epoch: Epoch, step: u64, grad_norm: f64, passes: &[Reading]) -> Record;

    /// What another loss beside the algorithm's saw in an optimizer step, where there is one.
    fn record_beside(&self, _: Epoch, _: u64, _: &[Reading]) -> Option<Record> {
        None
    }

    /// Where a row is, but for the optimizer step.
    fn location(&self, core: &TrainerCore<P, D>, row: Self::Row) -> Location;

    /// Adds the tensors of these rows to the record of a batch that is not finite.
    fn describe(&self, core: &TrainerCore<P, D>, rows: &[Self::Row], batch: NonFiniteBatch) -> Result<NonFiniteBatch>;

    /// The timestep that a row asks the model about.
    fn timestep(&self, core: &TrainerCore<P, D>, row: Self::Row) -> f64;

    /// What is wrong with the first update of a run, before which nothing has changed since its samples were drawn.
    fn drift(&self, _: &Record) -> Option<Error> {
        None
    }

    /// How much of itself the old policy keeps at every optimizer step, where it follows the policy step by step.
    fn old_keeps(&self) -> Option<f64> {
        None
    }

    /// So many consecutive rows of a pass are never separated.
    fn unit(&self) -> usize {
        1
    }
}

/// What one forward and backward pass leaves, on its device.
pub(super) struct Pass {
    /// How many rows it counts as in the mean; 0 of a loss beside the algorithm's, whose gradient has its weight already.
    rows: f64,
    /// The loss `[1]`, a number a row that is finite where the loss is, and whatever else the algorithm measures.
    measured: Vec<Tensor<1>>,
    gradients: Vec<Tensor<1>>,
}

/// What a pass has measured, read back.
#[derive(Clone)]
pub(super) struct Reading {
    /// The rows of the pass.
    pub rows: f64,
    /// The mean loss over them.
    pub loss: f64,
    /// A number a row.
    pub per_row: Vec<f32>,
    /// Whatever else the algorithm measures.
    pub others: Vec<Vec<f32>>,
}

impl Reading {
    /// Whether it is of a loss beside the algorithm's.
    pub fn is_beside(&self) -> bool {
        self.rows == 0.0
    }
}

/// Why an optimizer step did not happen.
pub(super) struct StepFailure {
    pub error: Error,
    /// The pass whose loss is not finite, where that is why.
    pass: Option<usize>,
}

impl Pass {
    /// The gradient of the sum of `loss`, a mean over `rows` rows, and what is to be read when the whole step is there:
    /// reading a number makes a device wait.
    pub fn backward<P: ForkPolicy<D>, const D: usize>(
        policy: &P,
        rows: usize,
        loss: Tensor<1>,
        per_row: &Tensor<1>,
        others: impl IntoIterator<Item = Tensor<1>>,
    ) -> Result<Self> {
        let rows = rows as f64;
        let measured = [loss.clone().inner(), per_row.clone().inner()].into_iter().chain(others).collect();
        let gradients = gradients_of(&policy.parameters(), loss.mul_scalar(rows).backward())?;
        Ok(Self { rows, measured, gradients })
    }
}

impl Pass {
    /// The gradient of `share` times the sum of the errors of rows, for a loss beside the algorithm's.
    pub fn beside<P: ForkPolicy<D>, const D: usize>(policy: &P, share: f64, errors: &Tensor<1>) -> Result<Self> {
        let measured = vec![errors.clone().mean().inner(), errors.clone().inner()];
        let gradients = gradients_of(&policy.parameters(), errors.clone().sum().mul_scalar(share).backward())?;
        Ok(Self { rows: 0.0, measured, gradients })
    }
}

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// An optimizer step for each entry of `steps`, whose entries are the rows of one pass each.
    pub fn descend<L: BatchLoss<P, D>>(
        &mut self,
        loss: &L,
        steps: &[Vec<Vec<L::Row>>],
        epoch: Epoch,
        observer: &mut Observer<'_>,
    ) -> Result<()> {
        let total = steps.iter().map(Vec::len).sum();
        let mut progress = Progress { stage: Stage::Training, epoch: epoch.0, done: 0, total };
        for passes in steps {
            let end = progress.done + passes.len();
            match self.optimizer_step(loss, passes, &mut progress, observer) {
                Ok((record, beside)) => {
                    observer.record(&record);
                    beside.iter().for_each(|record| observer.record(record));
                    loss.old_keeps().map_or(Ok(()), |decay| self.old_follows(decay))?;
                    if let Some(drift) = loss.drift(&record).filter(|_| self.counters.updates == 1) {
                        observer.event(&Event::Warning(&drift));
                    }
                }
                Err(failure) => self.leave_out_step(loss, passes, failure, epoch, observer)?,
            }
            progress.done = end;
        }
        self.agree()
    }

    /// Whether all ranks have come to the same parameters.
    fn agree(&self) -> Result<()> {
        if self.parts.ranks.is_alone() {
            return Ok(());
        }
        let mut checksum = crc32fast::Hasher::new();
        for parameter in self.parts.policy.parameters() {
            read(&parameter.value)?.iter().for_each(|value| checksum.update(&value.to_le_bytes()));
        }
        self.parts.ranks.agree("the parameters", &checksum.finalize().to_le_bytes())
    }

    /// One step of the optimizer against the mean gradient over all passes.
    fn optimizer_step<L: BatchLoss<P, D>>(
        &mut self,
        loss: &L,
        passes: &[Vec<L::Row>],
        progress: &mut Progress,
        observer: &mut Observer<'_>,
    ) -> Result<(Record, Option<Record>), StepFailure> {
        let epoch = Epoch(progress.epoch);
        let (gradients, readings) = self.finite_loss_gradient(loss, passes, progress, observer)?;
        let (step, grad_norm) = self.step(gradients, epoch)?;
        Ok((loss.record(epoch, step, grad_norm, &readings), loss.record_beside(epoch, step, &readings)))
    }

    /// The mean gradient over all passes, of losses that are finite.
    pub(super) fn finite_loss_gradient<L: BatchLoss<P, D>>(
        &self,
        loss: &L,
        passes: &[Vec<L::Row>],
        progress: &mut Progress,
        observer: &mut Observer<'_>,
    ) -> Result<(GradientSum, Vec<Reading>), StepFailure> {
        let (gradients, readings) = self.mean_gradient(loss, passes, progress, observer)?;
        if let Some(pass) = readings.iter().position(|reading| !reading.loss.is_finite()) {
            let reading = &readings[pass];
            let row = reading.per_row.iter().position(|value| !value.is_finite());
            let location = row.map(|row| loss.location(self, passes[pass][row])).unwrap_or_default();
            let location = Location { update: Some(self.counters.updates + 1), ..location };
            let error = Error::NonFinite { what: "the loss", value: reading.loss, epoch: progress.epoch, location };
            return Err(StepFailure { error, pass: Some(pass) });
        }
        Ok((gradients, readings))
    }

    /// The gradients of all passes, summed in [`Shards`], and what they measured. Every rank makes the passes of its shards.
    fn mean_gradient<L: BatchLoss<P, D>>(
        &self,
        loss: &L,
        passes: &[Vec<L::Row>],
        progress: &mut Progress,
        observer: &mut Observer<'_>,
    ) -> Result<(GradientSum, Vec<Reading>)> {
        let ranks = &self.parts.ranks;
        let shards = Shards::new(passes.len(), self.plan.gradient_shards);
        let mine = shards.passes_of(&ranks.share(shards.count()));
        let (mut sums, mut measured) = (ShardSums::default(), Vec::with_capacity(mine.len()));
        let (policies, mut number) = (self.policies()?, mine.start);
        self.lanes.each(
            passes[mine].iter().collect(),
            |lane, rows: &Vec<L::Row>, _| loss.pass(self, &policies[lane], rows),
            &mut || {},
            |pass: Pass| {
                sums.add(shards, shards.shard_of(number), pass.gradients, pass.rows)?;
                measured.push((pass.rows, pass.measured));
                (number, progress.done) = (number + 1, progress.done + 1);
                observer.progress(*progress);
                observer.check(progress.epoch)
            },
        )?;
        let lengths: Vec<usize> =
            self.parts.policy.parameters().iter().map(|parameter| parameter.value.dims()[0]).collect();
        let total = sums.total(shards, ranks, &lengths, &self.parts.device)?;
        let mut readings = read_back(measured)?;
        if !ranks.is_alone() {
            let messages = ranks.gather(&Reading::encode(&readings))?;
            readings = messages.iter().map(|message| Reading::decode(message)).collect::<Result<Vec<_>>>()?.concat();
        }
        Ok((total, readings))
    }

    /// Says what the step's failure came of; goes on where the plan leaves out what is not finite.
    fn leave_out_step<L: BatchLoss<P, D>>(
        &mut self,
        loss: &L,
        passes: &[Vec<L::Row>],
        failure: StepFailure,
        epoch: Epoch,
        observer: &mut Observer<'_>,
    ) -> Result<()> {
        if !matches!(failure.error, Error::NonFinite { .. }) {
            return Err(failure.error);
        }
        let (error, rows) = self.locate_failure(loss, passes, failure);
        let batch = loss.describe(self, &rows, NonFiniteBatch::new(self.members(loss, &rows, &error, epoch)))?;
        observer.event(&Event::NonFinite(&batch));
        if self.plan.non_finite == NonFinitePolicy::Fail {
            return Err(error);
        }
        observer.event(&Event::Warning(&error));
        self.left_out.updates += 1;
        Ok(())
    }

    /// The failure with its location, and the rows it came of: those of the pass whose loss is not finite, or the one unit whose
    /// own gradient is not. A sum alone can overflow, too; then nobody is accused but the first pass.
    fn locate_failure<L: BatchLoss<P, D>>(
        &self,
        loss: &L,
        passes: &[Vec<L::Row>],
        failure: StepFailure,
    ) -> (Error, Vec<L::Row>) {
        if let Some(pass) = failure.pass {
            return (failure.error, passes[pass].clone());
        }
        let is_culprit = |rows: &&[L::Row]| match loss.pass(self, &self.parts.policy, rows) {
            Ok(pass) => !pass.gradients.iter().all(is_finite),
            Err(_) => true,
        };
        match passes.iter().flat_map(|rows| rows.chunks(loss.unit())).find(is_culprit) {
            Some(unit) => {
                let update = Some(self.counters.updates + 1);
                (failure.error.at(Location { update, ..loss.location(self, unit[0]) }), unit.to_vec())
            }
            None => (failure.error, passes.first().cloned().unwrap_or_default()),
        }
    }

    fn members<L: BatchLoss<P, D>>(&self, loss: &L, rows: &[L::Row], error: &Error, epoch: Epoch) -> BatchMembers {
        let locations: Vec<Location> = rows.iter().map(|&row| loss.location(self, row)).collect();
        BatchMembers {
            error: error.to_string(),
            epoch: epoch.0,
            update: Some(self.counters.updates + 1),
            samples: locations.iter().filter_map(|location| location.sample).collect(),
            steps: locations.iter().filter_map(|location| location.step).collect(),
            prompts: locations.into_iter().filter_map(|location| location.prompt).collect(),
        }
    }
}

impl Reading {
    fn encode(readings: &[Self]) -> Vec<u8> {
        let mut message = Writer::default();
        message.number(readings.len() as u64);
        for reading in readings {
            message.float(reading.rows);
            message.float(reading.loss);
            message.floats(&reading.per_row);
            message.number(reading.others.len() as u64);
            reading.others.iter().for_each(|values| message.floats(values));
        }
        message.finish()
    }

    fn decode(message: &[u8]) -> Result<Vec<Self>> {
        let mut message = Reader::new(message);
        let count = message.count(32)?;
        let mut reading = || {
            let (rows, loss, per_row) = (message.float()?, message.float()?, message.floats()?);
            let others = message.count(8)?;
            let others = (0..others).map(|_| message.floats()).collect::<Result<_>>()?;
            Ok(Self { rows, loss, per_row, others })
        };
        (0..count).map(|_| reading()).collect()
    }
}

/// Reads what many passes have measured in one go.
fn read_back(passes: Vec<(f64, Vec<Tensor<1>>)>) -> Result<Vec<Reading>> {
    let all: Vec<Tensor<1>> = passes.iter().flat_map(|(_, measured)| measured.iter().cloned()).collect();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let values = read(&Tensor::cat(all, 0))?;
    let mut rest = values.as_slice();
    let mut take = |tensor: &Tensor<1>| {
        let (taken, left) = rest.split_at(tensor.dims()[0]);
        rest = left;
        taken.to_vec()
    };
    let mut reading = |(rows, measured): (f64, Vec<Tensor<1>>)| {
        let mut parts = measured.iter().map(&mut take);
        let loss = parts.next().unwrap_or_default().iter().map(|&x| f64::from(x)).sum();
        Reading { rows, loss, per_row: parts.next().unwrap_or_default(), others: parts.collect() }
    };
    Ok(passes.into_iter().map(&mut reading).collect())
}

fn is_finite(gradient: &Tensor<1>) -> bool {
    read(gradient).is_ok_and(|values| values.iter().all(|value| value.is_finite()))
}

impl From<Error> for StepFailure {
    fn from(error: Error) -> Self {
        Self { error, pass: None }
    }
}
