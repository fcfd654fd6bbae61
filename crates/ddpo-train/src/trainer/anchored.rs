//! The anchor as a loss of its own beside the algorithm's in every optimizer step (*Large-scale Reinforcement Learning for Diffusion
//! Models*, Zhang et al., arXiv 2401.12244, whose pretraining loss is a step of its own).

use burn::tensor::{Int, Tensor, TensorData};
use ddpo_core::{Address, Epoch, Noise, PromptId, SampleId, Stream, denoising_error, prediction_distance};

use super::anchor::{Anchor, AnchorTarget};
use super::fork::ForkPolicy;
use super::optimise::{BatchLoss, Pass, Reading};
use super::trainer_core::TrainerCore;
use crate::error::{Error, Location, Result};
use crate::non_finite::NonFiniteBatch;
use crate::observer::Observer;
use crate::record::{AnchorRecord, Record};

/// A row of the anchor in an optimizer step.
#[derive(Clone, Copy)]
pub(super) struct AnchorRow {
    /// The optimizer step of the epoch.
    update: u64,
    /// The place within the step.
    place: u64,
    /// What its error counts, in rows of the algorithm's.
    share: f64,
}

impl AnchorRow {
    /// The picture and the timestep.
    fn draw<const D: usize>(self, anchor: &Anchor<D>, noise: Noise, epoch: Epoch) -> (usize, usize) {
        anchor.draw(noise, self.address(Stream::AnchorRow, epoch))
    }

    fn address(self, stream: Stream, epoch: Epoch) -> Address {
        Address { stream, epoch, sample: SampleId(self.place), step: self.update }
    }
}

/// A row of an optimizer step with an anchor.
#[derive(Clone, Copy)]
pub(super) enum AnchoredRow<R> {
    Own(R),
    Anchor(AnchorRow),
}

/// An algorithm's loss with the anchor's beside it. All rows of a pass are of one kind.
pub(super) struct Anchored<'a, L, const D: usize> {
    pub loss: &'a L,
    pub anchor: &'a Anchor<D>,
    pub epoch: Epoch,
}

impl<L, const D: usize> Anchored<'_, L, D> {
    /// The passes of each optimizer step, and behind them those of the anchor, none larger than the first one.
    pub fn steps<R: Copy>(&self, steps: &[Vec<Vec<R>>]) -> Vec<Vec<Vec<AnchoredRow<R>>>> {
        let with_anchor = |(update, passes): (usize, &Vec<Vec<R>>)| {
            let rows: usize = passes.iter().map(Vec::len).sum();
            let share = self.anchor.weight * rows as f64 / self.anchor.batch as f64;
            let row = |place| AnchoredRow::Anchor(AnchorRow { update: update as u64, place, share });
            let anchored: Vec<_> = (0..self.anchor.batch as u64).map(row).collect();
            let own = passes.iter().map(|pass| pass.iter().copied().map(AnchoredRow::Own).collect());
            let largest = passes.first().map_or(1, Vec::len).max(1);
            own.chain(anchored.chunks(largest).map(<[_]>::to_vec)).collect()
        };
        steps.iter().enumerate().map(with_anchor).collect()
    }

    fn anchor_pass<P: ForkPolicy<D>>(&self, core: &TrainerCore<P, D>, policy: &P, rows: &[AnchorRow]) -> Result<Pass> {
        let (anchor, noise, device) = (self.anchor, core.noise(), &core.parts.device);
        let (pictures, timesteps): (Vec<usize>, Vec<usize>) =
            rows.iter().map(|row| row.draw(anchor, noise, self.epoch)).unzip();
        let indices: Vec<i64> = pictures.iter().map(|&picture| picture as i64).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [rows.len()]), &anchor.states.device());
        let clean = anchor.states.clone().select(0, indices);
        let step = rows.first().map_or(0, |row| row.update);
        let address = Address { stream: Stream::AnchorNoise, epoch: self.epoch, sample: SampleId(0), step };
        let places: Vec<SampleId> = rows.iter().map(|row| SampleId(row.place)).collect();
        let epsilon = noise.normal_batch(address, &places, core.parts.shape, device);
        let ids: Vec<PromptId> = pictures.iter().map(|&picture| anchor.ids[picture]).collect();
        let condition = anchor.prompts.condition(&ids)?;
        let schedule = &anchor.schedule;
        let errors = match anchor.target {
            AnchorTarget::Noise => denoising_error(policy, schedule, &clean, &epsilon, &timesteps, &condition)?,
            AnchorTarget::Base => {
                let base = policy.reference();
                prediction_distance(policy, &*base, schedule, &clean, &epsilon, &timesteps, &condition)?
            }
        };
        Pass::beside(policy, rows.first().map_or(0.0, |row| row.share), &errors)
    }
}

