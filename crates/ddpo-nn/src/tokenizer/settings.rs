//! What `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say of a tokenizer.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    fields::Fields,
    json::parse_json,
};

const COMPONENT: &str = "tokenizer";

/// Longer than the context of any text encoder; transformers writes a number of this kind for "no limit".
const LONGEST: u64 = 1 << 20;

/// Fields without a part in the ids of a prompt: where the files were, how ids become text again, and what a call may
/// override anyway. `CLIPTokenizer` lowers case and knows no prefix, whatever `do_lower_case` and `add_prefix_space` say.
const WITHOUT_EFFECT: [&str; 25] = [
    "add_prefix_space",
    "backend",
    "chat_template",
    "clean_up_tokenization_spaces",
    "do_lower_case",
    "errors",
    "is_local",
    "local_files_only",
    "max_length",
    "merges_file",
    "model_input_names",
    "name_or_path",
    "pad_to_multiple_of",
    "pad_token_type_id",
    "processor_class",
    "return_tensors",
    "special_tokens_map_file",
    "stride",
    "tokenizer_file",
    "transformers_version",
    "truncation",
    "truncation_strategy",
    "trust_remote_code",
    "use_fast",
    "vocab_file",
];

/// A tokenizer's settings, as far as they matter.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    length: Option<Value>,
    start: Option<String>,
    end: Option<String>,
    unknown: Option<String>,
    pad: Option<String>,
    /// The tokens that the files declare, with their ids.
    pub(super) added: Vec<(String, u32)>,
}

/// A special token, which is written as a string or as an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Object(Details),
}

/// White space around a token is none of CLIP's words, so whether it is stripped (`lstrip`, `rstrip`) makes no difference.
#[derive(Deserialize)]
struct Details {
    content: String,
    #[serde(default)]
    single_word: bool,
}

impl Settings {
    /// What `tokenizer_config.json` leaves open, `special_tokens_map.json` says.
    pub(super) fn read(config: Option<&[u8]>, special: Option<&[u8]>, added: Option<&[u8]>) -> Result<Self> {
        let parse = |name: &str, json: Option<&[u8]>| {
            json.map_or_else(|| Ok(Self::default()), |json| Self::parse(&format!("{COMPONENT}/{name}"), json))
        };
        let (mut config, special) =
            (parse("tokenizer_config.json", config)?, parse("special_tokens_map.json", special)?);
        if let Some(json) = added {
            let name = format!("{COMPONENT}/added_tokens.json");
            config.added.extend(parse_json::<BTreeMap<String, u32>>(&name, json)?);
        }
        Ok(Self {
            start: config.start.or(special.start),
            end: config.end.or(special.end),
            unknown: config.unknown.or(special.unknown),
            pad: config.pad.or(special.pad),
            ..config
        })
    }

    /// Reads one of the two files, whose fields are those of the same class.
    fn parse(name: &str, json: &[u8]) -> Result<Self> {
        let mut fields = Fields::parse(COMPONENT, name, json)?;
        let class: String = fields.take("tokenizer_class", "CLIPTokenizer".to_owned())?;
        if !class.starts_with("CLIPTokenizer") {
            return Err(fields.refuse("tokenizer_class", &json!(class), "CLIPTokenizer"));
        }
        fields.fixed("padding_side", &["right".into()])?;
        fields.fixed("truncation_side", &["right".into()])?;
        fields.fixed("split_special_tokens", &[false.into()])?;
        fields.fixed("additional_special_tokens", &[json!([])])?;
        fields.fixed("extra_special_tokens", &[json!({}), json!([])])?;
        fields.ignore(&WITHOUT_EFFECT);
        let settings = Self {
            length: fields.optional("model_max_length")?,
            start: token(&mut fields, "bos_token")?,
            end: token(&mut fields, "eos_token")?,
            unknown: token(&mut fields, "unk_token")?,
            pad: token(&mut fields, "pad_token")?,
            added: added_tokens(&mut fields)?,
        };
        fields.finish()?;
        Ok(settings)
    }

    /// The texts of the special tokens: start, end, unknown, padding.
    pub(super) fn specials(&self) -> [String; 4] {
        let text = |token: &Option<String>, default: &str| token.clone().unwrap_or_else(|| default.to_owned());
        [
            text(&self.start, "<|startoftext|>"),
            text(&self.end, "<|endoftext|>"),
            text(&self.unknown, "<|endoftext|>"),
            text(&self.pad, "<|endoftext|>"),
        ]
    }

    /// `model_max_length`; CLIP's 77 if there is none or it stands for "no limit".
    pub(super) fn length(&self) -> Result<usize> {
        let Some(value) = &self.length else { return Ok(77) };
        match value.as_f64() {
            Some(length) if length >= LONGEST as f64 => Ok(77),
            Some(length) if length >= 2.0 && length.fract() == 0.0 => Ok(length as usize),
            _ => Err(Error::config(COMPONENT, "model_max_length", value, "a whole number of at least 2")),
        }
    }
}

fn token(fields: &mut Fields, field: &str) -> Result<Option<String>> {
    match fields.optional(field)? {
        None => Ok(None),
        Some(Token::Text(text)) => Ok(Some(text)),
        Some(Token::Object(details)) => details.accept(fields, field).map(Some),
    }
}

/// `added_tokens_decoder`: an object for each id.
fn added_tokens(fields: &mut Fields) -> Result<Vec<(String, u32)>> {
    const FIELD: &str = "added_tokens_decoder";
    let tokens: BTreeMap<u32, Details> = fields.take(FIELD, BTreeMap::new())?;
    tokens.into_iter().map(|(id, details)| Ok((details.accept(fields, FIELD)?, id))).collect()
}

impl Details {
    /// The token's text, unless it is to be found between white space only.
    fn accept(self, fields: &Fields, field: &str) -> Result<String> {
        match self.single_word {
            true => Err(fields.refuse(field, &json!(self.content), "a token with single_word false")),
            false => Ok(self.content),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &str) -> String {
        Settings::read(Some(config.as_bytes()), None, None).unwrap_err().to_string()
    }

    #[test]
    fn what_would_change_the_ids_is_refused_by_name() {
        assert_eq!(
            refused(r#"{"padding_side": "left"}"#),
            "`tokenizer` config field `padding_side` is \"left\", wanted \"right\" or null"
        );
        assert!(refused(r#"{"additional_special_tokens": ["<x>"]}"#).contains("`additional_special_tokens`"));
        assert!(refused(r#"{"tokenizer_class": "T5Tokenizer"}"#).contains("wanted CLIPTokenizer"));
        assert!(refused(r#"{"sp_model_kwargs": {}}"#).contains("`sp_model_kwargs` is {}, wanted no such field"));
        let single = r#"{"bos_token": {"content": "<s>", "single_word": true}}"#;
        assert!(refused(single).contains("`bos_token` is \"<s>\", wanted a token with single_word false"));
    }

    #[test]
    fn declared_tokens_are_collected_from_both_files() {
        let config = br#"{"added_tokens_decoder": {"7": {"content": "<a>", "special": true}}, "errors": "replace"}"#;
        let settings = Settings::read(Some(config), None, Some(br#"{"<b>": 8}"#)).unwrap();
        assert_eq!(settings.added, [("<a>".to_owned(), 7), ("<b>".to_owned(), 8)]);
    }
}
