//! Whether a run looks over-optimised.

use std::fmt;

use ddpo_train::EvalRecord;

use super::estimate::Estimate;
use super::records::Records;

/// Moving this much farther from the base model between two evaluations wants a gain to show for it.
///
/// The divergence itself has no limit in nats: it grows with the size of a latent and the number of steps, so that one number
/// would be wrong for most models. [`FAR`] is its limit in standard deviations.
const KL_GROWTH: f64 = 1.5;

/// A gain since the last evaluation below this share of the whole gain is none.
const GAIN_SHARE: f64 = 0.05;

/// From here on a step lands where the base model would practically never go: its own draws are within three standard
/// deviations 99.7 times of 100.
const FAR: f64 = 3.0;

/// Below this share of the base model's diversity, images have become alike.
const DIVERSITY_LIMIT: f64 = 0.7;

/// Below this share of the base model's share of pictures that are as asked for, the reward is bought with what they show.
const AS_ASKED_LIMIT: f64 = 0.9;

/// A sign that the reward was won at the cost of something else.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// The optimised reward is no better than the base model's.
    NoGain {
        /// Whether the evaluation's prompts were training's, too; `None` where that is not known.
        unseen: Option<bool>,
        /// The base model's mean.
        base: f64,
        /// The last evaluation's mean.
        last: f64,
        /// What the reward counts.
        unit: Option<String>,
    },
    /// The reward has come down from its best.
    PastBest {
        /// The epoch of the best evaluation.
        epoch: u64,
        /// Its mean.
        best: f64,
        /// The last evaluation's mean.
        last: f64,
        /// What the reward counts.
        unit: Option<String>,
    },
    /// A reward that is not optimised fell.
    HeldOutFell {
        /// The reward.
        name: String,
        /// The base model's mean.
        base: f64,
        /// The last evaluation's mean.
        last: f64,
        /// What the reward counts.
        unit: Option<String>,
    },
    /// The reward of one of several tasks fell.
    TaskFell {
        /// The task.
        name: String,
        /// The base model's mean.
        base: f64,
        /// The last evaluation's mean.
        last: f64,
        /// What the reward counts.
        unit: Option<String>,
    },
    /// The model moves away from the base model and has nothing to show for it.
    MovedForNothing {
        /// Nats a trajectory at the evaluation before the last.
        before: f64,
        /// Nats a trajectory at the last one.
        last: f64,
    },
    /// The model has gone where the base model never goes.
    Far {
        /// Nats a trajectory.
        nats: f64,
        /// How far a step is from the base model's, in standard deviations of its noise.
        shift: f64,
    },
    /// Images no longer show what was asked for.
    NotAsAsked {
        /// The base model's share of images that do.
        base: f64,
        /// The last evaluation's.
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
            Self::NoGain { unseen, base, last, unit } => {
                let [base, last] = told_apart([*base, *last], unit.as_deref());
                let on = evaluated(*unseen);
                write!(f, "On {on}, the reward is no better than the base model's ({base} before, {last} now).")
            }
            Self::PastBest { epoch, best, last, unit } => {
                let [best, last] = told_apart([*best, *last], unit.as_deref());
                write!(f, "The reward was best after epoch {epoch} ({best}) and has fallen since ({last}).")
            }
            Self::HeldOutFell { name, base, last, unit } => {
                let [base, last] = told_apart([*base, *last], unit.as_deref());
                write!(f, "{name}, which is not optimised, fell from {base} to {last}: a sign of over-optimisation.")
            }
            Self::TaskFell { name, base, last, unit } => {
                let [base, last] = told_apart([*base, *last], unit.as_deref());
                write!(f, "The reward of the task {name} fell from {base} to {last}: it has paid for the others.")
            }
            Self::MovedForNothing { before, last } => write!(
                f,
                "Since the evaluation before the last, the divergence from the base model grew from {before:.1} to {last:.1} nats and the reward did not: look at the images."
            ),
            Self::Far { nats, shift } => write!(
                f,
                "The model is far from the base model ({nats:.0} nats): each denoising step lands {shift:.1} standard deviations of its own noise from where the base model would. See whether the images still show what they were asked for."
            ),
            Self::NotAsAsked { base, last } => write!(
                f,
                "Images no longer show what was asked for: {:.0} % of them do, and {:.0} % did before.",
                100.0 * last,
                100.0 * base
            ),
            Self::LessDiverse { base, last } => write!(
                f,
                "Images have become alike: diversity fell from {base:.3} to {last:.3}, to {:.0} % of the base model's.",
                100.0 * last / base
            ),
        }
    }
}

