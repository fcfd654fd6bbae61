//! The JPEG size against PIL's, byte for byte, on the pictures of `fixtures/make_jpeg.py`.

use std::path::Path;

use ddpo_rewards::jpeg_bytes;

#[test]
fn sizes_equal_pil_to_the_byte() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/jpeg");
    let sizes = std::fs::read_to_string(folder.join("sizes.json")).unwrap();
    let sizes: serde_json::Value = serde_json::from_str(&sizes).unwrap();
    let sizes = sizes["bytes"].as_object().unwrap();
    assert!(sizes.len() >= 15);
    for (name, bytes) in sizes {
        let image = image::open(folder.join(format!("{name}.png"))).unwrap().to_rgb8();
        let found = jpeg_bytes(image.width() as usize, image.height() as usize, image.as_raw());
        assert_eq!(found, bytes.as_u64().map(|bytes| bytes as usize), "{name}");
    }
}
