//! A value whose gradient is computed by whoever made the value.

use std::fmt;

use burn::tensor::{Device, Tensor, TensorData};

use crate::graph::{Array, Operation, Tracked, constant, on_cpu, unary_to};

/// `value` as a function of `parameters`: what the graph knows of it is that `backward` turns a gradient of the value into
/// one of the parameters. It is how a network is run without a graph, and again, part by part, when its gradient is asked
/// for.
///
/// `None` where the values are not on the CPU, whose backward pass alone this crate can extend. A `backward` that returns
/// `None` leaves the parameters without a gradient.
///
/// # Shapes
///
/// - `parameters`: `[n]`, tracked; `value`: any shape, not tracked
/// - `backward`: from the shape of `value` to `[n]`
pub fn deferred<const D: usize, F>(parameters: Tensor<1>, value: &Tensor<D>, backward: F) -> Option<Tensor<D>>
where
    F: Fn(Tensor<D>) -> Option<Tensor<1>> + Send + Sync + 'static,
{
    if !on_cpu(&parameters) {
        return None;
    }
    let op = Deferred { value: constant(value)?, backward };
    Some(unary_to(parameters, op))
}

struct Deferred<const D: usize, F> {
    value: Array,
    backward: F,
}

impl<const D: usize, F> fmt::Debug for Deferred<D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deferred({:?})", self.value.shape())
    }
}

impl<const D: usize, F> Operation for Deferred<D, F>
where
    F: Fn(Tensor<D>) -> Option<Tensor<1>> + Send + Sync + 'static,
{
    fn forward(&self, _: &[Array], _: Tracked) -> (Array, Vec<Array>) {
        (self.value.clone(), Vec::new())
    }

    fn backward(&self, _: &[Array], gradient: Array, _: Tracked) -> [Option<Array>; 3] {
        let data = TensorData::new(gradient.values().to_vec(), gradient.shape().to_vec());
        let gradient = (self.backward)(Tensor::from_data(data, &Device::flex()));
        [gradient.and_then(|gradient| constant(&gradient)), None, None]
    }
}
