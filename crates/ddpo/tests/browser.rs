//! The report in a browser: `cargo test --release -p ddpo -p ddpo-cli --features ddpo/browser-tests --test browser`.
//!
//! Chromium reads the page and says what became of it. Where there is no Chromium, the tests say that they are skipped; with
//! `CHROMIUM=PATH` they use another one than the first of the PATH.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use ddpo::core::RgbImage;
use ddpo::report::{write_comparison, write_report};
use ddpo::train::{
    ChainRecord, EpochRecord, EvalRecord, Histogram, PromptsRecord, Record, RewardRecord, RunRecord, UpdateRecord,
};
use serde_json::Value;

/// The Chromium to use.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let directories: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = || {
        names.iter().flat_map(|name| directories.iter().map(move |place| place.join(name))).find(|path| path.is_file())
    };
    named.or_else(found)
}

/// What Chromium makes of a page in this directory, with these options besides.
fn dump(directory: &Path, page: &str, options: &[&str]) -> Option<String> {
    let Some(chromium) = chromium() else {
        println!("skipped: there is no Chromium");
        return None;
    };
    let file = directory.join("test.html");
    std::fs::write(&file, page).unwrap();
    let mut command = Command::new(chromium);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]);
    command.arg(format!("--user-data-dir={}", directory.join("profile").display()));
    command.args(["--virtual-time-budget=3000", "--window-size=1280,900", "--dump-dom"]).args(options);
    let output = command.arg(format!("file://{}", file.display())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The page with a script at its end, whose `result` is what this returns.
fn ask(directory: &Path, page: &str, script: &str, options: &[&str]) -> Option<Value> {
    let script = format!(
        "<script>{{ {script}; const pre = document.createElement('pre'); pre.id = 'result'; \
         pre.textContent = JSON.stringify(result); document.body.append(pre); }}</script></body>"
    );
    let dom = dump(directory, &page.replace("</body>", &script), options)?;
    let (_, result) = dom.rsplit_once("<pre id=\"result\">").unwrap_or_else(|| panic!("no result in {dom}"));
    let text = result.split("</pre>").next().unwrap_or_default();
    Some(serde_json::from_str(&text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")).unwrap())
}

const EPOCHS: [u64; 3] = [0, 5, 10];

fn evaluation(epoch: u64, scale: f32) -> EvalRecord {
    let rewards: Vec<f32> = (0..16).map(|i| scale * (epoch as f32 - 0.25 * (i % 5) as f32)).collect();
    EvalRecord {
        epoch,
        reward_mean: rewards.iter().map(|&reward| f64::from(reward)).sum::<f64>() / 16.0,
        kl_to_base: 100.5 * epoch as f64,
        diversity: 0.5 - 0.01 * epoch as f64,
        improved: (epoch > 0).then_some(0.75),
        reward_histogram: Histogram::of(&rewards),
        held_out: [("a-reward-with-a-rather-long-name".to_owned(), 0.125 * epoch as f64)].into(),
        rewards,
        ..EvalRecord::default()
    }
}

/// A run directory with three evaluations and their grids.
fn run(scale: f32) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let prompts = (0..4).map(|i| format!("prompt {i}, which is a sentence of some length about an animal")).collect();
    let record = RunRecord {
        schema: RunRecord::SCHEMA,
        command: "ddpo train --set an.option=of-a-rather-long-name-that-has-no-place-to-break-at-all-in-forty-letters"
            .into(),
        reward: RewardRecord { name: "jpeg-compressibility".into(), unit: Some("kB".into()) },
        prompts: PromptsRecord { training: 37, evaluation: prompts, disjoint: true },
        chain: ChainRecord { scheduler: "ddim".into(), steps: 10, guidance: 3.0, latent: [8, 8, 8] },
        ..RunRecord::default()
    };
    let mut file = std::fs::File::create(directory.path().join("metrics.jsonl")).unwrap();
    let mut write = |record: Record| writeln!(file, "{}", serde_json::to_string(&record).unwrap()).unwrap();
    write(Record::Run(Box::new(record)));
    for epoch in 0..=10 {
        if epoch > 0 {
            write(Record::Epoch(EpochRecord { epoch, reward_mean: 0.5 * epoch as f64, ..EpochRecord::default() }));
            write(Record::Update(UpdateRecord { epoch, step: epoch, grad_norm: 0.5, ..UpdateRecord::default() }));
        }
        if EPOCHS.contains(&epoch) {
            write(Record::Eval(evaluation(epoch, scale)));
            let picture = RgbImage::new(78, 18, vec![20 * epoch as u8; 78 * 18 * 3]).unwrap();
            let path = directory.path().join(format!("samples/epoch_{epoch:04}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            ddpo::images::write_png(&path, &picture).unwrap();
        }
    }
    std::fs::write(directory.path().join("config.toml"), "[train]\nlearning-rate = 0.125\n").unwrap();
    directory
}

fn report(run: &Path) -> String {
    std::fs::read_to_string(write_report(run).unwrap()).unwrap()
}

fn comparison(runs: [&Path; 2]) -> String {
    let path = runs[0].join("comparison.html");
    write_comparison(&runs, &path).unwrap();
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_curves_values_are_those_of_the_metrics() {
    let run = run(1.0);
    let script = "const result = [...document.querySelectorAll('.chart')].map(figure => [figure.querySelector('b').textContent, \
                  [...figure.querySelectorAll('[data-x]')].map(point => [+point.dataset.x, +point.dataset.y])])";
    let Some(result) = ask(run.path(), &report(run.path()), script, &[]) else { return };
    let points = |title: &str| {
        let chart = result.as_array().unwrap().iter().find(|chart| chart[0] == title);
        serde_json::from_value::<Vec<[f64; 2]>>(chart.unwrap_or_else(|| panic!("no {title} in {result}"))[1].clone())
            .unwrap()
    };
    let evals = EPOCHS.map(|epoch| evaluation(epoch, 1.0));
    let expected =
        |value: fn(&EvalRecord) -> f64| evals.iter().map(|eval| [eval.epoch as f64, value(eval)]).collect::<Vec<_>>();
    let reward = points("Reward: jpeg-compressibility");
    assert_eq!(reward[..10], (1..=10).map(|i| [f64::from(i), 0.5 * f64::from(i)]).collect::<Vec<_>>());
    assert_eq!(reward[10..], expected(|eval| eval.reward_mean));
    assert_eq!(points("Divergence from the base model"), expected(|eval| eval.kl_to_base));
    assert_eq!(points("Diversity"), expected(|eval| eval.diversity));
    assert_eq!(points("Prompts that improved"), [[5.0, 0.75], [10.0, 0.75]]);
    assert_eq!(points("a-reward-with-a-rather-long-name (not optimised)").len(), 3);
    assert_eq!(points("Gradient norm, before clipping").len(), 10);
}

#[test]
fn the_slider_moves_the_pictures_after_training_and_no_others() {
    let run = run(1.0);
    let script = "const input = document.querySelector('.slider input'); \
                  const hrefs = list => [...new Set([...document.querySelectorAll(list)].map(use => use.getAttribute('href')))]; \
                  const result = [0, 1, 2].map(stop => { input.value = stop; input.dispatchEvent(new Event('input')); \
                  return [document.querySelector('.slider output').textContent, hrefs('.row use[data-run]'), hrefs('.row use:not([data-run])'), \
                  hrefs('.row use').every(href => document.querySelector(href))]; }); \
                  result.push(document.querySelector('.slider').hidden)";
    let Some(result) = ask(run.path(), &report(run.path()), script, &[]) else { return };
    let expected =
        |text: &str, epoch: u64| serde_json::json!([text, [format!("#run0-epoch{epoch}")], ["#run0-epoch0"], true]);
    assert_eq!(result[0], expected("before training: reward \u{2212}0.469 kB", 0));
    assert_eq!(result[1], expected("after epoch 5: reward 4.53 kB", 5));
    assert_eq!(result[2], expected("after epoch 10: reward 9.53 kB", 10));
    assert_eq!(result[3], false);
}

#[test]
fn without_a_script_the_page_shows_the_pictures_before_and_after() {
    let run = run(1.0);
    let page = report(run.path());
    let (before, after) = page.split_once("<script>").unwrap();
    let page = before.to_owned() + after.split_once("</script>").unwrap().1;
    let script = "const result = [document.querySelector('.slider').offsetHeight, document.querySelector('.row use[data-run]').getAttribute('href'), \
                  document.querySelectorAll('.grids use').length]";
    let Some(result) = ask(run.path(), &page, script, &[]) else { return };
    assert_eq!(result, serde_json::json!([0, "#run0-epoch10", 3]));
}

#[test]
fn nothing_is_wider_than_a_phone() {
    let (a, b) = (run(1.0), run(2.0));
    for page in [report(a.path()), comparison([a.path(), b.path()])] {
        // A frame has the width that a window of a headless browser may not have. Details are opened: they count, too.
        let page = page.replace("<details>", "<details open>").replace('&', "&amp;").replace('"', "&quot;");
        for width in [320, 400, 800, 1280] {
            let frame = format!(
                "<!doctype html><body><iframe style=\"width:{width}px;height:800px;border:0\" srcdoc=\"{page}\"></iframe></body>"
            );
            let script = "const result = 'later'; document.querySelector('iframe').onload = event => { \
                          const root = event.target.contentDocument.documentElement; \
                          document.title = `${root.scrollWidth} of ${root.clientWidth}`; }";
            let body = format!("<script>{script}</script></body>");
            let framed = frame.replacen("</iframe></body>", &format!("</iframe>{body}"), 1);
            let Some(dom) = dump(a.path(), &framed, &[]) else { return };
            let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap_or_default();
            let (found, wanted) = title.split_once(" of ").unwrap_or_else(|| panic!("no sizes: {}", &dom[..400]));
            assert!(found.parse::<u32>().unwrap() <= wanted.parse().unwrap(), "{title} at {width} pixels");
        }
    }
}

#[test]
fn text_can_be_read_in_light_and_in_dark() {
    let run = run(1.0);
    let script = "const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true}); \
        const light = colour => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); \
            const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); \
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; }; \
        const paper = element => { for (; element; element = element.parentElement) { \
            const colour = getComputedStyle(element).backgroundColor; if (colour !== 'rgba(0, 0, 0, 0)') return colour; } }; \
        const ratio = element => { const style = getComputedStyle(element); \
            const [a, b] = [element.closest('svg') ? style.fill : style.color, paper(element)].map(light).sort((a, b) => a - b); \
            return (b + 0.05) / (a + 0.05); }; \
        const texts = [...document.querySelectorAll('h1,h2,h3,p,dt,dd,b,span,a,summary,th,td,pre,text,li,figcaption')].filter(e => e.textContent.trim() && !e.closest('[hidden]')); \
        const result = [light(getComputedStyle(document.body).backgroundColor), Math.min(...texts.map(ratio)), texts.length]";
    // Blink counts dark as 0 and light as 1.
    for (scheme, is_dark) in [("0", true), ("1", false)] {
        let option = format!("--blink-settings=preferredColorScheme={scheme}");
        let Some(result) = ask(run.path(), &report(run.path()), script, &[&option]) else { return };
        let [paper, least, texts] = [0, 1, 2].map(|i| result[i].as_f64().unwrap());
        assert!((paper < 0.2) == is_dark && (paper > 0.8) != is_dark, "{paper}");
        // WCAG 2, level AA.
        assert!(least >= 4.5 && texts > 50.0, "contrast {least} among {texts} texts, scheme {scheme}");
    }
}

#[test]
fn no_request_leaves_the_page() {
    let (a, b) = (run(1.0), run(2.0));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let outside = format!("http://{}", listener.local_addr().unwrap());
    for page in [report(a.path()), comparison([a.path(), b.path()])] {
        let names = "const result = performance.getEntriesByType('resource').map(entry => entry.name.slice(0, 40))";
        let Some(result) = ask(a.path(), &page, names, &[]) else { return };
        let fetched = result.as_array().unwrap().iter().filter(|name| !name.as_str().unwrap().starts_with("data:"));
        assert_eq!(fetched.count(), 0, "{result}");
        // What would be fetched is not: the page's policy forbids it.
        let intruders = format!(
            "const image = new Image(); image.src = '{outside}/image'; document.body.append(image); fetch('{outside}/fetch').catch(() => 0); \
             const sheet = document.createElement('link'); sheet.rel = 'stylesheet'; sheet.href = '{outside}/style'; document.head.append(sheet); \
             const result = 0"
        );
        ask(a.path(), &page, &intruders, &[]).unwrap();
        assert!(listener.accept().is_err(), "a request has left the page");
    }
    // The same without the policy does arrive, so that its absence above says something.
    let page = format!("<!doctype html><body><img src=\"{outside}/image\"></body>");
    dump(a.path(), &page, &["--timeout=2000"]).unwrap();
    assert!(listener.accept().is_ok());
}
