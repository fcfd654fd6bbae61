//! How a CPU kernel becomes an operation of Burn: one extension method for all kernels, and one
//! backward step that asks the kernel for the gradients of its tracked inputs.

use std::{fmt::Debug, sync::Arc};

use burn::{
    backend::{
        Autodiff, Backend, BackendTensor, Dispatch, DispatchTensorKind, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, NodeGuard, Ops, OpsKind},
        },
        backend_extension,
        flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{DType, Tensor, TensorData, bf16},
};

/// A kernel with up to three inputs; [`Operation::backward`] mirrors [`Operation::forward`].
pub(crate) trait Operation: Debug + Send + Sync + 'static {
    /// The value, and what the backward pass needs of it. `tracked[i]` says whether the gradient of
    /// input `i` will be asked for; with none tracked nothing should be saved.
    fn forward(&self, inputs: &[Array], tracked: Tracked) -> (Array, Vec<Array>);

    /// The gradients of the tracked inputs, given that of the value.
    fn backward(&self, saved: &[Array], gradient: Array, tracked: Tracked) -> [Option<Array>; 3];
}

/// Which inputs are tracked.
pub(crate) type Tracked = [bool; 3];

/// Values in row-major order, with their shape.
#[derive(Clone, Debug)]
pub(crate) struct Array(FlexTensor);

impl Array {
    /// Takes values laid out in row-major order.
    pub(crate) fn new(values: Vec<f32>, shape: &[usize]) -> Self {
        Self(FlexTensor::from_data(TensorData::new(values, shape.to_vec())))
    }

    /// The values.
    pub(crate) fn values(&self) -> &[f32] {
        // The constructor and `from_flex` only let contiguous `f32` tensors in.
        self.0.as_slice::<f32>().unwrap_or(&[])
    }

    /// The length of every axis.
    pub(crate) fn shape(&self) -> &[usize] {
        self.0.layout().shape()
    }

    /// The length of the last axis.
    pub(crate) fn last(&self) -> usize {
        self.shape().last().copied().unwrap_or(1)
    }

    fn from_flex(tensor: FlexTensor) -> Self {
        if tensor.is_contiguous() { Self(tensor) } else { Self(tensor.to_contiguous()) }
    }
}

/// The values of a tensor, if it is an `f32` tensor on the CPU; its graph is not followed.
pub(crate) fn constant<const D: usize>(tensor: &Tensor<D>) -> Option<Array> {
    match tensor.clone().without_autodiff().into_dispatch().kind {
        DispatchTensorKind::Flex(BackendTensor::Float(x)) if x.dtype() == DType::F32 => Some(Array::from_flex(x)),
        _ => None,
    }
}

/// The bits of a tensor, if it is a bf16 tensor on the CPU; its graph is not followed.
pub(crate) fn constant_half<const D: usize>(tensor: &Tensor<D>) -> Option<Vec<u16>> {
    let DispatchTensorKind::Flex(BackendTensor::Float(x)) = tensor.clone().without_autodiff().into_dispatch().kind
    else {
        return None;
    };
    let x = if x.is_contiguous() { x } else { x.to_contiguous() };
    (x.dtype() == DType::BF16).then(|| x.as_slice::<bf16>())?.map(|values| values.iter().map(|x| x.to_bits()).collect())
}

/// Whether a tensor holds `f32` values on the CPU, under autodiff or not.
pub(crate) fn on_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    let kind = tensor.clone().into_dispatch().kind;
    let kind = match kind {
        DispatchTensorKind::Autodiff(inner) => *inner,
        plain => plain,
    };
    matches!(kind, DispatchTensorKind::Flex(_)) && tensor.dtype() == DType::F32
}

/// Runs a kernel on one input.
pub(crate) fn unary<const D: usize>(x: Tensor<D>, op: impl Operation) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::kernel1(x.into_dispatch(), Arc::new(op)))
}

