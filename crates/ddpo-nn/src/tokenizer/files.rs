//! A tokenizer from its files.

use std::collections::BTreeMap;

use tokenizers::{
    AddedToken, Tokenizer as Inner,
    models::bpe::{BPE, Vocab},
    normalizers::{BertNormalizer, Lowercase, NFC, Replace, Sequence, replace::ReplacePattern},
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        sequence::Sequence as Steps,
        split::{Split, SplitPattern},
    },
    tokenizer::SplitDelimiterBehavior,
};

use super::{Tokenizer, settings::Settings};
use crate::{
    error::{Error, Result},
    files::ModelFiles,
    json::parse_json,
};

const FOLDER: &str = "tokenizer";

/// What CLIP calls a word (`CLIPTokenizer.pat`).
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

impl Tokenizer {
    /// Reads the `tokenizer` folder of a pipeline: `vocab.json` and `merges.txt`, or `tokenizer.json`, with the special
    /// tokens and the length of `tokenizer_config.json` and `special_tokens_map.json`. Every field of these is honoured, known
    /// to be without effect, or refused, and so is a token that the vocabulary does not have, such as an embedding learnt by
    /// textual inversion.
    ///
    /// The first form is read as diffusers reads it, with transformers' `CLIPTokenizer` (control characters dropped, CJK
    /// ideographs single words); the second says itself how to normalise.
    ///
    /// # Errors
    ///
    /// Missing or damaged files, or special tokens that are not in the vocabulary.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        Self::from_folder(files, &format!("{FOLDER}/"))
    }

    /// [`Tokenizer::from_files`] of a folder: empty, or a path with a slash at its end. A CLIP's own repository has the files at
    /// its root.
    ///
    /// # Errors
    ///
    /// Those of [`Tokenizer::from_files`].
    pub fn from_folder(files: &ModelFiles, folder: &str) -> Result<Self> {
        let mut kept = Vec::new();
        let mut read = |name: &str| -> Result<Option<Vec<u8>>> {
            let path = format!("{folder}{name}");
            if !files.has(&path) {
                return Ok(None);
            }
            let content = files.text(&path, "the tokenizer")?;
            kept.push((name.to_owned(), content.clone()));
            Ok(Some(content))
        };
        let (config, special) = (read("tokenizer_config.json")?, read("special_tokens_map.json")?);
        let added = read("added_tokens.json")?;
        let settings = Settings::read(config.as_deref(), special.as_deref(), added.as_deref())?;
        let (inner, python) = match (read("vocab.json")?, read("merges.txt")?, read("tokenizer.json")?) {
            (Some(vocabulary), Some(merges), _) => (byte_pairs(&vocabulary, &merges, &settings)?, true),
            (_, _, Some(json)) => (Inner::from_bytes(&json).map_err(|error| damaged("tokenizer.json", error))?, false),
            _ => {
                return Err(files.missing(
                    &format!("{folder}vocab.json"),
                    "the tokenizer, with merges.txt (or tokenizer.json alone)",
                ));
            }
        };
        settings.finish(inner, python, kept)
    }

    /// A tokenizer from the contents of its files, by name.
    pub(super) fn from_contents(kept: Vec<(String, Vec<u8>)>) -> Result<Self> {
        let get = |name: &str| kept.iter().find(|(file, _)| file == name).map(|(_, content)| content.as_slice());
        let settings = Settings::read(get("tokenizer_config.json"), get("special_tokens_map.json"), None)?;
        let (vocabulary, merges) = (get("vocab.json").unwrap_or_default(), get("merges.txt").unwrap_or_default());
        let inner = byte_pairs(vocabulary, merges, &settings)?;
        settings.finish(inner, true, kept)
    }
}

