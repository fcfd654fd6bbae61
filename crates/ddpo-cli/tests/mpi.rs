//! Runs of several processes under `mpirun`: the same bytes as of one, whoever dies.
//!
//! Without a launcher on the machine there is nothing to start them with, and each test says so.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Epochs of a few seconds, each with an evaluation and a checkpoint.
const RUN: [&str; 12] = [
    "--set",
    "sample.batches-per-epoch=4",
    "--set",
    "eval.count=5",
    "--set",
    "eval.every=1",
    "--set",
    "checkpoint.every=1",
    "--set",
    "run.threads=1",
    "--set",
    "track.csv=true",
];

fn ddpo(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo"));
    command.args(words);
    command
}

/// `ranks` processes of the program; none where there is no launcher.
fn mpirun(ranks: usize, words: &[&str]) -> Option<Command> {
    let found = Command::new("mpirun").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        println!("skipped: no mpirun on this machine");
        return None;
    }
    let mut command = Command::new("mpirun");
    // As root, as containers are, and with more ranks than cores; other launchers than Open MPI's ignore these.
    for (name, value) in [
        ("OMPI_ALLOW_RUN_AS_ROOT", "1"),
        ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"),
        ("OMPI_MCA_rmaps_base_oversubscribe", "1"),
        ("OMPI_MCA_hwloc_base_binding_policy", "none"),
    ] {
        command.env(name, value);
    }
    command.args(["-n", &ranks.to_string(), env!("CARGO_BIN_EXE_ddpo")]).args(words);
    Some(command)
}

fn train(directory: &Path, epochs: &str) -> Vec<String> {
    let words = ["train", "--epochs", epochs, "--run-dir"].map(String::from).into_iter();
    words.chain([directory.display().to_string()]).chain(RUN.map(String::from)).collect()
}

#[track_caller]
fn succeed(mut command: Command) {
    let output = command.output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}\n{}", said(&output.stdout), said(&output.stderr));
}

/// The adapter, the grids, and the metrics without what a clock measured and the machine.
fn product(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let read = |path: &Path| std::fs::read(path).unwrap();
    let mut files = BTreeMap::new();
    files.insert("adapter".to_owned(), read(&directory.join("pytorch_lora_weights.safetensors")));
    for entry in std::fs::read_dir(directory.join("samples")).unwrap() {
        let path = entry.unwrap().path();
        files.insert(path.file_name().unwrap().to_string_lossy().into_owned(), read(&path));
    }
    let metrics = String::from_utf8(read(&directory.join("metrics.jsonl"))).unwrap();
    let timeless = metrics.lines().skip(1).map(|line| {
        let mut record: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        record.retain(|key, _| !key.ends_with("seconds") && key != "images_per_second");
        serde_json::Value::Object(record).to_string() + "\n"
    });
    files.insert("metrics".to_owned(), timeless.collect::<String>().into_bytes());
    files
}

fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

/// Waits until the run has a checkpoint after its first epoch.
fn wait_for_an_epoch(directory: &Path, child: &mut Child) {
    let start = Instant::now();
    while !directory.join("checkpoints/epoch_0001").is_dir() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before its first epoch");
        assert!(start.elapsed() < Duration::from_secs(300), "no epoch in five minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes whose command line names `directory` but for the launcher.
fn ranks_of(directory: &Path) -> Vec<u32> {
    let name = directory.display().to_string();
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let number = path.file_name()?.to_str()?.parse().ok()?;
        let line = String::from_utf8_lossy(&std::fs::read(path.join("cmdline")).ok()?).into_owned();
        let program = line.split('\0').next()?;
        (program.ends_with("ddpo") && line.contains(&name)).then_some(number)
    };
    let mut found: Vec<u32> = std::fs::read_dir("/proc").unwrap().filter_map(of).collect();
    found.sort_unstable();
    found
}

#[test]
fn any_number_of_ranks_writes_what_one_process_writes_and_may_go_on_with_another_number() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    succeed(ddpo(&words(&train(&at("alone"), "2"))));
    let alone = product(&at("alone"));
    for ranks in [2, 3] {
        let directory = at(&format!("of-{ranks}"));
        let Some(command) = mpirun(ranks, &words(&train(&directory, "2"))) else { return };
        succeed(command);
        assert!(product(&directory) == alone, "{ranks} ranks");
    }
    let Some(command) = mpirun(2, &words(&train(&at("two-then-three"), "1"))) else { return };
    succeed(command);
    let directory = at("two-then-three").display().to_string();
    succeed(mpirun(3, &["train", "--resume", &directory, "--epochs", "2"]).unwrap());
    assert!(product(&at("two-then-three")) == alone, "two ranks, then three");
}

#[test]
fn a_rank_that_is_killed_or_asked_to_stop_ends_all_and_the_run_goes_on_from_its_checkpoint() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    if mpirun(1, &[]).is_none() {
        return;
    }
    succeed(ddpo(&words(&train(&at("whole"), "3"))));
    for signal in ["KILL", "TERM"] {
        let directory = at(signal);
        let mut command = mpirun(2, &words(&train(&directory, "3"))).unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for_an_epoch(&directory, &mut child);
        let victim = ranks_of(&directory).pop().unwrap().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &victim]).status().unwrap().success());
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(120), "SIG{signal}: the others wait for ever");
            std::thread::sleep(Duration::from_millis(20));
        }
        succeed(ddpo(&["train", "--resume", &directory.display().to_string()]));
        assert!(product(&directory) == product(&at("whole")), "after SIG{signal}");
    }
}

#[test]
fn a_run_that_cannot_begin_ends_on_every_rank() {
    let Some(mut command) = mpirun(3, &["train", "--model", "no/such/directory", "--run-dir", "never"]) else { return };
    let output = command.output().unwrap();
    assert!(!output.status.success());
    assert!(!Path::new("never").exists());
}
