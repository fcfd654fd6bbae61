//! The fixtures of networks, which `ddpo-nn` has too.

use std::path::{Path, PathBuf};

use ddpo_core::RgbImage;
use ddpo_nn::{TensorFile, map};

/// A file or a folder among them.
pub fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ddpo-nn/tests/fixtures").join(name)
}

/// The pictures that the makers of the fixtures drew.
pub fn images() -> Vec<RgbImage> {
    let file = TensorFile::open("pictures", vec![map(&fixtures("pictures.safetensors")).unwrap()]).unwrap();
    let image = |i: usize| {
        let name = format!("picture.{i}");
        let shape = file.shape(&name).unwrap().to_vec();
        let bytes = file.read(&name).unwrap().into_iter().map(|value| value as u8).collect();
        RgbImage::new(shape[1] as u32, shape[0] as u32, bytes).unwrap()
    };
    (0..6).map(image).collect()
}
