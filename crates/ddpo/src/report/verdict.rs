//! Whether a run looks over-optimised.

use std::fmt;

use ddpo_train::EvalRecord;

use super::records::Records;

/// Moving this much farther from the base model between two evaluations wants a gain to show for it.
///
/// There is no limit on the divergence itself: it grows with the size of a latent and the number of steps, so that one
/// number would be wrong for most models.
const KL_GROWTH: f64 = 1.5;

/// A gain since the last evaluation below this share of the whole gain is none.
const GAIN_SHARE: f64 = 0.05;

/// Below this share of the base model's diversity, images have become alike.
const DIVERSITY_LIMIT: f64 = 0.7;

/// A sign that the reward was won at the cost of something else.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// The optimised reward is no better on unseen prompts than the base model's.
    NoGain {
        /// The base model's mean.
        base: f64,
        /// The last evaluation's mean.
        last: f64,
    },
    /// The reward on unseen prompts has come down from its best.
    PastBest {
        /// The epoch of the best evaluation.
        epoch: u64,
        /// Its mean.
        best: f64,
        /// The last evaluation's mean.
        last: f64,
    },
    /// A reward that is not optimised fell.
    HeldOutFell {
        /// The reward.
        name: String,
        /// The base model's mean.
        base: f64,
        /// The last evaluation's mean.
        last: f64,
    },
    /// The model moves away from the base model and has nothing to show for it.
    MovedForNothing {
        /// Nats a trajectory at the evaluation before the last.
        before: f64,
        /// Nats a trajectory at the last one.
        last: f64,
    },
    /// Images have become alike.
    LessDiverse {
        /// The base model's diversity.
        base: f64,
        /// The last evaluation's.
        last: f64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGain { base, last } => write!(
                f,
                "On prompts and seeds that training never used, the reward is no better than the base model's ({base:.3} before, {last:.3} now)."
            ),
            Self::PastBest { epoch, best, last } => write!(
                f,
                "On unseen prompts the reward was best after epoch {epoch} ({best:.3}) and has fallen since ({last:.3})."
            ),
            Self::HeldOutFell { name, base, last } => {
                write!(
                    f,
                    "{name}, which is not optimised, fell from {base:.3} to {last:.3}: a sign of over-optimisation."
                )
            }
            Self::MovedForNothing { before, last } => write!(
                f,
                "Since the evaluation before the last, the divergence from the base model grew from {before:.1} to {last:.1} nats and the reward on unseen prompts did not: look at the images."
            ),
            Self::LessDiverse { base, last } => write!(
                f,
                "Images have become alike: diversity fell from {base:.3} to {last:.3}, to {:.0} % of the base model's.",
                100.0 * last / base
            ),
        }
    }
}

/// What the evaluations say in short.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Verdict {
    /// The base model's and the last evaluation's mean reward, when there are two evaluations.
    pub reward: Option<(f64, f64)>,
    /// Signs of over-optimisation.
    pub warnings: Vec<Warning>,
}

impl Verdict {
    /// Compares the last evaluation with the first, which is the base model's.
    pub fn of(records: &Records) -> Self {
        let (Some(base), Some(last)) = (records.evals.first(), records.evals.last()) else {
            return Self::default();
        };
        if base.epoch == last.epoch {
            return Self::default();
        }
        Self {
            reward: Some((base.reward_mean, last.reward_mean)),
            warnings: (reward_warning(records, base, last).into_iter())
                .chain(moved_for_nothing(records, base, last))
                .chain(other_warnings(base, last))
                .collect(),
        }
    }
}

/// No gain at all, or a quarter of the gain lost since the best: less is mostly the noise of so few images.
fn reward_warning(records: &Records, base: &EvalRecord, last: &EvalRecord) -> Option<Warning> {
    let best = records.evals.iter().max_by(|a, b| a.reward_mean.total_cmp(&b.reward_mean))?;
    let gain = best.reward_mean - base.reward_mean;
    if last.reward_mean <= base.reward_mean {
        Some(Warning::NoGain { base: base.reward_mean, last: last.reward_mean })
    } else if best.reward_mean - last.reward_mean > 0.25 * gain {
        Some(Warning::PastBest { epoch: best.epoch, best: best.reward_mean, last: last.reward_mean })
    } else {
        None
    }
}

fn moved_for_nothing(records: &Records, base: &EvalRecord, last: &EvalRecord) -> Option<Warning> {
    let before = records.evals.iter().rev().nth(1)?;
    let (from, to) = (before.kl_to_base, last.kl_to_base);
    let gained = last.reward_mean - before.reward_mean;
    let nothing = gained <= GAIN_SHARE * (last.reward_mean - base.reward_mean).abs();
    (from > 0.0 && to > KL_GROWTH * from && nothing).then_some(Warning::MovedForNothing { before: from, last: to })
}

fn other_warnings(base: &EvalRecord, last: &EvalRecord) -> Vec<Warning> {
    let fallen = base.held_out.iter().filter_map(|(name, base)| {
        let last = *last.held_out.get(name)?;
        (last < *base).then(|| Warning::HeldOutFell { name: name.clone(), base: *base, last })
    });
    let alike = (last.diversity < DIVERSITY_LIMIT * base.diversity)
        .then_some(Warning::LessDiverse { base: base.diversity, last: last.diversity });
    fallen.chain(alike).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(epoch: u64, reward: f64, kl: f64, diversity: f64) -> EvalRecord {
        EvalRecord {
            epoch,
            reward_mean: reward,
            held_out: [("other".to_owned(), -reward)].into(),
            kl_to_base: kl,
            diversity,
            ..EvalRecord::default()
        }
    }

    #[track_caller]
    fn check(evals: Vec<EvalRecord>, expected: &[&str]) {
        let records = Records { evals, ..Records::default() };
        let texts: Vec<String> = Verdict::of(&records).warnings.iter().map(Warning::to_string).collect();
        assert_eq!(texts.len(), expected.len(), "{texts:?}");
        for (text, expected) in texts.iter().zip(expected) {
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn each_sign_is_named() {
        check(vec![], &[]);
        check(vec![eval(0, -2.0, 0.0, 1.0)], &[]);
        check(
            vec![eval(0, -2.0, 0.0, 1.0), eval(4, -3.0, 1.0, 0.9)],
            &["no better than the base model's (-2.000 before, -3.000 now)"],
        );
        check(
            vec![eval(0, -2.0, 0.0, 1.0), eval(4, -1.0, 1.0, 0.9)],
            &["other, which is not optimised, fell from 2.000 to 1.000"],
        );
        check(
            vec![eval(0, -3.0, 0.0, 1.0), eval(4, -1.0, 1.0, 0.9), eval(8, -2.0, 50.0, 0.4)],
            &["best after epoch 4 (-1.000) and has fallen", "from 1.0 to 50.0 nats", "other", "to 40 %"],
        );
    }
}
