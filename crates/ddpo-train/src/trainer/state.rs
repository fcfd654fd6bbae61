//! The trainers' state as a snapshot, and back.

use burn::tensor::Tensor;
use ddpo_core::{Policy, PromptId};

use super::ddpo::DdpoTrainer;
use super::distill::DistillTrainer;
use super::early_stopping::EarlyStopping;
use super::fork::ForkPolicy;
use super::forward::ForwardTrainer;
use super::preference::PreferenceTrainer;
use super::rwr::RwrTrainer;
use super::trainer_core::{Counters, LeftOut, TrainerCore};
use crate::checkpoint::Snapshot;
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::optimizer::AdamW;
use crate::run::{Learner, Position, Work};
use crate::tensors::NamedTensor;

/// What the names of remembered rewards begin with; the prompt's number follows.
const REMEMBERED: &str = "advantage/";

/// The latest rewards of each prompt, which advantages or weights are measured against.
type RewardHistory = Vec<(PromptId, Vec<f32>)>;

impl<P: ForkPolicy<D>, const D: usize> Learner for DdpoTrainer<P, D> {
    fn position(&self) -> Position {
        self.core.position()
    }

    fn advance(&mut self, work: Work, observer: &mut Observer<'_>) -> Result<()> {
        match work {
            Work::Epoch => self.epoch(observer),
            Work::Evaluation | Work::LastEvaluation => self.core.evaluate(observer),
        }
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.core.snapshot(self.advantage.state())
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.core.restore(snapshot, |memory| self.advantage.restore(memory))
    }
}

impl<P: ForkPolicy<D>, const D: usize> Learner for RwrTrainer<P, D> {
    fn position(&self) -> Position {
        self.core.position()
    }

    fn advance(&mut self, work: Work, observer: &mut Observer<'_>) -> Result<()> {
        match work {
            Work::Epoch => self.round(observer),
            Work::Evaluation | Work::LastEvaluation => self.core.evaluate(observer),
        }
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.core.snapshot(self.weighting.state())
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.core.restore(snapshot, |memory| self.weighting.restore(memory))
    }
}

impl<P: ForkPolicy<D>, const D: usize> Learner for ForwardTrainer<P, D> {
    fn position(&self) -> Position {
        self.core.position()
    }

    fn advance(&mut self, work: Work, observer: &mut Observer<'_>) -> Result<()> {
        match work {
            Work::Epoch => self.epoch(observer),
            Work::Evaluation | Work::LastEvaluation => self.core.evaluate(observer),
        }
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.core.snapshot(self.advantage.state())
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.core.restore(snapshot, |memory| self.advantage.restore(memory))
    }
}

impl<P: ForkPolicy<D>, const D: usize> Learner for DistillTrainer<P, D> {
    fn position(&self) -> Position {
        self.core.position()
    }

    fn advance(&mut self, work: Work, observer: &mut Observer<'_>) -> Result<()> {
        match work {
            Work::Epoch => self.epoch(observer),
            Work::Evaluation | Work::LastEvaluation => self.core.evaluate(observer),
        }
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.core.snapshot(RewardHistory::new())
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.core.restore(snapshot, |_| Ok(()))
    }
}

impl<P: ForkPolicy<D>, const D: usize> Learner for PreferenceTrainer<P, D> {
    fn position(&self) -> Position {
        self.core.position()
    }

