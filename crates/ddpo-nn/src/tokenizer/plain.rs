//! Tokenizers of the BERT family: byte-level pairs (RoBERTa, DeBERTa) and word pieces (BERT).

use std::collections::BTreeMap;

use tokenizers::{
    AddedToken, Tokenizer as Inner,
    models::{
        bpe::{BPE, Vocab},
        wordpiece::WordPiece,
    },
    normalizers::BertNormalizer,
    pre_tokenizers::{bert::BertPreTokenizer, byte_level::ByteLevel},
};

use super::files::{damaged, read_merges};
use crate::{
    error::{Error, Result},
    files::ModelFiles,
    json::parse_json,
};

/// What starts and ends a text: RoBERTa's tokens, BERT's and DeBERTa's.
const ENDS: [[&str; 2]; 2] = [["<s>", "</s>"], ["[CLS]", "[SEP]"]];

/// Tokens that are found in a text as they are.
const SPECIALS: [&str; 10] = ["<s>", "</s>", "<pad>", "<unk>", "<mask>", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"];

/// A tokenizer that puts a token before a text and one behind it, and fills nothing up.
#[derive(Clone, Debug)]
pub struct PlainTokenizer {
    inner: Inner,
    start: u32,
    end: u32,
    /// Whether a text is read as if a space were before it.
    prefix_space: bool,
}

impl PlainTokenizer {
    /// Byte-level pairs as GPT-2 has them, from `vocab.json` and `merges.txt`, or else `tokenizer.json`, at the root of a
    /// repository. RoBERTa's first word is read as any other (`prefix_space`) where that is wanted.
    ///
    /// # Errors
    ///
    /// Missing or damaged files, or a vocabulary without start and end.
    pub fn byte_level(files: &ModelFiles, prefix_space: bool) -> Result<Self> {
        const WANTED: &str = "the tokenizer, with merges.txt (or tokenizer.json alone)";
        if !files.has("vocab.json") && files.has("tokenizer.json") {
            return Self::from_json(files, prefix_space);
        }
        let vocabulary: BTreeMap<String, u32> = parse_json("vocab.json", &files.text("vocab.json", WANTED)?)?;
        let merges = read_merges(&files.text("merges.txt", WANTED)?)?;
        let pairs = BPE::builder().vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), merges).build();
        let mut inner = Inner::new(pairs.map_err(|error| damaged("merges.txt", error))?);
        inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        Self::of(inner, prefix_space)
    }

    /// BERT's word pieces in lower case without accents, from `vocab.txt`, or else `tokenizer.json`, at the root of a repository.
    ///
    /// # Errors
    ///
    /// Missing or damaged files, or a vocabulary without start and end.
    pub fn word_pieces(files: &ModelFiles) -> Result<Self> {
        if !files.has("vocab.txt") && files.has("tokenizer.json") {
            return Self::from_json(files, false);
        }
        let text = files.text("vocab.txt", "the tokenizer (or tokenizer.json)")?;
        let text = std::str::from_utf8(&text).map_err(|error| damaged("vocab.txt", error))?;
        let vocabulary = (0..).zip(text.lines()).map(|(id, token)| (token.trim_end().to_owned(), id));
        let pieces = WordPiece::builder().vocab(vocabulary.collect::<Vocab>()).unk_token("[UNK]".to_owned()).build();
        let mut inner = Inner::new(pieces.map_err(|error| damaged("vocab.txt", error))?);
        inner.with_normalizer(Some(BertNormalizer::new(true, true, None, true)));
        inner.with_pre_tokenizer(Some(BertPreTokenizer));
        Self::of(inner, false)
    }

    fn from_json(files: &ModelFiles, prefix_space: bool) -> Result<Self> {
        let json = files.text("tokenizer.json", "the tokenizer")?;
        let mut inner = Inner::from_bytes(&json).map_err(|error| damaged("tokenizer.json", error))?;
        // Padding and cutting are the caller's, whatever the file says.
        let cut = inner.with_truncation(None).map(|_| ());
        cut.map_err(|error| Error::Tokenizer(error.to_string()))?;
        inner.with_padding(None);
        Self::of(inner, prefix_space)
    }

    fn of(mut inner: Inner, prefix_space: bool) -> Result<Self> {
        let known = SPECIALS.into_iter().filter(|token| inner.token_to_id(token).is_some());
        let known: Vec<AddedToken> = known.map(|token| AddedToken::from(token, true).normalized(false)).collect();
        inner.add_special_tokens(&known);
        let ends = ENDS.into_iter().find_map(|[start, end]| Some((inner.token_to_id(start)?, inner.token_to_id(end)?)));
        let Some((start, end)) = ends else {
            let reason = "no `<s>` and `</s>` found in the vocabulary, and no `[CLS]` and `[SEP]`, one of them wanted";
            return Err(Error::Tokenizer(reason.to_owned()));
        };
        Ok(Self { inner, start, end, prefix_space })
    }

    /// The ids of a text, at most `longest` with start and end.
    ///
    /// # Errors
    ///
    /// If the tokenizer's own files make it fail on the text.
    pub fn encode(&self, text: &str, longest: usize) -> Result<Vec<u32>> {
        let spaced = self.prefix_space && !text.is_empty() && !text.starts_with(char::is_whitespace);
        let text = if spaced { format!(" {text}") } else { text.to_owned() };
        let encoding = self.inner.encode_fast(text.as_str(), false);
        let encoding = encoding.map_err(|error| Error::Tokenizer(format!("text `{text}` refused: {error}")))?;
        let room = longest.saturating_sub(2);
        let ids = encoding.get_ids().iter().take(room).copied();
        Ok([self.start].into_iter().chain(ids).chain([self.end]).collect())
    }

    /// The tokens that start and end a text.
    pub fn ends(&self) -> [u32; 2] {
        [self.start, self.end]
    }
}
