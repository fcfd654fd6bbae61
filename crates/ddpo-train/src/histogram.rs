//! How numbers are distributed, in a few counts.

use serde::{Deserialize, Serialize};

/// The bins of every histogram.
const BINS: usize = 16;

/// Counts of values in bins of equal width from `low` to `high`, the least and the greatest value.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Histogram {
    /// The least value.
    pub low: f64,
    /// The greatest value.
    pub high: f64,
    /// The number of values in each of 16 bins; the last one has both of its ends.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// The histogram of finite values; empty for none.
    pub fn of(values: &[f32]) -> Self {
        let fold = |f: fn(f64, f64) -> f64, start| values.iter().map(|&value| f64::from(value)).fold(start, f);
        let (low, high) = (fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY));
        if values.is_empty() {
            return Self::default();
        }
        let scale = if high > low { BINS as f64 / (high - low) } else { 0.0 };
        let mut counts = vec![0; BINS];
        for &value in values {
            counts[(((f64::from(value) - low) * scale) as usize).min(BINS - 1)] += 1;
        }
        Self { low, high, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_counted_once_and_where_it_is() {
        let histogram = Histogram::of(&[0.0, 1.0, 1.5, 15.99, 16.0]);
        assert_eq!((histogram.low, histogram.high), (0.0, 16.0));
        assert_eq!(histogram.counts, [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn equal_values_are_one_bin_and_no_values_are_none() {
        assert_eq!(Histogram::of(&[3.0; 5]).counts[0], 5);
        assert_eq!(Histogram::of(&[]), Histogram::default());
    }
}
