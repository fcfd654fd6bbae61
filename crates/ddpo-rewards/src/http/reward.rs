//! The reward that asks a server.

use std::sync::atomic::{AtomicU64, Ordering};

use ddpo_core::{Reward, RewardBatch};
use serde_json::Value;

use crate::protocol::{self, Reply, read_reply};
use crate::web::{Endpoint, WebFailure, encoded};
use crate::{Error, Result};

/// A reward that a server computes. It may be asked several times at once.
pub struct HttpReward {
    endpoint: Endpoint,
    metadata: bool,
    asked: AtomicU64,
}

impl HttpReward {
    /// With `metadata`, a request also holds what is known of each prompt.
    pub(super) fn new(endpoint: Endpoint, metadata: bool) -> Self {
        Self { endpoint, metadata, asked: AtomicU64::new(0) }
    }

    pub(super) fn ask(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        let encode = |image| encoded(image).map(Value::from).map_err(|source| Error::Encode { source: source.into() });
        let images = batch.images.iter().map(encode).collect::<Result<_>>()?;
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.endpoint.post(&protocol::request(
            id,
            images,
            batch.prompts,
            self.metadata.then_some(batch.metadata),
        ))?;
        let scores = self.scores(&answer, id, batch.images.len());
        scores.map_err(|failure| Error::Web { url: self.endpoint.url().to_owned(), failure })
    }

    /// The scores of an answer to the request `id`.
    fn scores(&self, answer: &str, id: u64, count: usize) -> Result<Vec<f32>, WebFailure> {
        let shown = || self.endpoint.shown(answer.as_bytes());
        match read_reply(answer) {
            Reply::Scores { id: Some(found), .. } | Reply::Failure { id: Some(found), .. } if found != id => {
                Err(WebFailure::WrongRequest { found, wanted: id })
            }
            Reply::Scores { scores, .. } => Ok(scores),
            Reply::Failure { message, .. } => Err(WebFailure::Refused(self.endpoint.shown(message.as_bytes()))),
            Reply::OtherVersion(version) => Err(WebFailure::Answer {
                found: format!("version {version} of the protocol"),
                wanted: "version 2 or 1, which docs/reference/rewards.md describes,".to_owned(),
            }),
            Reply::Malformed | Reply::Chatter => {
                let wanted = format!("a JSON object with {count} `scores`");
                Err(WebFailure::Answer { found: shown(), wanted })
            }
        }
    }
}

impl Reward for HttpReward {
    fn name(&self) -> &str {
        self.endpoint.url()
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        self.ask(batch).map_err(|error| ddpo_core::Error::reward(self.name(), error))
    }
}
