//! What evaluations say of a run as a whole: which state is the best, how many prompts have improved, when to stop.

use crate::checkpoint::Snapshot;
use crate::events::Halt;
use crate::tensors::NamedTensor;

/// When a run ends before its last epoch. Nothing is a rule of its own: the default never ends a run. A state that is beyond a limit is
/// not the best one, whatever its reward.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StopRule {
    /// The largest divergence from the base model, in nats a chain.
    pub kl: Option<f64>,
    /// The largest distance from the base model in the picture it sees in a noised one, a mean square over latent elements.
    pub distance: Option<f64>,
    /// So many evaluations in a row without a better watched reward.
    pub patience: Option<u64>,
    /// The least share of pictures that show what they were asked for, over the base model's.
    pub as_asked: Option<f64>,
    /// Whether a run that ends so hands back the best state that was evaluated, which somebody keeps, and not its last one.
    pub hands_back_best: bool,
}

/// What an evaluation has found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Findings {
    /// The epochs done.
    pub epoch: u64,
    /// The mean of the watched reward.
    pub value: f64,
    /// The divergence from the base model, in nats a chain.
    pub kl: f64,
    /// The distance from the base model in the picture it sees, where that was measured.
    pub distance: Option<f64>,
    /// The share of pictures that show what they were asked for, where somebody can tell.
    pub as_asked: Option<f64>,
}

/// What the evaluations so far have said. It belongs in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct EarlyStopping {
    /// The base model's reward of each evaluation sample, those of all tasks one behind the other; empty before the first evaluation.
    base: Vec<f32>,
    /// The share of the base model's pictures that are as asked for; 0 where nobody can tell.
    base_as_asked: f64,
    best: Option<Best>,
    /// Evaluations since the best one.
    stale: u64,
    halted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Best {
    epoch: u64,
    value: f64,
}

/// The name of the base model's rewards in a snapshot.
const BASE: &str = "evaluation/base";

impl EarlyStopping {
    /// Remembers the rewards of the first evaluation, which is of the base model, and says whether these are those.
    pub fn remember(&mut self, rewards: Vec<f32>) -> bool {
        let is_first = self.base.len() != rewards.len();
        if is_first {
            self.base = rewards;
        }
        is_first
    }

    /// The base model's rewards.
    pub fn base(&self) -> &[f32] {
        &self.base
    }

    /// Takes note of an evaluation, the first one being of the base model, and says why to stop, if so.
    pub fn judge(&mut self, rule: StopRule, found: Findings) -> Option<Halt> {
        let Findings { epoch, value, kl, distance, as_asked } = found;
        if self.best.is_none() {
            self.base_as_asked = as_asked.unwrap_or_default();
        }
        let base = self.base_as_asked;
        let diverged = rule.kl.is_some_and(|limit| kl > limit);
        let astray = as_asked.filter(|share| rule.as_asked.is_some_and(|least| *share < least * base));
        let far = distance.filter(|distance| rule.distance.is_some_and(|limit| *distance > limit));
        let beyond = match (astray, far) {
            _ if diverged => Some(Halt::Divergence { kl }),
            (Some(share), _) => Some(Halt::NotAsAsked { base, share }),
            (_, Some(distance)) => Some(Halt::Distance { distance }),
            _ => None,
        };
        if beyond.is_none() && self.best.is_none_or(|best| value > best.value) {
            (self.best, self.stale) = (Some(Best { epoch, value }), 0);
        } else {
            self.stale += 1;
        }
        let hopeless = rule.patience.is_some_and(|patience| self.stale >= patience);
        let halt = beyond.or_else(|| hopeless.then_some(Halt::NoGain { evaluations: self.stale }));
        self.halted = halt.is_some();
        halt
    }

    /// Whether the state after `epoch` is the best that was evaluated.
    pub fn is_best(&self, epoch: u64) -> bool {
        self.best.is_some_and(|best| best.epoch == epoch)
    }

    /// Whether an evaluation has said to stop.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// The epoch of the best state that was evaluated.
    pub fn best_epoch(&self) -> Option<u64> {
        self.best.map(|best| best.epoch)
    }

    /// Adds this to a snapshot. What is no whole number goes in as its bits: a manifest has no others.
    pub fn write(&self, snapshot: &mut Snapshot) {
        let best = self.best.map_or([0, 0], |best| [best.epoch + 1, best.value.to_bits()]);
        let numbers = [
            ("best-epoch-plus-1", best[0]),
            ("best-value-bits", best[1]),
            ("evaluations-since-best", self.stale),
            ("halted", self.halted.into()),
            ("base-as-asked-bits", self.base_as_asked.to_bits()),
        ];
        snapshot.counters.extend(numbers.map(|(name, number)| (name.to_owned(), number)));
        if !self.base.is_empty() {
            snapshot.tensors.push(NamedTensor { name: BASE.to_owned(), values: self.base.clone() });
        }
    }

