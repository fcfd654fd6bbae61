//! The committed experiments are possible, and their curves are means over seeds.

#[path = "../examples/paper/experiment.rs"]
mod experiment;
#[path = "../examples/paper/statistics.rs"]
mod statistics;

use ddpo::report::Records;
use experiment::Experiment;
use statistics::{Point, gain, mean_curve};

#[test]
fn every_run_of_every_experiment_is_a_valid_plan() {
    let configs = [
        include_str!("../examples/paper/configs/fig4.toml"),
        include_str!("../examples/paper/configs/alignment.toml"),
        include_str!("../examples/paper/configs/composing.toml"),
        include_str!("../examples/paper/configs/fig10.toml"),
        include_str!("../examples/paper/configs/fig11.toml"),
        include_str!("../examples/paper/configs/generalisation.toml"),
        include_str!("../examples/paper/configs/overoptimisation.toml"),
        include_str!("../examples/paper/configs/ablations.toml"),
        include_str!("../examples/paper/configs/frontier.toml"),
        include_str!("../examples/paper/configs/anchor.toml"),
    ];
    for config in configs {
        for smoke in [false, true] {
            let experiment = Experiment::parse(config, smoke).unwrap_or_else(|error| panic!("{error}\n{config}"));
            assert!(!experiment.title.is_empty() && !experiment.figures.is_empty());
            let searched = experiment.search.as_ref().map(|search| (search.seed, search.rates.len(), search.epochs));
            // A seed of the search must not be one that counts.
            assert!(searched.is_none_or(|(seed, rates, _)| rates > 0 && !experiment.seeds.contains(&seed)));
        }
    }
}

/// A run with evaluations of these rewards, 64 samples an epoch.
fn records(rewards: &[f64]) -> Records {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("metrics.jsonl");
    let lines = rewards.iter().enumerate().map(|(epoch, reward)| {
        let trained =
            format!("{{\"kind\":\"epoch\",\"epoch\":{epoch},\"reward_mean\":0,\"reward_queries\":{}}}\n", 64 * epoch);
        let trained = if epoch > 0 { trained } else { String::new() };
        format!("{trained}{{\"kind\":\"eval\",\"epoch\":{epoch},\"reward_mean\":{reward},\"held_out\":{{\"x\":7}}}}\n")
    });
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    Records::read(&path).unwrap()
}

#[test]
fn curves_are_means_over_seeds_where_all_of_them_are() {
    let runs = [records(&[1.0, 2.0, 3.0]), records(&[1.0, 4.0])];
    let curve = mean_curve(&runs, "reward");
    let points: Vec<(f64, f64)> = curve.iter().map(|(queries, estimate)| (*queries, estimate.mean)).collect();
    assert_eq!(points, [(0.0, 1.0), (64.0, 3.0)]);
    assert_eq!((curve[0].1.half, mean_curve(&runs, "held-out")[0].1.mean), (0.0, 7.0));
    assert!(mean_curve(&runs, "kl").is_empty());
}

#[test]
fn a_gain_counts_as_long_as_pictures_stay_what_was_asked_for() {
    let point = |reward: f64, as_asked: f64| Point { queries: reward, scale: 1.0, reward, as_asked };
    let points = [point(-2.0, 0.9), point(-1.5, 0.87), point(-1.0, 0.82), point(-0.1, 0.3)];
    let gained = |share| gain(&points, share).map(|best| (best.reward, best.queries));
    assert_eq!((gained(0.95), gained(0.9), gained(0.0)), (Some((0.5, -1.5)), Some((1.0, -1.0)), Some((1.9, -0.1))));
    assert_eq!((gain(&points[..1], 1.0).map(|best| best.reward), gain(&[], 1.0)), (Some(0.0), None));
}
