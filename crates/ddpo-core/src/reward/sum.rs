//! The arithmetic of a sum of rewards.

use std::collections::BTreeMap;

use super::assessment::Assessment;
use crate::{Error, Grouping, Result};

/// What becomes of a reward's values before they are added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub weight: f32,
    pub clip: Option<[f32; 2]>,
    pub normalise: Option<Grouping>,
}

impl Scale {
    /// Whether it can be applied.
    pub fn check(&self) -> Result<()> {
        if !self.weight.is_finite() {
            return Err(Error::parameter("weight of a reward", self.weight, "a finite number"));
        }
        match self.clip {
            // NaN is not less than anything.
            Some([low, high]) if low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) => {
                Err(Error::parameter("range of a reward", format!("[{low}, {high}]"), "a number and a larger one"))
            }
            _ => Ok(()),
        }
    }

    /// The values as they count, and as training sees them.
    fn values(&self, said: &Assessment, prompts: &[String]) -> (Vec<f32>, Vec<f32>) {
        let weighed = |values: &[f32]| values.iter().map(|value| self.weight * value).collect::<Vec<f32>>();
        let clipped = |values: &[f32]| match self.clip {
            Some([low, high]) => values.iter().map(|value| value.clamp(low, high)).collect(),
            None => values.to_vec(),
        };
        let (reported, optimised) = (clipped(&said.values), clipped(said.optimised()));
        match self.normalise {
            Some(over) => (weighed(&reported), weighed(&normalised(&optimised, &over.rows(prompts)))),
            None => (weighed(&reported), weighed(&optimised)),
        }
    }
}

/// What a sum says where each term, by its name, says this; `prompts` are those of the images.
pub(super) fn combine(terms: Vec<(&str, Scale, Assessment)>, prompts: &[String]) -> Assessment {
    let zeros = vec![0.0; prompts.len()];
    let (mut reported, mut optimised) = (zeros.clone(), zeros);
    let is_normalised = terms.iter().any(|(_, scale, said)| scale.normalise.is_some() || said.optimised.is_some());
    let mut all = Assessment::default();
    for (name, scale, said) in terms {
        let (values, learnt) = scale.values(&said, prompts);
        add(&mut reported, &values);
        add(&mut optimised, &learnt);
        all.terms.push(learnt);
        take_parts(&mut all.parts, name, &said);
        all.left_out.extend(said.left_out);
        all.remarks.extend(said.remarks);
        all.warnings.extend(said.warnings);
    }
    all.left_out.sort_unstable();
    all.left_out.dedup();
    Assessment { values: reported, optimised: is_normalised.then_some(optimised), ..all }
}

fn add(sum: &mut [f32], values: &[f32]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}

/// The value of a term, and its own parts behind its name. Terms of one name are told apart by a number.
fn take_parts(parts: &mut BTreeMap<String, Vec<f32>>, name: &str, assessment: &Assessment) {
    let taken = |name: &String| parts.contains_key(name);
    let numbered = (2..).map(|number| format!("{name} ({number})"));
    let name = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
    for (part, values) in &assessment.parts {
        parts.insert(format!("{name}/{part}"), values.clone());
    }
    parts.insert(name, assessment.values.clone());
}

/// Each value as a number of standard deviations from the mean of its set; 0 in a set whose values are all the same. What is NaN
/// stays so, and has no part in the mean.
fn normalised(values: &[f32], sets: &[Vec<usize>]) -> Vec<f32> {
    let mut out = values.to_vec();
    for set in sets {
        let finite: Vec<f64> =
            set.iter().map(|&row| f64::from(values[row])).filter(|value| value.is_finite()).collect();
        let count = finite.len().max(1) as f64;
        let mean = finite.iter().sum::<f64>() / count;
        let deviation = (finite.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        // What the rounding of the mean leaves of equal values is no deviation.
        let differs = deviation > 1e-12 * mean.abs();
        for &row in set {
            let distance = f64::from(values[row]) - mean;
            out[row] = if differs || !distance.is_finite() { (distance / deviation) as f32 } else { 0.0 };
        }
    }
    out
}
