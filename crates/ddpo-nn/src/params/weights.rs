//! The values of a model's parameters, frozen or trainable, with optional low-rank adapters on top.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use ddpo_kernels::Weight;

use super::spec::{Layout, ParamId, ParamSpec, Specs};
use crate::error::{Error, Result};

/// The parameters of one model: a flat, ordered, named set.
///
/// A model is a pure function of this value, so pretraining, averaging, fine-tuning, adapters, a frozen reference and a
/// checkpoint are operations on it and never on a model. Clones share their tensors.
#[derive(Clone, Debug)]
pub struct Weights {
    specs: Specs,
    values: Arc<[Value]>,
    terms: Arc<BTreeMap<ParamId, Vec<LowRankTerm>>>,
}

/// Where constant weights are, and in what format those of products are: linear layers and convolutions. What is added
/// to them, norms and tables of embeddings are in `f32`.
#[derive(Clone, Debug)]
pub struct Placement {
    device: Device,
    products: DType,
}

impl Placement {
    /// On a device, in a floating-point format.
    pub fn new(device: &Device, products: FloatDType) -> Self {
        Self { device: device.clone(), products: products.into() }
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn place(&self, spec: &ParamSpec, values: Vec<f32>) -> Tensor<1> {
        let format = match spec.layout {
            Layout::Conv | Layout::Linear => self.products,
            _ => DType::F32,
        };
        let shape = [values.len()];
        let data = TensorData::new(values, shape).convert_dtype(format);
        Tensor::from_data(data, (&self.device, format))
    }
}

impl From<&Device> for Placement {
    /// In `f32`.
    fn from(device: &Device) -> Self {
        Self { device: device.clone(), products: DType::F32 }
    }
}

/// One parameter in memory.
#[derive(Clone, Debug)]
enum Value {
    /// A constant matrix, whose packed forms are shared.
    Matrix(Weight),
    /// A constant vector.
    Vector(Tensor<1>),
    /// A flat autodiff leaf. It is reshaped at every use because a backward pass consumes the graph down to the leaf.
    Leaf(Tensor<1>),
}

/// A low-rank term that is added to a linear layer: `((x A) B) * scale`.
#[derive(Clone, Debug)]
pub struct LowRankTerm {
    /// `A`, `[K, rank]`.
    down: Value,
    /// `B`, `[rank, N]`.
    up: Value,
    /// The layer's own `[K, N]`.
    shape: [usize; 2],
    rank: usize,
    scale: f64,
}

impl Value {
    /// A leaf if `flat` is tracked, else a constant of the given matrix shape.
    fn matrix(flat: Tensor<1>, shape: [usize; 2]) -> Self {
        if flat.is_autodiff() { Self::Leaf(flat) } else { Self::frozen_matrix(flat, shape) }
    }

    /// A constant of the given matrix shape.
    fn frozen_matrix(flat: Tensor<1>, shape: [usize; 2]) -> Self {
        Self::Matrix(Weight::frozen(flat.inner().reshape(shape)))
    }

    /// The value as a kernel's weight.
    fn weight(&self, shape: [usize; 2]) -> Cow<'_, Weight> {
        match self {
            Self::Matrix(weight) => Cow::Borrowed(weight),
            Self::Vector(value) => Cow::Owned(Weight::frozen(value.clone().reshape(shape))),
            Self::Leaf(leaf) => Cow::Owned(Weight::trainable(leaf.clone().reshape(shape))),
        }
    }

