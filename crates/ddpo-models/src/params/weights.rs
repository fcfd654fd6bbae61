//! The values of a model's parameters, frozen or trainable, with optional low-rank adapters on top.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use burn::tensor::{Device, Int, Tensor, TensorData};
use ddpo_kernels::Weight;

use super::{
    init, layout,
    spec::{Layout, ParamId, ParamSpec, Specs},
};
use crate::error::{Error, Result};

/// The parameters of one model: a flat, ordered, named set.
///
/// A model is a pure function of this value, so pretraining, averaging, fine-tuning, adapters, a frozen reference and a
/// checkpoint are operations on it and never on a model. Clones share their tensors.
#[derive(Clone, Debug)]
pub struct Weights {
    specs: Specs,
    values: Arc<[Value]>,
    adapters: Arc<BTreeMap<ParamId, Adapter>>,
}

/// One parameter in memory.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A constant matrix, whose packed forms are shared.
    Matrix(Weight),
    /// A constant vector.
    Vector(Tensor<1>),
    /// A flat autodiff leaf. It is reshaped at every use because a backward pass consumes the graph down to the leaf.
    Leaf(Tensor<1>),
}

/// A low-rank term added to a linear layer: `((x A) B) * scale`.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    /// `A`, `[K, rank]`.
    pub(crate) down: Value,
    /// `B`, `[rank, N]`.
    pub(crate) up: Value,
    /// The inner size.
    pub(crate) rank: usize,
    /// `alpha / rank`.
    pub(crate) scale: f64,
}

impl Value {
    /// A constant of the given matrix shape.
    pub(crate) fn frozen_matrix(flat: Tensor<1>, shape: [usize; 2]) -> Self {
        Self::Matrix(Weight::frozen(flat.inner().reshape(shape)))
    }

    /// The value as a kernel's weight.
    pub(crate) fn weight(&self, shape: [usize; 2]) -> Cow<'_, Weight> {
        match self {
            Self::Matrix(weight) => Cow::Borrowed(weight),
            Self::Vector(value) => Cow::Owned(Weight::frozen(value.clone().reshape(shape))),
            Self::Leaf(leaf) => Cow::Owned(Weight::trainable(leaf.clone().reshape(shape))),
        }
    }

    /// Where the value is.
    fn device(&self) -> Device {
        match self {
            Self::Matrix(weight) => weight.device(),
            Self::Vector(value) | Self::Leaf(value) => value.device(),
        }
    }

    /// All elements in memory order, tracked if the value is a leaf.
    pub(crate) fn flat(&self) -> Tensor<1> {
        match self {
            Self::Matrix(weight) => weight.value().flatten(0, 1),
            Self::Vector(value) | Self::Leaf(value) => value.clone(),
        }
    }
}

impl Weights {
    /// Fresh weights: every parameter drawn from its [`Init`](super::Init) by a generator keyed by `seed` and its name.
    pub fn init(specs: &Specs, seed: u64, device: &Device) -> Self {
        let values = specs.iter().map(|spec| vector(init::draw(spec, seed), device)).collect();
        Self::frozen_unchecked(specs, values)
    }

    /// Constant weights from flat values in kernel order, one per parameter of `specs`.
    ///
    /// # Errors
    ///
    /// If the count or a length is not that of `specs`.
    pub fn frozen(specs: &Specs, values: Vec<Tensor<1>>) -> Result<Self> {
        check(specs, &values)?;
        Ok(Self::frozen_unchecked(specs, values))
    }

    /// Trainable weights from flat values in kernel order: every parameter becomes an autodiff leaf.
    ///
    /// `device` says how to differentiate: its gradient-checkpointing strategy is that of the leaves.
    ///
    /// # Errors
    ///
    /// If the count or a length is not that of `specs`.
    pub fn trainable(specs: &Specs, values: Vec<Tensor<1>>, device: &Device) -> Result<Self> {
        check(specs, &values)?;
        let values = values.into_iter().map(|value| Value::Leaf(leaf(value, device))).collect();
        Ok(Self { specs: specs.clone(), values, adapters: Arc::default() })
    }

