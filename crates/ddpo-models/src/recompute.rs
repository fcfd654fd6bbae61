//! Gradient checkpointing: the gradient of what is trained at the price of a second forward pass, in the memory of one layer.

use std::sync::Arc;

use burn::tensor::{DType, Device, Gradients, Tensor};
use ddpo_kernels::deferred;
use ddpo_nn::{Context, Result, Specs, Weights, leaf};

use crate::{
    denoiser::UnetDenoiser,
    lora::Lora,
    unet::{Input, Unet},
};

/// What is trained, as constants.
pub(crate) enum Trained {
    /// An adapter on these weights.
    Adapter(Lora, Weights),
    /// All weights, flat.
    Whole(Specs, Vec<Tensor<1>>),
}

impl Trained {
    /// The network's weights with new leaves for what is trained, and these.
    fn tracked(&self, device: &Device) -> Result<(Weights, Vec<Tensor<1>>)> {
        match self {
            Self::Adapter(adapter, base) => {
                let adapter = adapter.tracked(device);
                let factors = adapter.parameters().into_iter().map(|parameter| parameter.value);
                Ok((adapter.attach(base)?, factors.collect()))
            }
            Self::Whole(specs, values) => {
                let weights = Weights::trainable(specs, values.clone(), device)?;
                let leaves = weights.values();
                Ok((weights, leaves))
            }
        }
    }
}

/// What `sampler` predicts as a function of `leaves`, the values of `trained` in the graph, with nothing kept but what enters
/// each segment of the network.
///
/// # Shapes
///
/// `sample` `[B, H, W, C]`, `times` of length `B`, `states` `[B, S, C]`; the result has the shape of `sample`.
pub(crate) fn predict_recomputing(
    sampler: &UnetDenoiser,
    trained: Trained,
    leaves: Vec<Tensor<1>>,
    sample: &Tensor<4>,
    times: Vec<f64>,
    states: &Tensor<3>,
) -> Result<Tensor<4>> {
    let (sample, states) = (sample.clone().inner(), states.clone().inner());
    let (value, text, inputs) = sampler.unet.forward_keeping(&sampler.weights, sample.clone(), &times, &states)?;
    let Some(device) = leaves.first().map(Tensor::device) else { return Ok(value) };
    let pass = SecondPass { unet: sampler.unet.clone(), trained, device, sample, times, text, inputs };
    // One parameter of all leaves, because an operation has a fixed number of inputs; the graph takes it apart again.
    Ok(deferred(Tensor::cat(leaves, 0), &value, move |gradient| pass.gradient(gradient)))
}

/// The second forward pass, segment by segment from the last to the first, each with its backward pass.
struct SecondPass {
    unet: Arc<Unet>,
    trained: Trained,
    device: Device,
    sample: Tensor<4>,
    times: Vec<f64>,
    text: Context,
    inputs: Vec<Input>,
}

/// Gradients on the way from the last segment to the first.
struct BackwardState {
    /// Of what the segment at hand gave out.
    output: Tensor<4>,
    /// Of the skipped images that no segment yet to come has given out, the next one last.
    skips: Vec<Tensor<4>>,
    /// Of the time embedding.
    time: Option<Tensor<2>>,
    /// Of each leaf.
    leaves: Vec<Option<Tensor<1>>>,
}

impl SecondPass {
    /// The gradients of all leaves in a row, given that of the prediction.
    fn gradient(&self, output: Tensor<4>) -> Option<Tensor<1>> {
        let (weights, leaves) = self.trained.tracked(&self.device).ok()?;
        let time = self.unet.embed_times(&weights, &self.times, &self.sample.device());
        let mut state = BackwardState { output, skips: Vec::new(), time: None, leaves: vec![None; leaves.len()] };
        for index in (0..self.inputs.len()).rev() {
            self.step_back(index, &weights, &time, &leaves, &mut state)?;
        }
        if let (true, Some(gradient)) = (time.is_autodiff(), state.time.take()) {
            state.collect(&leaves, &mut (time * gradient).sum().backward());
        }
        if self.trains_entry() {
            let entered = self.unet.enter(&weights, self.sample.clone());
            state.collect(&leaves, &mut (entered * state.output.clone()).sum().backward());
        }
        Some(Tensor::cat(state.leaves.into_iter().collect::<Option<Vec<_>>>()?, 0))
    }

