//! Several tasks of one model: a curve for each, and what each has gained, or paid for the others.

use std::collections::BTreeSet;

use ddpo_train::{EvalRecord, TaskEvalRecord, TaskRecord};

use super::chart::{Chart, Point, Series};
use super::estimate::Estimate;
use super::run::ReportRun;
use super::words::{change, escape, number, percent};

/// A task of an evaluation.
fn of<'a>(eval: &'a EvalRecord, name: &str) -> Option<&'a TaskEvalRecord> {
    eval.tasks.iter().find(|task| task.name == name)
}

/// What a run says of a task.
fn described<'a>(run: &'a ReportRun, name: &str) -> Option<&'a TaskRecord> {
    run.record()?.tasks.iter().find(|task| task.name == name)
}

/// The prompts that a task is evaluated on.
fn prompts(run: &ReportRun, name: &str) -> usize {
    described(run, name).map_or(0, |task| task.evaluation as usize)
}

/// Half the width of the interval of the mean over a task's pictures, over the task's prompts.
fn half(run: &ReportRun, task: &TaskEvalRecord) -> Option<f64> {
    let values: Vec<f64> = task.rewards.iter().map(|&reward| reward.into()).collect();
    Some(Estimate::over_prompts(&values, prompts(run, &task.name)).half).filter(|half| half.is_finite())
}

/// A chart for each task that there is, in the order of the first run that has it.
pub(super) fn charts(runs: &[ReportRun]) -> Vec<Chart> {
    let mut known = BTreeSet::new();
    let tasks = runs.iter().filter_map(ReportRun::record).flat_map(|record| &record.tasks);
    tasks.filter(|task| known.insert(task.name.as_str())).map(|task| chart(runs, task)).collect()
}

fn chart(runs: &[ReportRun], task: &TaskRecord) -> Chart {
    let name = &task.name;
    let evaluations = |(colour, run): (usize, &ReportRun)| {
        let point = |eval: &EvalRecord| {
            let found = of(eval, name)?;
            Some(Point { x: eval.epoch as f64, y: found.reward_mean, half: half(run, found) })
        };
        let points: Vec<Point> = run.records.evals.iter().filter_map(point).collect();
        let name = if runs.len() > 1 { run.name.clone() } else { "evaluation".to_owned() };
        Series { name, points, colour, faint: false }
    };
    let mut series = Vec::new();
    if let [run] = runs {
        let own = run.records.epochs.iter().filter(|epoch| epoch.task.as_ref() == Some(name));
        let points = own.map(|epoch| Point::new(epoch.epoch as f64, epoch.reward_mean)).collect();
        series.push(Series { name: "training samples".into(), points, colour: 1, faint: true });
    }
    series.extend(runs.iter().enumerate().map(evaluations).filter(|series| !series.points.is_empty()));
    Chart {
        title: format!("Task {name}: {}", task.reward.name),
        note: "On the task's own prompts. The band is the 95 % interval of the mean over prompts.".into(),
        x: "epoch",
        y: task.reward.unit.clone().unwrap_or_default(),
        series,
        ..Chart::default()
    }
}

/// What every task's reward was and is; nothing of a run without tasks.
pub(super) fn table(run: &ReportRun) -> String {
    let (Some(base), Some(last)) = (run.records.evals.first(), run.records.up_to_product().last()) else {
        return String::new();
    };
    if base.tasks.is_empty() {
        return String::new();
    }
    let rows: String = base.tasks.iter().filter_map(|before| row(run, before, last)).collect();
    format!(
        "<h2 id=\"tasks\">Tasks</h2>\n<div class=\"scroll\"><table><thead><tr><th>task</th><th>reward</th><th>base model</th><th>now</th>\
         <th>change</th><th>σ</th><th>better on</th><th>as asked</th></tr></thead><tbody>\n{rows}</tbody></table></div>\n\
         <p class=\"note\">Each reward on pictures of its task's own prompts, before training and after epoch {}; σ is the change in standard \
         deviations of the base model's pictures. A reward that falls has paid for the others.</p>\n",
        last.epoch
    )
}

