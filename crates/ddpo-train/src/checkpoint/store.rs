//! The directory of checkpoints: written, pruned, and searched for the newest intact one.

use std::path::{Path, PathBuf};

use super::manifest::{FORMAT, MANIFEST, Manifest, Refusal, STATE};
use super::snapshot::{Identity, Snapshot};
use crate::error::{Error, Result};
use crate::{fs, tensors};

/// `checkpoints/`, one directory `epoch_NNNN` a checkpoint.
#[derive(Clone, Debug)]
pub struct CheckpointStore {
    root: PathBuf,
    keep: usize,
}

/// The directory of the best state.
const BEST: &str = "best";

/// A checkpoint read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Which run it belongs to.
    pub identity: Identity,
    /// The trainer's state.
    pub snapshot: Snapshot,
}

/// What a search for the newest intact checkpoint found.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest intact checkpoint; `None` where there is none at all.
    pub checkpoint: Option<Checkpoint>,
    /// What is wrong with each newer one, newest first.
    pub damaged: Vec<Error>,
}

impl CheckpointStore {
    /// The store in `root`, which keeps the newest `keep` checkpoints (at least 1). Nothing is touched yet.
    pub fn new(root: impl Into<PathBuf>, keep: usize) -> Self {
        Self { root: root.into(), keep: keep.max(1) }
    }

    /// Writes a checkpoint whole or not at all, removes the oldest beyond `keep`, and says where it is.
    ///
    /// # Errors
    /// [`Error::Io`] with the path; older checkpoints are then untouched.
    pub fn save(&self, identity: &Identity, snapshot: &Snapshot) -> Result<PathBuf> {
        let path = self.root.join(format!("epoch_{:04}", snapshot.epoch));
        self.write(&path, identity, snapshot)?;
        self.prune(snapshot.epoch)?;
        Ok(path)
    }

    /// Writes the checkpoint of the best state in place of the last best one. It is never pruned or resumed from.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn save_best(&self, identity: &Identity, snapshot: &Snapshot) -> Result<()> {
        self.write(&self.root.join(BEST), identity, snapshot)
    }

    /// The checkpoint of the best state, where there is one.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn best(&self) -> Result<Option<Checkpoint>> {
        let path = self.root.join(BEST);
        if path.is_dir() { Self::read(&path).map(Some) } else { Ok(None) }
    }

    fn write(&self, path: &Path, identity: &Identity, snapshot: &Snapshot) -> Result<()> {
        fs::create_directory(&self.root)?;
        let invalid = |reason| Error::DamagedCheckpoint { path: path.to_path_buf(), reason };
        let state = tensors::to_bytes(&snapshot.tensors).map_err(invalid)?;
        let manifest = Manifest::new(identity, snapshot, &state).to_bytes().map_err(invalid)?;
        fs::write_directory_atomic(path, &[(STATE, &state), (MANIFEST, &manifest)])
    }

    /// Reads the newest intact checkpoint, and says which newer ones are damaged.
    ///
    /// # Errors
    /// [`Error::NewerFormat`]: going back behind a later version's work would lose it. [`Error::DamagedCheckpoint`] of
    /// the newest where all are damaged. [`Error::Io`] where the directory cannot be listed.
    pub fn newest(&self) -> Result<Found> {
        let mut found = Found::default();
        for (_, path) in self.list()?.into_iter().rev() {
            match Self::read(&path) {
                Ok(checkpoint) => {
                    found.checkpoint = Some(checkpoint);
                    return Ok(found);
                }
                Err(e @ Error::NewerFormat { .. }) => return Err(e),
                Err(e) => found.damaged.push(e),
            }
        }
        if found.damaged.is_empty() { Ok(found) } else { Err(found.damaged.swap_remove(0)) }
    }

    /// Reads the checkpoint in the directory `path`.
    ///
    /// # Errors
    /// [`Error::DamagedCheckpoint`], [`Error::NewerFormat`], [`Error::Io`].
    pub fn read(path: &Path) -> Result<Checkpoint> {
        let refused = |refusal| match refusal {
            Refusal::Damaged(reason) => Error::DamagedCheckpoint { path: path.to_path_buf(), reason },
            Refusal::Newer(found) => Error::NewerFormat { path: path.to_path_buf(), found, wanted: FORMAT },
        };
        let manifest = Manifest::from_bytes(&read_part(path, MANIFEST)?).map_err(refused)?;
        let state = read_part(path, STATE)?;
        manifest.check_state(&state).map_err(refused)?;
        let tensors = tensors::from_bytes(&state).map_err(|e| refused(Refusal::Damaged(format!("{STATE}: {e}"))))?;
        let (identity, snapshot) = manifest.into_parts();
        Ok(Checkpoint { identity, snapshot: Snapshot { tensors, ..snapshot } })
    }

    /// The checkpoints by epoch, oldest first.
    fn list(&self) -> Result<Vec<(u64, PathBuf)>> {
        let names = fs::list_directory(&self.root)?;
        let mut found: Vec<(u64, PathBuf)> = names
            .iter()
            .filter_map(|name| Some((name.strip_prefix("epoch_")?.parse().ok()?, self.root.join(name))))
            .collect();
        found.sort();
        Ok(found)
    }

    /// Removes the oldest checkpoints beyond `keep`, and those of epochs after `newest`: a run which resumed from an
    /// older checkpoint has left that line of work.
    fn prune(&self, newest: u64) -> Result<()> {
        let (kept, left): (Vec<_>, Vec<_>) = self.list()?.into_iter().partition(|(epoch, _)| *epoch <= newest);
        let surplus = kept.len().saturating_sub(self.keep);
        let doomed = left.iter().chain(&kept[..surplus]);
        doomed.into_iter().try_for_each(|(_, path)| fs::remove_directory(path))
    }
}

