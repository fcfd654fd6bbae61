//! The sizes of an encoder of the BERT family, and the `config.json` of RoBERTa and DeBERTa.

use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    fields::{Fields, divides, size},
    text::read_settings,
};

const COMPONENT: &str = "text_encoder";

/// How an encoder knows where a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionKind {
    /// By an embedding that is added, whose first is at this row of the table: BERT 0, RoBERTa one behind its padding.
    Absolute {
        /// The row of the first position.
        first: usize,
    },
    /// By an attention to distances, up to as many (DeBERTa, He et al., arXiv 2006.03654).
    Relative {
        /// The largest distance that is told from larger ones.
        span: usize,
        /// Whether keys of distances are looked at (`c2p`).
        content_to_position: bool,
        /// Whether queries of distances look at contents (`p2c`).
        position_to_content: bool,
    },
}

/// The shape of an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct BertConfig {
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside a feed-forward layer.
    pub intermediate_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Heads of an attention.
    pub num_attention_heads: usize,
    /// Rows of the table of positions, those before the first among them.
    pub max_position_embeddings: usize,
    /// Kinds of tokens, of which all are the first; none where there is no table of them.
    pub type_vocab_size: usize,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// How it knows where a token is.
    pub positions: PositionKind,
    /// Width of the states that a cross-attention in each layer looks at, if there is one.
    pub cross_width: Option<usize>,
}

impl BertConfig {
    /// The text encoder of BLIP with ViT-L: BERT-base, with two more tokens and a cross-attention.
    pub fn blip_large() -> Self {
        Self {
            vocab_size: 30524,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 512,
            type_vocab_size: 0,
            layer_norm_eps: 1e-12,
            positions: PositionKind::Absolute { first: 0 },
            cross_width: Some(1024),
        }
    }

    /// Reads a transformers `config.json` of a RoBERTa or a DeBERTa (the first version).
    ///
    /// # Errors
    ///
    /// A field that cannot be parsed, that contradicts another, or whose value is not implemented, by name.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let mut fields = Fields::parse(COMPONENT, "config.json", json)?;
        read_settings(&mut fields)?;
        fields.ignore(&WITHOUT_EFFECT);
        fields.fixed("hidden_act", &["gelu".into()])?;
        fields.fixed("position_embedding_type", &["absolute".into()])?;
        let kind: String = fields.take("model_type", String::new())?;
        let config = match kind.as_str() {
            "roberta" => roberta(&mut fields)?,
            "deberta" => deberta(&mut fields)?,
            _ => return Err(fields.refuse("model_type", &json!(kind), "\"roberta\" or \"deberta\"")),
        };
        fields.finish()?;
        config.validate()?;
        Ok(config)
    }

    /// Refuses sizes that no network can have.
    ///
    /// # Errors
    ///
    /// The first field that does not fit the others.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("encoder_width", self.cross_width.unwrap_or(1)),
        ] {
            size(COMPONENT, field, value)?;
        }
        divides(COMPONENT, "num_attention_heads", self.num_attention_heads, self.hidden_size)?;
        if self.num_hidden_layers > 200 {
            return Err(Error::config(COMPONENT, "num_hidden_layers", self.num_hidden_layers, "0 to 200"));
        }
        match self.positions {
            PositionKind::Relative { span, .. } => size(COMPONENT, "max_relative_positions", span).map(drop),
            PositionKind::Absolute { first } if first >= self.max_position_embeddings => {
                let wanted = format!("less than {} (max_position_embeddings)", self.max_position_embeddings);
                Err(Error::config(COMPONENT, "pad_token_id", first, wanted))
            }
            PositionKind::Absolute { .. } => Ok(()),
        }
    }

    /// The longest text in tokens.
    pub fn longest(&self) -> usize {
        match self.positions {
            PositionKind::Absolute { first } => self.max_position_embeddings - first,
            // Distances beyond the span are told apart no more, which is no limit; the model was trained to this length.
            PositionKind::Relative { .. } => self.max_position_embeddings,
        }
    }
}

/// Fields about training, other heads, and what the tokenizer says itself.
const WITHOUT_EFFECT: [&str; 12] = [
    "architectures",
    "attention_probs_dropout_prob",
    "bos_token_id",
    "classifier_dropout",
    "eos_token_id",
    "hidden_dropout_prob",
    "legacy",
    "padding_idx",
    "pooler_dropout",
    "pooler_hidden_act",
    "pooler_hidden_size",
    "output_past",
];

