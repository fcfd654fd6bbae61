//! The sample grids of a run, as they stand in its directory.

use std::path::Path;

use crate::error::Result;

/// Pictures in a row of a grid, and between them; as the run writes them.
const COLUMNS: usize = 8;
const GAP: u32 = 2;

/// Bytes of a grid above which a smaller copy stands in the page.
const LARGE: usize = 1 << 20;

/// The longest side of such a copy, in pixels.
const SIDE: u32 = 1600;

/// The grid of an evaluation.
#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    /// The epochs done.
    pub epoch: u64,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// The file, or a smaller copy of it.
    pub file: Vec<u8>,
}

/// A part of a grid, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl Grid {
    /// The grids of a directory by epoch, and the names of files that should be grids and are none.
    pub fn read_all(directory: &Path) -> Result<(Vec<Self>, Vec<String>)> {
        let (mut grids, mut damaged) = (Vec::new(), Vec::new());
        for name in ddpo_train::fs::list_directory(directory)? {
            let epoch = name.strip_prefix("epoch_").and_then(|rest| rest.strip_suffix(".png")?.parse().ok());
            let Some(epoch) = epoch else { continue };
            let path = directory.join(&name);
            let file = ddpo_train::fs::read(&path)?;
            match png_size(&file) {
                Some(size) => grids.push(Self { epoch, size, file: smaller(&path, file, size) }),
                None => damaged.push(name),
            }
        }
        grids.sort_by_key(|grid| grid.epoch);
        Ok((grids, damaged))
    }

    /// Where the picture `i` of `count` is; `None` where the grid is not one of so many pictures.
    pub fn cell(&self, i: usize, count: usize) -> Option<Cell> {
        let columns = COLUMNS.min(count).max(1);
        let side = |total: u32, cells: usize| {
            let cells = cells as u32;
            let inside = total.checked_sub((cells - 1) * GAP)?;
            (inside > 0 && inside.is_multiple_of(cells)).then_some(inside / cells)
        };
        let (width, height) = (side(self.size[0], columns)?, side(self.size[1], count.div_ceil(columns))?);
        let place = |index: usize, side: u32| index as u32 * (side + GAP);
        Some(Cell { left: place(i % columns, width), top: place(i / columns, height), width, height })
    }
}

/// Width and height of a PNG file, which its first chunk says.
fn png_size(file: &[u8]) -> Option<[u32; 2]> {
    let header =
        file.get(..24).filter(|header| header.starts_with(b"\x89PNG\r\n\x1a\n") && &header[12..16] == b"IHDR")?;
    let number = |at: usize| header[at..at + 4].iter().fold(0u32, |number, &byte| number << 8 | u32::from(byte));
    Some([number(16), number(20)]).filter(|size| size.iter().all(|side| (1..1 << 16).contains(side)))
}

/// The file, or a copy of at most [`SIDE`] pixels a side: a page of many epochs of large pictures would be too large to open.
fn smaller(path: &Path, file: Vec<u8>, [width, height]: [u32; 2]) -> Vec<u8> {
    let longest = width.max(height);
    if file.len() <= LARGE || longest <= SIDE {
        return file;
    }
    let scaled = |side: u32| (u64::from(side) * u64::from(SIDE) / u64::from(longest)).max(1) as u32;
    let copy = crate::images::read_image(path)
        .and_then(|picture| crate::images::resize(&picture, scaled(width), scaled(height)))
        .ok()
        .and_then(|picture| crate::images::encode_png(&picture).ok());
    copy.unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use ddpo_core::RgbImage;

    use super::*;
    use crate::images::{encode_png, grid};

    fn pictures(count: usize) -> Vec<RgbImage> {
        (0..count).map(|i| RgbImage::new(3, 2, vec![i as u8; 18]).unwrap()).collect()
    }

    #[test]
    fn every_cell_is_where_the_picture_is() {
        for count in [1, 3, 8, 9, 32] {
            let picture = grid(&pictures(count), COLUMNS).unwrap();
            let size = [picture.width(), picture.height()];
            assert_eq!(png_size(&encode_png(&picture).unwrap()), Some(size));
            let found = Grid { size, ..Grid::default() };
            for i in 0..count {
                let cell = found.cell(i, count).unwrap();
                let pixel = picture.pixels()[((cell.top * size[0] + cell.left) * 3) as usize];
                assert_eq!((pixel, cell.width, cell.height), (i as u8, 3, 2), "{i} of {count}");
            }
        }
        assert_eq!(Grid { size: [10, 10], ..Grid::default() }.cell(0, 8), None);
    }

    #[test]
    fn a_file_that_is_no_picture_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let png = encode_png(&pictures(1)[0]).unwrap();
        for (name, bytes) in [
            ("epoch_0010.png", &png[..]),
            ("epoch_0002.png", &png[..]),
            ("epoch_0003.png", &b"abc"[..]),
            ("x.png", &[][..]),
        ] {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        let (grids, damaged) = Grid::read_all(directory.path()).unwrap();
        assert_eq!(grids.iter().map(|grid| grid.epoch).collect::<Vec<_>>(), [2, 10]);
        assert_eq!(damaged, ["epoch_0003.png"]);
        assert_eq!(Grid::read_all(&directory.path().join("none")).unwrap().0.len(), 0);
    }

    #[test]
    fn a_large_grid_is_shown_smaller() {
        let noise: Vec<u8> = (0..2000 * 1000 * 3u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let file = encode_png(&RgbImage::new(2000, 1000, noise).unwrap()).unwrap();
        assert!(file.len() > LARGE);
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("epoch_0000.png"), file).unwrap();
        let (grids, _) = Grid::read_all(directory.path()).unwrap();
        // Cells are found by the size of the original.
        assert_eq!((grids[0].size, png_size(&grids[0].file)), ([2000, 1000], Some([1600, 800])));
    }
}
