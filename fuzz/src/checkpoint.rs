//! The two files of a checkpoint, with checksums that fit, since no damage is behind one that does not.

use std::cell::OnceCell;

use ddpo::train::CheckpointStore;
use serde_json::{Map, Value, json};

thread_local! {
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// The manifest with the checksums of the state and of itself, where it is an object.
fn signed(manifest: &[u8], state: &[u8]) -> Option<Vec<u8>> {
    let mut object: Map<String, Value> = serde_json::from_slice(manifest).ok()?;
    let sums = json!({ "bytes": state.len(), "crc32": crc32fast::hash(state) });
    if let Some(sum) = object.get_mut("files").and_then(|files| files.get_mut("state.safetensors")) {
        *sum = sums;
    }
    object.shift_remove("crc32");
    let sum = crc32fast::hash(&serde_json::to_vec(&object).ok()?);
    object.insert("crc32".into(), sum.into());
    serde_json::to_vec(&object).ok()
}

/// Tries one input.
pub fn run(data: &[u8]) {
    // `+` signs the manifest; it ends at the first zero byte, and the state follows.
    let [sign, rest @ ..] = data else { return };
    let (manifest, state) = rest.split_at(rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len()));
    let state = state.get(1..).unwrap_or_default();
    let manifest = if *sign == b'+' { signed(manifest, state) } else { None }.unwrap_or_else(|| manifest.to_vec());
    FOLDER.with(|folder| {
        let path = folder.get_or_init(|| tempfile::tempdir().unwrap()).path();
        std::fs::write(path.join("manifest.json"), manifest).unwrap();
        std::fs::write(path.join("state.safetensors"), state).unwrap();
        if let Ok(checkpoint) = CheckpointStore::read(path) {
            let _ = checkpoint.identity.accepts(&checkpoint.identity);
            let _ = checkpoint.snapshot.length("metrics.jsonl");
        }
    });
}
