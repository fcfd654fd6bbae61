//! The kinds of the two rewards of the JPEG size.

use ddpo_core::Judge;
use toml::Table;

use super::{JpegCompressibility, JpegIncompressibility};
use crate::{Result, RewardContext, RewardFactory};

/// Makes [`JpegCompressibility`].
pub struct JpegCompressibilityFactory;

impl RewardFactory for JpegCompressibilityFactory {
    fn kind(&self) -> &str {
        "jpeg-compressibility"
    }

    fn about(&self) -> &str {
        "a small JPEG file: minus its size in kB"
    }

    fn open(&self, _: &Table, _: &RewardContext) -> Result<Judge> {
        Ok(Judge::Image(Box::new(JpegCompressibility)))
    }
}

/// Makes [`JpegIncompressibility`].
pub struct JpegIncompressibilityFactory;

impl RewardFactory for JpegIncompressibilityFactory {
    fn kind(&self) -> &str {
        "jpeg-incompressibility"
    }

    fn about(&self) -> &str {
        "a large JPEG file: its size in kB"
    }

    fn open(&self, _: &Table, _: &RewardContext) -> Result<Judge> {
        Ok(Judge::Image(Box::new(JpegIncompressibility)))
    }
}
