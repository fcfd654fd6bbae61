//! What judges images, whatever it is made of.

use super::assessment::Assessment;
use super::contract::{Reward, RewardBatch, SetReward};
use super::sum::{Scale, combine};
use crate::error::check_count;
use crate::{Error, Grouping, Result};

/// What judges images: what trainers, evaluations and measurements hold.
pub enum Judge {
    /// A reward of one image at a time.
    Image(Box<dyn Reward>),
    /// A reward of sets.
    Set {
        /// What scores a set.
        reward: Box<dyn SetReward>,
        /// What a set is.
        over: Grouping,
    },
    /// A sum of others.
    Sum(WeightedSum),
}

impl Judge {
    /// The name of the reward.
    pub fn name(&self) -> &str {
        match self {
            Self::Image(reward) => reward.name(),
            Self::Set { reward, .. } => reward.name(),
            Self::Sum(sum) => sum.name(),
        }
    }

    /// The unit of its values, for people.
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::Image(reward) => reward.unit(),
            Self::Set { reward, .. } => reward.unit(),
            Self::Sum(sum) => sum.unit(),
        }
    }

    /// The rewards that it is made of, none of which is a sum.
    pub fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Image(_) | Self::Set { .. } => vec![self],
            Self::Sum(sum) => sum.terms().iter().flat_map(|term| term.judge.parts()).collect(),
        }
    }

    /// What it says of images where `said` gives what each of its [`parts`](Self::parts) says of them, in their order; `prompts` are
    /// those of the images.
    pub fn combine(&self, said: &mut dyn Iterator<Item = Assessment>, prompts: &[String]) -> Assessment {
        match self {
            Self::Image(_) | Self::Set { .. } => said.next().unwrap_or_default(),
            Self::Sum(sum) => sum.combine(said, prompts),
        }
    }

    /// Which images are scored together, as rows: at most `size` at a time, and whole sets whatever their size.
    pub fn batches(&self, prompts: &[String], size: usize) -> Vec<Vec<usize>> {
        match self {
            Self::Set { over, .. } => over.rows(prompts),
            _ => (0..prompts.len()).collect::<Vec<_>>().chunks(size.max(1)).map(<[_]>::to_vec).collect(),
        }
    }

    /// One number per image, whatever the `size` of batches.
    ///
    /// # Errors
    /// Those of [`assess`](Self::assess).
    pub fn score(&self, all: &RewardBatch<'_>, size: usize) -> Result<Vec<f32>> {
        Ok(self.assess(all, size)?.values)
    }

    /// What it says of each image, whatever the `size` of batches.
    ///
    /// # Errors
    /// Those of the reward; [`Error::ScoreCount`] if it gives another number of values; [`Error::Count`] if there are not as many prompts, or
    /// metadata where there is any.
    pub fn assess(&self, all: &RewardBatch<'_>, size: usize) -> Result<Assessment> {
        check_count("score images", "prompts", all.prompts.len(), all.images.len())?;
        if !all.metadata.is_empty() {
            check_count("score images", "metadata of prompts", all.metadata.len(), all.images.len())?;
        }
        let said: Result<Vec<Assessment>> = self.parts().into_iter().map(|part| part.assess_part(all, size)).collect();
        Ok(self.combine(&mut said?.into_iter(), all.prompts))
    }

    fn assess_part(&self, all: &RewardBatch<'_>, size: usize) -> Result<Assessment> {
        let mut said = Assessment::default();
        for rows in self.batches(all.prompts, size) {
            let batch = self.assess_batch(&all.select(&rows).as_batch())?;
            batch.scatter(&rows, all.images.len(), &mut said);
        }
        Ok(said)
    }

    /// What it says of one of the [`batches`](Self::batches).
    ///
    /// # Errors
    /// Those of the reward; [`Error::ScoreCount`] if there are not as many values as images.
    pub fn assess_batch(&self, batch: &RewardBatch<'_>) -> Result<Assessment> {
        let said = match self {
            Self::Image(reward) => reward.assess(batch)?,
            Self::Set { reward, .. } => reward.assess(batch)?,
            Self::Sum(_) => return self.assess(batch, batch.images.len()),
        };
        let (found, wanted) = (said.values.len(), batch.images.len());
        if found == wanted {
            return Ok(said);
        }
        Err(Error::ScoreCount { reward: self.name().to_owned(), found, wanted })
    }
}

