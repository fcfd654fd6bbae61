//! How the samples of an epoch are cut into updates.

use crate::error::Result;

use super::check::{at_least_one, invalid};
use super::run::TrainOptions;

/// The given accumulation, or the algorithm's own; checks that updates come out even.
pub(super) fn accumulation(train: &TrainOptions, samples: usize, single_update: bool) -> Result<usize> {
    if !samples.is_multiple_of(train.batch_size) {
        return Err(invalid(
            "train.batch-size",
            train.batch_size,
            format_args!(
                "a divisor of {samples}, the samples of an epoch (sample.batch-size x sample.batches-per-epoch)"
            ),
        ));
    }
    let batches = samples / train.batch_size;
    let accumulation = train.accumulation.unwrap_or(if single_update { batches } else { 1 });
    at_least_one("train.accumulation", accumulation)?;
    if single_update && (accumulation != batches || train.inner_epochs != 1) {
        let found = format!("{accumulation} with inner-epochs {}", train.inner_epochs);
        return Err(invalid(
            "train.accumulation",
            found,
            format_args!("{batches} with inner-epochs 1: `ddpo-sf` makes one update an epoch, on fresh samples"),
        ));
    }
    if !batches.is_multiple_of(accumulation) {
        return Err(invalid(
            "train.accumulation",
            accumulation,
            format_args!(
                "a divisor of {batches}, the training batches of an epoch ({samples} samples in batches of {})",
                train.batch_size
            ),
        ));
    }
    Ok(accumulation)
}
