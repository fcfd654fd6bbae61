//! What a sample is conditioned on.

use burn::Tensor;
use burn::tensor::Device;

use crate::rows::select_rows;
use crate::{Error, Result};

/// The conditioning of a batch: for text, the encoder's hidden states.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Hidden states `[B, T, C]`, f32.
    pub states: Tensor<3>,
}

impl Condition {
    /// The conditioning with these states `[B, T, C]`.
    pub fn new(states: Tensor<3>) -> Self {
        Self { states }
    }

    /// The conditioning of a model that has none: `[batch, 1, 1]` zeros.
    pub fn none(batch: usize, device: &Device) -> Self {
        Self::new(Tensor::zeros([batch, 1, 1], device))
    }

    /// The number of rows.
    pub fn batch(&self) -> usize {
        self.states.dims()[0]
    }

    /// The rows at these indices, in this order; an index may occur more than once.
    ///
    /// # Errors
    /// [`Error::Index`] for a row past the end.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        Ok(Self::new(select_rows("condition", &self.states, rows)?))
    }

    /// The one row of this condition, `batch` times.
    ///
    /// # Errors
    /// [`Error::Count`] if there is not exactly one row.
    pub fn repeat(&self, batch: usize) -> Result<Self> {
        crate::error::check_count("repeat a condition", "rows", self.batch(), 1)?;
        Ok(Self::new(self.states.clone().repeat_dim(0, batch)))
    }

    /// All rows of several conditions, in order.
    ///
    /// # Errors
    /// [`Error::Count`] for an empty list, [`Error::Shape`] if two differ in tokens or channels.
    pub fn cat(conditions: &[Self]) -> Result<Self> {
        let Some(first) = conditions.first() else {
            return Err(Error::Count { operation: "join conditions", what: "conditions", found: 0, wanted: 1 });
        };
        for condition in conditions {
            let (found, wanted) = (condition.states.dims(), first.states.dims());
            crate::error::check_shape("join conditions", &found[1..], &wanted[1..])?;
        }
        Ok(Self::new(Tensor::cat(conditions.iter().map(|c| c.states.clone()).collect(), 0)))
    }
}