    /// Constant weights from each parameter's elements in the file's order, each in its last form before the next is read.
    pub(crate) fn from_file_order(
        specs: &Specs,
        mut read: impl FnMut(&ParamSpec) -> Result<Vec<f32>>,
        device: &Device,
    ) -> Result<Self> {
        let mut one = |spec: &ParamSpec| {
            let value = vector(layout::to_kernel(spec, &read(spec)?), device);
            check_length(spec, &value)?;
            let value = frozen_value(spec, value);
            if let (Value::Matrix(weight), Layout::Conv | Layout::Linear) = (&value, spec.layout) {
                weight.pack();
            }
            Ok(value)
        };
        let values = specs.iter().map(&mut one).collect::<Result<_>>()?;
        Ok(Self { specs: specs.clone(), values, adapters: Arc::default() })
    }

    fn frozen_unchecked(specs: &Specs, values: Vec<Tensor<1>>) -> Self {
        let values = specs.iter().zip(values).map(|(spec, value)| frozen_value(spec, value)).collect();
        Self { specs: specs.clone(), values, adapters: Arc::default() }
    }

    /// What the weights are of.
    pub fn specs(&self) -> &Specs {
        &self.specs
    }

    /// The number of parameters, adapters not counted.
    pub fn elements(&self) -> usize {
        self.specs.iter().map(ParamSpec::elements).sum()
    }

    /// Every parameter as a flat tensor in kernel order, in the order of [`Weights::specs`]; autodiff leaves if the
    /// weights are trainable.
    pub fn values(&self) -> Vec<Tensor<1>> {
        self.values.iter().map(Value::flat).collect()
    }

    /// Every parameter's name and its elements in the order of diffusers' files.
    ///
    /// # Errors
    ///
    /// If a value cannot be read from the device.
    pub fn to_file_order(&self) -> Result<Vec<(String, Vec<f32>)>> {
        let read = |(spec, value): (&ParamSpec, &Value)| {
            let kernel = read_back(&spec.name, value.flat())?;
            Ok((spec.name.clone(), layout::to_file(spec, &kernel)))
        };
        self.specs.iter().zip(self.values.iter()).map(read).collect()
    }

    /// The same values as constants, adapters included: what a sampler runs on.
    pub fn without_gradients(&self) -> Self {
        let freeze = |(spec, value): (&ParamSpec, &Value)| match value {
            Value::Leaf(leaf) => frozen_value(spec, leaf.clone().inner()),
            constant => constant.clone(),
        };
        let values = self.specs.iter().zip(self.values.iter()).map(freeze).collect();
        let adapters =
            self.adapters.iter().map(|(id, adapter)| (*id, adapter.without_gradients(self.shape(*id)))).collect();
        Self { specs: self.specs.clone(), values, adapters: Arc::new(adapters) }
    }

    /// The same weights with other adapters.
    pub(crate) fn with_adapters(&self, adapters: BTreeMap<ParamId, Adapter>) -> Self {
        Self { adapters: Arc::new(adapters), ..self.clone() }
    }

    /// The same values as constants, some of them replaced, without adapters.
    pub(crate) fn replaced(&self, mut changed: BTreeMap<ParamId, Tensor<1>>) -> Self {
        let Self { specs, values, .. } = self.without_gradients();
        let pick = |(i, value): (usize, &Value)| match changed.remove(&ParamId(i)) {
            Some(changed) => frozen_value(&specs[i], changed),
            None => value.clone(),
        };
        let values = values.iter().enumerate().map(pick).collect();
        Self { specs, values, adapters: Arc::default() }
    }

    /// The device of the values, without autodiff.
    pub fn device(&self) -> Device {
        self.values.first().map_or_else(Device::default, |value| value.device().inner())
    }

