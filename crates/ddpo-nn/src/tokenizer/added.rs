//! A tokenizer with words that were trained beside its model.

use super::Tokenizer;
use super::words::Word;
use crate::error::{Error, Result};

impl Tokenizer {
    /// The same tokenizer with a word whose vectors have `count` ids from `first` on. It is found wherever its letters are in a
    /// text, the longest word first. `WORD_1` stands for the second of its vectors alone, and so on, as in diffusers.
    ///
    /// # Errors
    ///
    /// If there is no vector, the word is empty, or it or one of its vectors' names is a token already.
    pub fn with_word(&self, word: &str, first: u32, count: usize) -> Result<Self> {
        if count == 0 || word.trim().is_empty() {
            return Err(Error::Tokenizer(format!(
                "the word `{word}` with {count} vectors found, a word with one wanted"
            )));
        }
        let names = std::iter::once(word.to_owned()).chain((1..count.max(2)).map(|vector| format!("{word}_{vector}")));
        for name in names {
            if self.inner.token_to_id(&name).is_some() || self.words.vector(&name).is_some() {
                let reason = format!("the word `{word}` found, whose name `{name}` is a token already, another wanted");
                return Err(Error::Tokenizer(reason));
            }
        }
        let mut added = self.clone();
        added.words.0.push(Word { text: word.to_owned(), ids: (first..).take(count).collect() });
        Ok(added)
    }

    /// The words by the tokens of their names, the longest first: how A1111's web UI finds them.
    pub(super) fn words_by_tokens(&self) -> Result<Vec<(Vec<u32>, &Word)>> {
        let words = self.words.0.iter().map(|word| Ok((self.plain_tokens(&word.text)?, word)));
        let mut words = words.collect::<Result<Vec<_>>>()?;
        words.retain(|(tokens, _)| !tokens.is_empty());
        words.sort_by_key(|(tokens, _)| std::cmp::Reverse(tokens.len()));
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::words::Part;

    fn tokenizer() -> Tokenizer {
        let plain = Tokenizer::train(["a cat", "a dog"], 600, 12).unwrap();
        plain.with_word("<toy>", 900, 3).unwrap().with_word("<toy>s", 903, 1).unwrap()
    }

    #[test]
    fn words_are_found_where_their_letters_are() {
        let tokenizer = tokenizer();
        let check =
            |text: &str, expected: &[Part<'_>]| assert_eq!(tokenizer.words.parts(text, true), expected, "{text}");
        check("a <toy>cat", &[Part::Text("a "), Part::Ids(&[900, 901, 902]), Part::Text("cat")]);
        check("<toy>s", &[Part::Ids(&[903])]);
        check("<toy>_2 <toy>_12", &[Part::Ids(&[902]), Part::Text(" "), Part::Ids(&[901]), Part::Text("2")]);
        check("<toy>_3", &[Part::Ids(&[900, 901, 902]), Part::Text("_3")]);
        check("猫<toy", &[Part::Text("猫<toy")]);
        check("", &[]);
        assert_eq!(tokenizer.words.parts("A <TOY>", true), [Part::Text("A <TOY>")]);
        assert_eq!(tokenizer.words.parts("A <TOY>", false), [Part::Text("A "), Part::Ids(&[900, 901, 902])]);
    }

    #[test]
    fn what_is_a_token_already_is_no_word() {
        let tokenizer = tokenizer();
        for (word, count) in [("<toy>", 1), ("<toy>_1", 1), ("a</w>", 1), (" ", 1), ("new", 0), ("<to", 1)] {
            assert_eq!(tokenizer.with_word(word, 904, count).is_err(), word != "<to", "{word}");
        }
    }

    #[test]
    fn a_dropped_word_is_named() {
        let encoded = tokenizer().encode_reporting("a cat a cat a cat a cat <toy>").unwrap();
        assert_eq!(encoded.ids.len(), 12);
        let dropped = encoded.dropped.unwrap();
        assert!(dropped.ends_with("<toy>_1 <toy>_2"), "{dropped}");
    }
}