    /// Reads what [`write`](Self::write) wrote; a snapshot of an earlier version has nothing of it.
    pub fn read(snapshot: &Snapshot) -> Self {
        let best = snapshot.counter("best-epoch-plus-1").checked_sub(1);
        let value = f64::from_bits(snapshot.counter("best-value-bits"));
        let base = snapshot.tensors.iter().find(|tensor| tensor.name == BASE);
        Self {
            base: base.map(|tensor| tensor.values.clone()).unwrap_or_default(),
            base_as_asked: f64::from_bits(snapshot.counter("base-as-asked-bits")),
            best: best.map(|epoch| Best { epoch, value }),
            stale: snapshot.counter("evaluations-since-best"),
            halted: snapshot.counter("halted") != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_models_rewards_are_the_first() {
        let mut early_stopping = EarlyStopping::default();
        assert!(early_stopping.remember(vec![1.0, 2.0]) && !early_stopping.remember(vec![3.0, 4.0]));
        assert_eq!(early_stopping.base(), [1.0, 2.0]);
    }

    #[test]
    fn patience_counts_evaluations_since_the_best() {
        let rule = StopRule { patience: Some(2), ..StopRule::default() };
        let mut early_stopping = EarlyStopping::default();
        let found = |value: f64| Findings { epoch: value as u64, value, ..Findings::default() };
        let halts = [1.0, 3.0, 2.0, 3.5, 3.5, 3.0].map(|value| early_stopping.judge(rule, found(value)).is_some());
        assert_eq!(halts, [false, false, false, false, false, true]);
        assert!(early_stopping.is_halted() && early_stopping.is_best(3) && !early_stopping.is_best(2));
    }

    #[test]
    fn a_divergence_above_the_limit_stops() {
        let rule = StopRule { kl: Some(5.0), ..StopRule::default() };
        let mut early_stopping = EarlyStopping::default();
        let found = |epoch: u64, kl| Findings { epoch, value: epoch as f64, kl, ..Findings::default() };
        assert_eq!(early_stopping.judge(rule, found(0, 5.0)), None);
        assert_eq!(early_stopping.judge(rule, found(1, 5.1)), Some(Halt::Divergence { kl: 5.1 }));
        assert_eq!(early_stopping.best_epoch(), Some(0), "a state beyond the limit is not the best one");
        assert_eq!(early_stopping.judge(rule, found(2, f64::NAN)), None, "no divergence is none above the limit");
    }

    #[test]
    fn a_distance_above_the_limit_stops_where_there_is_one() {
        let rule = StopRule { distance: Some(0.01), ..StopRule::default() };
        let judged = |distance| EarlyStopping::default().judge(rule, Findings { distance, ..Findings::default() });
        assert_eq!(judged(Some(0.011)), Some(Halt::Distance { distance: 0.011 }));
        assert_eq!((judged(Some(0.01)), judged(None)), (None, None));
    }

    #[test]
    fn fewer_pictures_as_asked_for_stop_and_are_not_the_best() {
        let rule = StopRule { as_asked: Some(0.9), ..StopRule::default() };
        let mut early_stopping = EarlyStopping::default();
        let found = |epoch: u64, share: f64| Findings {
            epoch,
            value: epoch as f64,
            as_asked: Some(share),
            ..Findings::default()
        };
        assert_eq!(early_stopping.judge(rule, found(0, 0.5)), None);
        assert_eq!(early_stopping.judge(rule, found(1, 0.451)), None);
        let mut snapshot = Snapshot::default();
        early_stopping.write(&mut snapshot);
        let mut early_stopping = EarlyStopping::read(&snapshot);
        let halt = early_stopping.judge(rule, found(2, 0.449));
        assert_eq!(halt, Some(Halt::NotAsAsked { base: 0.5, share: 0.449 }));
        assert!(early_stopping.is_halted() && early_stopping.is_best(1) && !early_stopping.is_best(2));
        // Without a rule, or without a judge, the best reward is the best.
        let judged = |rule, share| EarlyStopping::default().judge(rule, Findings { as_asked: share, ..found(3, 0.0) });
        assert_eq!((judged(StopRule::default(), Some(0.0)), judged(rule, None)), (None, None));
    }

    #[test]
    fn it_survives_a_snapshot() {
        let mut early_stopping = EarlyStopping::default();
        assert_eq!(EarlyStopping::read(&Snapshot::default()), early_stopping);
        early_stopping.remember(vec![1.0, -2.5]);
        let found = Findings { epoch: 0, value: -0.1, kl: 1.0, distance: None, as_asked: Some(0.75) };
        early_stopping.judge(StopRule { kl: Some(0.5), ..StopRule::default() }, found);
        let mut snapshot = Snapshot::default();
        early_stopping.write(&mut snapshot);
        assert_eq!(EarlyStopping::read(&snapshot), early_stopping);
    }
}
