//! Where pictures and captions come from: a folder of pictures, or compositions of a folder of cut-outs.

use std::path::Path;

use super::compose::{Compositor, Drawings, Split, are_cutouts};
use super::data::ImageFolder;
use super::recipe::PretrainConfig;
use crate::Result;
use crate::metadata::{self, METADATA};

/// What pretraining draws from.
#[derive(Debug)]
pub(super) enum Source {
    /// Pictures as they are.
    Folder(ImageFolder),
    /// Pictures composed anew at every draw.
    Composed {
        /// The model's.
        pictures: Box<Compositor>,
        /// The judge's, which has seen more hands.
        judged: Box<Compositor>,
    },
}

impl Source {
    /// Reads `dir`: cut-outs where the rows of its metadata have roles, otherwise pictures.
    pub(super) fn load(dir: &Path, config: &PretrainConfig) -> Result<Self> {
        let rows = metadata::read(&dir.join(METADATA))?;
        if !are_cutouts(&rows) {
            return Ok(Self::Folder(ImageFolder::of_rows(dir, rows, config.label_weight)?));
        }
        let compositor = |split, composition| -> Result<Box<Compositor>> {
            Ok(Box::new(Compositor::new(Drawings::of_rows(dir, &rows, split)?, composition)))
        };
        Ok(Self::Composed {
            pictures: compositor(Split::Train, config.composition)?,
            judged: compositor(Split::Judge, config.judge.composition)?,
        })
    }

    /// Side of every picture, in pixels.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Folder(folder) => folder.size,
            Self::Composed { pictures, .. } => pictures.config.size,
        }
    }

    /// What the tokenizer's vocabulary is learned from.
    pub(super) fn captions(&self) -> Vec<String> {
        match self {
            Self::Folder(folder) => folder.captions().map(String::from).collect(),
            Self::Composed { pictures, .. } => pictures.captions(),
        }
    }
}
