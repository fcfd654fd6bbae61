//! BERTScore (Zhang et al., arXiv 1904.09675): how much of a text is said by another, by the likeness of their tokens' states.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;
use ddpo_nn::{BertConfig, BertEncoder, ModelFiles, PlainTokenizer, PositionKind, Result, Weights};

use super::pictures::{rows, unit};
use super::source::{Published, Source, weights, with_weights};
use super::{ModelFailure, NetworkDtype, Repository};
use crate::RewardContext;

/// bert-score's layer of a model: the one whose scores agree most with people's.
struct BestLayer {
    model: &'static str,
    layer: usize,
}

/// `bert_score.utils.model2layers` of the encoders that are built.
const BEST: [BestLayer; 11] = [
    BestLayer { model: "roberta-base", layer: 10 },
    BestLayer { model: "roberta-large", layer: 17 },
    BestLayer { model: "FacebookAI/roberta-base", layer: 10 },
    BestLayer { model: "FacebookAI/roberta-large", layer: 17 },
    BestLayer { model: "FacebookAI/roberta-large-mnli", layer: 19 },
    BestLayer { model: "microsoft/deberta-base", layer: 9 },
    BestLayer { model: "microsoft/deberta-base-mnli", layer: 9 },
    BestLayer { model: "microsoft/deberta-large", layer: 16 },
    BestLayer { model: "microsoft/deberta-large-mnli", layer: 18 },
    BestLayer { model: "microsoft/deberta-xlarge", layer: 18 },
    BestLayer { model: "microsoft/deberta-xlarge-mnli", layer: 40 },
];

static ROBERTA: Published = Published {
    id: "FacebookAI/roberta-large",
    revision: "722cf37b1afa9454edce342e7895e588b6ff1d59",
    about: "RoBERTa-large, 1.4 GB",
    licence: "MIT",
    choose: files_of,
};

static DEBERTA: Published = Published {
    id: "microsoft/deberta-xlarge-mnli",
    revision: "5b07a9086c1dbb79981ff7b05b4d1ad83b3af51c",
    about: "DeBERTa-xlarge, tuned on MNLI, 3 GB",
    licence: "MIT",
    choose: files_of,
};

/// Texts that go through the encoder at once.
const BATCH: usize = 32;

/// References whose states are kept: a prompt is asked for again and again.
const MOST_KEPT: usize = 512;

fn files_of(listing: &[String]) -> Result<Vec<String>> {
    const NAMES: [&str; 4] = ["config.json", "vocab.json", "merges.txt", "tokenizer_config.json"];
    let mut names = NAMES.to_vec();
    if !listing.iter().any(|name| name == "vocab.json") {
        names.push("tokenizer.json");
    }
    with_weights(listing, &names)
}

/// Which encoder a BERTScore uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BertScoreModel {
    /// A directory, or a hub id.
    pub model: String,
    /// Branch, tag or commit of a hub id; empty for a published model's known commit, or else `main`.
    pub revision: String,
    /// The layer whose states are compared; none for bert-score's choice.
    pub layer: Option<usize>,
}

impl BertScoreModel {
    /// The paper's choice, DeBERTa-xlarge tuned on MNLI.
    pub const DEBERTA: &'static str = "microsoft/deberta-xlarge-mnli";
    /// bert-score's own default for English.
    pub const ROBERTA: &'static str = "FacebookAI/roberta-large";

    fn source(&self, kind: &'static str) -> Source<'_> {
        let published = if self.model == ROBERTA.id { &ROBERTA } else { &DEBERTA };
        Source { kind, model: &self.model, revision: &self.revision, published }
    }

    /// The repository, if the model is none on the disk; `kind` is the reward that asks.
    pub fn repository(&self, kind: &'static str) -> Option<Repository> {
        self.source(kind).repository()
    }

    /// Whether the model is a directory that is there, or of the hub; `kind` is the reward that asks.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn check(&self, kind: &'static str) -> crate::Result<()> {
        self.source(kind).check()
    }

    /// Loads the encoder.
    ///
    /// # Errors
    ///
    /// If the model is not there, cannot be fetched, is pickled, or has no layer that is known to be the best and none is given.
    pub fn open(&self, kind: &'static str, context: &RewardContext) -> crate::Result<BertScore> {
        let source = self.source(kind);
        let layer = self.layer.or_else(|| best_layer(&self.model));
        let open = || {
            let files = source.files(context).map_err(|error| self.pickled(kind, error))?;
            let network = Network::load(&files, layer, &Device::flex());
            network.map_err(|error| self.pickled(kind, source.failed(error)))
        };
        let name = format!("{} {layer:?}", source.network(NetworkDtype::F32));
        Ok(BertScore::of(context.networks.shared(name, open)?))
    }

