//! Runs on a GPU, or on software that stands in for one: the same numbers as on the processor to rounding, and the same
//! bytes after a resume.
//!
//! The device is `DDPO_TEST_DEVICE`, else the first that `ddpo devices` lists behind the processor.

mod common;

use std::path::Path;

use ddpo::config::{Dtype, Layers, RunPlan};
use ddpo::device::{DeviceName, list};
use ddpo::{LoadedModel, OpenOptions, Session};
use serde_json::Value;

fn device() -> String {
    std::env::var("DDPO_TEST_DEVICE").unwrap_or_else(|_| {
        let gpu = list().into_iter().nth(1).expect("a device beside the processor");
        gpu.name.to_string()
    })
}

fn plan(model: &Path, device: &str, changes: &[&str]) -> RunPlan {
    let mut layers = Layers::default();
    layers
        .push_toml(
            "test",
            "[sample]\nsteps = 4\nbatch-size = 4\nbatches-per-epoch = 2\n[train]\nbatch-size = 4\naccumulation = 1\n\
             learning-rate = 1e-3\n[eval]\nevery = 1\ncount = 2\n[checkpoint]\nevery = 1\nkeep = 2\n[run]\nepochs = 2\n",
        )
        .unwrap();
    layers.push_value("test", "model.path", model.to_str().unwrap()).unwrap();
    layers.push_value("test", "run.device", device).unwrap();
    changes.iter().for_each(|change| layers.push_assignment(change).unwrap());
    RunPlan::new(layers.resolve().unwrap()).unwrap()
}

fn records(run: &Path, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record["kind"] == kind).collect()
}

/// Numbers of the same name in two records, with how far they may differ in units of the first.
fn check_near(found: &Value, wanted: &Value, key: &str, tolerance: f64) {
    let [found, wanted] =
        [found, wanted].map(|record| record[key].as_f64().unwrap_or_else(|| panic!("{key}: {record}")));
    assert!((found - wanted).abs() <= tolerance * wanted.abs().max(1e-3), "{key}: {found}, on the processor {wanted}");
}

#[test]
fn an_epoch_has_the_processors_numbers() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let [on_cpu, on_gpu] = ["cpu", &device()].map(|device| {
        let path = parent.path().join(device.replace(':', "-"));
        Session::create(plan(&model, device, &[]), &path).open().unwrap().run().unwrap();
        path
    });
    for kind in ["epoch", "update", "eval"] {
        let [found, wanted] = [&on_gpu, &on_cpu].map(|run| records(run, kind));
        assert_eq!(found.len(), wanted.len(), "{kind}");
        assert!(!found.is_empty(), "{kind}");
        for (found, wanted) in found.iter().zip(&wanted) {
            let keys = wanted.as_object().unwrap().keys();
            for key in keys.filter(|key| ["reward_mean", "grad_norm", "kl_to_base", "loss"].contains(&key.as_str())) {
                check_near(found, wanted, key, 1e-3);
            }
        }
    }
}

#[test]
fn a_resumed_run_has_the_bytes_of_one_that_was_not_interrupted() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let device = device();
    let [whole, parts] = ["whole", "parts"].map(|name| parent.path().join(name));
    Session::create(plan(&model, &device, &[]), &whole).open().unwrap().run().unwrap();
    Session::create(plan(&model, &device, &["run.epochs=1"]), &parts).open().unwrap().run().unwrap();
    Session::resume(plan(&model, &device, &[]), &parts).open().unwrap().run().unwrap();
    let adapter = |run: &Path| std::fs::read(run.join("pytorch_lora_weights.safetensors")).unwrap();
    assert!(adapter(&whole) == adapter(&parts));
}

#[test]
fn half_precision_trains_where_the_device_has_it() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let device = device();
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let options = OpenOptions { dtype, ..DeviceName::parse(&device).unwrap().into() };
        let source = plan(&model, &device, &[]).model;
        if let Err(error) = LoadedModel::open(&source, options) {
            assert!(error.to_string().contains("model.dtype"), "{error}");
            continue;
        }
        let path = parent.path().join(dtype.name());
        Session::create(plan(&model, &device, &[&format!("model.dtype={dtype}")]), &path)
            .open()
            .unwrap()
            .run()
            .unwrap();
        assert_eq!(records(&path, "epoch").len(), 2, "{dtype}");
    }
}