/// The fields that both have.
fn common(fields: &mut Fields, positions: PositionKind, type_vocab_size: usize, epsilon: f64) -> Result<BertConfig> {
    Ok(BertConfig {
        vocab_size: fields.take("vocab_size", 50265)?,
        hidden_size: fields.take("hidden_size", 768)?,
        intermediate_size: fields.take("intermediate_size", 3072)?,
        num_hidden_layers: fields.take("num_hidden_layers", 12)?,
        num_attention_heads: fields.take("num_attention_heads", 12)?,
        max_position_embeddings: fields.take("max_position_embeddings", 512)?,
        type_vocab_size: fields.take("type_vocab_size", type_vocab_size)?,
        layer_norm_eps: fields.take("layer_norm_eps", epsilon)?,
        positions,
        cross_width: None,
    })
}

fn roberta(fields: &mut Fields) -> Result<BertConfig> {
    let padding: usize = fields.take("pad_token_id", 1)?;
    common(fields, PositionKind::Absolute { first: padding.saturating_add(1) }, 2, 1e-12)
}

fn deberta(fields: &mut Fields) -> Result<BertConfig> {
    fields.ignore(&["pad_token_id"]);
    fields.fixed("relative_attention", &[true.into()])?;
    fields.fixed("position_biased_input", &[false.into()])?;
    fields.fixed("talking_head", &[false.into()])?;
    fields.fixed("embedding_size", &[])?;
    let kinds = attention_kinds(fields)?;
    let has = |wanted: &str| kinds.iter().any(|kind| kind == wanted);
    let (content_to_position, position_to_content) = (has("c2p"), has("p2c"));
    if kinds.len() != usize::from(content_to_position) + usize::from(position_to_content) {
        return Err(fields.refuse("pos_att_type", &json!(kinds), "c2p, p2c or both"));
    }
    let span: i64 = fields.take("max_relative_positions", -1)?;
    let positions = PositionKind::Relative { span: 0, content_to_position, position_to_content };
    let mut config = common(fields, positions, 0, 1e-7)?;
    // A negative number stands for as many as positions.
    let span = usize::try_from(span).ok().filter(|span| *span > 0).unwrap_or(config.max_position_embeddings);
    config.positions = PositionKind::Relative { span, content_to_position, position_to_content };
    Ok(config)
}

/// A list, or words with bars between them.
fn attention_kinds(fields: &mut Fields) -> Result<Vec<String>> {
    match fields.optional::<Value>("pos_att_type")? {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text.split('|').map(|kind| kind.trim().to_lowercase()).collect()),
        Some(Value::Array(items)) if items.iter().all(Value::is_string) => {
            Ok(items.iter().filter_map(Value::as_str).map(str::to_lowercase).collect())
        }
        Some(other) => Err(fields.refuse("pos_att_type", &other, "a list of c2p and p2c")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_bert_scores_encoders_are_read() {
        let roberta = br#"{"architectures": ["RobertaForMaskedLM"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
            "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 1024, "initializer_range": 0.02,
            "intermediate_size": 4096, "layer_norm_eps": 1e-05, "max_position_embeddings": 514, "model_type": "roberta",
            "num_attention_heads": 16, "num_hidden_layers": 24, "pad_token_id": 1, "type_vocab_size": 1, "vocab_size": 50265}"#;
        let config = BertConfig::from_json(roberta).unwrap();
        assert_eq!((config.positions, config.longest()), (PositionKind::Absolute { first: 2 }, 512));
        let deberta = br#"{"model_type": "deberta", "architectures": ["DebertaForSequenceClassification"],
            "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 1024,
            "initializer_range": 0.02, "intermediate_size": 4096, "max_position_embeddings": 512, "relative_attention": true,
            "position_biased_input": false, "pos_att_type": "c2p|p2c", "layer_norm_eps": 1e-7, "max_relative_positions": -1,
            "num_attention_heads": 16, "num_hidden_layers": 48, "type_vocab_size": 0, "vocab_size": 50265, "padding_idx": 0,
            "pooler_dropout": 0, "pooler_hidden_act": "gelu", "id2label": {"0": "CONTRADICTION"}}"#;
        let config = BertConfig::from_json(deberta).unwrap();
        let both = PositionKind::Relative { span: 512, content_to_position: true, position_to_content: true };
        assert_eq!((config.positions, config.num_hidden_layers), (both, 48));
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        let refused = |json: &str| BertConfig::from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(refused("{}").contains("`model_type` is \"\", wanted \"roberta\" or \"deberta\""));
        assert!(refused(r#"{"model_type": "deberta", "pos_att_type": "p2p"}"#).contains("`pos_att_type` is [\"p2p\"]"));
        assert!(
            refused(r#"{"model_type": "deberta", "position_biased_input": true}"#).contains("`position_biased_input`")
        );
        assert!(refused(r#"{"model_type": "roberta", "hidden_act": "relu"}"#).contains("`hidden_act`"));
        assert!(refused(r#"{"model_type": "roberta", "pad_token_id": 600}"#).contains("`pad_token_id` is 601"));
    }
}
