//! The trainer's state as a snapshot, and back.

use burn::tensor::Tensor;
use ddpo_core::PromptId;
use ddpo_core::advantage::AdvantageState;

use super::ddpo::{Counters, DdpoTrainer};
use super::fork::ForkPolicy;
use crate::checkpoint::Snapshot;
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::optimizer::AdamW;
use crate::run::{Learner, Position};
use crate::tensors::NamedTensor;

/// What the names of remembered rewards begin with; the prompt's number follows.
const ADVANTAGE: &str = "advantage/";

impl<P: ForkPolicy<D>, const D: usize> Learner for DdpoTrainer<P, D> {
    fn position(&self) -> Position {
        Position { epochs_done: self.counters.epochs, evaluation_due: self.evaluation_due() }
    }

    fn advance(&mut self, observer: &mut Observer<'_>) -> Result<()> {
        if self.evaluation_due() { self.evaluate(observer) } else { self.epoch(observer) }
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let parameters = self.parts.policy.parameters();
        let names: Vec<String> = parameters.iter().map(|parameter| parameter.name.clone()).collect();
        let mut tensors = Vec::with_capacity(3 * names.len());
        for parameter in &parameters {
            tensors.push(NamedTensor::from_tensor(parameter_name(&parameter.name), &parameter.value)?);
        }
        tensors.extend(self.optimizer.export(&names)?);
        let remembered = self.parts.advantage.state().into_iter();
        tensors.extend(remembered.map(|(id, values)| NamedTensor { name: format!("{ADVANTAGE}{}", id.0), values }));
        let counters = self.counters.to_named(self.optimizer.time());
        Ok(Snapshot { epoch: self.counters.epochs, counters: counters.into(), tensors, ..Snapshot::default() })
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let parameters: Vec<(String, usize)> =
            self.parts.policy.parameters().into_iter().map(|p| (p.name, p.value.dims()[0])).collect();
        let device = &self.parts.device;
        let value = |(name, length): &(String, usize)| -> Result<Tensor<1>> {
            Ok(NamedTensor::find(&snapshot.tensors, &parameter_name(name), *length)?.to_tensor(device))
        };
        let values = parameters.iter().map(value).collect::<Result<Vec<_>>>()?;
        let time = snapshot.counter("adam-time");
        let optimizer = AdamW::import(self.plan.adamw, time, &parameters, &snapshot.tensors, device)?;
        // Everything which can fail on a bad snapshot has been read by now.
        self.parts.advantage.restore(remembered(snapshot)?)?;
        self.parts.policy.set_parameters(values)?;
        self.optimizer = optimizer;
        self.counters = Counters::from_snapshot(snapshot);
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

/// The advantage estimator's memory, in the order of prompts.
fn remembered(snapshot: &Snapshot) -> Result<AdvantageState> {
    let mut state = AdvantageState::new();
    for tensor in &snapshot.tensors {
        let Some(id) = tensor.name.strip_prefix(ADVANTAGE) else { continue };
        let id = id.parse().map_err(|_| Error::Parameter {
            name: tensor.name.clone(),
            what: "the advantage estimator",
            found: id.to_owned(),
            wanted: "a prompt's number".to_owned(),
        })?;
        state.push((PromptId(id), tensor.values.clone()));
    }
    state.sort_by_key(|(id, _)| *id);
    Ok(state)
}