/// Reads a file of a checkpoint; its absence is damage, since the directory appeared whole.
fn read_part(path: &Path, name: &str) -> Result<Vec<u8>> {
    fs::read_optional(&path.join(name))?
        .ok_or_else(|| Error::DamagedCheckpoint { path: path.to_path_buf(), reason: format!("{name} is missing") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::NamedTensor;

    fn snapshot(epoch: u64) -> Snapshot {
        Snapshot {
            epoch,
            counters: [("updates".to_owned(), 4 * epoch)].into(),
            texts: [("prompts".to_owned(), vec!["a \"cat\"".to_owned()])].into(),
            tensors: vec![NamedTensor { name: "w".into(), values: vec![epoch as f32; 3] }],
            lengths: [("metrics.jsonl".to_owned(), 10 * epoch)].into(),
        }
    }

    fn store_of(epochs: &[u64], keep: usize) -> (tempfile::TempDir, CheckpointStore) {
        let directory = tempfile::tempdir().unwrap();
        let store = CheckpointStore::new(directory.path().join("checkpoints"), keep);
        for &epoch in epochs {
            store.save(&Identity::default(), &snapshot(epoch)).unwrap();
        }
        (directory, store)
    }

    #[test]
    fn the_newest_comes_back_whole_and_the_oldest_go() {
        let (_directory, store) = store_of(&[1, 2, 3, 10], 2);
        let found = store.newest().unwrap();
        assert_eq!(found.checkpoint.unwrap().snapshot, snapshot(10));
        assert!(found.damaged.is_empty());
        assert_eq!(fs::list_directory(&store.root).unwrap(), ["epoch_0003", "epoch_0010"]);
    }

    #[test]
    fn a_damaged_newest_gives_way_to_the_one_before_it_with_a_warning() {
        for part in [MANIFEST, STATE] {
            for cut in [true, false] {
                let (_directory, store) = store_of(&[1, 2], 2);
                let path = store.root.join("epoch_0002").join(part);
                let bytes = fs::read(&path).unwrap();
                let bytes = if cut { bytes[..bytes.len() - 9].to_vec() } else { flipped(bytes) };
                std::fs::write(&path, bytes).unwrap();
                let found = store.newest().unwrap();
                assert_eq!(found.checkpoint.unwrap().snapshot.epoch, 1, "{part}");
                assert!(found.damaged[0].to_string().contains("epoch_0002"));
            }
        }
    }

    fn flipped(mut bytes: Vec<u8>) -> Vec<u8> {
        let middle = bytes.len() - 5;
        bytes[middle] ^= 1;
        bytes
    }

    #[test]
    fn a_missing_part_is_damage_and_only_damage_is_an_error() {
        let (_directory, store) = store_of(&[1], 2);
        std::fs::remove_file(store.root.join("epoch_0001").join(STATE)).unwrap();
        assert!(matches!(store.newest(), Err(Error::DamagedCheckpoint { .. })));
    }

    #[test]
    fn no_checkpoint_is_an_answer() {
        let (_directory, store) = store_of(&[], 2);
        assert!(store.newest().unwrap().checkpoint.is_none());
    }

    #[test]
    fn a_later_format_is_refused_rather_than_passed_over() {
        let (_directory, store) = store_of(&[1, 2], 2);
        let path = store.root.join("epoch_0002").join(MANIFEST);
        let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        std::fs::write(&path, text.replace("\"format\": 1", "\"format\": 9")).unwrap();
        assert!(matches!(store.newest(), Err(Error::NewerFormat { found: 9, .. })));
    }
}
