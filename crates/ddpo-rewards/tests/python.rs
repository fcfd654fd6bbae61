//! The Python file that the guide hands out, where there is a Python.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

use ddpo_core::{Judge, RewardBatch, RgbImage};
use ddpo_rewards::{RewardContext, RewardRegistry, check_conformance};

/// A reward that uses the helper, and how it is asked.
fn judge(folder: &Path, body: &str) -> Judge {
    let helper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/ddpo_reward.py");
    std::fs::copy(helper, folder.join("ddpo_reward.py")).unwrap();
    std::fs::write(folder.join("mine.py"), format!("from ddpo_reward import reward\n\n{body}")).unwrap();
    let options = format!("directory = \"{}\"", folder.display()).parse().unwrap();
    let plan = RewardRegistry::default().plan("exec:python3 mine.py", &options).unwrap();
    plan.open(&RewardContext::default()).unwrap()
}

/// Pillow, or as much of it as the helper needs.
fn has_python(folder: &Path) -> bool {
    let runs =
        |code: &str| Command::new("python3").args(["-c", code]).output().is_ok_and(|output| output.status.success());
    if !runs("") {
        return false;
    }
    if !runs("import PIL") {
        std::fs::create_dir(folder.join("PIL")).unwrap();
        std::fs::write(folder.join("PIL/__init__.py"), "").unwrap();
        let image = "class Picture:\n    def __init__(self, path):\n        self.bytes = open(path, 'rb').read()\n\n    def \
                     convert(self, mode):\n        return self\n\n    def tobytes(self):\n        return \
                     self.bytes\n\n\ndef open_(path):\n    return Picture(path)\n\n\nopen, builtin = open_, open\n";
        std::fs::write(folder.join("PIL/Image.py"), image.replace("open(path, 'rb')", "builtin(path, 'rb')")).unwrap();
    }
    true
}

#[test]
fn a_decorated_function_is_a_reward() {
    let folder = tempfile::tempdir().unwrap();
    if !has_python(folder.path()) {
        return;
    }
    // It prints where answers belong, and fails at one prompt.
    let body = "@reward\ndef mean(images, prompts):\n    print('[0.5]')\n    if prompts[0] == 'fail':\n        raise \
                ValueError('no \"face\"')\n    return [None if p == 'none' else sum(i.tobytes()) / len(i.tobytes()) for i, p \
                in zip(images, prompts)]\n";
    let judge = judge(folder.path(), body);
    let mut lines = Vec::new();
    let failures = check_conformance(&judge, &mut |finding| lines.push(finding.to_string()));
    assert_eq!(failures, 0, "{lines:#?}");
    let images = [RgbImage::new(1, 1, vec![9; 3]).unwrap(), RgbImage::new(1, 1, vec![9; 3]).unwrap()];
    let ask = |prompts: [&str; 2]| {
        let prompts = prompts.map(String::from);
        judge
            .score(&RewardBatch::new(&images, &prompts), 2)
            .map_err(|error| std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string))
    };
    let scores = ask(["a", "none"]).unwrap();
    assert!(scores[0].is_finite() && scores[1].is_nan(), "{scores:?}");
    let error = ask(["fail", "a"]).unwrap_err();
    assert_eq!(error, "ask the reward program `python3 mine.py`: it says `ValueError: no \"face\"`");
}
