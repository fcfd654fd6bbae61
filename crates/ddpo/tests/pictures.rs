//! Pictures of every kind that people have, read as Pillow reads them: `fixtures/make_pictures.py`.
//!
//! What is not a JPEG is equal; another decoder of a JPEG rounds otherwise, here by at most 2 of 255.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ddpo::images::read_image;
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures")
}

#[test]
fn every_kind_is_read_as_pillow_reads_it() {
    let text = std::fs::read_to_string(fixtures().join("expected.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_str(&text).unwrap();
    assert!(expected.len() > 20);
    for (name, expected) in expected {
        let found = read_image(&fixtures().join(&name)).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!((found.width(), found.height()), (expected.width, expected.height), "{name}");
        let differences = found.pixels().iter().zip(&expected.pixels).map(|(found, wanted)| found.abs_diff(*wanted));
        let most = differences.max().unwrap();
        assert!(most <= if name.ends_with(".jpg") { 2 } else { 0 }, "{name} differs by {most}");
    }
}

/// Pillow says `image file is truncated`; a decoder that fills the rest with grey would train on the grey.
#[test]
fn what_is_cut_off_or_empty_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["turned-1.jpg", "progressive.jpg", "grey-16.png", "palette.gif", "turned.webp", "plain.bmp"] {
        let whole = std::fs::read(fixtures().join(name)).unwrap();
        let path = directory.path().join(name);
        for length in [0, 1, whole.len() / 2, whole.len() * 9 / 10] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = read_image(&path).expect_err(&format!("{length} of {} bytes of {name}", whole.len()));
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(cause.contains("the file is empty"), length == 0, "{cause}");
        }
    }
}
