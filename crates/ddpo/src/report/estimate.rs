//! Means with their 95 % intervals.

use std::collections::BTreeMap;

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half the width of the interval, by Student's distribution; NaN where a single value says nothing of it.
    pub half: f64,
}

impl Estimate {
    /// The mean of independent values and its interval.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { mean, half: student(values.len().saturating_sub(1)) * (variance / n).sqrt() }
    }

    /// The mean over samples, each with what it is alike in, such as its prompt.
    ///
    /// Samples of one prompt are alike, so that the prompts are what is independent: the interval says what other prompts
    /// would give. With a single prompt, or a single sample of each, it says what other seeds would.
    pub fn over_groups<K: Ord>(samples: impl IntoIterator<Item = (K, f64)>) -> Self {
        let mut groups = BTreeMap::<K, Vec<f64>>::new();
        for (key, value) in samples {
            groups.entry(key).or_default().push(value);
        }
        let all: Vec<f64> = groups.values().flatten().copied().collect();
        if groups.len() < 2 || all.len() == groups.len() {
            return Self::of(&all);
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let of_groups = Self::of(&groups.values().map(|values| mean(values)).collect::<Vec<_>>());
        Self { mean: mean(&all), ..of_groups }
    }

    /// [Over the prompts](Self::over_groups) of an evaluation, where sample i has the prompt i modulo `prompts`.
    pub fn over_prompts(values: &[f64], prompts: usize) -> Self {
        Self::over_groups(values.iter().enumerate().map(|(sample, &value)| (sample % prompts.max(1), value)))
    }

    /// How much better an evaluation is than another of the same prompts and seeds: a mean over differences, which varies far less than
    /// the difference of two means. Nothing where the rewards do not fit each other, or are too few for an interval.
    pub fn of_gain(from: &[f32], to: &[f32], prompts: usize) -> Option<Self> {
        if from.len() != to.len() {
            return None;
        }
        let differences: Vec<f64> = from.iter().zip(to).map(|(a, b)| f64::from(*b) - f64::from(*a)).collect();
        Some(Self::over_prompts(&differences, prompts)).filter(|gain| gain.half.is_finite())
    }
}

/// The 97.5 % quantile of Student's distribution; NaN without a degree of freedom.
fn student(freedom: usize) -> f64 {
    const FEW: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];
    if let Some(few) = FEW.get(freedom.wrapping_sub(1)) {
        return *few;
    }
    if freedom == 0 {
        return f64::NAN;
    }
    // Abramowitz and Stegun, 26.7.5, at the normal distribution's quantile.
    let n = freedom as f64;
    1.959_964 + 2.372_27 / n + 2.822_5 / n.powi(2) + 2.555_9 / n.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        let estimate = Estimate::of(&[1.0, 2.0, 3.0]);
        assert!((estimate.mean - 2.0).abs() < 1e-12 && (estimate.half - 4.303 / 3f64.sqrt()).abs() < 1e-9);
        assert!(Estimate::of(&[1.0]).half.is_nan() && Estimate::of(&[]).mean.is_nan());
        // Tables of the distribution.
        for (freedom, quantile) in [(9, 2.262), (10, 2.228), (15, 2.131), (30, 2.042), (120, 1.980)] {
            assert!((student(freedom) - quantile).abs() < 1e-3, "{freedom}: {}", student(freedom));
        }
    }

    #[test]
    fn samples_of_one_prompt_count_once() {
        let prompts = Estimate::over_prompts(&[1.0, 5.0, 3.0, 7.0], 2);
        assert_eq!(prompts, Estimate::of(&[2.0, 6.0]));
        // Where a prompt has fewer samples, the mean is still that of all.
        let uneven = Estimate::over_prompts(&[1.0, 5.0, 3.0], 2);
        assert_eq!(uneven, Estimate { mean: 3.0, ..Estimate::of(&[2.0, 5.0]) });
        assert_eq!(Estimate::over_prompts(&[1.0, 5.0], 1), Estimate::of(&[1.0, 5.0]));
        assert_eq!(Estimate::over_prompts(&[1.0, 5.0], 8), Estimate::of(&[1.0, 5.0]));
    }
}
