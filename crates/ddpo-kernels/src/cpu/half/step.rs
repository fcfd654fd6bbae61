//! What a unit does at a time.

use super::{SUMS, TILE};

/// One step of a product: the sums of a strip, or of its upper tile alone, and the tiles of both factors that are added.
pub(in crate::cpu) struct Step<'a> {
    /// The tiles of `K` of each tile of rows, one or two.
    pub left: &'a [&'a [u16]],
    /// Pairs of tiles.
    pub right: &'a [u16],
    pub sums: &'a mut [f32; SUMS],
}

impl Step<'_> {
    /// Tiles of `K`; checks what the units rely on.
    pub(super) fn depth(&self) -> usize {
        let depth = self.right.len() / (2 * TILE);
        assert!(matches!(self.left.len(), 1 | 2) && self.left.iter().all(|left| left.len() == depth * TILE));
        depth
    }
}
