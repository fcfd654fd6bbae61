//! From a text to token ids.

use std::borrow::Cow;

use tokenizers::Tokenizer as Inner;

use super::python::prepare;
use super::words::{Part, Words};
use crate::error::{Error, Result};

/// CLIP's tokenizer: lowercased words, byte-level pairs, a start and an end, padded to a fixed length.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pub(super) inner: Inner,
    /// Whether texts are handled as transformers' slow tokenizer does, in Python.
    pub(super) python: bool,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) pad: u32,
    pub(super) max_length: usize,
    /// What was added to the vocabulary.
    pub(super) words: Words,
    /// The files it was made from, by name, which are written back as they are.
    pub(super) files: Vec<(String, Vec<u8>)>,
}

/// A text as token ids, and what did not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The ids, exactly as many as the tokenizer's maximal length.
    pub ids: Vec<u32>,
    /// The end of the text, as the tokenizer reads it, that was cut off.
    pub dropped: Option<String>,
}

impl Tokenizer {
    /// The ids of a text, padded or cut to [`Tokenizer::max_length`].
    ///
    /// # Errors
    ///
    /// If the tokenizer's own files make it fail on the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.encode_reporting(text)?.ids)
    }

    /// The ids of a text, and what was cut off at its end.
    ///
    /// # Errors
    ///
    /// If the tokenizer's own files make it fail on the text.
    pub fn encode_reporting(&self, text: &str) -> Result<Encoded> {
        let tokens = self.tokens(text)?;
        let (kept, dropped) = tokens.split_at(tokens.len().min(self.max_length.saturating_sub(2)));
        let mut ids = vec![self.start];
        ids.extend(kept);
        ids.push(self.end);
        ids.resize(self.max_length, self.pad);
        Ok(Encoded { ids, dropped: (!dropped.is_empty()).then(|| self.words(dropped)) })
    }

    /// The ids of a text, without start, end and padding.
    pub(super) fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        // Transformers' fast tokenizer looks for added words in lower case.
        for part in self.words.parts(text, self.python) {
            match part {
                Part::Text(text) => ids.extend(self.plain_tokens(text)?),
                Part::Ids(added) => ids.extend(added),
            }
        }
        Ok(ids)
    }

    /// The ids of a text in which no word is one that was added.
    pub(super) fn plain_tokens(&self, text: &str) -> Result<Vec<u32>> {
        let prepared = if self.python { Cow::Owned(prepare(text)) } else { Cow::Borrowed(text) };
        let encoding = self.inner.encode_fast(prepared.as_ref(), false);
        let encoding = encoding.map_err(|error| Error::Tokenizer(format!("text `{text}` refused: {error}")))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// How many ids a text is padded or cut to, start and end included.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// The number of tokens.
    pub fn vocabulary_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The files of a diffusers directory's `tokenizer` folder, by name.
    pub fn files(&self) -> &[(String, Vec<u8>)] {
        &self.files
    }

    /// Tokens as text, with a space where a word ends.
    fn words(&self, ids: &[u32]) -> String {
        let bytes: std::collections::HashMap<char, u8> =
            super::alphabet::byte_characters().into_iter().map(|(byte, character)| (character, byte)).collect();
        let mut text = Vec::new();
        for id in ids {
            if let Some(name) = self.words.name_of(*id) {
                text.extend(name.bytes().chain([b' ']));
                continue;
            }
            let Some(token) = self.inner.id_to_token(*id) else { continue };
            let (word, ends) = token.strip_suffix("</w>").map_or((token.as_str(), false), |word| (word, true));
            text.extend(word.chars().filter_map(|character| bytes.get(&character)));
            text.extend(ends.then_some(b' '));
        }
        String::from_utf8_lossy(&text).trim_end().to_owned()
    }
}
