//! Where pictures and captions come from: a folder of pictures, or compositions of a folder of cut-outs.

use std::path::Path;

use super::compose::{Compositor, CompositorConfig, Drawings, Split, are_cutouts};
use super::data::ImageFolder;
use crate::Result;
use crate::metadata::{self, METADATA};

/// What pretraining draws from.
#[derive(Debug)]
pub(super) enum Source {
    /// Pictures as they are.
    Folder(ImageFolder),
    /// Pictures composed anew at every draw.
    Composed(Compositor),
}

impl Source {
    /// Reads `dir`: cut-outs where the rows of its metadata have roles, otherwise pictures.
    pub(super) fn load(dir: &Path, label_weight: f64, composition: CompositorConfig) -> Result<Self> {
        let rows = metadata::read(&dir.join(METADATA))?;
        if are_cutouts(&rows) {
            return Ok(Self::Composed(Compositor::new(Drawings::of_rows(dir, &rows, Split::Train)?, composition)));
        }
        Ok(Self::Folder(ImageFolder::of_rows(dir, rows, label_weight)?))
    }

    /// Side of every picture, in pixels.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Folder(folder) => folder.size,
            Self::Composed(compositor) => compositor.config.size,
        }
    }

    /// What the tokenizer's vocabulary is learned from.
    pub(super) fn captions(&self) -> Vec<String> {
        match self {
            Self::Folder(folder) => folder.captions().map(String::from).collect(),
            Self::Composed(compositor) => compositor.captions(),
        }
    }
}
