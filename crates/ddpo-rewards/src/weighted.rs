//! A weighted sum of rewards.

use ddpo_core::{Grouping, Judge, Reward, RewardBatch, SetReward};

use crate::{Error, Result};

/// Σ weight · reward, each term scored on the same images, in the given order.
pub struct Weighted {
    name: String,
    terms: Vec<(Judge, f32)>,
}

impl Weighted {
    /// The sum of the terms, named after them: `0.5*jpeg-compressibility+1*aesthetic`. It judges single images where all
    /// terms do, and else the largest of their sets.
    ///
    /// # Errors
    /// [`Error::NoTerms`], or [`Error::Weight`] for a weight that is NaN or infinite.
    pub fn judge(terms: Vec<(Judge, f32)>) -> Result<Judge> {
        if terms.is_empty() {
            return Err(Error::NoTerms);
        }
        if let Some((term, weight)) = terms.iter().find(|(_, weight)| !weight.is_finite()) {
            return Err(Error::Weight { reward: term.name().to_owned(), weight: *weight });
        }
        let names: Vec<String> = terms.iter().map(|(term, weight)| format!("{weight}*{}", term.name())).collect();
        let over = terms.iter().filter_map(|(term, _)| set_of(term)).reduce(larger);
        let sum = Self { name: names.join("+"), terms };
        Ok(match over {
            None => Judge::Image(Box::new(sum)),
            Some(over) => Judge::Set { reward: Box::new(sum), over },
        })
    }

    fn sum(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        let mut total = vec![0.0; batch.images.len()];
        for (term, weight) in &self.terms {
            let values = term.score(batch, batch.images.len())?;
            total.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
        }
        Ok(total)
    }

    /// The one unit of all terms, where they share one.
    fn shared_unit(&self) -> Option<&str> {
        let (first, rest) = self.terms.split_first()?;
        let unit = first.0.unit();
        unit.filter(|_| rest.iter().all(|(term, _)| term.unit() == unit))
    }
}

fn set_of(judge: &Judge) -> Option<Grouping> {
    match judge {
        Judge::Image(_) => None,
        Judge::Set { over, .. } => Some(*over),
    }
}

/// An epoch's images hold every prompt's, so that a term over prompts can be scored within an epoch.
fn larger(a: Grouping, b: Grouping) -> Grouping {
    if a == Grouping::Epoch { a } else { b }
}

impl Reward for Weighted {
    fn name(&self) -> &str {
        &self.name
    }

    fn unit(&self) -> Option<&str> {
        self.shared_unit()
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        self.sum(batch)
    }
}

impl SetReward for Weighted {
    fn name(&self) -> &str {
        &self.name
    }

    fn unit(&self) -> Option<&str> {
        self.shared_unit()
    }

    fn score(&self, set: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        self.sum(set)
    }
}

#[cfg(test)]
mod tests {
    use ddpo_core::RgbImage;

    use super::*;
    use crate::{JpegCompressibility, JpegIncompressibility};

    #[test]
    fn terms_are_added_with_their_weights() {
        let images = [RgbImage::new(8, 8, vec![7; 192]).unwrap()];
        let prompts = ["cat".to_owned()];
        let batch = RewardBatch::new(&images, &prompts);
        let size = JpegIncompressibility.score(&batch).unwrap()[0];
        let terms: Vec<(Judge, f32)> = vec![
            (Judge::Image(Box::new(JpegCompressibility)), 1.0),
            (Judge::Image(Box::new(JpegIncompressibility)), 3.0),
        ];
        let sum = Weighted::judge(terms).unwrap();
        assert_eq!((sum.name(), sum.unit()), ("1*jpeg-compressibility+3*jpeg-incompressibility", Some("kB")));
        assert!((sum.score(&batch, 1).unwrap()[0] - 2.0 * size).abs() < 1e-6);
    }

    /// The number of images in the set.
    struct Count;

    impl SetReward for Count {
        fn name(&self) -> &str {
            "count"
        }

        fn score(&self, set: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
            Ok(vec![set.images.len() as f32; set.images.len()])
        }
    }

    #[test]
    fn every_term_sees_its_own_sets_whatever_the_batch() {
        let images = vec![RgbImage::new(1, 1, vec![0; 3]).unwrap(); 5];
        let prompts = ["fox", "cat", "fox", "fox", "cat"].map(String::from);
        let batch = RewardBatch::new(&images, &prompts);
        let count = |over, weight| (Judge::Set { reward: Box::new(Count), over }, weight);
        let sum = Weighted::judge(vec![count(Grouping::Prompt, 1.0), count(Grouping::Epoch, 10.0)]).unwrap();
        for size in [1, 2, 9] {
            assert_eq!(sum.score(&batch, size).unwrap(), [53.0, 52.0, 53.0, 53.0, 52.0]);
        }
    }

    #[test]
    fn empty_sums_and_wild_weights_are_refused() {
        assert!(matches!(Weighted::judge(Vec::new()), Err(Error::NoTerms)));
        let nan = Weighted::judge(vec![(Judge::Image(Box::new(JpegCompressibility)), f32::NAN)]);
        assert!(matches!(nan, Err(Error::Weight { .. })));
    }
}
