//! The default run's shape, with the embedded model.

use super::*;

fn emoji(run: &Path, epochs: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo"));
    command.current_dir(PLACE.path()).args(["train", "--epochs", epochs, "--run-dir"]).arg(run);
    for setting in [
        "sample.batches-per-epoch=4",
        "eval.count=5",
        "eval.every=1",
        "checkpoint.every=1",
        "run.threads=1",
        "track.csv=true",
    ] {
        command.args(["--set", setting]);
    }
    command
}

#[test]
#[ignore = "takes minutes"]
fn any_number_of_ranks_trains_the_embedded_model_and_may_go_on_with_another_number() {
    let at = |name: &str| PLACE.path().join(format!("emoji-{name}"));
    check_done(&emoji(&at("alone"), "2").output().unwrap());
    let alone = product(&at("alone"));
    assert!(alone.len() > 5, "{:?}", alone.keys());
    for ranks in [2, 3] {
        let run = at(&ranks.to_string());
        let Some(command) = mpirun(ranks, &emoji(&run, "2")) else { return };
        check_ended_well(command);
        check_same(&run, &alone, &format!("{ranks} ranks"));
    }
    let run = at("two-then-three");
    check_ended_well(mpirun(2, &emoji(&run, "1")).unwrap());
    check_ended_well(mpirun(3, resume(&run).args(["--epochs", "2"])).unwrap());
    check_same(&run, &alone, "two ranks, then three");
}