/// Two numbers with their unit, with three decimals or as many more as tell them apart.
fn told_apart(values: [f64; 2], unit: Option<&str>) -> [String; 2] {
    let said = |decimals: usize| values.map(|value| format!("{value:.decimals$}"));
    let apart = (3..9).map(said).find(|[a, b]| a != b || values[0] == values[1]);
    let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    apart.unwrap_or_else(|| said(9)).map(|value| value + &unit)
}

/// What an evaluation is of, for a sentence that begins with "on".
pub fn evaluated(unseen: Option<bool>) -> &'static str {
    match unseen {
        Some(true) => "unseen prompts and seeds",
        Some(false) => "seen prompts, unseen seeds",
        None => "the evaluation's prompts and seeds",
    }
}

/// How far a step of the policy lands from where the base model's would, in standard deviations of the step's own noise: a
/// root mean square over the values of a latent and the steps of a chain, of which the divergence is half the sum of squares.
/// `None` where the run does not say how long a chain is, or nothing was measured.
pub(super) fn shift(records: &Records, nats: f64) -> Option<f64> {
    let chain = &records.run.as_ref()?.chain;
    let values = (chain.steps * chain.latent.iter().product::<u64>()) as f64;
    Some((2.0 * nats / values).sqrt()).filter(|shift| shift.is_finite())
}

/// What the evaluations say in short.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Verdict {
    /// The base model's and the product's mean reward, when there are two evaluations.
    pub reward: Option<(f64, f64)>,
    /// Signs of over-optimisation.
    pub warnings: Vec<Warning>,
}

impl Verdict {
    /// Compares the product's evaluation with the first, which is the base model's.
    pub fn of(records: &Records) -> Self {
        let evals = records.up_to_product();
        let (Some(base), Some(last)) = (evals.first(), evals.last()) else {
            return Self::default();
        };
        if base.epoch == last.epoch {
            return Self::default();
        }
        Self {
            reward: Some((base.reward_mean, last.reward_mean)),
            warnings: (not_as_asked(base, last).into_iter())
                .chain(reward_warning(records, base, last))
                .chain(tasks_that_fell(records, base, last))
                .chain(moved_for_nothing(records, base, last))
                .chain(far(records, last))
                .chain(held_out_warnings(records, base, last))
                .chain(less_diverse(base, last))
                .collect(),
        }
    }
}

/// No gain at all, or a quarter of the gain lost since the best: less is mostly the noise of so few images.
fn reward_warning(records: &Records, base: &EvalRecord, last: &EvalRecord) -> Option<Warning> {
    let best = records.up_to_product().iter().max_by(|a, b| a.reward_mean.total_cmp(&b.reward_mean))?;
    let gain = best.reward_mean - base.reward_mean;
    let (last, unit) = (last.reward_mean, records.run.as_ref().and_then(|run| run.reward.unit.clone()));
    if last <= base.reward_mean {
        Some(Warning::NoGain { unseen: records.has_unseen_prompts(), base: base.reward_mean, last, unit })
    } else if best.reward_mean - last > 0.25 * gain {
        Some(Warning::PastBest { epoch: best.epoch, best: best.reward_mean, last, unit })
    } else {
        None
    }
}

