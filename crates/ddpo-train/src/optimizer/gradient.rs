//! Gradients summed over micro-steps, and their global norm.

use burn::tensor::{Device, Gradients, Tensor};
use ddpo_core::Parameter;
use rayon::prelude::*;

use super::step::host;
use crate::error::{Error, Result};

/// Values of one partial sum of the norm: a constant, so that the sum's order never depends on the thread count.
const CHUNK: usize = 1 << 15;

/// The weighted sum of the gradients of several micro-steps.
///
/// ```
/// use burn::tensor::Tensor;
/// use ddpo_core::Policy;
/// use ddpo_train::{GradientSum, Result};
///
/// /// `losses`: the mean over the rows of each micro-batch, and how many rows it has.
/// fn sum(policy: &impl Policy<4>, losses: Vec<(Tensor<1>, f64)>) -> Result<GradientSum> {
///     let mut sum = GradientSum::new();
///     for (loss, rows) in losses {
///         sum.add(&policy.parameters(), loss.mul_scalar(rows).backward(), rows)?;
///     }
///     Ok(sum)
/// }
/// ```
///
/// The mean over all rows is the sum divided by the summed weights, also where the last micro-batch is smaller; the
/// optimizer divides while it steps.
#[derive(Debug, Default)]
pub struct GradientSum {
    sums: Vec<Tensor<1>>,
    weight: f64,
}

impl GradientSum {
    /// An empty sum.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the gradients of one backward pass, which counts as `weight` rows.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming a parameter which received no gradient.
    pub fn add(&mut self, parameters: &[Parameter], gradients: Gradients, weight: f64) -> Result<()> {
        self.add_tensors(gradients_of(parameters, gradients)?, weight)
    }

    /// Adds gradients already taken from their graph, in the parameters' order, which count as `weight` rows.
    ///
    /// # Errors
    /// [`Error::Count`] where their number differs from what was added before.
    pub fn add_tensors(&mut self, gradients: Vec<Tensor<1>>, weight: f64) -> Result<()> {
        if self.sums.is_empty() {
            self.sums = gradients;
        } else if self.sums.len() == gradients.len() {
            let sums = std::mem::take(&mut self.sums);
            self.sums = sums.into_iter().zip(gradients).map(|(sum, new)| sum + new).collect();
        } else {
            let (found, wanted) = (gradients.len(), self.sums.len());
            return Err(Error::Count { what: "gradients of a micro-step", found, wanted });
        }
        self.weight += weight;
        Ok(())
    }

    /// The weights added so far: the rows the mean is over.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// The sums of the parameters' gradients, in their order.
    pub(crate) fn tensors(&self) -> &[Tensor<1>] {
        &self.sums
    }

    /// The L2 norm of the mean gradient over all parameters together, as `torch.nn.utils.clip_grad_norm_` returns it.
    ///
    /// Sums in f64 on the host; elsewhere per parameter on the device. A NaN or an infinity in any gradient makes it
    /// non-finite.
    ///
    /// # Errors
    /// [`Error::Device`] where the gradients cannot be read.
    pub fn norm(&self) -> Result<f64> {
        let squares = match self.sums.first() {
            None => return Ok(0.0),
            Some(first) if first.device() == Device::flex() => self.host_squares()?,
            Some(_) => self.device_squares()?,
        };
        Ok(squares.sqrt() / self.weight)
    }

    /// The summed gradients, in the parameters' order, read back: the numbers of one after those of the other.
    ///
    /// # Errors
    /// [`Error::Device`] where they cannot be read.
    pub(crate) fn values(&self) -> Result<Vec<f32>> {
        let read = |sum: &Tensor<1>| sum.clone().try_into_vec_as::<f32>().map_err(Error::device);
        Ok(self.sums.iter().map(read).collect::<Result<Vec<_>>>()?.concat())
    }

    /// The summed gradients, in the parameters' order, and their weight.
    pub(crate) fn into_parts(self) -> (Vec<Tensor<1>>, f64) {
        (self.sums, self.weight)
    }

    fn host_squares(&self) -> Result<f64> {
        let per_parameter: Vec<f64> = self.sums.par_iter().map(host_square).collect::<Result<_>>()?;
        Ok(per_parameter.iter().sum())
    }

    fn device_squares(&self) -> Result<f64> {
        let squares = self.sums.iter().map(|g| (g.clone() * g.clone()).sum()).collect();
        let data = Tensor::cat(squares, 0).try_into_data().map_err(Error::device)?;
        Ok(host(&data)?.iter().map(|&x| f64::from(x)).sum())
    }
}

/// The gradient of each parameter, out of the graph they were computed in.
///
/// # Errors
/// [`Error::Parameter`] naming a parameter which received none.
pub fn gradients_of(parameters: &[Parameter], mut gradients: Gradients) -> Result<Vec<Tensor<1>>> {
    let gradient =
        |parameter: &Parameter| parameter.value.grad_remove(&mut gradients).ok_or_else(|| no_gradient(&parameter.name));
    parameters.iter().map(gradient).collect()
}

fn host_square(gradient: &Tensor<1>) -> Result<f64> {
    let data = gradient.clone().try_into_data().map_err(Error::device)?;
    Ok(host(&data)?.chunks(CHUNK).map(chunk_square).sum())
}

/// Σx² in f64, over eight lanes so that the compiler may use vector registers.
fn chunk_square(values: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let (blocks, rest) = values.as_chunks::<8>();
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
}

fn no_gradient(name: &str) -> Error {
    Error::Parameter {
        name: name.to_owned(),
        what: "the gradient",
        found: "none".to_owned(),
        wanted: "one from every backward pass".to_owned(),
    }
}
