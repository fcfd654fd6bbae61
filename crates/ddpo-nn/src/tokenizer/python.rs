//! What Python's handling of a text does that the library's normalizers cannot, for tokenizers that are read as transformers'
//! `CLIPTokenizer`.

use tokenizers::{
    NormalizedString, Normalizer,
    normalizers::{Replace, replace::ReplacePattern},
};

/// The special tokens that `CLIPTokenizer.pat` finds, in any case.
const SPECIALS: [&str; 2] = ["<|startoftext|>", "<|endoftext|>"];

/// The text as the normalizers have to be given it.
pub(super) fn prepare(text: &str) -> String {
    final_sigmas(&special_tokens(text))
}

/// Lowers every sigma as `str.lower` does: at the end of a word it is another letter. The library lowers letter by letter.
fn final_sigmas(text: &str) -> String {
    if !text.contains('Σ') {
        return text.to_owned();
    }
    let lower = text.to_lowercase();
    // Nothing else becomes a sigma, so that those of both texts correspond.
    let mut sigmas = lower.chars().filter(|c| matches!(c, 'σ' | 'ς'));
    let lowered = |c: char| if matches!(c, 'Σ' | 'σ' | 'ς') { sigmas.next().unwrap_or(c) } else { c };
    text.chars().map(lowered).collect()
}

/// Lowers special tokens that are written in another case where the pattern's search finds them: anywhere but behind
/// punctuation, which takes their first characters with it. Written as they are, they are found everywhere.
fn special_tokens(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = SPECIALS.iter().map(|token| token.len()).find(|length| {
            rest.get(..*length).is_some_and(|start| SPECIALS.iter().any(|token| start.eq_ignore_ascii_case(token)))
        });
        match length.filter(|_| out.is_empty() || ends_in_word(&out)) {
            Some(length) => {
                out.push_str(&rest[..length].to_ascii_lowercase());
                rest = &rest[length..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// Whether the last character is a space, a letter or a number once the text is normalised: no punctuation, and no mark.
fn ends_in_word(text: &str) -> bool {
    let last = Replace::new(ReplacePattern::Regex(r"[\s\p{L}\p{N}]$".to_owned()), "");
    let mut normalized = NormalizedString::from(text);
    normalized.nfc();
    let before = normalized.get().len();
    last.is_ok_and(|last| last.normalize(&mut normalized).is_ok()) && normalized.get().len() < before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sigma_ends_a_word_in_its_own_form() {
        assert_eq!(prepare("ΣΑΣ ΟΔΟΣ. Σ σ ς"), "σΑς ΟΔΟς. σ σ ς");
        assert_eq!(prepare("no greek"), "no greek");
    }

    #[test]
    fn special_tokens_in_capitals_count_where_the_pattern_finds_them() {
        assert_eq!(prepare("a<|EndOfText|>b"), "a<|endoftext|>b");
        assert_eq!(prepare("-<|EndOfText|>"), "-<|EndOfText|>");
        assert_eq!(prepare("<|STARTOFTEXT|> é<|"), "<|startoftext|> é<|");
        // A letter that normalisation takes apart into a letter and a mark.
        assert_eq!(prepare("\u{fb4b}<|EndOfText|>"), "\u{fb4b}<|EndOfText|>");
    }
}