fn moved_for_nothing(records: &Records, base: &EvalRecord, last: &EvalRecord) -> Option<Warning> {
    let before = records.up_to_product().iter().rev().nth(1)?;
    let (from, to) = (before.kl_to_base, last.kl_to_base);
    let gained = last.reward_mean - before.reward_mean;
    let nothing = gained <= GAIN_SHARE * (last.reward_mean - base.reward_mean).abs();
    (from > 0.0 && to > KL_GROWTH * from && nothing).then_some(Warning::MovedForNothing { before: from, last: to })
}

fn far(records: &Records, last: &EvalRecord) -> Option<Warning> {
    let shift = shift(records, last.kl_to_base).filter(|shift| *shift >= FAR)?;
    Some(Warning::Far { nats: last.kl_to_base, shift })
}

fn not_as_asked(base: &EvalRecord, last: &EvalRecord) -> Option<Warning> {
    let (base, last) = (base.as_asked?, last.as_asked?);
    (last < AS_ASKED_LIMIT * base).then_some(Warning::NotAsAsked { base, last })
}

/// The tasks whose rewards fell by more than the noise of so few pictures, where their values are known.
fn tasks_that_fell(records: &Records, base: &EvalRecord, last: &EvalRecord) -> Vec<Warning> {
    let fallen = base.tasks.iter().zip(&last.tasks).filter_map(|(before, now)| {
        let task = records.run.as_ref().and_then(|run| run.tasks.iter().find(|task| task.name == before.name));
        let prompts = task.map_or(0, |task| task.evaluation as usize);
        let is_noise =
            Estimate::of_gain(&before.rewards, &now.rewards, prompts).is_some_and(|gain| gain.mean > -gain.half);
        (now.reward_mean < before.reward_mean && !is_noise).then(|| Warning::TaskFell {
            name: before.name.clone(),
            base: before.reward_mean,
            last: now.reward_mean,
            unit: task.and_then(|task| task.reward.unit.clone()),
        })
    });
    fallen.collect()
}

/// The rewards that are not optimised and that fell by more than the noise of so few pictures, where their values are known.
fn held_out_warnings(records: &Records, base: &EvalRecord, last: &EvalRecord) -> Vec<Warning> {
    let unit = |name: &str| {
        records.run.as_ref()?.held_out.iter().find(|reward| reward.name == name).and_then(|reward| reward.unit.clone())
    };
    let prompts = records.run.as_ref().map_or(0, |run| run.prompts.evaluation.len());
    let fallen = base.held_out.iter().filter_map(|(name, &before)| {
        let now = *last.held_out.get(name)?;
        let pairs = base.held_out_rewards.get(name).zip(last.held_out_rewards.get(name));
        let is_noise = pairs
            .and_then(|(from, to)| Estimate::of_gain(from, to, prompts))
            .is_some_and(|gain| gain.mean > -gain.half);
        (now < before && !is_noise).then(|| Warning::HeldOutFell {
            name: name.clone(),
            base: before,
            last: now,
            unit: unit(name),
        })
    });
    fallen.collect()
}

