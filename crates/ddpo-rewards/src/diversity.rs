//! How different images are from each other: the reward of a set.

use ddpo_core::{Grouping, Judge, RewardBatch, RgbImage, SetReward};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::options::reward_options;
use crate::{OptionSpec, Result, RewardContext, RewardFactory, read_options};

/// The name of the kind, and of the reward.
const KIND: &str = "diversity";

reward_options! {
    /// Which images are compared with each other.
    DiversityOptions {
        /// Which images are compared with each other: those of one "prompt", or all of an "epoch".
        over: Over = Over::Prompt;
    }
}

/// Which images are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// The images of one prompt.
    Prompt,
    /// All images of an epoch.
    Epoch,
}

/// Makes [`Diversity`].
pub struct DiversityFactory;

impl RewardFactory for DiversityFactory {
    fn kind(&self) -> &str {
        KIND
    }

    fn about(&self) -> &str {
        "images that differ from each other: the mean root-mean-square difference to the others"
    }

    fn options(&self) -> &[OptionSpec] {
        DiversityOptions::SPECS
    }

    fn check(&self, options: &Table) -> Result<String> {
        read_options::<DiversityOptions>(KIND, options).map(|_| KIND.to_owned())
    }

    fn open(&self, options: &Table, _: &RewardContext) -> Result<Judge> {
        let over = match read_options::<DiversityOptions>(KIND, options)?.over {
            Over::Prompt => Grouping::Prompt,
            Over::Epoch => Grouping::Epoch,
        };
        Ok(Judge::Set { reward: Box::new(Diversity), over })
    }
}

/// The mean distance of an image to the others of its set: the root-mean-square difference of the pixels, in units of the
/// full range. 0 where all images are the same, and for an image with nothing to compare it with, which adds no variety.
///
/// Images of different sizes are not compared. The mean over a set of one size is [`mean_pairwise_distance`].
///
/// ```
/// use ddpo_core::{Grouping, Judge, RewardBatch, RgbImage};
/// use ddpo_rewards::Diversity;
///
/// let images = [0, 0, 255].map(|byte| RgbImage::new(1, 1, vec![byte; 3]));
/// let images = images.into_iter().collect::<Result<Vec<_>, _>>()?;
/// let prompts = vec!["cat".to_owned(); 3];
/// let judge = Judge::Set { reward: Box::new(Diversity), over: Grouping::Prompt };
/// assert_eq!(judge.score(&RewardBatch::new(&images, &prompts), 1)?, [0.5, 0.5, 1.0]);
/// # Ok::<(), ddpo_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Diversity;

impl SetReward for Diversity {
    fn name(&self) -> &str {
        KIND
    }

    fn score(&self, set: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        Ok((0..set.images.len()).into_par_iter().map(|row| distance_to_others(row, set.images) as f32).collect())
    }
}

fn distance_to_others(row: usize, images: &[RgbImage]) -> f64 {
    let image = &images[row];
    let others = images.iter().enumerate().filter(|(i, other)| *i != row && same_size(image, other));
    let (sum, count) = others.fold((0.0, 0.0), |(sum, count), (_, other)| (sum + distance(image, other), count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// The mean over all pairs of images of their root-mean-square difference, in units of the full range: 0 for images which are
/// all the same. Images of different sizes are not compared; NaN where there is no pair.
pub fn mean_pairwise_distance(images: &[RgbImage]) -> f64 {
    let mut distances = Vec::new();
    for (i, a) in images.iter().enumerate() {
        distances.extend(images[i + 1..].iter().filter(|b| same_size(a, b)).map(|b| distance(a, b)));
    }
    distances.iter().sum::<f64>() / distances.len() as f64
}

fn same_size(a: &RgbImage, b: &RgbImage) -> bool {
    (a.width(), a.height()) == (b.width(), b.height())
}

fn distance(a: &RgbImage, b: &RgbImage) -> f64 {
    let square = |(&x, &y): (&u8, &u8)| u64::from(x.abs_diff(y)).pow(2);
    let sum: u64 = a.pixels().iter().zip(b.pixels()).map(square).sum();
    (sum as f64 / a.pixels().len().max(1) as f64).sqrt() / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(byte: u8) -> RgbImage {
        RgbImage::new(2, 1, vec![byte; 6]).unwrap()
    }

    fn scores(images: &[RgbImage]) -> Vec<f32> {
        let prompts = vec![String::new(); images.len()];
        Diversity.score(&RewardBatch::new(images, &prompts)).unwrap()
    }

    #[test]
    fn distances_are_those_of_the_pixels() {
        assert_eq!(mean_pairwise_distance(&[gray(0), gray(255)]), 1.0);
        assert_eq!(mean_pairwise_distance(&[gray(7), gray(7), gray(7)]), 0.0);
        assert!((mean_pairwise_distance(&[gray(0), gray(51), gray(102)]) - 0.8 / 3.0).abs() < 1e-12);
        assert!(mean_pairwise_distance(&[gray(7)]).is_nan());
    }

    #[test]
    fn the_mean_over_a_set_is_the_mean_over_its_pairs() {
        let images = [3, 90, 91, 200, 255].map(gray);
        let mean = scores(&images).iter().map(|&score| f64::from(score)).sum::<f64>() / 5.0;
        assert!((mean - mean_pairwise_distance(&images)).abs() < 1e-7);
    }

    #[test]
    fn an_image_alone_and_one_of_another_size_add_no_variety() {
        assert_eq!(scores(&[gray(9)]), [0.0]);
        assert_eq!(scores(&[gray(0), gray(255), RgbImage::new(1, 1, vec![0; 3]).unwrap()]), [1.0, 1.0, 0.0]);
    }
}