    /// Whether anything below the first segment is trained: no adapter changes a convolution.
    fn trains_entry(&self) -> bool {
        matches!(self.trained, Trained::Whole(..))
    }

    /// Takes the gradients through segment `index`.
    fn step_back(
        &self,
        index: usize,
        weights: &Weights,
        time: &Tensor<2>,
        leaves: &[Tensor<1>],
        state: &mut BackwardState,
    ) -> Option<()> {
        let segments = self.unet.segments();
        let (segment, input) = (segments.get(index)?, self.inputs.get(index)?);
        let goes_on = index > 0 || self.trains_entry();
        let track = |x: Tensor<4>| if goes_on { leaf(x, &self.device) } else { x };
        let input = Input {
            x: track(input.x.clone()),
            skip: input.skip.clone().map(|x| leaf(x, &self.device)),
            ..input.clone()
        };
        let time = if time.is_autodiff() { leaf(time.clone(), &self.device) } else { time.clone() };
        let output = segment.run(&self.unet, weights, &input, &time, &self.text);
        let was_skipped = index == 0 || segments.get(index - 1).is_some_and(|segment| segment.pushes());
        // Without a middle block the last skipped image comes back at once, and its gradient is only known afterwards.
        let at_once = was_skipped && input.skip.is_some();
        let seed = if was_skipped && !at_once { state.skips.pop() } else { None };
        if !output.is_autodiff() {
            return Some(());
        }
        let mut gradients = backward(&input.x, seed, output, state.output.clone());
        state.collect(leaves, &mut gradients);
        state.skips.extend(input.skip.as_ref().and_then(|skip| skip.grad_remove(&mut gradients)));
        if let Some(gradient) = time.is_autodiff().then(|| time.grad_remove(&mut gradients)).flatten() {
            state.time = Some(match state.time.take() {
                Some(sum) => sum + gradient,
                None => gradient,
            });
        }
        if goes_on {
            state.output = input.x.grad_remove(&mut gradients)?;
            if at_once {
                state.output = state.output.clone() + state.skips.pop()?;
            }
        }
        Some(())
    }
}

impl BackwardState {
    /// Takes the leaves' gradients out of a backward pass. Each leaf is used in one segment, or with the time in many.
    fn collect(&mut self, leaves: &[Tensor<1>], gradients: &mut Gradients) {
        for (sum, leaf) in self.leaves.iter_mut().zip(leaves) {
            if let Some(gradient) = leaf.grad_remove(gradients) {
                *sum = Some(match sum.take() {
                    Some(sum) => sum + gradient,
                    None => gradient,
                });
            }
        }
    }
}

/// The backward pass of `output` from its gradient. `seed` is the gradient that `x` has from elsewhere already.
///
/// Both enter as factors of products, so that they are passed on as they are. In the graph of the whole network the gradient
/// of a skipped image is the first to reach it, because what it went into lies above all else. Here a zero made of `output`
/// lifts its product there: sums in the same order have the same bits.
fn backward(x: &Tensor<4>, seed: Option<Tensor<4>>, output: Tensor<4>, gradient: Tensor<4>) -> Gradients {
    let sum = (output.clone() * gradient).sum();
    let Some(seed) = seed.filter(|_| x.is_autodiff()) else {
        return sum.backward();
    };
    // In half precision the sum itself could be infinite.
    let zero: Tensor<4> = ddpo_kernels::cast(output, DType::F32).sum().mul_scalar(0.0).reshape([1; 4]);
    let zero = ddpo_kernels::cast(zero, seed.dtype());
    (sum + (x.clone() * (seed + zero)).sum()).backward()
}
