//! The preprocessing of image encoders: fit a picture into a square, scale, normalise.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::resample::{resize_bicubic, resize_bicubic_floats};
use crate::{
    error::{Error, Result},
    fields::Fields,
};

const COMPONENT: &str = "preprocessor";

/// The largest side to which a picture is resized: no encoder comes near it.
const LARGEST: usize = 1 << 13;

/// Which way a cut goes that cannot be in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CropRounding {
    /// Half the difference, rounded down: transformers' `center_crop`.
    Down,
    /// Half the difference, rounded to the nearest even number: torchvision's `CenterCrop`.
    HalfEven,
}

/// How a picture becomes a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The shorter side is resized in bytes, as Pillow does, and the centre cut out.
    Crop {
        /// The length to which the shorter side is resized.
        shortest_edge: usize,
        /// Width and height of the cut, at most `shortest_edge`.
        crop: usize,
        /// Where the cut goes.
        rounding: CropRounding,
    },
    /// The longer side is resized in floats to this size, as PyTorch does with antialiasing, and the rest of the square is black.
    Pad(usize),
}

/// How pictures become pixels for an image encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageProcessor {
    /// How a picture becomes a square.
    pub fit: Fit,
    /// What a byte is multiplied with.
    pub rescale: f64,
    /// The mean of each channel, of values that have been multiplied.
    pub mean: [f64; 3],
    /// The standard deviation of each channel.
    pub std: [f64; 3],
}

/// A size in a `preprocessor_config.json`, of which old files have the number alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Size {
    Number(usize),
    Named(Map<String, Value>),
}

impl ImageProcessor {
    /// Of CLIP's pictures (`OPENAI_CLIP_MEAN`).
    pub const CLIP_MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
    /// Of CLIP's pictures (`OPENAI_CLIP_STD`).
    pub const CLIP_STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

    /// CLIP's preprocessing for pictures of this size.
    pub fn clip(size: usize) -> Self {
        Self::fitting(Fit::Crop { shortest_edge: size, crop: size, rounding: CropRounding::Down })
    }

    /// CLIP's numbers for pictures that are made square in another way.
    pub fn fitting(fit: Fit) -> Self {
        Self { fit, rescale: 1.0 / 255.0, mean: Self::CLIP_MEAN, std: Self::CLIP_STD }
    }

