//! A prompt file, as a text, JSON Lines or a table: its prompts, and their split into those to train on and those held out.

use std::cell::OnceCell;

use ddpo::prompts::{PromptSource, PromptSplit};

thread_local! {
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// Tries one input.
pub fn run(data: &[u8]) {
    // Two digits say which lines, 0 as the second for all that follow; the file is what comes after them.
    let [start, end, bytes @ ..] = data else { return };
    let name = ["prompts.txt", "prompts.jsonl", "prompts.csv", "prompts.tsv"][usize::from(start / 16 % 4)];
    let (start, end) = (usize::from(start % 16), Some(usize::from(end % 16)).filter(|end| *end > 0));
    FOLDER.with(|folder| {
        let path = folder.get_or_init(|| tempfile::tempdir().unwrap()).path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let source = PromptSource::File { path, start, end };
        if let Ok(split) = PromptSplit::load(&source, None) {
            assert!(!split.training.is_empty() && !split.evaluation.is_empty());
            assert!(split.training.texts.iter().all(|prompt| !prompt.trim().is_empty()));
        }
    });
}