fn less_diverse(base: &EvalRecord, last: &EvalRecord) -> Option<Warning> {
    (last.diversity < DIVERSITY_LIMIT * base.diversity)
        .then_some(Warning::LessDiverse { base: base.diversity, last: last.diversity })
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
    fn far_is_three_standard_deviations_a_step() {
        let chain = ddpo_train::ChainRecord { steps: 10, latent: [4, 4, 5], ..Default::default() };
        let run = ddpo_train::RunRecord { chain, ..Default::default() };
        let records = |kl: f64| {
            let evals = vec![eval(0, -2.0, 0.0, 1.0), EvalRecord { held_out: [].into(), ..eval(4, -1.0, kl, 1.0) }];
            Records { run: Some(run.clone()), evals, ..Records::default() }
        };
        // Half of the square, for each of 800 values.
        assert_eq!(shift(&records(0.0), 3600.0), Some(3.0));
        assert_eq!(Verdict::of(&records(3500.0)).warnings, []);
        assert_eq!(Verdict::of(&records(3600.0)).warnings, [Warning::Far { nats: 3600.0, shift: 3.0 }]);
        assert_eq!(shift(&Records::default(), 3600.0), None);
    }

    #[test]
    fn shared_prompts_are_never_called_unseen() {
        let said = |disjoint: bool| {
            let prompts = ddpo_train::PromptsRecord { disjoint, ..Default::default() };
            let run = ddpo_train::RunRecord { prompts, ..Default::default() };
            let evals = vec![eval(0, -2.0, 0.0, 1.0), eval(4, -3.0, 1.0, 0.9)];
            Verdict::of(&Records { run: Some(run), evals, ..Records::default() }).warnings[0].to_string()
        };
        assert!(said(true).starts_with("On unseen prompts and seeds, "), "{}", said(true));
        assert!(said(false).starts_with("On seen prompts, unseen seeds, "), "{}", said(false));
    }

    #[test]
    fn a_fall_within_the_noise_of_the_pictures_is_none() {
        let values = |shift: f32| (0..16).map(|i| shift + (i % 4) as f32).collect::<Vec<_>>();
        let said = |now: Vec<f32>| {
            let mean = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
            let eval = |epoch: u64, values: Vec<f32>| EvalRecord {
                held_out: [("other".to_owned(), mean(&values))].into(),
                held_out_rewards: [("other".to_owned(), values)].into(),
                ..eval(epoch, epoch as f64, 0.0, 1.0)
            };
            let records = Records { evals: vec![eval(0, values(0.0)), eval(4, now)], ..Records::default() };
            Verdict::of(&records).warnings
        };
        // Every picture has lost a hundredth.
        assert!(matches!(said(values(-0.01)).as_slice(), [Warning::HeldOutFell { .. }]));
        // Some have won a half and one more has lost it: a mean difference of less than its interval.
        let mixed = values(0.0).iter().enumerate().map(|(i, value)| value + [-0.5, 0.5][(i % 9) % 2]).collect();
        assert_eq!(said(mixed), []);
    }

    #[test]
    fn a_task_that_paid_for_the_others_is_named() {
        let reward = ddpo_train::RewardRecord { name: "size".into(), unit: Some("kB".into()) };
        let task = ddpo_train::TaskRecord { name: "small".into(), reward, evaluation: 2, ..Default::default() };
        let run = ddpo_train::RunRecord { tasks: vec![task], ..Default::default() };
        let said = |now: [f32; 4]| {
            let of = |rewards: [f32; 4]| ddpo_train::TaskEvalRecord {
                name: "small".into(),
                reward_mean: f64::from(rewards.iter().sum::<f32>()) / 4.0,
                rewards: rewards.to_vec(),
                ..Default::default()
            };
            let eval = |epoch: u64, rewards| EvalRecord {
                tasks: vec![of(rewards)],
                held_out: [].into(),
                ..eval(epoch, epoch as f64, 0.0, 1.0)
            };
            let evals = vec![eval(0, [1.0, 2.0, 1.0, 2.0]), eval(4, now)];
            Verdict::of(&Records { run: Some(run.clone()), evals, ..Records::default() }).warnings
        };
        assert_eq!(
            said([0.5, 1.5, 0.5, 1.5])[0].to_string(),
            "The reward of the task small fell from 1.500 kB to 1.000 kB: it has paid for the others."
        );
        // One prompt lost and the other won about as much.
        assert_eq!(said([0.25, 2.5, 0.25, 2.5]), []);
    }

    #[test]
    fn numbers_that_differ_are_told_apart_and_have_their_unit() {
        assert_eq!(told_apart([-1.5601, -1.5604], Some("kB")), ["-1.5601 kB", "-1.5604 kB"]);
        assert_eq!(told_apart([2.0, 1.0], None), ["2.000", "1.000"]);
        assert_eq!(told_apart([1.0, 1.0], None), ["1.000", "1.000"]);
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
