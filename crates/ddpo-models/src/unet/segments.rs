//! The network as a list of segments, each of which can be run again by itself from what entered it.

use burn::tensor::Tensor;
use ddpo_kernels::Activation;
use ddpo_nn::{Context, Conv, Result, Transformer, Weights, upsample_to};

use super::{
    blocks::{Layer, MidBlock},
    model::Unet,
};

/// A part of the network with one image in and one out, and perhaps a skipped image in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Segment<'a> {
    /// A layer on the way down, whose output is also skipped ahead.
    Down(&'a Layer),
    /// The halving at the end of a block, whose output is also skipped ahead.
    Downsample(&'a Conv),
    /// The block in the middle.
    Middle(&'a MidBlock),
    /// A layer on the way up, which takes a skipped image.
    Up(&'a Layer),
    /// The doubling at the end of a block.
    Upsample(&'a Conv),
    /// The last norm and convolution.
    Tail,
}

/// What enters a segment besides the text and the time.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// The image of the segment before.
    pub(crate) x: Tensor<4>,
    /// The skipped image.
    pub(crate) skip: Option<Tensor<4>>,
    /// The size to double to.
    pub(crate) size: [usize; 2],
}

impl Segment<'_> {
    /// Whether the output is skipped ahead.
    pub(crate) fn pushes(self) -> bool {
        matches!(self, Self::Down(_) | Self::Downsample(_))
    }

    /// The output for what entered.
    ///
    /// # Shapes
    ///
    /// `time` `[B, width]` from [`Unet::embed_times`], `text` `[B, S, C]`; the result is the next segment's `x`.
    pub(crate) fn run(
        self,
        unet: &Unet,
        weights: &Weights,
        input: &Input,
        time: &Tensor<2>,
        text: &Context,
    ) -> Tensor<4> {
        let mut context = Vec::new();
        if let Some(transformer) = self.transformer() {
            transformer.context(weights, text, &mut context);
        }
        let (mut context, x) = (context.iter(), input.x.clone());
        match self {
            Self::Down(layer) => layer.forward(weights, x, time, &mut context),
            Self::Downsample(conv) => conv.forward(weights, x),
            Self::Middle(block) => block.forward(weights, x, time, &mut context),
            Self::Up(layer) => {
                let x = match &input.skip {
                    Some(skip) => Tensor::cat(vec![x, skip.clone()], 3),
                    None => x,
                };
                layer.forward(weights, x, time, &mut context)
            }
            Self::Upsample(conv) => conv.forward(weights, upsample_to(x, input.size)),
            Self::Tail => unet.leave(weights, unet.norm_out.forward(weights, x, Activation::Silu)),
        }
    }

    fn transformer(&self) -> Option<&Transformer> {
        match self {
            Self::Down(layer) | Self::Up(layer) => layer.transformer(),
            Self::Middle(block) => Some(block.transformer()),
            _ => None,
        }
    }
}

impl Unet {
    /// The segments behind the first convolution, in the order of a forward pass.
    pub(crate) fn segments(&self) -> Vec<Segment<'_>> {
        let mut segments = Vec::new();
        for block in &self.down {
            segments.extend(block.layers().iter().map(Segment::Down));
            segments.extend(block.downsample().map(Segment::Downsample));
        }
        segments.extend(self.mid.iter().map(Segment::Middle));
        for block in &self.up {
            segments.extend(block.layers().iter().map(Segment::Up));
            segments.extend(block.upsample().map(Segment::Upsample));
        }
        segments.push(Segment::Tail);
        segments
    }

    /// [`Unet::forward`], to the bit, the text as its segments take it, and what else entered each of them.
    ///
    /// # Errors
    ///
    /// Those of [`Unet::forward`].
    pub(crate) fn forward_keeping(
        &self,
        weights: &Weights,
        sample: Tensor<4>,
        timesteps: &[f64],
        states: &Tensor<3>,
    ) -> Result<(Tensor<4>, Context, Vec<Input>)> {
        self.check_weights(weights)?;
        self.check_states(states)?;
        self.check_sample(&sample, timesteps, states.dims()[0])?;
        let time = self.embed_times(weights, timesteps, &sample.device());
        let text = Context::new(states);
        let mut x = self.enter(weights, sample);
        let (mut skips, mut inputs) = (vec![x.clone()], Vec::new());
        for segment in self.segments() {
            let skip = if let Segment::Up(_) = segment { skips.pop() } else { None };
            let [_, height, width, _] = skips.last().unwrap_or(&x).dims();
            let input = Input { x, skip, size: [height, width] };
            x = segment.run(self, weights, &input, &time, &text);
            inputs.push(input);
            skips.extend(segment.pushes().then(|| x.clone()));
        }
        Ok((x, text, inputs))
    }
}