impl From<Box<dyn Reward>> for Judge {
    fn from(reward: Box<dyn Reward>) -> Self {
        Self::Image(reward)
    }
}

/// A reward as a term of a sum.
pub struct WeightedTerm {
    /// What scores.
    pub judge: Judge,
    /// What its value is multiplied by.
    pub weight: f32,
    /// The least and the largest value that count; what lies outside is moved there.
    pub clip: Option<[f32; 2]>,
    /// The sets over which training sees the value as a number of standard deviations from the mean, so that terms of different
    /// scales can be added. What is reported stays as it is.
    pub normalise: Option<Grouping>,
}

/// Σ weight · reward, over the same images, in the given order.
///
/// ```
/// use ddpo_core::{Judge, Reward, RewardBatch, RgbImage, WeightedSum, WeightedTerm};
///
/// struct Width;
///
/// impl Reward for Width {
///     fn name(&self) -> &str {
///         "width"
///     }
///
///     fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
///         Ok(batch.images.iter().map(|image| image.width() as f32).collect())
///     }
/// }
///
/// let term = |weight, clip| WeightedTerm { clip, ..WeightedTerm::new(Judge::Image(Box::new(Width)), weight) };
/// let sum = Judge::Sum(WeightedSum::new(vec![term(1.0, None), term(-2.0, Some([0.0, 1.0]))])?);
/// let images = [RgbImage::new(3, 1, vec![0; 9])?];
/// assert_eq!(sum.score(&RewardBatch::new(&images, &["a cat".to_owned()]), 1)?, [3.0 - 2.0 * 1.0]);
/// # Ok::<(), ddpo_core::Error>(())
/// ```
pub struct WeightedSum {
    name: String,
    terms: Vec<WeightedTerm>,
}

impl WeightedTerm {
    /// A term as it is.
    pub fn new(judge: Judge, weight: f32) -> Self {
        Self { judge, weight, clip: None, normalise: None }
    }

    fn scale(&self) -> Scale {
        Scale { weight: self.weight, clip: self.clip, normalise: self.normalise }
    }
}

