//! The settings that PEFT and diffusers write beside the factors: how strong each layer's term is.

use ddpo_nn::{Error, Result};
use serde_json::{Map, Value};

/// Settings that say how an adapter was trained, or where, and nothing of what it is.
const WITHOUT_EFFECT: [&str; 23] = [
    "task_type",
    "peft_version",
    "auto_mapping",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "target_modules",
    "exclude_modules",
    "lora_dropout",
    "fan_in_fan_out",
    "bias",
    "layers_to_transform",
    "layers_pattern",
    "megatron_config",
    "megatron_core",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "runtime_config",
    "qalora_group_size",
    "ensure_weight_tying",
    "kasa_config",
];

/// Ways to begin that leave the base model as it is; the others take something out of it, which an adapter alone does not say.
const PLAIN_STARTS: [&str; 4] = ["gaussian", "orthogonal", "eva", "default"];

/// How strong the terms of a component's layers are.
#[derive(Debug)]
pub(super) struct Settings {
    name: String,
    rank: Option<usize>,
    alpha: Option<f64>,
    ranks: Vec<(String, f64)>,
    alphas: Vec<(String, f64)>,
    is_rank_stabilised: bool,
}

impl Settings {
    /// Settings out of a JSON object: the fields that begin with `prefix`, which may be empty. `None` if there are none. `name`
    /// is what the object is called in errors.
    ///
    /// # Errors
    ///
    /// A field that makes the adapter something other than a LoRA, or whose value is of another type.
    pub(super) fn parse(name: &str, fields: &Map<String, Value>, prefix: &str) -> Result<Option<Self>> {
        let own = fields.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value)));
        let own: Map<String, Value> = own.map(|(key, value)| (key.to_owned(), value.clone())).collect();
        if own.is_empty() {
            return Ok(None);
        }
        let mut fields = Taken { name, fields: own };
        let settings = Self {
            name: name.to_owned(),
            rank: fields.number("r")?.map(|rank| rank as usize),
            alpha: fields.number("lora_alpha")?,
            ranks: fields.pattern("rank_pattern")?,
            alphas: fields.pattern("alpha_pattern")?,
            is_rank_stabilised: fields.flag("use_rslora")?,
        };
        fields.finish()?;
        Ok(Some(settings))
    }

    /// Alpha of the layer `module`, whose factors have this rank, as its term is multiplied by `alpha / rank`.
    ///
    /// # Errors
    ///
    /// If the settings have another rank for the layer.
    pub(super) fn alpha(&self, module: &str, rank: usize) -> Result<f64> {
        let of = |pattern: &[(String, f64)]| pattern.iter().find(|(end, _)| ends(module, end)).map(|(_, value)| *value);
        let named = of(&self.ranks).map(|rank| rank as usize).or(self.rank);
        if let Some(named) = named.filter(|named| *named != rank) {
            let reason = format!("the rank of `{module}` is {named}, and its tensors have {rank}");
            return Err(Error::Json { name: self.name.clone(), reason });
        }
        let alpha = of(&self.alphas).or(self.alpha).unwrap_or(rank as f64);
        // A rank-stabilised term is multiplied by alpha over the root of the rank.
        Ok(if self.is_rank_stabilised { alpha * (rank as f64).sqrt() } else { alpha })
    }
}

/// Whether `module` ends in the parts that `end` has, as PEFT matches them; `^` before it asks for the whole name.
fn ends(module: &str, end: &str) -> bool {
    match end.strip_prefix('^') {
        Some(whole) => module == whole.trim_end_matches('$'),
        None => {
            let head = module.strip_suffix(end.trim_end_matches('$'));
            head.is_some_and(|head| head.is_empty() || head.ends_with('.'))
        }
    }
}

/// Fields of an object, each of which is taken or refused.
struct Taken<'a> {
    name: &'a str,
    fields: Map<String, Value>,
}

