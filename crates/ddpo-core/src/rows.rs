//! Tensors whose first dimension is the batch: rows picked, rows scaled, rows read back.

use burn::Tensor;
use burn::tensor::{Device, Int, TensorData};

use crate::{Error, Result};

/// One number per row as `[B, 1, ..]`, so that it broadcasts over everything but the batch.
///
/// Always this form, even when all rows agree: a scalar multiplication in the rollout and a broadcast one in the update would
/// be two code paths, and the ratio of the first update has to be 1 to the bit.
pub(crate) fn per_row<const D: usize>(values: impl Iterator<Item = f64>, device: &Device) -> Tensor<D> {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    let mut shape = [1; D];
    shape[0] = values.len();
    Tensor::<1>::from_data(TensorData::new(values, [shape[0]]), device).reshape(shape)
}

/// The rows at `indices`, in that order.
pub(crate) fn select_rows<const D: usize>(
    what: &'static str,
    tensor: &Tensor<D>,
    indices: &[usize],
) -> Result<Tensor<D>> {
    let len = tensor.dims()[0];
    if let Some(&found) = indices.iter().find(|&&index| index >= len) {
        return Err(Error::Index { what, found, len });
    }
    let indices: Vec<i64> = indices.iter().map(|&index| index as i64).collect();
    let count = indices.len();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [count]), &tensor.device());
    Ok(tensor.clone().select(0, indices))
}

/// Reads a tensor back as f32.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.inner().try_into_vec_as::<f32>().map_err(|error| Error::Read(error.into()))
}

/// The sum over all dimensions but the first, `[B]`.
///
/// The detour over one dimension makes the layout contiguous. Burn then adds up each row by itself with a summation order
/// that depends on nothing but the row's length, so a row's sum is the same in any batch, to the bit.
pub(crate) fn sum_rows<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let shape = tensor.dims();
    let batch = shape[0];
    let len: usize = shape[1..].iter().product();
    tensor.reshape([batch * len]).reshape([batch, len]).sum_dim(1).reshape([batch])
}

/// The mean over all dimensions but the first, `[B]`.
pub(crate) fn mean_rows<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let elements: usize = tensor.dims()[1..].iter().product();
    sum_rows(tensor).div_scalar(elements as f64)
}