    /// Reads a `preprocessor_config.json` of transformers' `CLIPImageProcessor`, or of its predecessor `CLIPFeatureExtractor`.
    ///
    /// # Errors
    ///
    /// A field that cannot be parsed or whose value is not implemented, by name.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let mut fields = Fields::parse(COMPONENT, "preprocessor_config.json", json)?;
        for step in ["do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb"] {
            fields.fixed(step, &[true.into()])?;
        }
        // Pillow's number for bicubic.
        fields.fixed("resample", &[3.into()])?;
        fields.fixed("do_pad", &[false.into()])?;
        fields.ignore(&WITHOUT_EFFECT);
        let shortest_edge = read_size(&mut fields, "size", &["shortest_edge"])?;
        let crop = read_size(&mut fields, "crop_size", &["height", "width"])?;
        let processor = Self {
            fit: Fit::Crop { shortest_edge, crop, rounding: CropRounding::Down },
            rescale: fields.take("rescale_factor", 1.0 / 255.0)?,
            mean: fields.take("image_mean", Self::CLIP_MEAN)?,
            std: fields.take("image_std", Self::CLIP_STD)?,
        };
        fields.finish()?;
        processor.validate()?;
        Ok(processor)
    }

    /// Refuses sizes and numbers that make no pixels.
    ///
    /// # Errors
    ///
    /// The first that makes none.
    pub fn validate(&self) -> Result<()> {
        let (Fit::Crop { shortest_edge: edge, crop, .. } | Fit::Pad(edge @ crop)) = self.fit;
        if edge == 0 || edge > LARGEST {
            return Err(Error::config(COMPONENT, "size", edge, format!("1 to {LARGEST}")));
        }
        if crop == 0 || crop > edge {
            return Err(Error::config(COMPONENT, "crop_size", crop, format!("1 to {edge}")));
        }
        match self.std.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
            Some(std) => Err(Error::config(COMPONENT, "image_std", std, "positive numbers")),
            None => Ok(()),
        }
    }

    /// Width and height of the result.
    pub fn size(&self) -> usize {
        match self.fit {
            Fit::Crop { crop: size, .. } | Fit::Pad(size) => size,
        }
    }

    /// The pixels of a picture of `height * width` RGB bytes, `[size, size, 3]`.
    ///
    /// # Errors
    ///
    /// If the bytes are not as many, or the picture has no pixel or is a thousand times as long as it is wide.
    pub fn pixels(&self, bytes: &[u8], width: usize, height: usize) -> Result<Vec<f32>> {
        /// The longer side over the shorter.
        const LONGEST: usize = 1000;
        let refuse = |what: &str, found: String, wanted: String| {
            Err(Error::Input { action: "prepare a picture", what: what.to_owned(), found, wanted })
        };
        let short = width.min(height);
        if short == 0 || width.max(height) / short >= LONGEST {
            let wanted = format!("sides of at least 1, of which none is {LONGEST} times the other");
            return refuse("size", format!("{width}x{height}"), wanted);
        }
        if bytes.len() != width * height * 3 {
            return refuse("number of bytes", bytes.len().to_string(), (width * height * 3).to_string());
        }
        Ok(match self.fit {
            Fit::Crop { shortest_edge, crop, rounding } => {
                let to = shortest(shortest_edge, [width, height]);
                let resized = resize_bicubic(bytes, [width, height], to);
                self.cut(&resized, to, crop, rounding)
            }
            Fit::Pad(size) => self.padded(bytes, [width, height], size),
        })
    }

    /// The centre of a picture, normalised.
    fn cut(&self, bytes: &[u8], [width, height]: [usize; 2], crop: usize, rounding: CropRounding) -> Vec<f32> {
        let offset = |side: usize| match rounding {
            CropRounding::Down => (side - crop) / 2,
            CropRounding::HalfEven => ((side - crop) as f64 / 2.0).round_ties_even() as usize,
        };
        let (left, top) = (offset(width), offset(height));
        let table = self.table();
        let mut pixels = Vec::with_capacity(crop * crop * 3);
        for row in bytes.chunks_exact(width * 3).skip(top).take(crop) {
            for pixel in row[left * 3..(left + crop) * 3].as_chunks::<3>().0 {
                pixels.extend([0, 1, 2].map(|channel| table[channel][usize::from(pixel[channel])]));
            }
        }
        pixels
    }

    /// A whole picture in the middle of a square, normalised.
    fn padded(&self, bytes: &[u8], from: [usize; 2], size: usize) -> Vec<f32> {
        let longest = from[0].max(from[1]);
        let scale = size as f64 / longest as f64;
        let to = from.map(|side| (side as f64 * scale).round_ties_even().max(1.0) as usize);
        let floats: Vec<f32> = bytes.iter().map(|byte| (f64::from(*byte) * self.rescale) as f32).collect();
        let resized = if longest == size { floats } else { resize_bicubic_floats(&floats, from, to) };
        let [left, top] = to.map(|side| (size - side) / 2);
        let mut pixels: Vec<f32> = (0..size * size * 3).map(|at| self.normal(at % 3, 0.0)).collect();
        for (row, line) in resized.chunks_exact(to[0] * 3).enumerate() {
            let start = ((top + row) * size + left) * 3;
            for (at, value) in line.iter().enumerate() {
                pixels[start + at] = self.normal(at % 3, *value);
            }
        }
        pixels
    }

    fn normal(&self, channel: usize, value: f32) -> f32 {
        (value - self.mean[channel] as f32) / self.std[channel] as f32
    }

    /// The value of each byte by channel: a product in 64 bits, as numpy's, then 32.
    fn table(&self) -> [[f32; 256]; 3] {
        let value = |channel: usize, byte: usize| self.normal(channel, (byte as f64 * self.rescale) as f32);
        [0, 1, 2].map(|channel| std::array::from_fn(|byte| value(channel, byte)))
    }
}