    /// Whether these weights were made for the model described by `specs`.
    pub(crate) fn fits(&self, specs: &Specs) -> bool {
        Arc::ptr_eq(&self.specs, specs) || self.specs == *specs
    }

    pub(crate) fn value(&self, id: ParamId) -> &Value {
        &self.values[id.0]
    }

    pub(crate) fn shape(&self, id: ParamId) -> [usize; 2] {
        self.specs[id.0].matrix_shape()
    }

    /// A matrix parameter.
    pub(crate) fn matrix(&self, id: ParamId) -> Cow<'_, Weight> {
        self.value(id).weight(self.shape(id))
    }

    /// A vector parameter.
    pub(crate) fn vector(&self, id: ParamId) -> Tensor<1> {
        self.value(id).flat()
    }

    /// The low-rank term of a linear layer, if it has one.
    pub(crate) fn adapter(&self, id: ParamId) -> Option<&Adapter> {
        self.adapters.get(&id)
    }

    /// Rows `ids` of an embedding, `[ids.len(), C]`.
    pub(crate) fn rows(&self, id: ParamId, ids: &[i64]) -> Tensor<2> {
        let table = self.matrix(id).value();
        let data = TensorData::new(ids.to_vec(), [ids.len()]);
        let ids = Tensor::<1, Int>::from_data(data, &table.device());
        table.select(0, ids)
    }
}

impl Adapter {
    /// The term `((x A) B) * scale` for `x` `[.., K]`; `shape` is `[K, N]`.
    pub(crate) fn apply<const D: usize>(&self, x: Tensor<D>, shape: [usize; 2]) -> Tensor<D> {
        let down = self.down.weight([shape[0], self.rank]);
        let up = self.up.weight([self.rank, shape[1]]);
        let term = ddpo_kernels::linear(ddpo_kernels::linear(x, &down, None), &up, None);
        if self.scale == 1.0 { term } else { term.mul_scalar(self.scale) }
    }

    fn without_gradients(&self, shape: [usize; 2]) -> Self {
        let freeze = |value: &Value, shape| match value {
            Value::Leaf(leaf) => Value::frozen_matrix(leaf.clone(), shape),
            constant => constant.clone(),
        };
        Self { down: freeze(&self.down, [shape[0], self.rank]), up: freeze(&self.up, [self.rank, shape[1]]), ..*self }
    }
}

/// A flat tensor of `values`.
pub(crate) fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// An autodiff leaf with the differentiation context of `device`.
pub(crate) fn leaf<const D: usize>(value: Tensor<D>, device: &Device) -> Tensor<D> {
    let value = value.inner().autodiff();
    match device.gradient_checkpointing_strategy() {
        Some(strategy) => value.with_gradient_checkpointing_strategy(strategy).require_grad(),
        None => value.require_grad(),
    }
}

/// The elements of a tensor.
pub(crate) fn read_back(name: &str, value: Tensor<1>) -> Result<Vec<f32>> {
    let values = value.inner().try_into_vec_as::<f32>();
    values.map_err(|error| Error::Device { what: name.to_owned(), reason: error.to_string() })
}

fn frozen_value(spec: &ParamSpec, value: Tensor<1>) -> Value {
    match spec.kernel_shape().as_slice() {
        [rows, columns] => Value::frozen_matrix(value, [*rows, *columns]),
        _ => Value::Vector(value.inner()),
    }
}

fn check(specs: &Specs, values: &[Tensor<1>]) -> Result<()> {
    if specs.len() != values.len() {
        return Err(Error::input("set weights", "number of tensors", values.len(), specs.len()));
    }
    specs.iter().zip(values).try_for_each(|(spec, value)| check_length(spec, value))
}

fn check_length(spec: &ParamSpec, value: &Tensor<1>) -> Result<()> {
    let [found] = value.dims();
    if found == spec.elements() {
        return Ok(());
    }
    Err(Error::input("set weights", format!("length of `{}`", spec.name), found, spec.elements()))
}