/// Runs a kernel on one to three inputs of any rank; absent ones are left out.
pub(crate) fn apply<const D: usize, const E: usize, const F: usize>(
    x: Tensor<D>,
    y: Option<Tensor<E>>,
    z: Option<Tensor<F>>,
    op: impl Operation,
) -> Tensor<D> {
    let op: Arc<dyn Operation> = Arc::new(op);
    let x = x.into_dispatch();
    let value = match (y.map(Tensor::into_dispatch), z.map(Tensor::into_dispatch)) {
        (Some(y), Some(z)) => Dispatch::kernel3(x, y, z, op),
        (Some(y), None) | (None, Some(y)) => Dispatch::kernel2(x, y, op),
        (None, None) => Dispatch::kernel1(x, op),
    };
    Tensor::from_dispatch(value)
}

/// One method per number of inputs: the macro routes tensors, not lists of them.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Kernels: Backend {
    fn kernel1(x: FloatTensor<Self>, op: Arc<dyn Operation>) -> FloatTensor<Self>;
    fn kernel2(x: FloatTensor<Self>, y: FloatTensor<Self>, op: Arc<dyn Operation>) -> FloatTensor<Self>;
    fn kernel3(
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        z: FloatTensor<Self>,
        op: Arc<dyn Operation>,
    ) -> FloatTensor<Self>;
}

impl Kernels for Flex {
    fn kernel1(x: FlexTensor, op: Arc<dyn Operation>) -> FlexTensor {
        plain([x], &*op)
    }

    fn kernel2(x: FlexTensor, y: FlexTensor, op: Arc<dyn Operation>) -> FlexTensor {
        plain([x, y], &*op)
    }

    fn kernel3(x: FlexTensor, y: FlexTensor, z: FlexTensor, op: Arc<dyn Operation>) -> FlexTensor {
        plain([x, y, z], &*op)
    }
}

fn plain<const N: usize>(inputs: [FlexTensor; N], op: &dyn Operation) -> FlexTensor {
    op.forward(&inputs.map(Array::from_flex), [false; 3]).0.0
}

/// A float tensor of the CPU under autodiff.
type Tape<C> = FloatTensor<Autodiff<Flex, C>>;

impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    fn kernel1(x: Tape<C>, op: Arc<dyn Operation>) -> Tape<C> {
        record::<C, 1>([x], op)
    }

    fn kernel2(x: Tape<C>, y: Tape<C>, op: Arc<dyn Operation>) -> Tape<C> {
        record::<C, 2>([x, y], op)
    }

    fn kernel3(x: Tape<C>, y: Tape<C>, z: Tape<C>, op: Arc<dyn Operation>) -> Tape<C> {
        record::<C, 3>([x, y, z], op)
    }
}

/// Runs the kernel and puts it into the graph.
fn record<C: CheckpointStrategy, const N: usize>(inputs: [Tape<C>; N], op: Arc<dyn Operation>) -> Tape<C> {
    let tracked = std::array::from_fn(|i| inputs.get(i).is_some_and(|x| x.is_tracked()));
    // The guards keep the inputs' nodes alive until the step is registered.
    let nodes: [NodeGuard; N] = inputs.each_ref().map(|x| x.node());
    let inputs = inputs.map(|x| Array::from_flex(x.into_primitive()));
    let (value, saved) = op.forward(&inputs, tracked);
    match Step.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(State { op, saved }, value.0),
        OpsKind::UnTracked(prepared) => prepared.finish(value.0),
    }
}

/// What the backward step keeps.
#[derive(Clone, Debug)]
struct State {
    op: Arc<dyn Operation>,
    saved: Vec<Array>,
}

#[derive(Debug)]
struct Step;

impl<const N: usize> Backward<Flex, N> for Step {
    type State = State;

    fn backward(self, ops: Ops<State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = Array::from_flex(grads.consume::<Flex>(&ops.node));
        let tracked = std::array::from_fn(|i| ops.parents.get(i).is_some_and(Option::is_some));
        let State { op, saved } = ops.state;
        let gradients = op.backward(&saved, gradient, tracked);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient.0);
            }
        }
    }
}
