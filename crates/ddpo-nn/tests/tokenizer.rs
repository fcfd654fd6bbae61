//! Texts become the ids that transformers 4.57.6 makes of them, on the fixtures of `ddpo-models/fixtures/make_models.py`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ddpo_nn::{ModelFiles, Tokenizer};

const KINDS: [&str; 2] = ["sd1", "sd2"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ddpo-models/tests/fixtures")
}

#[test]
fn texts_become_the_ids_of_transformers() {
    let golden = fs::read(fixtures().join("tokens.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    let mut wrong = Vec::new();
    for kind in KINDS {
        let tokenizer = Tokenizer::from_files(&ModelFiles::Directory(fixtures().join(kind))).unwrap();
        let texts = golden["texts"].as_array().unwrap();
        assert!(texts.len() >= 1000, "{}", texts.len());
        for (text, ids) in texts.iter().zip(golden[kind].as_array().unwrap()) {
            let wanted: Vec<u32> = serde_json::from_value(ids.clone()).unwrap();
            let found = tokenizer.encode(text.as_str().unwrap()).unwrap();
            if found != wanted {
                wrong.push(format!("{kind} {text}: {found:?}, wanted {wanted:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} texts differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_learned_tokenizer_reads_back() {
    let tokenizer = Tokenizer::train(["a cat", "a dog", "an emoji of a cat"], 540, 16).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("learned");
    for (name, content) in tokenizer.files() {
        fs::create_dir_all(folder.join("tokenizer")).unwrap();
        fs::write(folder.join("tokenizer").join(name), content).unwrap();
    }
    let read = Tokenizer::from_files(&ModelFiles::Directory(folder)).unwrap();
    assert_eq!(read.vocabulary_size(), tokenizer.vocabulary_size());
    assert_eq!(read.encode("A cat's dog!").unwrap(), tokenizer.encode("A cat's dog!").unwrap());
    // What transformers' `CLIPTokenizer.from_pretrained` makes of the same folder.
    let ids = [514, 320, 513, 6, 338, 67, 78, 326, 256, 515];
    assert_eq!(read.encode("A cat's dog!").unwrap()[..10], ids);
}
