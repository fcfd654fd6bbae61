//! The kind `alignment`: its options, and what asks and compares.

use std::path::Path;
use std::time::Duration;

use ddpo_core::Judge;
use toml::Table;

use super::chat::Chat;
use super::questions::PROMPT;
use super::reward::{Alignment, Comparison};
use crate::learned::bert_score::{BertScore, BertScoreModel};
use crate::managed::{HandlingOptions, OnFailure};
use crate::options::{reward_options, within};
use crate::probe::probe;
use crate::web::{Endpoint, EndpointOptions, check_address};
use crate::{Error, OptionSpec, Repository, Result, RewardContext, RewardFactory, Shorthand, read_options};

const KIND: &str = Alignment::KIND;

reward_options! {
    /// Which vision-language model is asked what, and what its answers are compared with.
    AlignmentOptions {
        /// The address of the chat API, below which `chat/completions` is.
        url: Option<String> = None, example = "\"http://localhost:8000/v1\"";
        /// What the server calls the model; the paper's is LLaVA.
        model: String = "llava-hf/llava-1.5-7b-hf".to_owned();
        /// The environment variable that holds the server's key, which is sent as `Authorization: Bearer`.
        key_env: Option<String> = None, example = "\"OPENAI_API_KEY\"", free = true;
        /// What is asked about every picture.
        question: String = "Answer concisely: what is going on in this image?".to_owned();
        /// What the answer is compared with.
        reference: String = "The image contains {prompt}".to_owned();
        /// The longest answer, in tokens.
        max_tokens: u64 = 64;
        /// The encoder of BERTScore, RoBERTa or DeBERTa: a directory, or a hub id.
        bert_score: String = BertScoreModel::DEBERTA.to_owned();
        /// Branch, tag or commit of a hub id; empty for the published model's known commit, or else `main`.
        revision: String = String::new();
        /// The layer whose states are compared; by default bert-score's choice for the encoder.
        layer: Option<usize> = None, example = "40";
        /// Weigh tokens by how rare they are among the run's prompts.
        idf: bool = false;
        /// Instead of comparing texts: the share of questions that are answered right. A list of prompts in JSON Lines has `questions` and
        /// `answers` for each, lists of the same length; a prompt without any is asked about by `strict-question`.
        strict: bool = false;
        /// The question whose right answer is yes.
        strict_question: String = "Is this an image of {prompt}? Answer yes or no.".to_owned();
        /// Seconds that an answer may take, the sending of the picture included.
        timeout: u64 = 120, free = true;
    }
}

/// Makes [`Alignment`].
pub struct AlignmentFactory;

impl AlignmentFactory {
    fn read(options: &Table) -> Result<(String, AlignmentOptions)> {
        let options: AlignmentOptions = read_options(KIND, options)?;
        let invalid = |reason: String| Error::Options { kind: KIND.to_owned(), reason };
        let missing = "`url` is missing, expected the address of a vision-language model's chat API, as in http://localhost:8000/v1";
        let url = options.url.as_deref().ok_or_else(|| invalid(missing.to_owned()))?.trim_end_matches('/').to_owned();
        check_address(KIND, &url)?;
        within(KIND, "timeout", options.timeout, 1..=1 << 24)?;
        within(KIND, "max-tokens", options.max_tokens, 1..=1 << 16)?;
        for (key, text) in [("reference", &options.reference), ("strict-question", &options.strict_question)] {
            if !text.contains(PROMPT) {
                return Err(invalid(format!("`{key}` is `{text}`, expected a text with {PROMPT} in it")));
            }
        }
        Ok((url, options))
    }

    fn encoder(options: &AlignmentOptions) -> BertScoreModel {
        BertScoreModel { model: options.bert_score.clone(), revision: options.revision.clone(), layer: options.layer }
    }

    fn comparison(options: AlignmentOptions, context: &RewardContext) -> Result<Comparison> {
        if options.strict {
            return Ok(Comparison::Strict { template: options.strict_question });
        }
        let bert_score = Self::encoder(&options).open(KIND, context)?;
        let AlignmentOptions { question, reference, .. } = options;
        let bert_score = if options.idf { weighed(bert_score, &reference, context)? } else { bert_score };
        Ok(Comparison::Recall { question, reference, bert_score: Box::new(bert_score) })
    }
}

fn weighed(bert_score: BertScore, reference: &str, context: &RewardContext) -> Result<BertScore> {
    let references: Vec<String> = context.prompts.iter().map(|prompt| reference.replace(PROMPT, prompt)).collect();
    bert_score.with_frequencies(&references).map_err(|error| Error::Compare { source: error.into() })
}

impl RewardFactory for AlignmentFactory {
    fn kind(&self) -> &str {
        KIND
    }

    fn about(&self) -> &str {
        "how much of the prompt a vision-language model sees in the image: BERTScore's recall of its answer"
    }

    fn options(&self) -> &[OptionSpec] {
        AlignmentOptions::SPECS
    }

    fn shorthand(&self) -> Option<Shorthand> {
        Some(Shorthand { placeholder: "URL", parse: |url| Ok(Table::from_iter([("url".to_owned(), url.into())])) })
    }

    fn check(&self, options: &Table) -> Result<String> {
        Self::read(options).map(|_| KIND.to_owned())
    }

    /// A picture a request and some at once; what is not answered is asked again.
    fn handling(&self) -> HandlingOptions {
        HandlingOptions {
            batch_size: Some(1),
            concurrency: 4,
            on_failure: OnFailure::Retry,
            ..HandlingOptions::default()
        }
    }

    /// Asks the model about one grey image, so that a run does not find out after hours of sampling.
    fn open(&self, options: &Table, context: &RewardContext) -> Result<Judge> {
        let (url, options) = Self::read(options)?;
        let endpoint = Endpoint::new(&EndpointOptions {
            kind: KIND,
            url: &format!("{url}/chat/completions"),
            key_env: options.key_env.as_deref(),
            timeout: Duration::from_secs(options.timeout),
        })?;
        let chat = Chat { endpoint, model: options.model.clone(), max_tokens: options.max_tokens };
        let reward = Alignment { chat, comparison: Self::comparison(options, context)? };
        probe(context, |batch| Ok(reward.judge(batch)?.values))?;
        Ok(Judge::Image(Box::new(reward)))
    }

    fn repositories(&self, options: &Table) -> Result<Vec<Repository>> {
        let (_, options) = Self::read(options)?;
        Ok(Self::encoder(&options).repository(KIND).filter(|_| !options.strict).into_iter().collect())
    }

    fn check_files(&self, options: &Table) -> Result<()> {
        let (_, options) = Self::read(options)?;
        if options.strict { Ok(()) } else { Self::encoder(&options).check(KIND) }
    }

    fn anchor(&self, options: &mut Table, directory: &Path) {
        let Some(model) = options.get("bert-score").and_then(toml::Value::as_str) else { return };
        let path = directory.join(model);
        if path.is_dir() {
            options.insert("bert-score".to_owned(), path.to_string_lossy().into_owned().into());
        }
    }
}
