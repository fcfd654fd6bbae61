//! `manifest.json`: everything of a checkpoint but its tensors, with the checksums of both.
//!
//! It holds whole numbers and text only, so that writing what was read gives the same bytes; its own checksum is
//! over exactly that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::snapshot::{Identity, Snapshot};

/// The format this version writes, and the newest it reads.
pub(super) const FORMAT: u64 = 1;
/// The manifest's file name.
pub(super) const MANIFEST: &str = "manifest.json";
/// The tensors' file name.
pub(super) const STATE: &str = "state.safetensors";

/// Why a manifest was not accepted.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// Not what was written.
    Damaged(String),
    /// A later format.
    Newer(u64),
}

/// The manifest as JSON; field order is file order.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Manifest {
    format: u64,
    program: String,
    pub epoch: u64,
    model: String,
    counters: BTreeMap<String, u64>,
    lengths: BTreeMap<String, u64>,
    settings: BTreeMap<String, String>,
    texts: BTreeMap<String, Vec<String>>,
    files: BTreeMap<String, FileSum>,
    config: String,
}

/// The length and checksum of a file beside the manifest.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct FileSum {
    bytes: u64,
    crc32: u32,
}

impl Manifest {
    pub fn new(identity: &Identity, snapshot: &Snapshot, state: &[u8]) -> Self {
        Self {
            format: FORMAT,
            program: format!("ddpo {}", env!("CARGO_PKG_VERSION")),
            epoch: snapshot.epoch,
            model: identity.model.clone(),
            counters: snapshot.counters.clone(),
            lengths: snapshot.lengths.clone(),
            settings: identity.settings.clone(),
            texts: snapshot.texts.clone(),
            files: BTreeMap::from([(STATE.to_owned(), FileSum::of(state))]),
            config: identity.config.clone(),
        }
    }

    /// The file's bytes: one JSON object whose last field, `crc32`, is over the compact form of all others.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let Ok(Value::Object(mut object)) = serde_json::to_value(self) else {
            return Err("the manifest is not an object".to_owned());
        };
        let sum = checksum(&object)?;
        object.insert("crc32".to_owned(), sum.into());
        let mut bytes = serde_json::to_vec_pretty(&object).map_err(|e| e.to_string())?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a manifest; the format is judged before anything else, so that a later one is told from damage.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refusal> {
        let damaged = |e: &dyn std::fmt::Display| Refusal::Damaged(format!("{MANIFEST}: {e}"));
        let mut object: serde_json::Map<String, Value> = serde_json::from_slice(bytes).map_err(|e| damaged(&e))?;
        match object.get("format").and_then(Value::as_u64) {
            Some(format) if format > FORMAT => return Err(Refusal::Newer(format)),
            Some(_) => {}
            None => return Err(damaged(&"it has no format number")),
        }
        let wanted = object.shift_remove("crc32").and_then(|v| v.as_u64());
        let found = checksum(&object).map_err(|e| damaged(&e))?;
        if wanted != Some(u64::from(found)) {
            return Err(damaged(&"its checksum does not fit its content"));
        }
        serde_json::from_value(Value::Object(object)).map_err(|e| damaged(&e))
    }

    /// Whether `state` is the tensor file this manifest was written with.
    pub fn check_state(&self, state: &[u8]) -> Result<(), Refusal> {
        let found = FileSum::of(state);
        match self.files.get(STATE) {
            Some(wanted) if *wanted == found => Ok(()),
            Some(wanted) if wanted.bytes != found.bytes => {
                Err(Refusal::Damaged(format!("{STATE} has {} bytes, wanted {}", found.bytes, wanted.bytes)))
            }
            _ => Err(Refusal::Damaged(format!("the checksum of {STATE} does not fit its content"))),
        }
    }

    pub fn into_parts(self) -> (Identity, Snapshot) {
        let identity = Identity { model: self.model, settings: self.settings, config: self.config };
        let snapshot = Snapshot {
            epoch: self.epoch,
            counters: self.counters,
            texts: self.texts,
            tensors: Vec::new(),
            lengths: self.lengths,
        };
        (identity, snapshot)
    }
}

impl FileSum {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len() as u64, crc32: crc32fast::hash(bytes) }
    }
}

fn checksum(object: &serde_json::Map<String, Value>) -> Result<u32, String> {
    let compact = serde_json::to_vec(object).map_err(|e| e.to_string())?;
    Ok(crc32fast::hash(&compact))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Vec<u8> {
        let snapshot = Snapshot { epoch: 3, ..Snapshot::default() };
        let identity = Identity { model: "emoji".into(), ..Identity::default() };
        Manifest::new(&identity, &snapshot, b"state").to_bytes().unwrap()
    }

    #[test]
    fn every_changed_letter_is_seen_or_harmless() {
        let original = example();
        for position in 0..original.len() {
            let mut bytes = original.clone();
            bytes[position] = if bytes[position] == b'7' { b'8' } else { b'7' };
            let Ok(read) = Manifest::from_bytes(&bytes) else { continue };
            // White space outside strings is all that may change unseen.
            assert_eq!(read.to_bytes().unwrap(), original, "position {position}");
        }
    }

    #[test]
    fn a_later_format_is_told_from_damage() {
        let text = String::from_utf8(example()).unwrap().replace("\"format\": 1", "\"format\": 2");
        assert_eq!(Manifest::from_bytes(text.as_bytes()).unwrap_err(), Refusal::Newer(2));
    }

    #[test]
    fn a_changed_state_file_is_seen() {
        let manifest = Manifest::from_bytes(&example()).unwrap();
        manifest.check_state(b"state").unwrap();
        assert!(manifest.check_state(b"stat").is_err());
        assert!(manifest.check_state(b"statf").is_err());
    }
}
