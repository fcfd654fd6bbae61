//! Words that were trained beside a model: each is written as one and stands for one or several vectors.

/// A word and the ids of its vectors.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) ids: Vec<u32>,
}

/// The words that were added to a vocabulary.
#[derive(Clone, Debug, Default)]
pub(super) struct Words(pub(super) Vec<Word>);

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// What the vocabulary is for.
    Text(&'a str),
    /// A word, or one of its vectors, that was added.
    Ids(&'a [u32]),
}

impl Words {
    /// The text cut at the words; where letters are not `exact`, capitals do not matter.
    pub(super) fn parts<'a>(&'a self, text: &'a str, exact: bool) -> Vec<Part<'a>> {
        if self.0.is_empty() {
            return vec![Part::Text(text)];
        }
        let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
        while let Some(character) = text[at..].chars().next() {
            let Some((length, ids)) = self.at(&text[at..], exact) else {
                at += character.len_utf8();
                continue;
            };
            parts.push(Part::Text(&text[start..at]));
            parts.push(Part::Ids(ids));
            at += length;
            start = at;
        }
        parts.push(Part::Text(&text[start..]));
        parts.retain(|part| *part != Part::Text(""));
        parts
    }

    /// The longest name that a text begins with, as its bytes in the text and its ids.
    fn at(&self, text: &str, exact: bool) -> Option<(usize, &[u32])> {
        let found = self.0.iter().filter_map(|word| {
            let length = begins(text, &word.text, exact)?;
            let rest = text[length..].strip_prefix('_').unwrap_or_default();
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            // The longest of `WORD_1`, `WORD_12` that there is.
            let numbered = (1..=digits.len()).rev().filter(|_| !digits.starts_with('0')).find_map(|end| {
                let id = word.ids.get(digits[..end].parse::<usize>().ok()?)?;
                Some((length + 1 + end, std::slice::from_ref(id)))
            });
            Some(numbered.unwrap_or((length, word.ids.as_slice())))
        });
        found.max_by_key(|(length, _)| *length)
    }

    /// The id that a name stands for alone.
    pub(super) fn vector(&self, name: &str) -> Option<u32> {
        let of = |word: &Word| {
            let rest = name.strip_prefix(word.text.as_str())?;
            let number = if rest.is_empty() { 0 } else { rest.strip_prefix('_')?.parse().ok()? };
            word.ids.get::<usize>(number).copied()
        };
        self.0.iter().find_map(of)
    }

    /// What the id of a word's vector is written as.
    pub(super) fn name_of(&self, id: u32) -> Option<String> {
        let of = |word: &Word| {
            let number = word.ids.iter().position(|of_word| *of_word == id)?;
            Some(if number == 0 { word.text.clone() } else { format!("{}_{number}", word.text) })
        };
        self.0.iter().find_map(of)
    }
}

/// How many bytes of the text are the name that it begins with.
fn begins(text: &str, name: &str, exact: bool) -> Option<usize> {
    if exact {
        return text.starts_with(name).then_some(name.len());
    }
    let wanted = name.to_lowercase();
    let mut found = String::new();
    for (at, character) in text.char_indices() {
        if found.len() >= wanted.len() {
            return (found == wanted).then_some(at);
        }
        found.extend(character.to_lowercase());
    }
    (found == wanted).then_some(text.len())
}
