//! What a run has come to, in words that are true of it.

use ddpo::report::Records;
use ddpo::train::{EvalRecord, RewardRecord, RunRecord};

use crate::numbers::grouped;

/// The reward before and after, and how far the model has gone; nothing where there are not two evaluations.
pub fn lines(records: &Records) -> Vec<String> {
    let [base, .., last] = records.evals.as_slice() else { return Vec::new() };
    let whose = match records.has_unseen_prompts() {
        Some(true) => "on unseen prompts and seeds",
        Some(false) => "on the training prompts, with other seeds",
        None => "in evaluation",
    };
    let unit = unit(records.run.as_ref().map(|run| &run.reward));
    let reward = format!(
        "reward {whose}: {:.3}{unit} before, {:.3}{unit} after epoch {}",
        base.reward_mean, last.reward_mean, last.epoch
    );
    let moved = match last.kl_to_base.is_finite() {
        true => format!(
            "divergence from the base model after epoch {}: {} a chain of {} (0: nothing has changed; docs/guide/reading-a-report.md)",
            last.epoch,
            nats(last.kl_to_base),
            records.run.as_ref().map_or_else(|| "denoising steps".into(), |run| format!("{} steps", run.chain.steps)),
        ),
        false => format!(
            "distance from the base model after epoch {}: {:.4} of the picture (0: nothing has changed); chains that draw nothing have no divergence",
            last.epoch,
            last.x0_distance.unwrap_or(f64::NAN),
        ),
    };
    vec![reward, moved]
}

/// ` kB`, or nothing for a pure number.
pub fn unit(reward: Option<&RewardRecord>) -> String {
    reward.and_then(|reward| reward.unit.as_ref()).map(|unit| format!(" {unit}")).unwrap_or_default()
}

/// `0.08 nats`, `37,581 nats`.
pub fn nats(value: f64) -> String {
    if value < 100.0 { format!("{value:.2} nats") } else { format!("{} nats", grouped(value.round() as u64)) }
}

/// An evaluation in a line.
pub fn evaluation(record: &EvalRecord, run: Option<&RunRecord>) -> String {
    let prompts = match run.map(|run| run.prompts.disjoint) {
        Some(false) => "training prompts, other seeds",
        _ => "held out",
    };
    let when = if record.epoch == 0 { "before training".to_owned() } else { format!("after epoch {}", record.epoch) };
    let unit_of = |name: &str| unit(run.and_then(|run| run.held_out.iter().find(|reward| reward.name == name)));
    let others: String =
        record.held_out.iter().map(|(name, value)| format!("  {name} {value:.3}{}", unit_of(name))).collect();
    let improved =
        record.improved.map(|share| format!("  better on {:.0} % of prompts", 100.0 * share)).unwrap_or_default();
    let divergence = match record.x0_distance {
        _ if record.epoch == 0 => String::new(),
        _ if record.kl_to_base.is_finite() => format!("  divergence {} a chain", nats(record.kl_to_base)),
        distance => distance.map(|distance| format!("  distance {distance:.4}")).unwrap_or_default(),
    };
    let as_asked = record.as_asked.map(|share| format!("  {:.0} % as asked", 100.0 * share)).unwrap_or_default();
    format!(
        "{prompts}, {when}: reward {:.3}{}{others}{as_asked}{improved}{divergence}  diversity {:.3}",
        record.reward_mean,
        unit(run.map(|run| &run.reward)),
        record.diversity
    )
}

#[cfg(test)]
mod tests {
    use ddpo::train::{PromptsRecord, Record};

    use super::*;

    fn run(disjoint: bool) -> RunRecord {
        RunRecord {
            reward: RewardRecord { name: "size".into(), unit: Some("kB".into()) },
            prompts: PromptsRecord { disjoint, ..PromptsRecord::default() },
            ..RunRecord::default()
        }
    }

    fn eval(epoch: u64, reward_mean: f64, kl_to_base: f64) -> EvalRecord {
        EvalRecord { epoch, reward_mean, kl_to_base, diversity: 0.36, ..EvalRecord::default() }
    }

    fn summary(run: Option<RunRecord>) -> Vec<String> {
        let mut records = Records::default();
        records.extend(run.map(|run| Record::Run(Box::new(run))));
        records.extend([eval(0, -2.7424, 0.0), eval(20, -1.8443, 37_581.2)].map(Record::Eval));
        lines(&records)
    }

    #[test]
    fn only_prompts_that_training_never_used_are_called_unseen() {
        let disjoint = summary(Some(run(true)));
        assert_eq!(disjoint[0], "reward on unseen prompts and seeds: -2.742 kB before, -1.844 kB after epoch 20");
        let shared = summary(Some(run(false)));
        assert!(shared[0].starts_with("reward on the training prompts, with other seeds: -2.742 kB"), "{shared:?}");
        // A file of before says nothing of it, and neither do we.
        let unknown = summary(None);
        assert_eq!(unknown[0], "reward in evaluation: -2.742 before, -1.844 after epoch 20");
        assert!(unknown[1].contains("after epoch 20: 37,581 nats a chain"), "{unknown:?}");
        assert!(lines(&Records::default()).is_empty());
    }

    #[test]
    fn an_evaluation_says_what_its_numbers_count() {
        assert_eq!(
            evaluation(&eval(0, -2.7424, 0.0), Some(&run(true))),
            "held out, before training: reward -2.742 kB  diversity 0.360"
        );
        assert_eq!(
            evaluation(&eval(3, -2.0, 0.081), Some(&run(false))),
            "training prompts, other seeds, after epoch 3: reward -2.000 kB  divergence 0.08 nats a chain  diversity 0.360"
        );
    }
}