    fn advance(&mut self, work: Work, observer: &mut Observer<'_>) -> Result<()> {
        match work {
            Work::Epoch => self.epoch(observer),
            Work::Evaluation | Work::LastEvaluation => self.core.evaluate(observer),
        }
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.core.snapshot(RewardHistory::new())
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.core.restore(snapshot, |_| Ok(()))
    }
}

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    fn position(&self) -> Position {
        let epochs_done = self.counters.epochs;
        let evaluated = self.counters.evaluated == epochs_done + 1;
        Position {
            epochs_done,
            evaluation_due: self.evaluation_due(),
            is_evaluated: evaluated || self.parts.evaluation.is_none(),
            is_best: evaluated && self.early_stopping.is_best(epochs_done),
            is_halted: self.early_stopping.is_halted(),
        }
    }

    fn snapshot(&self, memory: RewardHistory) -> Result<Snapshot> {
        let parameters = self.parts.policy.parameters();
        let names: Vec<String> = parameters.iter().map(|parameter| parameter.name.clone()).collect();
        let mut tensors = Vec::with_capacity(3 * names.len());
        for parameter in &parameters {
            tensors.push(NamedTensor::from_tensor(parameter_name(&parameter.name), &parameter.value)?);
        }
        for parameter in self.old.iter().flat_map(Policy::parameters) {
            tensors.push(NamedTensor::from_tensor(old_name(&parameter.name), &parameter.value)?);
        }
        for parameter in self.average.iter().flat_map(Policy::parameters) {
            tensors.push(NamedTensor::from_tensor(average_name(&parameter.name), &parameter.value)?);
        }
        tensors.extend(self.optimizer.export(&names)?);
        let remembered = memory.into_iter();
        tensors.extend(remembered.map(|(id, values)| NamedTensor { name: format!("{REMEMBERED}{}", id.0), values }));
        let counters = self.counters.to_named(self.optimizer.time());
        let epoch = self.counters.epochs;
        let mut snapshot = Snapshot { epoch, counters: counters.into(), tensors, ..Snapshot::default() };
        self.early_stopping.write(&mut snapshot);
        Ok(snapshot)
    }

    fn restore(
        &mut self,
        snapshot: &Snapshot,
        restore_memory: impl FnOnce(RewardHistory) -> ddpo_core::Result<()>,
    ) -> Result<()> {
        let parameters: Vec<(String, usize)> =
            self.parts.policy.parameters().into_iter().map(|p| (p.name, p.value.dims()[0])).collect();
        let device = &self.parts.device;
        let read = |name_of: fn(&str) -> String| -> Result<Vec<Tensor<1>>> {
            let value = |(name, length): &(String, usize)| {
                Ok(NamedTensor::find(&snapshot.tensors, &name_of(name), *length)?.to_tensor(device))
            };
            parameters.iter().map(value).collect()
        };
        let values = read(parameter_name)?;
        let old = self.old.is_some().then(|| read(old_name)).transpose()?;
        let average = self.average.is_some().then(|| read(average_name)).transpose()?;
        let time = snapshot.counter("adam-time");
        let optimizer = AdamW::import(self.optimizer.config(), time, &parameters, &snapshot.tensors, device)?;
        // Everything which can fail on a bad snapshot has been read by now.
        restore_memory(remembered(snapshot)?)?;
        self.parts.policy.set_parameters(values)?;
        for (policy, values) in [(&mut self.old, old), (&mut self.average, average)] {
            if let (Some(policy), Some(values)) = (policy, values) {
                policy.set_parameters(values)?;
            }
        }
        self.optimizer = optimizer;
        self.counters = Counters::from_snapshot(snapshot);
        self.early_stopping = EarlyStopping::read(snapshot);
        self.left_out = LeftOut::default();
        Ok(())
    }
}

impl Counters {
    fn to_named(self, adam_time: u64) -> [(String, u64); 4] {
        [
            ("adam-time", adam_time),
            ("evaluated", self.evaluated),
            ("reward-queries", self.reward_queries),
            ("updates", self.updates),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    fn from_snapshot(snapshot: &Snapshot) -> Self {
        Self {
            epochs: snapshot.epoch,
            updates: snapshot.counter("updates"),
            reward_queries: snapshot.counter("reward-queries"),
            evaluated: snapshot.counter("evaluated"),
        }
    }
}

fn parameter_name(name: &str) -> String {
    format!("parameter/{name}")
}

/// Of the old policy, which draws the samples.
fn old_name(name: &str) -> String {
    format!("old/{name}")
}

/// Of the moving average of the policy.
fn average_name(name: &str) -> String {
    format!("average/{name}")
}

/// The remembered rewards, in the order of prompts.
fn remembered(snapshot: &Snapshot) -> Result<RewardHistory> {
    let mut state = RewardHistory::new();
    for tensor in &snapshot.tensors {
        let Some(id) = tensor.name.strip_prefix(REMEMBERED) else { continue };
        let id = id.parse().map_err(|_| Error::Parameter {
            name: tensor.name.clone(),
            what: "the remembered rewards",
            found: id.to_owned(),
            wanted: "a prompt's number".to_owned(),
        })?;
        state.push((PromptId(id), tensor.values.clone()));
    }
    state.sort_by_key(|(id, _)| *id);
    Ok(state)
}
