//! The loss of distillation: the teacher's pictures, mixed with noise on a grid of timesteps.

use burn::tensor::{Int, Tensor, TensorData};
use ddpo_core::distillation::{DistillationLoss, DistillationModels, GridStates};
use ddpo_core::{Address, Epoch, Guided, Noise, NoiseSchedule, PromptId, SampleId, Stream};

use super::fork::ForkPolicy;
use super::optimise::{BatchLoss, Pass, Reading};
use super::trainer_core::TrainerCore;
use crate::error::{Location, Result};
use crate::non_finite::NonFiniteBatch;
use crate::plan::DistillPlan;
use crate::record::{DistillationRecord, Record};

/// The clean states `[N, ..]` that the teacher's chains ended in, with the prompt of each.
pub(super) struct TeacherPictures<const D: usize> {
    pub states: Tensor<D>,
    pub prompts: Vec<PromptId>,
}

/// The consistency loss on pictures of the teacher.
pub(super) struct DistillLoss<'a, const D: usize> {
    pub plan: &'a DistillPlan,
    pub schedule: &'a NoiseSchedule,
    pub pictures: &'a TeacherPictures<D>,
    pub epoch: Epoch,
}

/// One picture of a pass over all.
#[derive(Clone, Copy)]
pub(super) struct DistillRow {
    /// The picture.
    row: usize,
    /// The pass over all pictures: with the picture it names the place on the grid and the noise.
    pass: u64,
}

impl<const D: usize> DistillLoss<'_, D> {
    /// The rows of each pass of each optimizer step of the epoch.
    pub fn steps(&self, noise: Noise) -> Vec<Vec<Vec<DistillRow>>> {
        let (batch, update) = (self.plan.train_batch, self.plan.train_batch * self.plan.accumulation);
        let mut steps = Vec::with_capacity(self.plan.updates_per_epoch());
        for pass in 0..self.plan.inner_epochs as u64 {
            let address = Address { stream: Stream::SampleOrder, epoch: self.epoch, sample: SampleId(0), step: pass };
            let order = noise.at(address).permutation(self.pictures.prompts.len());
            let rows: Vec<DistillRow> = order.into_iter().map(|row| DistillRow { row, pass }).collect();
            steps.extend(rows.chunks(update).map(|rows| rows.chunks(batch).map(<[_]>::to_vec).collect()));
        }
        steps
    }

    fn address(&self, stream: Stream, row: DistillRow) -> Address {
        Address { stream, epoch: self.epoch, sample: SampleId(row.row as u64), step: row.pass }
    }

    fn place(&self, noise: Noise, row: DistillRow) -> usize {
        noise.at(self.address(Stream::DenoisingTimestep, row)).index(self.plan.grid.len())
    }

    fn places(&self, noise: Noise, rows: &[DistillRow]) -> Vec<usize> {
        rows.iter().map(|&row| self.place(noise, row)).collect()
    }

    fn epsilon(&self, noise: Noise, rows: &[DistillRow]) -> Tensor<D> {
        let state = &self.pictures.states;
        let draw = |&row: &DistillRow| {
            let address = self.address(Stream::DenoisingNoise, row);
            noise.normal_batch(address, &[address.sample], state.dims(), &state.device())
        };
        Tensor::cat(rows.iter().map(draw).collect(), 0)
    }

    fn states_of(&self, rows: &[DistillRow]) -> Tensor<D> {
        let places: Vec<i64> = rows.iter().map(|row| row.row as i64).collect();
        let places = Tensor::<1, Int>::from_data(TensorData::new(places, [rows.len()]), &self.pictures.states.device());
        self.pictures.states.clone().select(0, places)
    }
}

impl<P: ForkPolicy<D>, const D: usize> BatchLoss<P, D> for DistillLoss<'_, D> {
    type Row = DistillRow;

    fn pass(&self, core: &TrainerCore<P, D>, policy: &P, rows: &[DistillRow]) -> Result<Pass> {
        let (prompts, noise) = (&core.parts.prompts, core.noise());
        let ids: Vec<PromptId> = rows.iter().map(|row| self.pictures.prompts[row.row]).collect();
        let states = GridStates {
            clean: &self.states_of(rows),
            epsilon: &self.epsilon(noise, rows),
            grid: &self.plan.grid,
            places: &self.places(noise, rows),
            condition: &prompts.condition(&ids)?,
        };
        let reference = policy.reference();
        let teacher = Guided::new(&*reference, prompts.unconditional().clone(), self.plan.teacher_guidance)?;
        let target = core.old.as_ref().unwrap_or(&core.parts.policy).sampler();
        let models = DistillationModels { student: policy, target: &*target, teacher: &teacher };
        let DistillationLoss { loss, distance } = self.plan.objective.loss(self.schedule, &states, &models)?;
        Pass::backward(policy, rows.len(), loss.clone().mean(), &loss, [distance.mean()])
    }

    fn record(&self, epoch: Epoch, step: u64, grad_norm: f64, passes: &[Reading]) -> Record {
        let rows: f64 = passes.iter().map(|pass| pass.rows).sum();
        let distance = |pass: &Reading| {
            pass.others.first().and_then(|values| values.first()).map_or(f64::NAN, |&value| f64::from(value))
        };
        Record::Distillation(DistillationRecord {
            epoch: epoch.0,
            step,
            loss: passes.iter().map(|pass| pass.rows * pass.loss).sum::<f64>() / rows,
            distance_to_target: passes.iter().map(|pass| pass.rows * distance(pass)).sum::<f64>() / rows,
            grad_norm,
        })
    }

    fn timestep(&self, core: &TrainerCore<P, D>, row: DistillRow) -> f64 {
        self.plan.grid[self.place(core.noise(), row)] as f64
    }

    fn location(&self, core: &TrainerCore<P, D>, row: DistillRow) -> Location {
        let prompt = core.parts.prompts.texts(&self.pictures.prompts[row.row..=row.row]).pop();
        Location { sample: Some(row.row), prompt, ..Location::default() }
    }

    fn describe(
        &self,
        core: &TrainerCore<P, D>,
        rows: &[DistillRow],
        record: NonFiniteBatch,
    ) -> Result<NonFiniteBatch> {
        let places = self.places(core.noise(), rows);
        let timesteps: Vec<f32> = places.into_iter().map(|place| self.plan.grid[place] as f32).collect();
        Ok(record.with("clean", &self.states_of(rows)).with_values("timestep", &timesteps))
    }

    fn old_keeps(&self) -> Option<f64> {
        Some(self.plan.target_decay)
    }
}
