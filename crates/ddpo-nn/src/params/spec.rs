//! The description of a parameter, and the builder that collects them while a model is described.

use std::{fmt::Display, sync::Arc};

/// The parameters of one model, in the order in which it was described.
pub type Specs = Arc<[ParamSpec]>;

/// One parameter of a model: its name and shape in diffusers' files, and how it is kept here.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// The key in diffusers' safetensors, such as `down_blocks.0.resnets.0.conv1.weight`.
    pub name: String,
    /// The shape in diffusers' safetensors.
    pub shape: Vec<usize>,
    /// How the file's elements are arranged in memory.
    pub layout: Layout,
    /// The distribution of a fresh value.
    pub init: Init,
}

/// How a parameter of a file is kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A convolution `[O, I, kh, kw]`, kept as the matrix `[kh * kw * I, O]`.
    Conv,
    /// A linear layer `[O, I]` (or `[O, I, 1, 1]`), kept as the matrix `[I, O]`.
    Linear,
    /// A table of embeddings `[V, C]`, kept as it is.
    Embedding,
    /// A bias or a gain `[N]`, kept as it is.
    Vector,
}

/// The distribution from which a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// Uniform on `[-bound, bound]`; PyTorch's default with `bound = 1 / sqrt(fan_in)`.
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
}

impl ParamSpec {
    /// A linear layer's matrix of the given `[O, I]`, whose initial value is of no interest: a factor of an adapter.
    pub fn linear(name: &str, shape: [usize; 2]) -> Self {
        Self { name: name.to_owned(), shape: shape.to_vec(), layout: Layout::Linear, init: Init::Zeros }
    }

    /// How many numbers the parameter holds.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The shape in memory: `[K, N]` for a matrix, `[N]` for a vector.
    pub fn kernel_shape(&self) -> Vec<usize> {
        match (self.layout, self.shape.as_slice()) {
            (Layout::Conv | Layout::Linear, [outputs, rest @ ..]) => vec![rest.iter().product(), *outputs],
            _ => self.shape.clone(),
        }
    }

    /// The two sizes of a matrix in memory; a vector is one row.
    pub fn matrix_shape(&self) -> [usize; 2] {
        match self.kernel_shape().as_slice() {
            [rows, columns] => [*rows, *columns],
            _ => [1, self.elements()],
        }
    }
}

/// The position of a parameter in its model's [`Specs`], at which a forward pass finds it without a look-up by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(pub usize);

/// Collects the parameters of a model while its layers are described.
///
/// Layers keep the [`ParamId`]s they are given, so that a forward pass looks nothing up by name. Names are those of the files:
/// `scope.child("encoder").child("layers").child(0)` is the scope of `encoder.layers.0.`.
#[derive(Debug)]
pub struct ParamScope<'a> {
    specs: &'a mut Vec<ParamSpec>,
    prefix: String,
}

impl<'a> ParamScope<'a> {
    /// The root of a model.
    pub fn root(specs: &'a mut Vec<ParamSpec>) -> Self {
        Self { specs, prefix: String::new() }
    }

    /// The scope of a submodule.
    pub fn child(&mut self, name: impl Display) -> ParamScope<'_> {
        let prefix = format!("{}{name}.", self.prefix);
        ParamScope { specs: self.specs, prefix }
    }

    /// Registers one parameter: its name within this scope, and its shape and layout in the file.
    pub fn param(&mut self, name: &str, shape: &[usize], layout: Layout, init: Init) -> ParamId {
        let name = format!("{}{name}", self.prefix);
        self.specs.push(ParamSpec { name, shape: shape.to_vec(), layout, init });
        ParamId(self.specs.len() - 1)
    }
}
