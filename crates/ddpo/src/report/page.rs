//! `report.html`: self-contained, static, made from run directories alone.

use std::path::{Path, PathBuf};

use super::run::ReportRun;
use super::words::escape;
use super::{compare, curves, facts, histograms, pictures, summary, tasks};
use crate::error::Result;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The file's name in a run directory.
const NAME: &str = "report.html";

/// Nothing is fetched: pictures are inside, and so are the style and the script.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Writes `report.html` into a run directory, from its `metrics.jsonl`, `samples/` and `config.toml`.
///
/// # Errors
///
/// Fails when the directory holds no run, or a file cannot be read or written.
pub fn write_report(run: &Path) -> Result<PathBuf> {
    let path = report_path(run);
    write_comparison(&[run], &path)?;
    Ok(path)
}

/// Where the report of a run is.
pub(crate) fn report_path(run: &Path) -> PathBuf {
    run.join(NAME)
}

/// Writes one page about all of these runs to `path`.
///
/// # Errors
///
/// Fails when a directory holds no run, or a file cannot be read or written.
pub fn write_comparison(directories: &[&Path], path: &Path) -> Result<()> {
    let mut runs: Vec<ReportRun> =
        directories.iter().map(|directory| ReportRun::read(directory)).collect::<Result<_>>()?;
    tell_apart(&mut runs);
    Ok(ddpo_train::fs::write_atomic(path, page(&runs).as_bytes())?)
}

/// Runs of one name get a number besides.
fn tell_apart(runs: &mut [ReportRun]) {
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for (i, run) in runs.iter_mut().enumerate() {
        if names.iter().filter(|name| **name == run.name).count() > 1 {
            run.name = format!("{} ({})", run.name, i + 1);
        }
    }
}

