//! Checkpoints of every format there has been are read: the files of a new format are added here, and none is removed.

use std::path::Path;

use ddpo_train::{CheckpointStore, NamedTensor};

#[test]
fn a_checkpoint_of_format_1_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoint-format-1");
    let checkpoint = CheckpointStore::read(&path).unwrap();
    let (identity, snapshot) = (checkpoint.identity, checkpoint.snapshot);
    assert_eq!((identity.model.as_str(), identity.settings["run.seed"].as_str()), ("emoji 1a2b3c4d", "0"));
    assert_eq!((snapshot.epoch, snapshot.counter("updates"), snapshot.length("metrics.jsonl")), (2, 8, 4321));
    assert_eq!(NamedTensor::find(&snapshot.tensors, "parameter/w", 2).unwrap().values, [1.5, -2.0]);
    assert_eq!(NamedTensor::find(&snapshot.tensors, "advantage/3", 3).unwrap().values, [7.0, -1.0, 2.0]);
}
