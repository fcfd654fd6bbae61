//! A weighted sum of rewards.

use ddpo_core::{Reward, RewardBatch};

use crate::{Error, Result};

/// Σ weight · reward, each term scored on the same batch, in the given order.
pub struct Weighted {
    name: String,
    terms: Vec<(Box<dyn Reward>, f32)>,
}

impl Weighted {
    /// The sum of the terms, named after them: `0.5*jpeg-compressibility+1*aesthetic`.
    ///
    /// # Errors
    /// [`Error::NoTerms`], or [`Error::Weight`] for a weight that is NaN or infinite.
    pub fn new(terms: Vec<(Box<dyn Reward>, f32)>) -> Result<Self> {
        if terms.is_empty() {
            return Err(Error::NoTerms);
        }
        if let Some((reward, weight)) = terms.iter().find(|(_, weight)| !weight.is_finite()) {
            return Err(Error::Weight { reward: reward.name().to_owned(), weight: *weight });
        }
        let names: Vec<String> = terms.iter().map(|(reward, weight)| format!("{weight}*{}", reward.name())).collect();
        Ok(Self { name: names.join("+"), terms })
    }
}

impl Reward for Weighted {
    fn name(&self) -> &str {
        &self.name
    }

    /// The one unit of all terms, where they share one.
    fn unit(&self) -> Option<&str> {
        let (first, rest) = self.terms.split_first()?;
        let unit = first.0.unit();
        unit.filter(|_| rest.iter().all(|(reward, _)| reward.unit() == unit))
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        let mut total = vec![0.0; batch.images.len()];
        for (reward, weight) in &self.terms {
            let values = reward.score(batch)?;
            if values.len() != total.len() {
                let error = Error::Count { found: values.len(), wanted: total.len() };
                return Err(ddpo_core::Error::reward(reward.name(), error));
            }
            total.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
        }
        Ok(total)
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
        let batch = RewardBatch { images: &images, prompts: &["cat".to_owned()] };
        let size = JpegIncompressibility.score(&batch).unwrap()[0];
        let sum =
            Weighted::new(vec![(Box::new(JpegCompressibility), 1.0), (Box::new(JpegIncompressibility), 3.0)]).unwrap();
        assert_eq!(sum.name(), "1*jpeg-compressibility+3*jpeg-incompressibility");
        assert!((sum.score(&batch).unwrap()[0] - 2.0 * size).abs() < 1e-6);
    }

    #[test]
    fn empty_sums_and_wild_weights_are_refused() {
        assert!(matches!(Weighted::new(Vec::new()), Err(Error::NoTerms)));
        let nan = Weighted::new(vec![(Box::new(JpegCompressibility), f32::NAN)]);
        assert!(matches!(nan, Err(Error::Weight { .. })));
    }
}
