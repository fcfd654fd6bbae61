//! A reward averaged over noised copies of a picture.

use std::collections::BTreeMap;

use ddpo_core::{Address, Assessment, Domain, Epoch, Noise, Result, Reward, RewardBatch, RgbImage, SampleId, Stream};

use super::fingerprint::Fingerprint;

/// `mean_j r(x + σ n_j)` over Gaussian noises n_j, clamped and rounded to a picture again: randomised smoothing (Cohen et al.,
/// arXiv 1902.02918) of a reward, whose details then cannot be exploited. The noise is a function of the picture, so that the score is
/// one, too.
pub struct Smoothed {
    inner: Box<dyn Reward>,
    name: String,
    sigma: f32,
    samples: usize,
}

impl Smoothed {
    /// The smoothed reward; `sigma` is in units of a pixel's full range.
    pub fn new(inner: Box<dyn Reward>, sigma: f32, samples: usize) -> Self {
        Self { name: format!("smooth:{sigma}:{}", inner.name()), inner, sigma, samples }
    }

    /// The picture with the noise of a copy.
    fn copy(&self, image: &RgbImage, copy: usize) -> Result<RgbImage> {
        let seed = Fingerprint::of_image(image).value() as u64;
        let address = Address { stream: Stream::Other(0), epoch: Epoch(0), sample: SampleId(copy as u64), step: 0 };
        let noise = Noise::new(seed, Domain::Classification).at(address).normals(image.pixels().len());
        let noised = |(&byte, noise): (&u8, f32)| f32::from(byte) / 255.0 + self.sigma * noise;
        let values: Vec<f32> = image.pixels().iter().zip(noise).map(noised).collect();
        RgbImage::from_unit(image.width(), image.height(), &values)
    }

    /// What is said of pictures whose copies, `samples` of each, were said this of.
    fn averaged(&self, said: &Assessment) -> Assessment {
        let mean = |values: &Vec<f32>| values.chunks(self.samples).map(finite_mean).collect::<Vec<f32>>();
        let parts: BTreeMap<String, Vec<f32>> =
            said.parts.iter().map(|(name, values)| (name.clone(), mean(values))).collect();
        let values = mean(&said.values);
        let is_left_out = |row: &usize| {
            let mut copies = row * self.samples..(row + 1) * self.samples;
            values[*row].is_nan() && copies.all(|copy| said.left_out.contains(&copy))
        };
        Assessment {
            left_out: (0..values.len()).filter(is_left_out).collect(),
            parts,
            remarks: said.remarks.iter().map(|(copy, text)| (copy / self.samples, text.clone())).collect(),
            warnings: said.warnings.clone(),
            values,
            optimised: None,
            terms: Vec::new(),
        }
    }
}

/// The mean of the copies that have a score; NaN where none has.
fn finite_mean(values: &[f32]) -> f32 {
    let finite = values.iter().filter(|value| value.is_finite());
    let (sum, count) = finite.fold((0.0, 0.0), |(sum, count), &value| (sum + f64::from(value), count + 1.0));
    (sum / count) as f32
}

impl Reward for Smoothed {
    fn name(&self) -> &str {
        &self.name
    }

    fn unit(&self) -> Option<&str> {
        self.inner.unit()
    }

    fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        Ok(self.assess(batch)?.values)
    }

    fn assess(&self, batch: &RewardBatch<'_>) -> Result<Assessment> {
        let rows: Vec<(usize, usize)> =
            (0..batch.images.len()).flat_map(|row| (0..self.samples).map(move |copy| (row, copy))).collect();
        let images: Vec<RgbImage> =
            rows.iter().map(|&(row, copy)| self.copy(&batch.images[row], copy)).collect::<Result<_>>()?;
        let prompts: Vec<String> = rows.iter().map(|&(row, _)| batch.prompts[row].clone()).collect();
        let metadata: Vec<_> = rows.iter().filter_map(|&(row, _)| batch.metadata.get(row).cloned()).collect();
        let said = self.inner.assess(&RewardBatch::new(&images, &prompts).with_metadata(&metadata))?;
        Ok(self.averaged(&said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JpegIncompressibility, Result as OwnResult};

    fn grey(byte: u8) -> RgbImage {
        RgbImage::new(32, 32, vec![byte; 32 * 32 * 3]).unwrap()
    }

    fn scores(sigma: f32, samples: usize, images: &[RgbImage]) -> OwnResult<Vec<f32>> {
        let prompts = vec!["a".to_owned(); images.len()];
        let smoothed = Smoothed::new(Box::new(JpegIncompressibility), sigma, samples);
        Ok(smoothed.score(&RewardBatch::new(images, &prompts))?)
    }

    #[test]
    fn without_noise_it_is_the_reward_itself() {
        let images = [grey(3), grey(200)];
        let prompts = vec!["a".to_owned(); 2];
        let plain = JpegIncompressibility.score(&RewardBatch::new(&images, &prompts)).unwrap();
        assert_eq!(scores(0.0, 3, &images).unwrap(), plain);
    }

    #[test]
    fn a_score_does_not_depend_on_the_others_of_its_batch() {
        let both = scores(0.1, 4, &[grey(3), grey(200)]).unwrap();
        assert_eq!(scores(0.1, 4, &[grey(200)]).unwrap(), both[1..]);
        assert_ne!(scores(0.1, 2, &[grey(200)]).unwrap(), both[1..]);
        // Noise takes bytes.
        assert!(both[1] > scores(0.0, 1, &[grey(200)]).unwrap()[0] + 0.5, "{both:?}");
    }

    /// The mean pixel, from 0 to 1.
    struct Mean;

    impl Reward for Mean {
        fn name(&self) -> &str {
            "mean"
        }

        fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
            let mean =
                |bytes: &[u8]| bytes.iter().map(|&byte| f64::from(byte)).sum::<f64>() / bytes.len() as f64 / 255.0;
            Ok(batch.images.iter().map(|image| mean(image.pixels()) as f32).collect())
        }
    }

    #[test]
    fn the_noise_has_the_mean_and_the_deviation_it_should() {
        let (smoothed, image) = (Smoothed::new(Box::new(Mean), 0.1, 1), grey(128));
        let copy = smoothed.copy(&image, 0).unwrap();
        let values: Vec<f64> = copy.pixels().iter().map(|&byte| f64::from(byte) / 255.0 - 128.0 / 255.0).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let deviation = (values.iter().map(|value| value * value).sum::<f64>() / n).sqrt();
        // Within four standard errors of 3072 draws.
        assert!(mean.abs() < 4.0 * 0.1 / n.sqrt(), "{mean}");
        assert!((deviation - 0.1).abs() < 4.0 * 0.1 / (2.0 * n).sqrt() + 1e-3, "{deviation}");
        assert_ne!(copy, smoothed.copy(&image, 1).unwrap());
    }
}
