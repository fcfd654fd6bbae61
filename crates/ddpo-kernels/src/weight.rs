//! Matrices that multiply, with the packed forms the CPU kernels read.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};

use crate::ops::Frozen;

/// A weight matrix `[K, N]`, used as `x @ W`.
///
/// A convolution's weight is the same matrix with `K = kernel height × kernel width × channels in`,
/// in that row order.
#[derive(Clone, Debug)]
pub struct Weight {
    dims: [usize; 2],
    form: Form,
}

/// How a weight is kept.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// A constant of every graph, shared by all clones.
    Frozen(Arc<Frozen>),
    /// An input of every graph.
    Trainable(Box<Tensor<2>>),
}

impl Weight {
    /// A weight that never receives a gradient. The CPU kernels pack it when they first use it, and
    /// then the packed form is the only one in memory; every clone shares it. A weight in bf16 stays so: its products are in
    /// bf16, summed and returned in `f32`.
    pub fn frozen(value: Tensor<2>) -> Self {
        Self { dims: value.dims(), form: Form::Frozen(Arc::new(Frozen::new(value.without_autodiff()))) }
    }

    /// A weight that receives a gradient when `value` is tracked. It is packed at every use.
    pub fn trainable(value: Tensor<2>) -> Self {
        Self { dims: value.dims(), form: Form::Trainable(Box::new(value)) }
    }

    /// Packs a frozen weight on the CPU at once instead of at its first use, so that a network that is
    /// being read is never in memory twice.
    pub fn pack(&self) {
        if let Form::Frozen(frozen) = &self.form {
            frozen.packed();
        }
    }

    /// `[K, N]`.
    pub fn dims(&self) -> [usize; 2] {
        self.dims
    }

    /// The matrix, `[K, N]`. One that has been packed is copied out of that form.
    pub fn value(&self) -> Tensor<2> {
        match &self.form {
            Form::Frozen(frozen) => frozen.value(),
            Form::Trainable(value) => value.as_ref().clone(),
        }
    }

    /// The floating-point format of the matrix.
    pub fn format(&self) -> DType {
        match &self.form {
            Form::Frozen(frozen) => frozen.format(),
            Form::Trainable(value) => value.dtype(),
        }
    }

    /// Where the matrix is.
    pub fn device(&self) -> Device {
        match &self.form {
            Form::Frozen(frozen) => frozen.device(),
            Form::Trainable(value) => value.device(),
        }
    }

    /// Whether the weight is a constant of every graph it is used in.
    pub fn is_frozen(&self) -> bool {
        matches!(self.form, Form::Frozen(_))
    }

    pub(crate) fn form(&self) -> &Form {
        &self.form
    }
}
