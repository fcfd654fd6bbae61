//! The options that every kind of reward has.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::options::{reward_options, within};
use crate::{Error, Result, read_options};

reward_options! {
    /// How a reward is asked, whatever its kind.
    HandlingOptions {
        /// Images of a request; by default those of a batch of samples.
        batch_size: Option<usize> = None, example = "16", free = true;
        /// Requests at once. A program is started as many times.
        concurrency: usize = 1, free = true;
        /// When a request fails, or an image gets no score: "fail" ends the run; "retry" asks again, ends the run if that does not
        /// help; "skip-sample" asks again, and then leaves the samples out. By default "fail", for servers "retry".
        on_failure: OnFailure = OnFailure::Fail, free = true;
        /// How many times it is asked again.
        retries: u32 = 5, free = true;
        /// Seconds before it is asked again, twice as many each time, at most 60.
        backoff: f64 = 1.0, free = true;
        /// A directory where scores are kept by picture and prompt, for rewards that are expensive.
        cache: Option<PathBuf> = None, example = "\"scores\"", free = true;
        /// The score is the mean over copies of the image with Gaussian noise of this standard deviation, where 1 is the full range of
        /// a pixel: against rewards that are hacked by details. In a line: smooth:0.1:REWARD.
        smooth: Option<f64> = None, example = "0.1";
        /// Copies that are averaged over.
        smooth_samples: usize = 4;
    }
}

/// The keys of [`HandlingOptions`].
pub const KEYS: [&str; 8] =
    ["batch-size", "concurrency", "on-failure", "retries", "backoff", "cache", "smooth", "smooth-samples"];

/// What becomes of images without a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The first failure ends the run.
    #[default]
    Fail,
    /// It is asked again, and the last failure ends the run.
    Retry,
    /// It is asked again, and the samples of the last failure are left out.
    SkipSample,
}

impl HandlingOptions {
    /// The options of a table over those of a kind, checked.
    ///
    /// # Errors
    /// [`Error::Options`] for one that does not fit.
    pub fn read(kind: &str, usual: &Self, stated: &Table) -> Result<Self> {
        let invalid = |error: toml::ser::Error| Error::Options { kind: kind.to_owned(), reason: error.to_string() };
        let mut options = Table::try_from(usual).map_err(invalid)?;
        options.extend(stated.clone());
        let options: Self = read_options(kind, &options)?;
        let count = |key: &str, value: usize, most: u64| within(kind, key, value as u64, 1..=most);
        options.batch_size.map_or(Ok(()), |size| count("batch-size", size, 1 << 20))?;
        count("concurrency", options.concurrency, 256)?;
        count("smooth-samples", options.smooth_samples, 1024)?;
        within(kind, "retries", options.retries.into(), 0..=1000)?;
        let range = |key: &str, value: f64, most: f64| match value >= 0.0 && value <= most {
            true => Ok(()),
            false => {
                let reason = format!("`{key}` is {value}, expected 0 to {most}");
                Err(Error::Options { kind: kind.to_owned(), reason })
            }
        };
        range("backoff", options.backoff, 60.0)?;
        options.smooth.map_or(Ok(()), |sigma| range("smooth", sigma, 1.0))?;
        Ok(options)
    }

    /// Whether the reward can be asked as it is.
    pub(super) fn is_plain(&self) -> bool {
        let Self { batch_size, concurrency, cache, on_failure, .. } = self;
        batch_size.is_none() && *concurrency == 1 && cache.is_none() && *on_failure == OnFailure::Fail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_options() {
        assert_eq!(HandlingOptions::SPECS.iter().map(crate::OptionSpec::key).collect::<Vec<_>>(), KEYS);
    }

    #[test]
    fn values_are_checked() {
        let usual = HandlingOptions { retries: 7, ..HandlingOptions::default() };
        let read = |text: &str| HandlingOptions::read("exec", &usual, &text.parse().unwrap());
        assert_eq!(read("on-failure = \"skip-sample\"").unwrap().on_failure, OnFailure::SkipSample);
        assert_eq!((read("").unwrap().retries, read("retries = 2").unwrap().retries), (7, 2));
        for wrong in ["concurrency = 0", "batch-size = 0", "backoff = -1.0", "smooth = 1.5", "on-failure = \"never\""] {
            let message = read(wrong).unwrap_err().to_string();
            assert!(message.starts_with("invalid reward `exec`: "), "{message}");
        }
    }
}