impl Taken<'_> {
    fn number(&mut self, field: &str) -> Result<Option<f64>> {
        match self.fields.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => self.finite(field, &value).map(Some),
        }
    }

    fn flag(&mut self, field: &str) -> Result<bool> {
        match self.fields.remove(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(value) => Err(self.refuse(field, &value, "true or false")),
        }
    }

    /// Ends of names with a number each, in the order of the file: the first that fits counts.
    fn pattern(&mut self, field: &str) -> Result<Vec<(String, f64)>> {
        let value = match self.fields.remove(field) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Object(value)) => value,
            Some(value) => return Err(self.refuse(field, &value, "an object of names and numbers")),
        };
        let one = |(key, value): (String, Value)| {
            let inner = key.strip_prefix('^').unwrap_or(&key).trim_end_matches('$');
            if inner.is_empty() || !inner.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
                return Err(self.refuse(
                    field,
                    &Value::String(key),
                    "names of layers, and no other regular expressions",
                ));
            }
            let value = self.finite(field, &value)?;
            Ok((key, value))
        };
        value.into_iter().map(one).collect()
    }

    fn finite(&self, field: &str, value: &Value) -> Result<f64> {
        value.as_f64().filter(|number| number.is_finite()).ok_or_else(|| self.refuse(field, value, "a finite number"))
    }

    /// Refuses what is left and would make a difference.
    fn finish(self) -> Result<()> {
        for (field, value) in &self.fields {
            let is_default = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Array(items) => items.is_empty(),
                Value::Object(items) => items.is_empty(),
                _ => false,
            };
            let kind = value.as_str().unwrap_or_default();
            let is_known = match field.as_str() {
                "peft_type" => kind == "LORA",
                "init_lora_weights" => *value == Value::Bool(true) || PLAIN_STARTS.contains(&kind),
                field => WITHOUT_EFFECT.contains(&field),
            };
            if is_default || is_known {
                continue;
            }
            return Err(match field.as_str() {
                "use_dora" => self.refuse(field, value, "false: a DoRA is not implemented"),
                "peft_type" => self.refuse(field, value, "\"LORA\", the kind of adapter that is implemented"),
                _ => self.refuse(field, value, "a plain LoRA, which has no such setting"),
            });
        }
        Ok(())
    }

    fn refuse(&self, field: &str, value: &Value, wanted: &str) -> Error {
        Error::Json { name: self.name.to_owned(), reason: format!("field `{field}` is {value}, wanted {wanted}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str, prefix: &str) -> Result<Option<Settings>> {
        let Value::Object(fields) = serde_json::from_str(json).unwrap() else { panic!("no object") };
        Settings::parse("settings", &fields, prefix)
    }

    #[track_caller]
    fn scale(json: &str, module: &str, rank: usize, expected: f64) {
        assert_eq!(parse(json, "").unwrap().unwrap().alpha(module, rank).unwrap() / rank as f64, expected);
    }

    #[track_caller]
    fn refused(json: &str, expected: &str) {
        assert_eq!(parse(json, "").unwrap_err().to_string(), format!("cannot parse `settings`: {expected}"));
    }

    #[test]
    fn alpha_is_divided_by_the_rank_or_its_root() {
        scale(r#"{"lora_alpha": 8, "r": 4}"#, "a.to_q", 4, 2.0);
        scale(r#"{"lora_alpha": 8, "r": 4, "use_rslora": true}"#, "a.to_q", 4, 4.0);
        scale(r#"{"r": 4}"#, "a.to_q", 4, 1.0);
    }

    #[test]
    fn the_first_pattern_that_ends_a_name_counts() {
        let json = r#"{"lora_alpha": 4, "r": 2, "alpha_pattern": {"attn2.to_k": 2, "to_k": 16, "^a.b": 6}, "rank_pattern": {"to_k": 8}}"#;
        scale(json, "x.attn2.to_k", 8, 0.25);
        scale(json, "x.attn1.to_k", 8, 2.0);
        scale(json, "xto_k", 2, 2.0);
        scale(json, "a.b", 2, 3.0);
        scale(json, "x.a.b", 2, 2.0);
        let error = parse(json, "").unwrap().unwrap().alpha("x.to_k", 2).unwrap_err().to_string();
        assert_eq!(error, "cannot parse `settings`: the rank of `x.to_k` is 8, and its tensors have 2");
    }

    #[test]
    fn each_component_has_its_own() {
        let json = r#"{"unet.lora_alpha": 8, "text_encoder.lora_alpha": 2}"#;
        assert_eq!(parse(json, "unet.").unwrap().unwrap().alpha, Some(8.0));
        assert_eq!(parse(json, "text_encoder.").unwrap().unwrap().alpha, Some(2.0));
        assert!(parse(json, "transformer.").unwrap().is_none());
    }

    #[test]
    fn what_is_no_plain_lora_is_refused_by_name() {
        refused(r#"{"use_dora": true}"#, "field `use_dora` is true, wanted false: a DoRA is not implemented");
        refused(
            r#"{"peft_type": "LOHA"}"#,
            "field `peft_type` is \"LOHA\", wanted \"LORA\", the kind of adapter that is implemented",
        );
        refused(
            r#"{"init_lora_weights": "pissa_niter_16"}"#,
            "field `init_lora_weights` is \"pissa_niter_16\", wanted a plain LoRA, which has no such setting",
        );
        refused(
            r#"{"alpha_pattern": {"to_[qk]": 2}}"#,
            "field `alpha_pattern` is \"to_[qk]\", wanted names of layers, and no other regular expressions",
        );
        refused(r#"{"lora_alpha": "8"}"#, "field `lora_alpha` is \"8\", wanted a finite number");
        parse(r#"{"use_dora": false, "init_lora_weights": true, "modules_to_save": [], "new": null}"#, "").unwrap();
    }
}
