//! A judge with its options around it.

use std::time::Duration;

use ddpo_core::{Judge, Reward};

use super::attempts::Attempts;
use super::options::{HandlingOptions, KEYS};
use super::reward::Managed;
use super::smoothed::Smoothed;
use crate::files::ScoreFile;
use crate::{Error, Result};

/// The judge that is asked as `options` say; `usual` are those of its kind, and `identity` is what tells its scores from those of others.
pub fn wrapped(
    kind: &str,
    judge: Judge,
    options: &HandlingOptions,
    usual: &HandlingOptions,
    identity: &str,
) -> Result<Judge> {
    let Judge::Image(inner) = judge else {
        let reason = format!("{} are for rewards of single images", KEYS.map(|key| format!("`{key}`")).join(", "));
        let refused = Error::Options { kind: kind.to_owned(), reason };
        return if options == usual { Ok(judge) } else { Err(refused) };
    };
    let asked: Box<dyn Reward> = match options.is_plain() {
        true => inner,
        false => {
            let cache = options.cache.as_ref().map(|directory| ScoreFile::open(directory, identity)).transpose()?;
            let backoff = Duration::from_secs_f64(options.backoff);
            let attempts = Attempts { on_failure: options.on_failure, retries: options.retries, backoff };
            let (batch, concurrency) = (options.batch_size, options.concurrency);
            Box::new(Managed { inner, attempts, batch, concurrency, cache })
        }
    };
    Ok(Judge::Image(match options.smooth {
        Some(sigma) => Box::new(Smoothed::new(asked, sigma as f32, options.smooth_samples)),
        None => asked,
    }))
}
