//! A value whose gradient is computed by whoever made the value.

use std::{fmt, sync::Arc};

#[cfg(feature = "gpu")]
use burn::backend::Cube;
use burn::{
    backend::{
        Autodiff, Backend, BackendTensor, Dispatch, DispatchKindConversion, DispatchTensor, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    },
    tensor::Tensor,
};

/// `value` as a function of `parameters`: what the graph knows of it is that `backward` turns a gradient of the value into
/// one of the parameters. It is how a network is run without a graph, and again, part by part, when its gradient is asked
/// for.
///
/// Nothing here depends on the device or on the number format: the gradient is handed over as the tensor it is. A `backward`
/// that returns `None` leaves the parameters without a gradient.
///
/// # Shapes
///
/// - `parameters`: `[n]`, tracked; `value`: any shape, not tracked
/// - `backward`: from the shape of `value` to `[n]`
pub fn deferred<const D: usize, F>(parameters: Tensor<1>, value: &Tensor<D>, backward: F) -> Tensor<D>
where
    F: Fn(Tensor<D>) -> Option<Tensor<1>> + Send + Sync + 'static,
{
    let value = value.clone().without_autodiff().to_device(&parameters.device().inner());
    if !parameters.is_autodiff() {
        return value;
    }
    let pull_back = move |gradient| backward(Tensor::from_dispatch(gradient)).map(untracked);
    let deferred = DeferredValue { value: value.into_dispatch(), pull_back: PullBack(Arc::new(pull_back)) };
    Tensor::from_dispatch(Dispatch::defer(parameters.into_dispatch(), deferred))
}

fn untracked<const D: usize>(tensor: Tensor<D>) -> DispatchTensor {
    tensor.without_autodiff().into_dispatch()
}

/// From the gradient of a value to that of its parameters.
#[derive(Clone)]
struct PullBack(Arc<dyn Fn(DispatchTensor) -> Option<DispatchTensor> + Send + Sync>);

impl fmt::Debug for PullBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullBack").finish_non_exhaustive()
    }
}

/// A value, and what its backward pass does.
struct DeferredValue {
    value: DispatchTensor,
    pull_back: PullBack,
}

/// The backends that Burn is compiled with are named here; under autodiff all of them are the one implementation below.
#[backend_extension(Cube: cfg(feature = "gpu"), Flex, Autodiff)]
trait Defer: Backend {
    fn defer(parameters: FloatTensor<Self>, deferred: DeferredValue) -> FloatTensor<Self>;
}

/// `deferred` returns the value itself where nothing is tracked; the macro wants this form all the same.
macro_rules! plain {
    ($backend:ty) => {
        impl Defer for $backend {
            fn defer(parameters: FloatTensor<Self>, deferred: DeferredValue) -> FloatTensor<Self> {
                primitive::<Self>(deferred.value).unwrap_or(parameters)
            }
        }
    };
}

plain!(Flex);
#[cfg(feature = "gpu")]
plain!(Cube);

impl<B: Backend, C: CheckpointStrategy> Defer for Autodiff<B, C>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    fn defer(parameters: FloatTensor<Self>, deferred: DeferredValue) -> FloatTensor<Self> {
        // `deferred` has brought the value to the parameters' device, so it is of this backend.
        let Some(value) = primitive::<B>(deferred.value) else { return parameters };
        // The guard keeps the parameters' node alive until the step is registered.
        let node = parameters.node();
        match Step.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish(deferred.pull_back, value),
            OpsKind::UnTracked(prepared) => prepared.finish(value),
        }
    }
}

#[derive(Debug)]
struct Step;

impl<B: Backend> Backward<B, 1> for Step
where
    DispatchTensor: DispatchKindConversion<B>,
{
    type State = PullBack;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = BackendTensor::Float(grads.consume::<B>(&ops.node));
        let gradient = <DispatchTensor as DispatchKindConversion<B>>::from_backend(gradient);
        let [parent] = ops.parents;
        if let (Some(parent), Some(gradient)) = (parent, ops.state.0(gradient).and_then(primitive::<B>)) {
            grads.register::<B>(parent.id, gradient);
        }
    }
}

/// What a tensor is to its backend; nothing if that is not `B`.
fn primitive<B: Backend>(tensor: DispatchTensor) -> Option<FloatTensor<B>>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    match <DispatchTensor as DispatchKindConversion<B>>::try_into_backend(tensor).ok()? {
        BackendTensor::Float(tensor) => Some(tensor),
        _ => None,
    }
}
