//! The files of a tiny pipeline, of which a target replaces one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use ddpo::device::DeviceName;
use ddpo::models::Pipeline;
use ddpo::nn::ModelFiles;

type Files = BTreeMap<String, Arc<[u8]>>;

static WHOLE: LazyLock<Files> = LazyLock::new(|| {
    // Of whichever package this is compiled in.
    let within = |folder: &Path| folder.join("crates/ddpo-models/tests/fixtures/sd1");
    let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(within);
    let root = above.find(|root| root.is_dir()).unwrap();
    let mut files = Files::new();
    for entry in std::fs::read_dir(root).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_file() {
            files.insert(name, std::fs::read(entry.path()).unwrap().into());
            continue;
        }
        for file in std::fs::read_dir(entry.path()).unwrap().map(Result::unwrap) {
            let path = format!("{name}/{}", file.file_name().into_string().unwrap());
            files.insert(path, std::fs::read(file.path()).unwrap().into());
        }
    }
    files
});

/// The pipeline as it is.
pub static PIPELINE: LazyLock<Pipeline> =
    LazyLock::new(|| Pipeline::load(&pipeline_with("none", b""), &DeviceName::Cpu.open().unwrap()).unwrap());

/// The pipeline with one file replaced, or added.
pub fn pipeline_with(name: &str, bytes: &[u8]) -> ModelFiles {
    let mut files = WHOLE.clone();
    files.insert(name.to_owned(), bytes.into());
    ModelFiles::Memory(Arc::new(files))
}