fn row(run: &ReportRun, before: &TaskEvalRecord, last: &EvalRecord) -> Option<String> {
    let (name, now) = (&before.name, of(last, &before.name)?);
    let reward = described(run, name).map(|task| match &task.reward.unit {
        Some(unit) => format!("{}, {unit}", task.reward.name),
        None => task.reward.name.clone(),
    });
    let difference = now.reward_mean - before.reward_mean;
    let gain = Estimate::of_gain(&before.rewards, &now.rewards, prompts(run, name));
    let interval = gain.map(|gain| format!(" ± {}", number(gain.half))).unwrap_or_default();
    let variance = before.rewards.iter().map(|&reward| (f64::from(reward) - before.reward_mean).powi(2)).sum::<f64>()
        / before.rewards.len() as f64;
    // As in the run's mean gain: where the base model's pictures are all alike, differences count as they are.
    let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    let as_asked = match (before.as_asked, now.as_asked) {
        (Some(before), Some(now)) => format!("{} → {}", percent(before), percent(now)),
        _ => "–".to_owned(),
    };
    let cells = [
        reward.unwrap_or("–".into()),
        number(before.reward_mean),
        number(now.reward_mean),
        format!("{}{interval}", change(difference)),
        change(difference / deviation),
        now.improved.map_or("–".into(), percent),
        as_asked,
    ];
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
    Some(format!("<tr><th>{}</th>{cells}</tr>\n", escape(name)))
}

#[cfg(test)]
mod tests {
    use ddpo_train::{EpochRecord, RewardRecord, RunRecord};

    use super::*;
    use crate::report::Records;

    fn run() -> ReportRun {
        let task = |name: &str, reward: &str, unit: Option<&str>| TaskRecord {
            name: name.into(),
            reward: RewardRecord { name: reward.into(), unit: unit.map(String::from) },
            training: 9,
            evaluation: 2,
        };
        let tasks = vec![task("<small>", "size", Some("kB")), task("varied", "diversity", None)];
        let eval = |epoch: u64, small: [f32; 4], varied: [f32; 4]| {
            let of = |name: &str, rewards: [f32; 4]| TaskEvalRecord {
                name: name.into(),
                reward_mean: f64::from(rewards.iter().sum::<f32>()) / 4.0,
                rewards: rewards.to_vec(),
                improved: (epoch > 0).then_some(0.5),
                as_asked: Some(0.75),
            };
            EvalRecord { epoch, tasks: vec![of("<small>", small), of("varied", varied)], ..EvalRecord::default() }
        };
        let epoch = |epoch: u64, task: &str| EpochRecord {
            epoch,
            task: Some(task.into()),
            reward_mean: epoch as f64,
            ..EpochRecord::default()
        };
        let records = Records {
            run: Some(RunRecord { tasks, ..RunRecord::default() }),
            epochs: vec![epoch(1, "<small>"), epoch(2, "varied")],
            evals: vec![
                eval(0, [-4.0, -2.0, -4.0, -2.0], [0.25; 4]),
                eval(2, [-3.0, -1.5, -3.0, -1.5], [0.25, 0.25, 0.0, 0.0]),
            ],
            ..Records::default()
        };
        ReportRun { records, ..ReportRun::default() }
    }

    #[test]
    fn the_table_says_what_each_has_gained_or_paid() {
        let table = table(&run());
        for part in [
            "<tr><th>&lt;small&gt;</th><td>size, kB</td><td>\u{2212}3.00</td><td>\u{2212}2.25</td><td>+0.750 ± 3.18</td><td>+0.750</td>",
            "<td>50 %</td><td>75 % → 75 %</td>",
            "<tr><th>varied</th><td>diversity</td><td>0.250</td><td>0.125</td><td>\u{2212}0.125",
            "after epoch 2",
        ] {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
        // All alike before: there is no scale for the change.
        assert!(!table.contains("inf") && !table.contains("NaN"), "{table}");
        assert_eq!(super::table(&ReportRun::default()), "");
    }

    #[test]
    fn every_task_has_a_curve_of_its_own_epochs() {
        let runs = [run()];
        let charts = charts(&runs);
        let titles: Vec<&str> = charts.iter().map(|chart| chart.title.as_str()).collect();
        assert_eq!(titles, ["Task <small>: size", "Task varied: diversity"]);
        let training = |chart: &Chart| chart.series[0].points.iter().map(|point| point.x).collect::<Vec<_>>();
        assert_eq!((training(&charts[0]), training(&charts[1])), (vec![1.0], vec![2.0]));
        assert_eq!(charts[1].series[1].points.iter().map(|point| point.y).collect::<Vec<_>>(), [0.25, 0.125]);
        // Several runs have a line each.
        let both = super::charts(&[run(), run()]);
        assert_eq!((both.len(), both[0].series.len()), (2, 2));
    }
}