pub(super) fn page(runs: &[ReportRun]) -> String {
    let (title, body) = match runs {
        [run] => (run.name.clone(), single(run)),
        runs => (format!("{} runs", runs.len()), several(runs)),
    };
    let title = escape(&title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} – ddpo</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

fn single(run: &ReportRun) -> String {
    let runs = std::slice::from_ref(run);
    let evaluations = curves::evaluations(runs);
    let ridges = histograms::ridges(run);
    format!(
        "{}{}{}<h2>Curves</h2>\n<div class=\"charts\">{evaluations}{ridges}</div>\n{}<h2>The run</h2>\n{}<h2>Settings</h2>\n{}<h2>Training</h2>\n{}",
        summary::summary(run),
        tasks::table(run),
        pictures::pictures(runs),
        curves::table(run),
        facts::facts(run),
        facts::settings(run),
        curves::updates(run),
    )
}

fn several(runs: &[ReportRun]) -> String {
    let table = |run: &ReportRun| {
        let name = escape(&run.name);
        format!("<h3>{name}</h3>\n{}{}{}", tasks::table(run), curves::table(run), facts::facts(run))
    };
    let tables = runs.iter().map(table);
    format!(
        "{}{}{}<h2>Curves</h2>\n<div class=\"charts\">{}</div>\n{}<h2>Settings that differ</h2>\n{}<h2>Each run</h2>\n{}",
        compare::comparable(runs),
        compare::overview(runs),
        compare::warnings(runs),
        curves::evaluations(runs),
        pictures::pictures(runs),
        facts::settings_between(runs),
        tables.collect::<String>(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run directory with these metrics.
    fn run(metrics: &str) -> tempfile::TempDir {
        let run = tempfile::tempdir().unwrap();
        std::fs::write(run.path().join("metrics.jsonl"), metrics).unwrap();
        run
    }

    const METRICS: &str = concat!(
        "{\"kind\":\"run\",\"reward\":{\"name\":\"<r>\",\"unit\":\"k&B\"},\"prompts\":{\"training\":2,\"evaluation\":[\"a 'cat'\",\"<b>\"],\"disjoint\":false}}\n",
        "{\"kind\":\"eval\",\"epoch\":0,\"reward_mean\":-2.0,\"kl_to_base\":0,\"diversity\":1.0,\"rewards\":[-2.5,-1.5]}\n",
        "{\"kind\":\"epoch\",\"epoch\":1,\"reward_mean\":-1.5,\"reward_queries\":64,\"sample_seconds\":61}\n",
        "{\"kind\":\"update\",\"epoch\":1,\"step\":1,\"loss\":0.5,\"clip_fraction\":0,\"grad_norm\":0.5}\n",
        "{\"kind\":\"eval\",\"epoch\":1,\"reward_mean\":-1.0,\"kl_to_base\":5.0,\"diversity\":0.1,\"improved\":1.0,\"rewards\":[-1.25,-0.75]}\n",
    );

    #[track_caller]
    fn check(page: &str, parts: &[&str]) {
        for part in parts {
            assert!(page.contains(part), "{part} is not in the page:\n{page}");
        }
    }

    #[test]
    fn everything_is_in_one_page_and_nothing_escapes_its_place() {
        let run = run(METRICS);
        std::fs::create_dir(run.path().join("samples")).unwrap();
        let picture = ddpo_core::RgbImage::new(6, 2, vec![9; 36]).unwrap();
        for epoch in [0, 1] {
            crate::images::write_png(&run.path().join(format!("samples/epoch_000{epoch}.png")), &picture).unwrap();
        }
        std::fs::write(run.path().join("samples/epoch_0002.png"), b"abc").unwrap();
        std::fs::write(run.path().join("config.toml"), "[run]\nepochs = 3\nx = \"<script>\"\n").unwrap();
        let page = std::fs::read_to_string(write_report(run.path()).unwrap()).unwrap();
        check(
            &page,
            &[
                "The reward <q>&lt;r&gt;</q> rose from \u{2212}2.00 k&amp;B to <b>\u{2212}1.00 k&amp;B</b> in 1 epoch (<b>+1.00 k&amp;B</b>, 50 %",
                "seen in training, with seeds that training never used",
                "2 of 2 prompts",
                "to 10 % of",
                "<h3>a &#39;cat&#39;</h3>",
                "viewBox=\"4 0 2 2\"",
                "data-show=\"0=run0-epoch1\">after epoch 1: reward \u{2212}1.00 k&amp;B",
                "Left out, because it is no PNG picture: epoch_0002.png.",
                "x</th><td>&quot;&lt;script&gt;&quot;",
                "1 min 01 s: sampling 1 min 01 s",
                "are 0 at every update",
                "1 of 3: 1 update, 64 pictures scored",
            ],
        );
        assert!(!page.contains("unseen prompts") && !page.contains("never used,"), "{page}");
        assert_eq!(page.matches("<script").count(), 1);
        assert!(!page.contains("http://") && !page.contains("https://"));
    }

    #[test]
    fn the_page_is_the_committed_one() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run-001");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("metrics.jsonl"), METRICS).unwrap();
        std::fs::write(path.join("config.toml"), "[train]\nlearning-rate = 0.125\n").unwrap();
        let page = std::fs::read_to_string(write_report(&path).unwrap()).unwrap();
        insta::assert_snapshot!(page.replace(STYLE, "…\n").replace(SCRIPT, "…\n"));
    }

    #[test]
    fn prompts_without_a_picture_are_not_counted() {
        let run = run(&METRICS
            .replace("\"<b>\"", "\"<b>\",\"a dog\",\"a fox\"")
            .replace("\"improved\":1.0", "\"improved\":0.5"));
        let page = std::fs::read_to_string(write_report(run.path()).unwrap()).unwrap();
        check(&page, &["Measured on 2 pictures of 2 prompts", "1 of 2 prompts"]);
    }

    #[test]
    fn a_run_that_has_hardly_begun_has_a_page() {
        for metrics in
            ["", "{\"kind\":\"run\"}\n", "{\"kind\":\"eval\",\"epoch\":0,\"reward_mean\":null}\n{\"kind\":\"ep"]
        {
            let run = run(metrics);
            let page = std::fs::read_to_string(write_report(run.path()).unwrap()).unwrap();
            check(&page, &["There are not two evaluations yet"]);
            assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
        }
    }

    #[test]
    fn several_runs_stand_in_one_page() {
        let (a, b) = (run(METRICS), run(&METRICS.replace("-1.0,", "-0.5,")));
        std::fs::write(a.path().join("config.toml"), "[train]\nlearning-rate = 1e-3\nbatch-size = 8\n").unwrap();
        std::fs::write(b.path().join("config.toml"), "[train]\nlearning-rate = 2e-3\nbatch-size = 8\n").unwrap();
        let path = a.path().join("both.html");
        write_comparison(&[a.path(), b.path()], &path).unwrap();
        let page = std::fs::read_to_string(&path).unwrap();
        check(
            &page,
            &[
                "2 runs of the same model, reward, evaluation prompts and seeds.",
                "<th>train.learning-rate</th><td>0.001</td><td>0.002</td>",
                "epoch 1: \u{2212}0.500",
                "epoch 1: \u{2212}1.00",
                "Reward for divergence",
            ],
        );
        assert!(!page.contains("<th>train.batch-size</th>"));
    }

    #[test]
    fn what_is_no_run_is_refused() {
        let run = tempfile::tempdir().unwrap();
        let error = write_report(run.path()).unwrap_err().to_string();
        assert!(error.ends_with("is no run: it has no metrics.jsonl"), "{error}");
    }
}