/// The rows of one pass, which are of one kind.
enum Rows<R> {
    Own(Vec<R>),
    Anchor(Vec<AnchorRow>),
}

impl<R: Copy> Rows<R> {
    fn of(rows: &[AnchoredRow<R>]) -> Self {
        let anchored: Vec<AnchorRow> = rows.iter().filter_map(|row| row.anchor()).collect();
        if anchored.is_empty() {
            Self::Own(rows.iter().filter_map(|row| row.own()).collect())
        } else {
            Self::Anchor(anchored)
        }
    }
}

impl<R: Copy> AnchoredRow<R> {
    fn own(&self) -> Option<R> {
        if let Self::Own(row) = self { Some(*row) } else { None }
    }

    fn anchor(&self) -> Option<AnchorRow> {
        if let Self::Anchor(row) = self { Some(*row) } else { None }
    }
}

impl<P: ForkPolicy<D>, L: BatchLoss<P, D>, const D: usize> BatchLoss<P, D> for Anchored<'_, L, D> {
    type Row = AnchoredRow<L::Row>;

    fn pass(&self, core: &TrainerCore<P, D>, policy: &P, rows: &[Self::Row]) -> Result<Pass> {
        match Rows::of(rows) {
            Rows::Own(rows) => self.loss.pass(core, policy, &rows),
            Rows::Anchor(rows) => self.anchor_pass(core, policy, &rows),
        }
    }

    fn record(&self, epoch: Epoch, step: u64, grad_norm: f64, passes: &[Reading]) -> Record {
        let own: Vec<Reading> = passes.iter().filter(|pass| !pass.is_beside()).cloned().collect();
        self.loss.record(epoch, step, grad_norm, &own)
    }

    fn record_beside(&self, epoch: Epoch, step: u64, passes: &[Reading]) -> Option<Record> {
        let errors: Vec<f64> = passes
            .iter()
            .filter(|pass| pass.is_beside())
            .flat_map(|pass| pass.per_row.iter().map(|error| f64::from(*error)))
            .collect();
        let loss = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
        Some(Record::Anchor(AnchorRecord { epoch: epoch.0, step, loss }))
    }

    fn location(&self, core: &TrainerCore<P, D>, row: Self::Row) -> Location {
        match row {
            AnchoredRow::Own(row) => self.loss.location(core, row),
            AnchoredRow::Anchor(row) => {
                let (picture, _) = row.draw(self.anchor, core.noise(), self.epoch);
                let prompt = self.anchor.prompts.texts(&self.anchor.ids[picture..=picture]).pop();
                Location { prompt, ..Location::default() }
            }
        }
    }

    fn describe(&self, core: &TrainerCore<P, D>, rows: &[Self::Row], batch: NonFiniteBatch) -> Result<NonFiniteBatch> {
        match Rows::of(rows) {
            Rows::Own(rows) => self.loss.describe(core, &rows, batch),
            Rows::Anchor(rows) => {
                let timestep = |row: &AnchorRow| row.draw(self.anchor, core.noise(), self.epoch).1 as f32;
                Ok(batch.with_values("anchor timestep", &rows.iter().map(timestep).collect::<Vec<_>>()))
            }
        }
    }

    fn timestep(&self, core: &TrainerCore<P, D>, row: Self::Row) -> f64 {
        match row {
            AnchoredRow::Own(row) => self.loss.timestep(core, row),
            AnchoredRow::Anchor(row) => row.draw(self.anchor, core.noise(), self.epoch).1 as f64,
        }
    }

    fn drift(&self, record: &Record) -> Option<Error> {
        self.loss.drift(record)
    }

    fn old_keeps(&self) -> Option<f64> {
        self.loss.old_keeps()
    }

    fn unit(&self) -> usize {
        self.loss.unit()
    }
}

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// Takes an optimizer step for each entry of `steps`, whose entries are the rows of one pass each, with the anchor beside
    /// them where there is one.
    pub fn optimise<L: BatchLoss<P, D>>(
        &mut self,
        loss: &L,
        steps: &[Vec<Vec<L::Row>>],
        epoch: Epoch,
        observer: &mut Observer<'_>,
    ) -> Result<()> {
        let Some(anchor) = self.parts.anchor.clone() else { return self.descend(loss, steps, epoch, observer) };
        let anchored = Anchored { loss, anchor: &anchor, epoch };
        self.descend(&anchored, &anchored.steps(steps), epoch, observer)
    }
}
