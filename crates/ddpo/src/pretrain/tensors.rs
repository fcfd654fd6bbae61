//! Values to tensors and back, with the device's errors named.

use burn::tensor::{Device, Tensor, TensorData};

use crate::{Error, Result};

/// The values as a tensor of this shape.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The only element of `value`.
pub(super) fn scalar(value: Tensor<1>) -> Result<f64> {
    let values = host(value.inner())?;
    values.first().map(|&x| f64::from(x)).ok_or(Error::Device { reason: "found no element, wanted one".into() })
}

/// The elements of `value`, row-major.
pub(super) fn host<const D: usize>(value: Tensor<D>) -> Result<Vec<f32>> {
    value.try_into_vec_as::<f32>().map_err(|error| Error::Device { reason: error.to_string() })
}
