//! The kind `http`: its options, and a server as a reward.

use std::time::Duration;

use ddpo_core::Judge;
use toml::Table;

use super::reward::HttpReward;
use crate::managed::{HandlingOptions, OnFailure};
use crate::options::{reward_options, within};
use crate::probe::probe;
use crate::web::{Endpoint, EndpointOptions, check_address};
use crate::{Error, OptionSpec, Result, RewardContext, RewardFactory, Shorthand, read_options};

reward_options! {
    /// Which server is asked, and how long it may take.
    HttpOptions {
        /// The address that pictures are sent to, by POST.
        url: Option<String> = None, example = "\"http://localhost:8000/score\"";
        /// The environment variable that holds the server's key, which is sent as `Authorization: Bearer`.
        key_env: Option<String> = None, example = "\"REWARD_KEY\"", free = true;
        /// Seconds that an answer may take, the sending of the pictures included.
        timeout: u64 = 120, free = true;
        /// Whether a request also holds what the file of prompts says of each prompt, the other fields of its line.
        metadata: bool = false;
    }
}

/// Makes [`HttpReward`].
pub struct HttpFactory;

impl HttpFactory {
    /// The name of the kind.
    pub const KIND: &'static str = "http";

    fn read(options: &Table) -> Result<(String, HttpOptions)> {
        let options: HttpOptions = read_options(Self::KIND, options)?;
        let invalid = |reason: &str| Error::Options { kind: Self::KIND.to_owned(), reason: reason.to_owned() };
        let missing = "`url` is missing, expected an address, as in http://localhost:8000/score";
        let url = options.url.clone().ok_or_else(|| invalid(missing))?;
        check_address(Self::KIND, &url)?;
        within(Self::KIND, "timeout", options.timeout, 1..=1 << 24)?;
        Ok((url, options))
    }
}

impl RewardFactory for HttpFactory {
    fn kind(&self) -> &str {
        Self::KIND
    }

    fn about(&self) -> &str {
        "a server of your own, which is sent pictures and answers numbers"
    }

    fn options(&self) -> &[OptionSpec] {
        HttpOptions::SPECS
    }

    fn shorthand(&self) -> Option<Shorthand> {
        Some(Shorthand { placeholder: "//HOST/PATH", parse: table })
    }

    fn check(&self, options: &Table) -> Result<String> {
        Self::read(options).map(|(url, _)| url)
    }

    /// What a server fails at, it may do a little later.
    fn handling(&self) -> HandlingOptions {
        HandlingOptions { on_failure: OnFailure::Retry, ..HandlingOptions::default() }
    }

    /// Asks the server about one grey image, so that a run does not find out after hours of sampling.
    fn open(&self, options: &Table, context: &RewardContext) -> Result<Judge> {
        let (url, options) = Self::read(options)?;
        let endpoint = Endpoint::new(&EndpointOptions {
            kind: Self::KIND,
            url: &url,
            key_env: options.key_env.as_deref(),
            timeout: Duration::from_secs(options.timeout),
        })?;
        let reward = HttpReward::new(endpoint, options.metadata);
        probe(context, |batch| reward.ask(batch))?;
        Ok(Judge::Image(Box::new(reward)))
    }
}

/// The options that a line stands for: the address with its scheme.
fn table(text: &str) -> Result<Table> {
    Ok(Table::from_iter([("url".to_owned(), text.into())]))
}
