//! What a sample is conditioned on.

use burn::Tensor;
use burn::tensor::Device;

use crate::rows::select_rows;
use crate::{Error, Result};

/// The conditioning of a batch: for text, the encoder's hidden states, and for models that take one a state of the whole text.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Hidden states `[B, T, C]`, f32.
    pub states: Tensor<3>,
    /// One state a row `[B, P]`, f32.
    pub pooled: Option<Tensor<2>>,
}

impl Condition {
    /// The conditioning with these states `[B, T, C]` and no pooled ones.
    pub fn new(states: Tensor<3>) -> Self {
        Self { states, pooled: None }
    }

    /// The same conditioning with these pooled states `[B, P]`.
    ///
    /// # Errors
    /// [`Error::Count`] if there is not one for each row.
    pub fn with_pooled(self, pooled: Tensor<2>) -> Result<Self> {
        crate::error::check_count("pool a condition", "pooled states", pooled.dims()[0], self.batch())?;
        Ok(Self { pooled: Some(pooled), ..self })
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
        let pooled = self.pooled.as_ref().map(|pooled| select_rows("condition", pooled, rows)).transpose()?;
        Ok(Self { states: select_rows("condition", &self.states, rows)?, pooled })
    }

    /// The one row of this condition, `batch` times.
    ///
    /// # Errors
    /// [`Error::Count`] if there is not exactly one row.
    pub fn repeat(&self, batch: usize) -> Result<Self> {
        crate::error::check_count("repeat a condition", "rows", self.batch(), 1)?;
        let pooled = self.pooled.as_ref().map(|pooled| pooled.clone().repeat_dim(0, batch));
        Ok(Self { states: self.states.clone().repeat_dim(0, batch), pooled })
    }

    /// All rows of several conditions, in order.
    ///
    /// # Errors
    /// [`Error::Count`] for an empty list, or if some have pooled states and some have not; [`Error::Shape`] if two differ in
    /// tokens or channels.
    pub fn cat(conditions: &[Self]) -> Result<Self> {
        const OPERATION: &str = "join conditions";
        let Some(first) = conditions.first() else {
            return Err(Error::Count { operation: OPERATION, what: "conditions", found: 0, wanted: 1 });
        };
        for condition in conditions {
            check_rows(&condition.states, &first.states)?;
        }
        let pooled: Vec<Tensor<2>> = conditions.iter().filter_map(|condition| condition.pooled.clone()).collect();
        if let Some(first) = pooled.first() {
            let what = "conditions with pooled states";
            crate::error::check_count(OPERATION, what, pooled.len(), conditions.len())?;
            pooled.iter().try_for_each(|pooled| check_rows(pooled, first))?;
        }
        let states = Tensor::cat(conditions.iter().map(|condition| condition.states.clone()).collect(), 0);
        Ok(Self { states, pooled: (!pooled.is_empty()).then(|| Tensor::cat(pooled, 0)) })
    }
}

/// Refuses rows of another shape.
fn check_rows<const D: usize>(found: &Tensor<D>, wanted: &Tensor<D>) -> Result<()> {
    crate::error::check_shape("join conditions", &found.dims()[1..], &wanted.dims()[1..])
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    /// Row `i` is all `first + i`, its pooled state its negative.
    fn condition(first: f32, rows: usize) -> Condition {
        let device = Device::default();
        let values: Vec<f32> = (0..rows).map(|row| first + row as f32).collect();
        let column: Tensor<2> = Tensor::from_data(TensorData::new(values, [rows, 1]), &device);
        let states = column.clone().reshape([rows, 1, 1]).repeat(&[1, 3, 2]);
        Condition::new(states).with_pooled(column.repeat(&[1, 4]).neg()).unwrap()
    }

    #[track_caller]
    fn check(condition: &Condition, rows: &[f32]) {
        let pooled = condition.pooled.clone().unwrap();
        assert_eq!((condition.states.dims(), pooled.dims()), ([rows.len(), 3, 2], [rows.len(), 4]));
        let states: Vec<f32> =
            condition.states.clone().narrow(1, 0, 1).narrow(2, 0, 1).into_data().try_into_vec().unwrap();
        let pooled: Vec<f32> = pooled.narrow(1, 0, 1).neg().into_data().try_into_vec().unwrap();
        assert_eq!((states.as_slice(), pooled.as_slice()), (rows, rows));
    }

    #[test]
    fn pooled_states_go_with_their_rows() {
        check(&condition(1.0, 3).select(&[2, 0, 2]).unwrap(), &[3.0, 1.0, 3.0]);
        check(&condition(5.0, 1).repeat(2).unwrap(), &[5.0, 5.0]);
        check(&Condition::cat(&[condition(1.0, 2), condition(7.0, 1)]).unwrap(), &[1.0, 2.0, 7.0]);
    }

    #[test]
    fn pooled_states_are_of_all_rows_or_of_none() {
        let bare = Condition::new(condition(1.0, 2).states);
        assert_eq!(
            Condition::cat(&[condition(1.0, 1), bare.clone()]).unwrap_err().to_string(),
            "join conditions: 1 conditions with pooled states found, 2 wanted"
        );
        let error = bare.with_pooled(Tensor::zeros([3, 4], &Device::default())).unwrap_err().to_string();
        assert_eq!(error, "pool a condition: 3 pooled states found, 2 wanted");
    }
}
