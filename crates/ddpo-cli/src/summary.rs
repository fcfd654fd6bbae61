//! What a run has come to, in words that are true of it.

use ddpo::report::Records;
use ddpo::train::{EvalRecord, RewardRecord, RunRecord};

use crate::numbers::grouped;

/// The reward before and after, and how far the model has gone; nothing where there are not two evaluations.
pub fn lines(records: &Records) -> Vec<String> {
    let [base, .., last] = records.up_to_product() else { return Vec::new() };
    let whose = match records.has_unseen_prompts() {
        Some(true) => "on unseen prompts and seeds",
        Some(false) => "on the training prompts, with other seeds",
        None => "in evaluation",
    };
    let run = records.run.as_ref();
    let told = |what: &str, before: f64, after: f64, reward: Option<&RewardRecord>| {
        let unit = unit(reward);
        format!("{what} {whose}: {before:.3}{unit} before, {after:.3}{unit} after epoch {}", last.epoch)
    };
    let mut lines: Vec<String> = base
        .tasks
        .iter()
        .zip(&last.tasks)
        .map(|(before, after)| {
            let what = format!("reward of {}", before.name);
            told(&what, before.reward_mean, after.reward_mean, reward_of_task(run, &before.name))
        })
        .collect();
    if lines.is_empty() {
        lines.push(told("reward", base.reward_mean, last.reward_mean, run.map(|run| &run.reward)));
    }
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
    lines.push(moved);
    lines
}

/// ` kB`, or nothing for a pure number.
pub fn unit(reward: Option<&RewardRecord>) -> String {
    reward.and_then(|reward| reward.unit.as_ref()).map(|unit| format!(" {unit}")).unwrap_or_default()
}

/// `0.08 nats`, `37,581 nats`.
pub fn nats(value: f64) -> String {
    if value < 100.0 { format!("{value:.2} nats") } else { format!("{} nats", grouped(value.round() as u64)) }
}

/// What a task of a run optimises, where the run says it.
pub fn reward_of_task<'a>(run: Option<&'a RunRecord>, name: &str) -> Option<&'a RewardRecord> {
    Some(&run?.tasks.iter().find(|task| task.name == name)?.reward)
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
    let reward = match record.tasks.as_slice() {
        [] => format!("reward {:.3}{}", record.reward_mean, unit(run.map(|run| &run.reward))),
        tasks => {
            let of = |name: &str| unit(reward_of_task(run, name));
            let each = tasks.iter().map(|task| format!("{} {:.3}{}", task.name, task.reward_mean, of(&task.name)));
            format!("{}  mean gain {:.2} σ", each.collect::<Vec<_>>().join("  "), record.reward_mean)
        }
    };
    format!("{prompts}, {when}: {reward}{others}{as_asked}{improved}{divergence}  diversity {:.3}", record.diversity)
}

#[cfg(test)]
mod tests {
    use ddpo::train::{PromptsRecord, Record, TaskEvalRecord};

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
    fn every_task_is_told_in_its_own_unit() {
        let task = |name: &str, unit: Option<&str>| ddpo::train::TaskRecord {
            name: name.into(),
            reward: RewardRecord { name: "r".into(), unit: unit.map(String::from) },
            ..Default::default()
        };
        let run = RunRecord { tasks: vec![task("small", Some("kB")), task("varied", None)], ..run(true) };
        let eval = |epoch: u64, small: f64, gain: f64| {
            let of =
                |name: &str, reward_mean: f64| TaskEvalRecord { name: name.into(), reward_mean, ..Default::default() };
            EvalRecord { tasks: vec![of("small", small), of("varied", 0.5)], ..eval(epoch, gain, 0.0) }
        };
        assert_eq!(
            evaluation(&eval(4, -2.0, 0.75), Some(&run)),
            "held out, after epoch 4: small -2.000 kB  varied 0.500  mean gain 0.75 σ  divergence 0.00 nats a chain  diversity 0.360"
        );
        let mut records = Records::default();
        let evals = [eval(0, -3.0, 0.0), eval(4, -2.0, 0.75)].map(Record::Eval);
        records.extend(std::iter::once(Record::Run(Box::new(run))).chain(evals));
        let lines = lines(&records);
        assert_eq!(lines[0], "reward of small on unseen prompts and seeds: -3.000 kB before, -2.000 kB after epoch 4");
        assert!(lines[1].starts_with("reward of varied") && lines.len() == 3, "{lines:?}");
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