    /// The floating-point format of the elements.
    fn format(&self) -> DType {
        match self {
            Self::Matrix(weight) => weight.format(),
            Self::Vector(value) | Self::Leaf(value) => value.dtype(),
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
    fn flat(&self) -> Tensor<1> {
        match self {
            Self::Matrix(weight) => weight.value().flatten(0, 1),
            Self::Vector(value) | Self::Leaf(value) => value.clone(),
        }
    }
}

impl Weights {
    /// Fresh weights: every parameter drawn from its [`Init`](super::Init) by a generator keyed by `seed` and its name.
    pub fn init(specs: &Specs, seed: u64, device: &Device) -> Self {
        let values = specs.iter().map(|spec| vector(spec.draw(seed), device)).collect();
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
        Ok(Self { specs: specs.clone(), values, terms: Arc::default() })
    }

    /// Constant weights from each parameter's elements in the file's order, each in its last form before the next is read.
    ///
    /// It is [`Weights::load`] for files that hold more than one network or call it otherwise: `read` knows where a parameter
    /// is, such as `file.read(&format!("vision_model.{}", spec.name))`.
    ///
    /// # Errors
    ///
    /// Those of `read`, or if a length is not the parameter's.
    pub fn from_file_order(
        specs: &Specs,
        mut read: impl FnMut(&ParamSpec) -> Result<Vec<f32>>,
        placement: impl Into<Placement>,
    ) -> Result<Self> {
        let placement = placement.into();
        let mut one = |spec: &ParamSpec| {
            let value = placement.place(spec, spec.to_kernel_order(&read(spec)?));
            check_length(spec, &value)?;
            let value = frozen_value(spec, value);
            if let (Value::Matrix(weight), Layout::Conv | Layout::Linear) = (&value, spec.layout) {
                weight.pack();
            }
            Ok(value)
        };
        let values = specs.iter().map(&mut one).collect::<Result<_>>()?;
        Ok(Self { specs: specs.clone(), values, terms: Arc::default() })
    }

    fn frozen_unchecked(specs: &Specs, values: Vec<Tensor<1>>) -> Self {
        let values = specs.iter().zip(values).map(|(spec, value)| frozen_value(spec, value)).collect();
        Self { specs: specs.clone(), values, terms: Arc::default() }
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
            Ok((spec.name.clone(), spec.to_file_order(&kernel)))
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
        let freeze = |terms: &Vec<LowRankTerm>| terms.iter().map(LowRankTerm::without_gradients).collect();
        let terms = self.terms.iter().map(|(id, terms)| (*id, freeze(terms))).collect();
        Self { specs: self.specs.clone(), values, terms: Arc::new(terms) }
    }

    /// The same weights with one more low-rank term on each of these parameters, on top of those that they have.
    pub fn with_terms(&self, terms: impl IntoIterator<Item = (ParamId, LowRankTerm)>) -> Self {
        let mut all = BTreeMap::clone(&self.terms);
        for (id, term) in terms {
            all.entry(id).or_default().push(term);
        }
        Self { terms: Arc::new(all), ..self.clone() }
    }

    /// The same values and terms as constants, some of the values replaced by flat ones in kernel order.
    pub fn replaced(&self, mut changed: BTreeMap<ParamId, Tensor<1>>) -> Self {
        let Self { specs, values, terms } = self.without_gradients();
        let pick = |(i, value): (usize, &Value)| match changed.remove(&ParamId(i)) {
            Some(changed) => frozen_value(&specs[i], changed),
            None => value.clone(),
        };
        let values = values.iter().enumerate().map(pick).collect();
        Self { specs, values, terms }
    }

    /// The same weights with the parameters that `own`, of a part of the model, has by the same names in their place: leaves stay leaves.
    #[must_use]
    pub fn overlaid(&self, own: &Self) -> Self {
        let pick = |(spec, value): (&ParamSpec, &Value)| {
            let place = own.specs.iter().position(|other| other.name == spec.name);
            place.map_or_else(|| value.clone(), |place| own.values[place].clone())
        };
        let values = self.specs.iter().zip(self.values.iter()).map(pick).collect();
        Self { values, ..self.clone() }
    }

    /// The same weights of a model that has `rows` more of an embedding, `[n, C]`, behind its own; `specs` are that model's.
    ///
    /// # Errors
    ///
    /// If the embedding of `specs` is not as long as the two together.
    pub fn with_rows(&self, specs: &Specs, id: ParamId, rows: Tensor<2>) -> Result<Self> {
        let all = Tensor::cat(vec![self.vector(id), rows.flatten(0, 1)], 0);
        check_length(&specs[id.0], &all)?;
        let grown = self.replaced(BTreeMap::new());
        let mut values = grown.values.to_vec();
        values[id.0] = frozen_value(&specs[id.0], all);
        Ok(Self { specs: specs.clone(), values: values.into(), terms: grown.terms })
    }

    /// The device of the values, without autodiff.
    pub fn device(&self) -> Device {
        self.values.first().map_or_else(Device::default, |value| value.device().inner())
    }

    /// The floating-point format of the matrices of products, which is that of the first.
    pub fn products(&self) -> DType {
        let matrix = |(spec, value): (&ParamSpec, &Value)| match spec.layout {
            Layout::Conv | Layout::Linear => Some(value.format()),
            _ => None,
        };
        self.specs.iter().zip(self.values.iter()).find_map(matrix).unwrap_or(DType::F32)
    }

    /// Whether these weights were made for the model described by `specs`.
    pub fn fits(&self, specs: &Specs) -> bool {
        Arc::ptr_eq(&self.specs, specs) || self.specs == *specs
    }

    fn value(&self, id: ParamId) -> &Value {
        &self.values[id.0]
    }

    fn shape(&self, id: ParamId) -> [usize; 2] {
        self.specs[id.0].matrix_shape()
    }

    /// A matrix as a kernel's weight.
    ///
    /// # Panics
    ///
    /// If the model has no parameter `id`, here and below.
    pub fn matrix(&self, id: ParamId) -> Cow<'_, Weight> {
        self.value(id).weight(self.shape(id))
    }

    /// The elements of a parameter in kernel order, `[n]`: a bias or a gain as it is, a matrix row by row.
    pub fn vector(&self, id: ParamId) -> Tensor<1> {
        self.value(id).flat()
    }

    /// The low-rank terms of a linear layer, the lowest first.
    pub fn terms(&self, id: ParamId) -> &[LowRankTerm] {
        self.terms.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Whether any layer has a low-rank term.
    pub fn has_terms(&self) -> bool {
        !self.terms.is_empty()
    }

    /// Rows `ids` of an embedding, `[ids.len(), C]`.
    pub fn rows(&self, id: ParamId, ids: &[i64]) -> Tensor<2> {
        let table = self.matrix(id).value();
        let data = TensorData::new(ids.to_vec(), [ids.len()]);
        let ids = Tensor::<1, Int>::from_data(data, &table.device());
        table.select(0, ids)
    }
}

impl LowRankTerm {
    /// The term of factors `A` and `B`, flat in kernel order, on a layer of `[K, N]`: `A` is `[K, rank]`, `B` `[rank, N]`. Tracked
    /// factors stay leaves.
    pub fn new(factors: [Tensor<1>; 2], shape: [usize; 2], rank: usize, scale: f64) -> Self {
        let [down, up] = factors;
        let (down, up) = (Value::matrix(down, [shape[0], rank]), Value::matrix(up, [rank, shape[1]]));
        Self { down, up, shape, rank, scale }
    }

    /// `((x A) B) * scale`.
    ///
    /// # Shapes
    ///
    /// `[.., K] -> [.., N]`
    pub fn apply<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let down = self.down.weight([self.shape[0], self.rank]);
        let up = self.up.weight([self.rank, self.shape[1]]);
        let term = ddpo_kernels::linear(ddpo_kernels::linear(x, &down, None), &up, None);
        if self.scale == 1.0 { term } else { term.mul_scalar(self.scale) }
    }

    fn without_gradients(&self) -> Self {
        let freeze = |value: &Value, shape| match value {
            Value::Leaf(leaf) => Value::frozen_matrix(leaf.clone(), shape),
            constant => constant.clone(),
        };
        let [inputs, outputs] = self.shape;
        Self { down: freeze(&self.down, [inputs, self.rank]), up: freeze(&self.up, [self.rank, outputs]), ..*self }
    }
}

/// A flat tensor of `values`.
pub fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// An autodiff leaf with the differentiation context of `device`.
pub fn leaf<const D: usize>(value: Tensor<D>, device: &Device) -> Tensor<D> {
    let value = value.inner().autodiff();
    match device.gradient_checkpointing_strategy() {
        Some(strategy) => value.with_gradient_checkpointing_strategy(strategy).require_grad(),
        None => value.require_grad(),
    }
}

/// The elements of a tensor.
pub fn read_back(name: &str, value: Tensor<1>) -> Result<Vec<f32>> {
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