/// Width and height of a picture whose shorter side is `short`; the longer is cut to a whole number.
fn shortest(short: usize, [width, height]: [usize; 2]) -> [usize; 2] {
    let long = |long: usize, over: usize| ((short * long) as f64 / over as f64) as usize;
    if width <= height { [short, long(height, width)] } else { [long(width, height), short] }
}

/// Fields that name the class, or say how a batch is put together.
const WITHOUT_EFFECT: [&str; 9] = [
    "image_processor_type",
    "feature_extractor_type",
    "processor_class",
    "data_format",
    "default_to_square",
    "device",
    "input_data_format",
    "return_tensors",
    "size_divisor",
];

/// A size that is a number, or an object of these fields with one and the same.
fn read_size(fields: &mut Fields, field: &str, names: &[&str]) -> Result<usize> {
    const DEFAULT: usize = 224;
    let named = match fields.optional(field)? {
        None => return Ok(DEFAULT),
        Some(Size::Number(number)) => return Ok(number),
        Some(Size::Named(named)) => named,
    };
    let numbers: Vec<Option<u64>> = names.iter().map(|name| named.get(*name).and_then(Value::as_u64)).collect();
    let same = numbers.first().copied().flatten().filter(|first| numbers.iter().all(|other| *other == Some(*first)));
    match same.filter(|_| named.len() == names.len()) {
        Some(number) => Ok(number as usize),
        None => {
            let wanted = format!("a number, or an object of equal {}", names.join(" and "));
            Err(fields.refuse(field, &json!(named), wanted))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<ImageProcessor> {
        ImageProcessor::from_json(json.as_bytes())
    }

    #[test]
    fn sizes_of_old_and_new_files_are_read() {
        let old = r#"{"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
            "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 224}"#;
        assert_eq!(read(old).unwrap(), ImageProcessor::clip(224));
        let new = r#"{"crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 40}, "do_rescale": true,
            "rescale_factor": 0.00392156862745098, "image_processor_type": "CLIPImageProcessor"}"#;
        let processor = read(new).unwrap();
        let rounding = CropRounding::Down;
        assert_eq!(processor.fit, Fit::Crop { shortest_edge: 40, crop: 32, rounding });
    }

    #[test]
    fn what_is_not_implemented_is_refused_by_name() {
        let refused = |json: &str| read(json).unwrap_err().to_string();
        assert_eq!(refused(r#"{"resample": 2}"#), "`preprocessor` config field `resample` is 2, wanted 3 or null");
        assert!(refused(r#"{"do_center_crop": false}"#).contains("`do_center_crop` is false"));
        assert!(refused(r#"{"size": {"height": 8, "width": 8}}"#).contains("equal shortest_edge"));
        assert!(refused(r#"{"size": 8}"#).contains("`crop_size` is 224, wanted 1 to 8"));
        assert!(refused(r#"{"image_std": [1, 0, 1]}"#).contains("`image_std` is 0"));
    }

    #[test]
    fn an_impossible_picture_is_refused() {
        let processor = ImageProcessor::clip(8);
        let error = processor.pixels(&[0; 5], 2, 1).unwrap_err().to_string();
        assert_eq!(error, "cannot prepare a picture: number of bytes is 5, wanted 6");
        assert!(processor.pixels(&[], 0, 1).is_err());
        assert!(processor.pixels(&vec![0; 3 * 100_000], 100_000, 1).is_err());
    }
}
