//! How a model is opened.

use burn::tensor::{Device, FloatDType};
use ddpo_models::Placements;
use ddpo_nn::Placement;

use crate::config::{Dtype, RunPlan};
use crate::device::{DeviceName, is_cpu};
use crate::error::{Error, Result};

/// Which weights of a model are read, where they go, and what is computed in.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions<'a> {
    /// The weight files that are preferred, such as `fp16` for `*.fp16.safetensors`.
    pub variant: Option<&'a str>,
    /// Where to compute.
    pub device: DeviceName,
    /// What frozen weights are held in and their products computed in: on the CPU those of all networks, on a GPU those of the
    /// denoiser. The text encoder and the autoencoder, each of which has little to do, are in `f32` there: the
    /// autoencoder of Stable Diffusion overflows in `f16`.
    pub dtype: Dtype,
}

impl From<DeviceName> for OpenOptions<'_> {
    /// The plain weights, in `f32`.
    fn from(device: DeviceName) -> Self {
        Self { variant: None, device, dtype: Dtype::F32 }
    }
}

impl<'a> OpenOptions<'a> {
    /// Those of a run.
    pub fn of(plan: &'a RunPlan) -> Self {
        let model = &plan.config.model;
        Self { variant: model.variant.as_deref(), device: plan.device, dtype: model.dtype }
    }

    /// Where the weights go.
    ///
    /// # Errors
    ///
    /// If the device does not compute in the number type.
    pub(super) fn placements(&self, device: &Device) -> Result<Placements> {
        let format = match self.dtype {
            Dtype::F32 => return Ok(device.into()),
            Dtype::F16 => FloatDType::F16,
            Dtype::Bf16 => FloatDType::BF16,
        };
        let refuse = |expected: String| {
            Err(Error::InvalidOption { key: "model.dtype", found: self.dtype.to_string(), expected })
        };
        if is_cpu(device) {
            // Its kernels multiply in f32 and in bf16, and would widen every weight in f16 at every use.
            return match self.dtype {
                Dtype::Bf16 => {
                    let half = Placement::new(device, format);
                    Ok(Placements { unet: half.clone(), others: half })
                }
                _ => refuse("\"f32\" or \"bf16\" on the device `cpu`".into()),
            };
        }
        if !device.supports_dtype(format) {
            return refuse(format!("a number type that the device `{}` computes in", self.device.resolve()));
        }
        Ok(Placements { unet: Placement::new(device, format), others: device.into() })
    }
}
