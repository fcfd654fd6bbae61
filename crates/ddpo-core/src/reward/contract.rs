//! The contracts of rewards: of one image at a time, and of a set of images.

use std::borrow::Cow;
use std::sync::Arc;

use super::assessment::Assessment;
use crate::{Result, RgbImage};

/// What a list of prompts says of a prompt besides its text: the other fields of its JSON object.
pub type PromptMetadata = serde_json::Map<String, serde_json::Value>;

/// What a reward sees: images, the prompts they were made for and what is known of these, nothing else.
#[derive(Clone, Copy, Debug)]
pub struct RewardBatch<'a> {
    /// The images.
    pub images: &'a [RgbImage],
    /// The prompt of each image, as many as images.
    pub prompts: &'a [String],
    /// What the list of prompts says of each image's prompt, as many as images, or empty where it says nothing.
    pub metadata: &'a [Arc<PromptMetadata>],
}

/// Some images of a batch with their prompts; copies only where they are not next to each other.
#[derive(Clone, Debug)]
pub struct SelectedImages<'a> {
    images: Cow<'a, [RgbImage]>,
    prompts: Cow<'a, [String]>,
    metadata: Cow<'a, [Arc<PromptMetadata>]>,
}

impl<'a> RewardBatch<'a> {
    /// Images and their prompts, of which no more is known.
    pub fn new(images: &'a [RgbImage], prompts: &'a [String]) -> Self {
        Self { images, prompts, metadata: &[] }
    }

    /// The same with what is known of each prompt, as many as images, or empty.
    #[must_use]
    pub fn with_metadata(self, metadata: &'a [Arc<PromptMetadata>]) -> Self {
        Self { metadata, ..self }
    }

    /// The images at `rows`, which must be rows of this batch.
    pub fn select(&self, rows: &[usize]) -> SelectedImages<'a> {
        let consecutive = rows.windows(2).all(|pair| pair[1] == pair[0] + 1);
        match (rows.first(), rows.last()) {
            (Some(&first), Some(&last)) if consecutive => SelectedImages {
                images: Cow::Borrowed(&self.images[first..=last]),
                prompts: Cow::Borrowed(&self.prompts[first..=last]),
                metadata: Cow::Borrowed(self.metadata.get(first..=last).unwrap_or_default()),
            },
            _ => SelectedImages {
                images: rows.iter().map(|&row| self.images[row].clone()).collect(),
                prompts: rows.iter().map(|&row| self.prompts[row].clone()).collect(),
                metadata: rows.iter().filter_map(|&row| self.metadata.get(row).cloned()).collect(),
            },
        }
    }
}

impl SelectedImages<'_> {
    /// The images as a reward takes them.
    pub fn as_batch(&self) -> RewardBatch<'_> {
        RewardBatch::new(&self.images, &self.prompts).with_metadata(&self.metadata)
    }
}

/// What the policy is to maximise, an image at a time: a value must not depend on the other images of the batch, which is
/// there for speed alone. What compares images with each other is a [`SetReward`].
///
/// ```
/// use ddpo_core::{Reward, RewardBatch, RgbImage};
///
/// /// How wide a picture is.
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
/// let images = [RgbImage::new(2, 1, vec![0; 6])?];
/// assert_eq!(Width.score(&RewardBatch::new(&images, &["a cat".to_owned()]))?, [2.0]);
/// # Ok::<(), ddpo_core::Error>(())
/// ```
pub trait Reward: Send + Sync {
    /// The name, as it appears in metrics.
    fn name(&self) -> &str;

    /// The unit of its values, for people: `kB`, `nats`. None for a pure number.
    fn unit(&self) -> Option<&str> {
        None
    }

    /// One finite number per image; higher is better.
    ///
    /// # Errors
    /// Whatever the reward reports, as [`Error::Reward`](crate::Error::Reward).
    fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>>;

    /// The same with all that people may want to read of it.
    ///
    /// # Errors
    /// Those of [`score`](Self::score).
    fn assess(&self, batch: &RewardBatch<'_>) -> Result<Assessment> {
        self.score(batch).map(Assessment::of)
    }
}

/// A reward of images as members of a set, such as their distance from each other. It always sees whole sets, which a
/// [`Judge`](crate::Judge) forms, so that no value depends on the size of a batch.
///
/// ```
/// use ddpo_core::{Grouping, Judge, RewardBatch, RgbImage, SetReward};
///
/// /// How many images a set has.
/// struct Members;
///
/// impl SetReward for Members {
///     fn name(&self) -> &str {
///         "members"
///     }
///
///     fn score(&self, set: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
///         Ok(vec![set.images.len() as f32; set.images.len()])
///     }
/// }
///
/// let judge = Judge::Set { reward: Box::new(Members), over: Grouping::Prompt };
/// let (images, prompts) = (vec![RgbImage::new(1, 1, vec![0; 3])?; 3], ["cat", "dog", "cat"].map(String::from));
/// // However small the batches, sets are whole.
/// assert_eq!(judge.score(&RewardBatch::new(&images, &prompts), 1)?, [2.0, 1.0, 2.0]);
/// # Ok::<(), ddpo_core::Error>(())
/// ```
pub trait SetReward: Send + Sync {
    /// The name, as it appears in metrics.
    fn name(&self) -> &str;

    /// The unit of its values, for people. None for a pure number.
    fn unit(&self) -> Option<&str> {
        None
    }

    /// One finite number per image of the set; higher is better.
    ///
    /// # Errors
    /// Whatever the reward reports, as [`Error::Reward`](crate::Error::Reward).
    fn score(&self, set: &RewardBatch<'_>) -> Result<Vec<f32>>;

    /// The same with all that people may want to read of it.
    ///
    /// # Errors
    /// Those of [`score`](Self::score).
    fn assess(&self, set: &RewardBatch<'_>) -> Result<Assessment> {
        self.score(set).map(Assessment::of)
    }
}

/// What points to a reward is one.
macro_rules! pointers {
    ($($contract:ident for $pointer:ident),*) => {
        $(impl<R: $contract + ?Sized> $contract for $pointer<R> {
            fn name(&self) -> &str {
                (**self).name()
            }

            fn unit(&self) -> Option<&str> {
                (**self).unit()
            }

            fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
                (**self).score(batch)
            }

            fn assess(&self, batch: &RewardBatch<'_>) -> Result<Assessment> {
                (**self).assess(batch)
            }
        })*
    };
}

pointers!(Reward for Box, Reward for Arc, SetReward for Box);