    /// The same error, which of a pickle says how to convert it.
    fn pickled(&self, kind: &str, error: crate::Error) -> crate::Error {
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let is_pickle = chain.filter_map(network_error).any(|error| matches!(error, ddpo_nn::Error::Pickle { .. }));
        if !is_pickle {
            return error;
        }
        let model = self.model.clone();
        let command = format!(
            "python -c \"from transformers import AutoModel, AutoTokenizer; AutoModel.from_pretrained('{model}').save_pretrained('bert-score'); \
             AutoTokenizer.from_pretrained('{model}', use_fast=False).save_pretrained('bert-score')\""
        );
        ModelFailure::Pickle { kind: kind.to_owned(), model, command, option: "bert-score" }.into()
    }
}

/// The error of a network that an error is, in a box or not.
fn network_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a ddpo_nn::Error> {
    error.downcast_ref().or_else(|| error.downcast_ref::<Box<ddpo_nn::Error>>().map(|error| &**error))
}

/// bert-score's layer of a model, by its hub id.
pub fn best_layer(model: &str) -> Option<usize> {
    BEST.iter().find(|best| best.model == model).map(|best| best.layer)
}

/// How much two texts say the same, each about from 0 to 1; all 0 where one of them is empty. Not rescaled by a baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// How much of the candidate is in the reference.
    pub precision: f32,
    /// How much of the reference is in the candidate: the paper's reward.
    pub recall: f32,
    /// Their harmonic mean.
    pub f1: f32,
}

/// A text's tokens and their states, each of length 1.
struct Embedded {
    ids: Vec<u32>,
    states: Vec<Vec<f32>>,
}

/// An encoder with its weights and its tokenizer.
struct Network {
    encoder: BertEncoder,
    weights: Weights,
    tokenizer: PlainTokenizer,
}

/// An encoder, and what compares texts with it.
pub struct BertScore {
    network: Arc<Network>,
    /// The inverse document frequency of each token, and that of unknown ones; none weighs all tokens the same.
    frequencies: Option<(HashMap<u32, f64>, f64)>,
    known: Mutex<HashMap<String, Arc<Embedded>>>,
}

impl Network {
    /// [`BertScore::load`].
    fn load(files: &ModelFiles, layer: Option<usize>, device: &Device) -> Result<Self> {
        let config = BertConfig::from_json(&files.text("config.json", "the description of the model")?)?;
        let is_roberta = matches!(config.positions, PositionKind::Absolute { .. });
        let layer = match (layer, is_roberta, config.num_hidden_layers) {
            (Some(layer), ..) => layer,
            (None, true, 24) => 17,
            (None, false, 48) => 40,
            (None, _, layers) => {
                let wanted = format!("1 to {layers}, as none is known to be the best");
                return Err(ddpo_nn::Error::input("score texts", "layer", "nothing", wanted));
            }
        };
        if !(1..=config.num_hidden_layers).contains(&layer) {
            let wanted = format!("1 to {}", config.num_hidden_layers);
            return Err(ddpo_nn::Error::input("score texts", "layer", layer, wanted));
        }
        let encoder = BertEncoder::new(BertConfig { num_hidden_layers: layer, ..config })?;
        Ok(Self {
            weights: encoder.load(&weights(files)?, device)?,
            encoder,
            // RoBERTa's first word is read as any other, by bert-score.
            tokenizer: PlainTokenizer::byte_level(files, is_roberta)?,
        })
    }
}

impl BertScore {
    /// Reads an encoder, RoBERTa or DeBERTa, at the root of a repository. The states after `layer` layers are compared; without
    /// one, those of bert-score's choice for a model of this size: layer 17 of RoBERTa's 24, layer 40 of DeBERTa's 48.
    ///
    /// # Errors
    ///
    /// Missing or damaged files, more layers than there are, or no choice for this model.
    pub fn load(files: &ModelFiles, layer: Option<usize>, device: &Device) -> Result<Self> {
        Ok(Self::of(Arc::new(Network::load(files, layer, device)?)))
    }

    fn of(network: Arc<Network>) -> Self {
        Self { network, frequencies: None, known: Mutex::default() }
    }

