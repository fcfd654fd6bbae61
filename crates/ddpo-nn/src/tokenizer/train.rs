//! Learning a byte-pair vocabulary from captions.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::{Tokenizer, alphabet::byte_characters};
use crate::error::{Error, Result};

/// A word as tokens, and how often it occurs.
type Word = (Vec<String>, u64);

impl Tokenizer {
    /// Learns a CLIP vocabulary from captions: all bytes, then the most frequent pairs until every word that occurs twice is
    /// one token or `size` is reached, then the two special tokens. Deterministic.
    ///
    /// # Errors
    ///
    /// If `size` has no room for the bytes, or `max_length` none for a word.
    pub fn train<'a>(captions: impl IntoIterator<Item = &'a str>, size: usize, max_length: usize) -> Result<Self> {
        let characters = byte_characters();
        let least = 2 * characters.len() + 2;
        if size < least || max_length < 3 {
            let wanted = format!("a size of at least {least} and a length of at least 3");
            return Err(Error::input("learn a vocabulary", "size and length", (size, max_length), wanted));
        }
        let mut words = count_words(captions, &characters);
        let mut merges = Vec::new();
        while merges.len() < size - least {
            let Some(pair) = most_frequent_pair(&words) else { break };
            merge(&mut words, &pair);
            merges.push(pair);
        }
        Self::from_contents(contents(&characters, &merges, max_length))
    }
}

/// The words of all captions, lowercased, as single bytes with the end of the word marked.
fn count_words<'a>(captions: impl IntoIterator<Item = &'a str>, characters: &[(u8, char)]) -> Vec<Word> {
    let character: HashMap<u8, char> = characters.iter().copied().collect();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for caption in captions {
        for word in split_words(&caption.to_lowercase()) {
            *counts.entry(word).or_default() += 1;
        }
    }
    let tokens = |word: &str| {
        let mut tokens: Vec<String> =
            word.bytes().filter_map(|byte| character.get(&byte)).map(char::to_string).collect();
        tokens.iter_mut().last().into_iter().for_each(|last| last.push_str("</w>"));
        tokens
    };
    counts.iter().map(|(word, count)| (tokens(word), *count)).collect()
}

/// Runs of letters, single digits, runs of anything else: CLIP's words but for its English endings.
fn split_words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = None;
    for character in text.chars() {
        let kind = match character {
            c if c.is_whitespace() => None,
            c if c.is_alphabetic() => Some('a'),
            c if c.is_numeric() => Some('0'),
            _ => Some('!'),
        };
        match (kind, words.last_mut()) {
            (None, _) => {}
            (Some(kind), Some(word)) if last == Some(kind) && kind != '0' => word.push(character),
            _ => words.push(character.to_string()),
        }
        last = kind;
    }
    words
}

/// The pair of neighbours that occurs most often, at least twice; of equals the one first in the alphabet.
fn most_frequent_pair(words: &[Word]) -> Option<(String, String)> {
    let mut counts: HashMap<(&str, &str), u64> = HashMap::new();
    for (tokens, count) in words {
        for pair in tokens.windows(2) {
            *counts.entry((&pair[0], &pair[1])).or_default() += count;
        }
    }
    let best = counts.into_iter().filter(|(_, count)| *count >= 2);
    let best = best.max_by(|(a, m), (b, n)| m.cmp(n).then_with(|| b.cmp(a)));
    best.map(|((left, right), _)| (left.to_owned(), right.to_owned()))
}

fn merge(words: &mut [Word], (left, right): &(String, String)) {
    for (tokens, _) in words {
        let mut i = 0;
        while i + 1 < tokens.len() {
            if tokens[i] == *left && tokens[i + 1] == *right {
                let tail = tokens.remove(i + 1);
                tokens[i].push_str(&tail);
            }
            i += 1;
        }
    }
}

/// The files that transformers' `CLIPTokenizer.from_pretrained` reads.
fn contents(characters: &[(u8, char)], merges: &[(String, String)], max_length: usize) -> Vec<(String, Vec<u8>)> {
    let bytes = characters.iter().map(|(_, character)| character.to_string());
    let ends = characters.iter().map(|(_, character)| format!("{character}</w>"));
    let merged = merges.iter().map(|(left, right)| format!("{left}{right}"));
    let specials = ["<|startoftext|>", "<|endoftext|>"].map(str::to_owned);
    // Two merges can make the same token; it is listed once.
    let mut vocabulary = Map::new();
    for token in bytes.chain(ends).chain(merged).chain(specials) {
        let next = vocabulary.len();
        vocabulary.entry(token).or_insert(next.into());
    }
    let special = |content: &str| json!({"content": content, "lstrip": false, "normalized": true, "rstrip": false, "single_word": false});
    let (start, end) = (special("<|startoftext|>"), special("<|endoftext|>"));
    let config = json!({
        "add_prefix_space": false, "bos_token": start, "do_lower_case": true, "eos_token": end, "errors": "replace",
        "model_max_length": max_length, "pad_token": "<|endoftext|>", "tokenizer_class": "CLIPTokenizer", "unk_token": end,
    });
    let map = json!({"bos_token": start, "eos_token": end, "pad_token": "<|endoftext|>", "unk_token": end});
    let lines: String = merges.iter().map(|(left, right)| format!("{left} {right}\n")).collect();
    vec![
        ("vocab.json".to_owned(), Value::Object(vocabulary).to_string().into_bytes()),
        ("merges.txt".to_owned(), format!("#version: 0.2\n{lines}").into_bytes()),
        ("tokenizer_config.json".to_owned(), config.to_string().into_bytes()),
        ("special_tokens_map.json".to_owned(), map.to_string().into_bytes()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTIONS: [&str; 4] = ["a cat", "cat face", "a Cat", "an emoji of a cat"];

    #[test]
    fn a_frequent_word_becomes_one_token() {
        let tokenizer = Tokenizer::train(CAPTIONS, 600, 8).unwrap();
        let ids = tokenizer.encode("a cat").unwrap();
        let size = u32::try_from(tokenizer.vocabulary_size()).unwrap();
        assert_eq!((ids[0], ids[3], ids.len()), (size - 2, size - 1, 8));
        assert_eq!(ids, tokenizer.encode("  A  CAT ").unwrap());
        assert_eq!(ids[3..], [size - 1; 5]);
    }

    #[test]
    fn what_does_not_fit_is_reported() {
        let tokenizer = Tokenizer::train(CAPTIONS, 600, 4).unwrap();
        let encoded = tokenizer.encode_reporting("a cat né dog").unwrap();
        assert_eq!(encoded.ids.len(), 4);
        assert_eq!(encoded.dropped.as_deref(), Some("né dog"));
        assert_eq!(tokenizer.encode_reporting("a cat").unwrap().dropped, None);
    }

    #[test]
    fn any_text_encodes_and_learning_is_deterministic() {
        let tokenizer = Tokenizer::train(CAPTIONS, 600, 77).unwrap();
        for text in ["", "\u{0}", "猫🐈‍⬛", "<|endoftext|>", "'s 'S \u{fffd}"] {
            assert_eq!(tokenizer.encode(text).unwrap().len(), 77, "{text}");
        }
        assert_eq!(tokenizer.files(), Tokenizer::train(CAPTIONS, 600, 77).unwrap().files());
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let error = Tokenizer::train(CAPTIONS, 100, 8).unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot learn a vocabulary: size and length is (100, 8), wanted a size of at least 514 and a length of at least 3"
        );
    }
}
