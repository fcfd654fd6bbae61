//! `report.html`: self-contained, static, made from the run directory alone.

use std::path::{Path, PathBuf};

use ddpo_train::{EpochRecord, EvalRecord, RegressionRecord, UpdateRecord};

use crate::error::{Error, Result};

use super::base64;
use super::chart::{Series, chart};
use super::records::Records;
use super::verdict::Verdict;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#222;background:#fff}\
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}figure{display:inline-block;margin:0 1em 1em 0;width:36em;max-width:100%;vertical-align:top}\
figcaption{font-weight:600;margin-bottom:.3em}svg text{font-size:11px;fill:#555}.grid{stroke:#ddd}\
.warning{border-left:4px solid #d55e00;background:#fdf1e9;padding:.5em 1em;margin:.5em 0}.good{border-left:4px solid #009e73;background:#ecf8f3;padding:.5em 1em}\
img{width:100%;image-rendering:pixelated;border:1px solid #ddd}pre{background:#f6f6f6;padding:1em;overflow:auto}td,th{padding:.1em 1em .1em 0;text-align:right}";

/// Writes `report.html` into a run directory, from its `metrics.jsonl`, `samples/` and `config.toml`.
///
/// # Errors
///
/// Fails when the directory holds no run, or a file cannot be read or written.
pub fn write_report(run: &Path) -> Result<PathBuf> {
    let metrics = run.join("metrics.jsonl");
    if !metrics.is_file() {
        return Err(Error::RunDirectory {
            path: run.to_owned(),
            reason: "it has no metrics.jsonl, so it is not a run".into(),
        });
    }
    let records = Records::read(&metrics)?;
    let config = ddpo_train::fs::read_optional(&run.join("config.toml"))?.unwrap_or_default();
    let page = page(run, &records, &String::from_utf8_lossy(&config))?;
    let path = run.join("report.html");
    ddpo_train::fs::write_atomic(&path, page.as_bytes())?;
    Ok(path)
}

fn page(run: &Path, records: &Records, config: &str) -> Result<String> {
    let title = escape(&run.file_name().unwrap_or(run.as_os_str()).to_string_lossy());
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>ddpo: {title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n{}{}<h2>Curves</h2>\n{}{}<h2>Cost</h2>\n{}<h2>Configuration</h2>\n<pre>{}</pre>\n</body></html>\n",
        verdict_part(&Verdict::of(records)),
        samples_part(run)?,
        reward_charts(records),
        update_charts(records),
        cost_part(records),
        escape(config),
    ))
}

fn verdict_part(verdict: &Verdict) -> String {
    let Some((base, last)) = verdict.reward else {
        return "<p>There are not two evaluations yet, so there is nothing to compare.</p>\n".into();
    };
    let gain = format!(
        "<p>Reward on prompts and seeds that training never used: {base:.4} before, <b>{last:.4}</b> after.</p>\n"
    );
    if verdict.warnings.is_empty() {
        return gain
            + "<p class=\"good\">No sign of over-optimisation was measured. That is no proof: look at the images.</p>\n";
    }
    let warnings =
        verdict.warnings.iter().map(|warning| format!("<p class=\"warning\">{}</p>\n", escape(&warning.to_string())));
    gain + &warnings.collect::<String>()
}

/// The first and the last sample grid, side by side.
fn samples_part(run: &Path) -> Result<String> {
    let directory = run.join("samples");
    let mut grids: Vec<String> = ddpo_train::fs::list_directory(&directory)?;
    grids.retain(|name| name.starts_with("epoch_") && name.ends_with(".png"));
    let (Some(first), Some(last)) = (grids.first(), grids.last()) else {
        return Ok(String::new());
    };
    let names = if first == last { vec![first] } else { vec![first, last] };
    let figures: Result<String> = names.into_iter().map(|name| grid_figure(&directory, name)).collect();
    Ok(format!("<h2>Samples: the same prompts and the same noise</h2>\n{}", figures?))
}

fn grid_figure(directory: &Path, name: &str) -> Result<String> {
    let bytes = ddpo_train::fs::read(&directory.join(name))?;
    let number = name.trim_start_matches("epoch_").trim_end_matches(".png").trim_start_matches('0');
    let caption = if number.is_empty() { "Before training".into() } else { format!("After epoch {}", escape(number)) };
    let data = base64::encode(&bytes);
    Ok(format!(
        "<figure><figcaption>{caption}</figcaption><img alt=\"{caption}\" src=\"data:image/png;base64,{data}\"></figure>\n"
    ))
}

fn reward_charts(records: &Records) -> String {
    let evals = |value: fn(&EvalRecord) -> Option<f64>| {
        records.evals.iter().filter_map(|eval| Some((eval.epoch as f64, value(eval)?))).collect::<Vec<_>>()
    };
    let training = records.epochs.iter().map(|epoch| (epoch.epoch as f64, epoch.reward_mean)).collect();
    let mut charts = chart(
        "Reward",
        &[
            Series { name: "training samples", points: training },
            Series { name: "unseen prompts and seeds", points: evals(|eval| Some(eval.reward_mean)) },
        ],
    );
    let names = records.evals.first().map(|eval| eval.held_out.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    for name in names {
        let points =
            records.evals.iter().filter_map(|eval| Some((eval.epoch as f64, *eval.held_out.get(&name)?))).collect();
        charts += &chart(&format!("{} (not optimised)", escape(&name)), &[Series { name: "", points }]);
    }
    charts += &chart(
        "Divergence from the base model (nats a trajectory)",
        &[Series { name: "", points: evals(|eval| Some(eval.kl_to_base)) }],
    );
    charts += &chart("Share of prompts that improved", &[Series { name: "", points: evals(|eval| eval.improved) }]);
    charts + &chart("Diversity", &[Series { name: "", points: evals(|eval| Some(eval.diversity)) }])
}

fn update_charts(records: &Records) -> String {
    let per_update = |value: fn(&UpdateRecord) -> f64| {
        records.updates.iter().enumerate().map(|(i, update)| ((i + 1) as f64, value(update))).collect::<Vec<_>>()
    };
    let per_step = |value: fn(&RegressionRecord) -> f64| {
        records.regressions.iter().map(|step| (step.step as f64, value(step))).collect::<Vec<_>>()
    };
    chart("Weighted denoising error, by update", &[Series { name: "", points: per_step(|step| step.loss) }])
        + &chart("Gradient norm, by update", &[Series { name: "", points: per_step(|step| step.grad_norm) }])
        + &chart("Clip fraction, by update", &[Series { name: "", points: per_update(|update| update.clip_fraction) }])
        + &chart("Gradient norm, by update", &[Series { name: "", points: per_update(|update| update.grad_norm) }])
}

fn cost_part(records: &Records) -> String {
    let total = |value: fn(&EpochRecord) -> f64| records.epochs.iter().map(value).sum::<f64>();
    let queries = records.epochs.last().map_or(0, |epoch| epoch.reward_queries);
    format!(
        "<table><tr><th>epochs</th><th>updates</th><th>images scored</th><th>sampling</th><th>scoring</th><th>training</th></tr>\
         <tr><td>{}</td><td>{}</td><td>{queries}</td><td>{:.1} s</td><td>{:.1} s</td><td>{:.1} s</td></tr></table>\n",
        records.epochs.len(),
        records.updates.len() + records.regressions.len(),
        total(|epoch| epoch.sample_seconds),
        total(|epoch| epoch.reward_seconds),
        total(|epoch| epoch.train_seconds),
    )
}

/// Text as it may stand in HTML, also inside quotes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_directory_becomes_one_page() {
        let run = tempfile::tempdir().unwrap();
        std::fs::write(
            run.path().join("metrics.jsonl"),
            concat!(
                "{\"kind\":\"eval\",\"epoch\":0,\"reward_mean\":-2,\"held_out\":{},\"kl_to_base\":0,\"diversity\":1}\n",
                "{\"kind\":\"epoch\",\"epoch\":1,\"reward_mean\":-1.5,\"reward_queries\":64}\n",
                "{\"kind\":\"eval\",\"epoch\":1,\"reward_mean\":-1,\"held_out\":{},\"kl_to_base\":1,\"diversity\":0.1}\n",
            ),
        )
        .unwrap();
        std::fs::create_dir(run.path().join("samples")).unwrap();
        std::fs::write(run.path().join("samples/epoch_0000.png"), b"abc").unwrap();
        std::fs::write(run.path().join("samples/epoch_0001.png"), b"abd").unwrap();
        std::fs::write(run.path().join("config.toml"), "x = \"<script>\"").unwrap();
        let page = std::fs::read_to_string(write_report(run.path()).unwrap()).unwrap();
        for part in [
            "-2.0000 before, <b>-1.0000</b> after",
            "to 10 % of",
            "Before training",
            "After epoch 1",
            "YWJj",
            "&lt;script&gt;",
            "<svg",
        ] {
            assert!(page.contains(part), "{part} is not in the page");
        }
        assert!(!page.contains("<script") && !page.contains("src=\"http"));
    }

    #[test]
    fn what_is_no_run_is_refused() {
        let run = tempfile::tempdir().unwrap();
        let error = write_report(run.path()).unwrap_err().to_string();
        assert!(error.ends_with("it has no metrics.jsonl, so it is not a run"), "{error}");
    }
}