    /// Weighs tokens by how rare they are in `texts`, the references: `ln((N + 1) / (n + 1))` of a token in n of N texts.
    ///
    /// # Errors
    ///
    /// If a text cannot be encoded.
    pub fn with_frequencies(mut self, texts: &[String]) -> Result<Self> {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for text in texts {
            let ids: BTreeSet<u32> = self.ids(text)?.into_iter().collect();
            ids.into_iter().for_each(|id| *counts.entry(id).or_default() += 1);
        }
        let rarity = |count: usize| ((texts.len() + 1) as f64 / (count + 1) as f64).ln();
        let known = counts.into_iter().map(|(id, count)| (id, rarity(count))).collect();
        self.frequencies = Some((known, rarity(0)));
        Ok(self)
    }

    /// Compares each candidate with its reference.
    ///
    /// # Errors
    ///
    /// If there are not as many references, or a text cannot be encoded.
    pub fn score(&self, candidates: &[String], references: &[String]) -> Result<Vec<Scores>> {
        if candidates.len() != references.len() {
            let wanted = candidates.len();
            return Err(ddpo_nn::Error::input("score texts", "number of references", references.len(), wanted));
        }
        let embedded = self.embed(candidates.iter().chain(references))?;
        self.keep(references, &embedded);
        let pairs = candidates.iter().zip(references);
        Ok(pairs.map(|(candidate, reference)| self.compare(&embedded[candidate], &embedded[reference])).collect())
    }

    fn ids(&self, text: &str) -> Result<Vec<u32>> {
        self.network.tokenizer.encode(text.trim(), self.network.encoder.config().longest())
    }

    /// The states of each different text.
    fn embed<'a>(&self, texts: impl Iterator<Item = &'a String>) -> Result<HashMap<&'a String, Arc<Embedded>>> {
        let texts: BTreeSet<&String> = texts.collect();
        let mut embedded = HashMap::new();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = Vec::new();
        for text in texts {
            match known.get(text) {
                Some(states) => drop(embedded.insert(text, states.clone())),
                None => missing.push(text),
            }
        }
        drop(known);
        for batch in missing.chunks(BATCH) {
            let ids: Vec<Vec<u32>> = batch.iter().map(|text| self.ids(text)).collect::<Result<_>>()?;
            let states = self.network.encoder.forward(&self.network.weights, &ids, None)?.split();
            for ((text, ids), states) in batch.iter().zip(ids).zip(states) {
                let states = rows(states)?.into_iter().map(unit).collect();
                embedded.insert(*text, Arc::new(Embedded { ids, states }));
            }
        }
        Ok(embedded)
    }

    /// Keeps references for the next time.
    fn keep(&self, references: &[String], embedded: &HashMap<&String, Arc<Embedded>>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for reference in references {
            if known.len() >= MOST_KEPT {
                known.clear();
            }
            if let Some(states) = embedded.get(reference) {
                known.insert(reference.clone(), states.clone());
            }
        }
    }

    /// The weight of each token: none for start and end, which say nothing.
    fn importance(&self, ids: &[u32]) -> Vec<f64> {
        let ends = self.network.tokenizer.ends();
        let one = |id: &u32| match &self.frequencies {
            Some((known, unknown)) => *known.get(id).unwrap_or(unknown),
            None if ends.contains(id) => 0.0,
            None => 1.0,
        };
        ids.iter().map(one).collect()
    }

    fn compare(&self, candidate: &Embedded, reference: &Embedded) -> Scores {
        if candidate.ids.len() == 2 || reference.ids.len() == 2 {
            return Scores { precision: 0.0, recall: 0.0, f1: 0.0 };
        }
        let likeness: Vec<Vec<f64>> =
            candidate.states.iter().map(|a| reference.states.iter().map(|b| dot(a, b)).collect()).collect();
        let best_of_row = |row: usize| likeness[row].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let best_of_column = |column: usize| likeness.iter().map(|row| row[column]).fold(f64::NEG_INFINITY, f64::max);
        let precision = self.mean(&candidate.ids, best_of_row);
        let recall = self.mean(&reference.ids, best_of_column);
        let f1 = 2.0 * precision * recall / (precision + recall);
        Scores { precision: precision as f32, recall: recall as f32, f1: if f1.is_nan() { 0.0 } else { f1 as f32 } }
    }

    /// The mean of a value of each token, by importance.
    fn mean(&self, ids: &[u32], value: impl Fn(usize) -> f64) -> f64 {
        let importance = self.importance(ids);
        let sum: f64 = importance.iter().enumerate().map(|(token, weight)| weight * value(token)).sum();
        sum / importance.iter().sum::<f64>()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    f64::from(a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_layer_and_the_default() {
        assert_eq!(best_layer(BertScoreModel::DEBERTA), Some(40));
        assert_eq!(best_layer(BertScoreModel::ROBERTA), Some(17));
        assert_eq!(best_layer("org/name"), None);
    }
}