impl WeightedSum {
    /// The sum of the terms, named after them: `0.5*jpeg-compressibility+1*aesthetic`.
    ///
    /// # Errors
    /// [`Error::Parameter`] without terms, for a weight that is not finite, and for a range that is empty.
    pub fn new(terms: Vec<WeightedTerm>) -> Result<Self> {
        if terms.is_empty() {
            return Err(Error::parameter("number of rewards in a sum", 0, "at least 1"));
        }
        terms.iter().try_for_each(|term| term.scale().check())?;
        let names: Vec<String> = terms.iter().map(|term| format!("{}*{}", term.weight, term.judge.name())).collect();
        Ok(Self { name: names.join("+"), terms })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The one unit of all terms, where they share one.
    pub fn unit(&self) -> Option<&str> {
        let (first, rest) = self.terms.split_first()?;
        let unit = first.judge.unit();
        unit.filter(|_| rest.iter().all(|term| term.judge.unit() == unit))
    }

    /// The terms.
    pub fn terms(&self) -> &[WeightedTerm] {
        &self.terms
    }

    fn combine(&self, said: &mut dyn Iterator<Item = Assessment>, prompts: &[String]) -> Assessment {
        let of = |term: &WeightedTerm, said: &mut dyn Iterator<Item = Assessment>| term.judge.combine(said, prompts);
        let terms = self.terms.iter().map(|term| (term.judge.name(), term.scale(), of(term, said))).collect();
        combine(terms, prompts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RgbImage;

    /// The width of the image, as many times; none for one that is 9 wide.
    struct Width(f32);

    impl Reward for Width {
        fn name(&self) -> &str {
            "width"
        }

        fn unit(&self) -> Option<&str> {
            Some("px")
        }

        fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
            let value = |width| if width == 9 { f32::NAN } else { self.0 * width as f32 };
            Ok(batch.images.iter().map(|image| value(image.width())).collect())
        }
    }

    /// The number of images in the set.
    struct Count;

    impl SetReward for Count {
        fn name(&self) -> &str {
            "count"
        }

        fn score(&self, set: &RewardBatch<'_>) -> Result<Vec<f32>> {
            Ok(vec![set.images.len() as f32; set.images.len()])
        }
    }

    fn assess(terms: Vec<WeightedTerm>, widths: &[u32], prompts: &[&str], size: usize) -> Assessment {
        let image = |&width: &u32| RgbImage::new(width, 1, vec![0; 3 * width as usize]).unwrap();
        let images: Vec<RgbImage> = widths.iter().map(image).collect();
        let prompts: Vec<String> = prompts.iter().map(ToString::to_string).collect();
        let sum = Judge::Sum(WeightedSum::new(terms).unwrap());
        sum.assess(&RewardBatch::new(&images, &prompts), size).unwrap()
    }

    fn width(scale: f32, weight: f32) -> WeightedTerm {
        WeightedTerm::new(Judge::Image(Box::new(Width(scale))), weight)
    }

    #[test]
    fn terms_are_added_with_their_weights_and_kept_by_name() {
        let sum = WeightedSum::new(vec![width(1.0, 0.5), width(-1.0, 3.0)]).unwrap();
        assert_eq!((sum.name(), sum.unit()), ("0.5*width+3*width", Some("px")));
        let said = assess(vec![width(1.0, 0.5), width(-1.0, 3.0)], &[2, 4], &["cat", "dog"], 1);
        assert_eq!((said.values, said.optimised), (vec![-5.0, -10.0], None));
        assert_eq!(said.parts, [("width".into(), vec![2.0, 4.0]), ("width (2)".into(), vec![-2.0, -4.0])].into());
    }

    #[test]
    fn every_term_sees_its_own_sets_whatever_the_batch() {
        let count = |over, weight| WeightedTerm::new(Judge::Set { reward: Box::new(Count), over }, weight);
        for size in [1, 2, 9] {
            let terms = vec![count(Grouping::Prompt, 1.0), count(Grouping::Epoch, 10.0)];
            let said = assess(terms, &[1; 5], &["fox", "cat", "fox", "fox", "cat"], size);
            assert_eq!(said.values, [53.0, 52.0, 53.0, 53.0, 52.0]);
        }
    }

    #[test]
    fn a_clipped_term_stays_within_its_range() {
        let clipped = WeightedTerm { clip: Some([2.0, 3.0]), ..width(1.0, 10.0) };
        assert_eq!(assess(vec![clipped], &[1, 2, 3, 4], &["a"; 4], 4).values, [20.0, 20.0, 30.0, 30.0]);
    }

    #[test]
    fn what_is_normalised_counts_in_training_and_is_reported_as_it_is() {
        let normalised = |over| WeightedTerm { normalise: Some(over), ..width(1000.0, 2.0) };
        let said = assess(vec![normalised(Grouping::Prompt)], &[1, 3, 5, 5, 9], &["a", "a", "b", "b", "a"], 2);
        assert_eq!(said.optimised()[..4], [-2.0, 2.0, 0.0, 0.0]);
        assert_eq!(said.values[..4], [2000.0, 6000.0, 10000.0, 10000.0]);
        assert!(said.optimised()[4].is_nan() && said.values[4].is_nan());
        let said = assess(vec![normalised(Grouping::Epoch), width(1.0, 1.0)], &[1, 3], &["a", "b"], 2);
        assert_eq!(said.optimised(), [-1.0, 5.0]);
    }

    #[test]
    fn empty_sums_wild_weights_and_empty_ranges_are_refused() {
        let refused = |terms| WeightedSum::new(terms).map(|_| ()).unwrap_err().to_string();
        assert_eq!(refused(Vec::new()), "number of rewards in a sum: 0 found, at least 1 wanted");
        assert!(refused(vec![width(1.0, f32::NAN)]).contains("weight"));
        for clip in [[1.0, 1.0], [2.0, 1.0], [f32::NAN, 1.0]] {
            assert!(refused(vec![WeightedTerm { clip: Some(clip), ..width(1.0, 1.0) }]).contains("range"));
        }
    }
}