impl Settings {
    /// Finds the special tokens and the length.
    fn finish(&self, mut inner: Inner, python: bool, files: Vec<(String, Vec<u8>)>) -> Result<Tokenizer> {
        let [start, end, unknown, pad] = self.specials();
        let known = [&start, &end, &unknown, &pad].map(|token| inner.token_to_id(token).map(|_| token));
        // Looked for before normalisation, as transformers does for the tokens it is told of; in another case the text is
        // prepared. A fast tokenizer's file says itself how they are found.
        let added: Vec<AddedToken> = known
            .into_iter()
            .flatten()
            .map(|token| AddedToken::from(token.as_str(), true).normalized(!python))
            .collect();
        inner.add_special_tokens(&added);
        self.check_added(&inner, python)?;
        let id = |token: &str| {
            inner
                .token_to_id(token)
                .ok_or_else(|| Error::Tokenizer(format!("special token `{token}` found, wanted one of the vocabulary")))
        };
        let (start, end, pad) = (id(&start)?, id(&end)?, id(&pad)?);
        // Padding and cutting are done here, whatever a tokenizer.json says.
        let cut = inner.with_truncation(None).map(|_| ());
        cut.map_err(|error| Error::Tokenizer(error.to_string()))?;
        inner.with_padding(None);
        Ok(Tokenizer { inner, python, start, end, pad, max_length: self.length()?, words: Default::default(), files })
    }

    /// Refuses a declared token that the tokenizer does not look for under its id.
    fn check_added(&self, inner: &Inner, python: bool) -> Result<()> {
        let specials = self.specials();
        let found = |(token, id): &&(String, u32)| {
            inner.token_to_id(token) == Some(*id) && (!python || specials.contains(token))
        };
        match self.added.iter().find(|token| !found(token)) {
            Some((token, id)) => {
                let (found, wanted) = (format!("`{token}` with id {id}"), "the special tokens of the vocabulary only");
                Err(Error::config("tokenizer", "added_tokens_decoder", found, wanted))
            }
            None => Ok(()),
        }
    }
}

/// Byte-level pair encoding with CLIP's words.
fn byte_pairs(vocabulary: &[u8], merges: &[u8], settings: &Settings) -> Result<Inner> {
    let vocabulary: BTreeMap<String, u32> = parse_json(&format!("{FOLDER}/vocab.json"), vocabulary)?;
    let [_, _, unknown, _] = settings.specials();
    let pairs = BPE::builder()
        .vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), read_merges(merges)?)
        .end_of_word_suffix("</w>".to_owned())
        .unk_token(unknown)
        .build()
        .map_err(|error| damaged("merges.txt", error))?;
    let mut inner = Inner::new(pairs);
    // `BasicTokenizer` with accents and punctuation left alone, which is what `CLIPTokenizer` normalises with.
    inner.with_normalizer(Some(Sequence::new(vec![
        // Python drops what Unicode has not assigned along with control characters.
        without(r"\p{Cn}")?.into(),
        BertNormalizer::new(true, true, Some(false), false).into(),
        NFC.into(),
        // The only mark with a letter for its other case, so that the pattern, which ignores case, passes over it.
        without("\u{345}")?.into(),
        Lowercase.into(),
    ])));
    let words = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Removed, true);
    let words = words.map_err(|error| Error::Tokenizer(error.to_string()))?;
    let steps: Vec<PreTokenizerWrapper> = vec![words.into(), ByteLevel::new(false, false, false).into()];
    inner.with_pre_tokenizer(Some(Steps::new(steps)));
    Ok(inner)
}

/// Drops what matches.
fn without(pattern: &str) -> Result<Replace> {
    let replace = Replace::new(ReplacePattern::Regex(pattern.to_owned()), "");
    replace.map_err(|error| Error::Tokenizer(error.to_string()))
}

pub(super) fn read_merges(merges: &[u8]) -> Result<Vec<(String, String)>> {
    let text = std::str::from_utf8(merges).map_err(|error| damaged("merges.txt", error))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with("#version"));
    let pair = |(number, line): (usize, &str)| match line.split_once(' ') {
        Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
        _ => Err(damaged("merges.txt", format!("line {} is `{line}`, wanted two tokens", number + 1))),
    };
    lines.map(pair).collect()
}

pub(super) fn damaged(name: &str, reason: impl std::fmt::Display) -> Error {
    Error::Json { name: format!("{FOLDER}/{name}"), reason: reason.to_string() }
}
