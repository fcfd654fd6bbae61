//! How a model is opened.

use burn::tensor::{Device, FloatDType};
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
    /// What the denoiser's weights are held in and its products computed in. The text encoder and the autoencoder, each of
    /// which has little to do, are in `f32`: the autoencoder of Stable Diffusion overflows in `f16`.
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

    /// Where the denoiser's weights go.
    ///
    /// # Errors
    ///
    /// If the device does not compute in the number type.
    pub(super) fn placement(&self, device: &Device) -> Result<Placement> {
        let format = match self.dtype {
            Dtype::F32 => return Ok(device.into()),
            Dtype::F16 => FloatDType::F16,
            Dtype::Bf16 => FloatDType::BF16,
        };
        let refuse = |expected: String| {
            Err(Error::InvalidOption { key: "model.dtype", found: self.dtype.to_string(), expected })
        };
        if is_cpu(device) {
            // Its kernels compute in f32 and would widen every weight at every use.
            return refuse("f32 on the device `cpu`, as half precision is for a GPU that computes in it".into());
        }
        if !device.supports_dtype(format) {
            return refuse(format!("a number type that the device `{}` computes in", self.device.resolve()));
        }
        Ok(Placement::new(device, format))
    }
}
