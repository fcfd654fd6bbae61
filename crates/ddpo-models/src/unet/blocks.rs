//! The blocks of a UNet: down, middle, up.

use burn::tensor::Tensor;
use ddpo_nn::{
    Conv, KeysValues, ParamScope, Resnet, ResnetShape, Transformer, TransformerShape, Weights, downsample, upsample_to,
};

use super::config::{BlockConfig, UnetConfig};

type Context<'a> = std::slice::Iter<'a, KeysValues>;

/// A residual block and, where the resolution has attention, the transformer behind it.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    resnet: Resnet,
    transformer: Option<Transformer>,
}

/// One resolution on the way down.
#[derive(Clone, Debug)]
pub(super) struct DownBlock {
    layers: Vec<Layer>,
    downsample: Option<Conv>,
}

/// The lowest resolution.
#[derive(Clone, Debug)]
pub(crate) struct MidBlock {
    first: Resnet,
    transformer: Transformer,
    last: Resnet,
}

/// One resolution on the way up.
#[derive(Clone, Debug)]
pub(super) struct UpBlock {
    layers: Vec<Layer>,
    upsample: Option<Conv>,
}

impl Layer {
    fn new(
        scope: &mut ParamScope<'_>,
        index: usize,
        resnet: ResnetShape,
        transformer: Option<TransformerShape>,
    ) -> Self {
        Self {
            resnet: Resnet::new(&mut scope.child("resnets").child(index), resnet),
            transformer: transformer.map(|shape| Transformer::new(&mut scope.child("attentions").child(index), shape)),
        }
    }

    pub(super) fn forward(
        &self,
        weights: &Weights,
        x: Tensor<4>,
        time: &Tensor<2>,
        context: &mut Context<'_>,
    ) -> Tensor<4> {
        let x = self.resnet.forward(weights, x, Some(time));
        match &self.transformer {
            Some(transformer) => transformer.forward(weights, x, context),
            None => x,
        }
    }

    pub(super) fn transformer(&self) -> Option<&Transformer> {
        self.transformer.as_ref()
    }
}

impl DownBlock {
    /// Block `index` of `config`, which is entered with `inputs` channels.
    pub(super) fn new(scope: &mut ParamScope<'_>, config: &UnetConfig, index: usize, inputs: usize) -> Self {
        let block = &config.blocks[index];
        let layer = |(i, scope): (usize, &mut ParamScope<'_>)| {
            let inputs = if i == 0 { inputs } else { block.channels };
            let transformer = block.down_attention.then(|| transformer_shape(config, block));
            Layer::new(scope, i, resnet_shape(config, inputs, block.channels, 1.0), transformer)
        };
        let layers = (0..block.layers).map(|i| layer((i, scope))).collect();
        let last = index + 1 == config.blocks.len();
        let downsample = (!last)
            .then(|| downsample(&mut scope.child("downsamplers").child(0), block.channels, config.downsample_padding));
        Self { layers, downsample }
    }

    /// Pushes every intermediate image onto `skips`.
    pub(super) fn forward(
        &self,
        weights: &Weights,
        mut x: Tensor<4>,
        time: &Tensor<2>,
        context: &mut Context<'_>,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        for layer in &self.layers {
            x = layer.forward(weights, x, time, context);
            skips.push(x.clone());
        }
        if let Some(downsample) = &self.downsample {
            x = downsample.forward(weights, x);
            skips.push(x.clone());
        }
        x
    }

    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    pub(super) fn downsample(&self) -> Option<&Conv> {
        self.downsample.as_ref()
    }

    pub(super) fn transformers(&self) -> impl Iterator<Item = &Transformer> {
        self.layers.iter().filter_map(Layer::transformer)
    }
}

impl MidBlock {
    pub(super) fn new(scope: &mut ParamScope<'_>, config: &UnetConfig, block: &BlockConfig) -> Self {
        let resnet = resnet_shape(config, block.channels, block.channels, config.mid_block_scale_factor);
        // Diffusers gives the middle block no `only_cross_attention`.
        let transformer = TransformerShape { only_cross_attention: false, ..transformer_shape(config, block) };
        Self {
            first: Resnet::new(&mut scope.child("resnets").child(0), resnet),
            transformer: Transformer::new(&mut scope.child("attentions").child(0), transformer),
            last: Resnet::new(&mut scope.child("resnets").child(1), resnet),
        }
    }

    pub(super) fn forward(
        &self,
        weights: &Weights,
        x: Tensor<4>,
        time: &Tensor<2>,
        context: &mut Context<'_>,
    ) -> Tensor<4> {
        let x = self.first.forward(weights, x, Some(time));
        let x = self.transformer.forward(weights, x, context);
        self.last.forward(weights, x, Some(time))
    }

    pub(super) fn transformer(&self) -> &Transformer {
        &self.transformer
    }
}

impl UpBlock {
    /// The block that goes up at resolution `index` of `config`, entered with `inputs` channels.
    pub(super) fn new(scope: &mut ParamScope<'_>, config: &UnetConfig, index: usize, inputs: usize) -> Self {
        let block = &config.blocks[index];
        // The last skip of this resolution is the output of the finer one.
        let finer = config.blocks[index.saturating_sub(1)].channels;
        let layer = |(i, scope): (usize, &mut ParamScope<'_>)| {
            let own = if i == 0 { inputs } else { block.channels };
            let skip = if i == block.layers { finer } else { block.channels };
            let transformer = block.up_attention.then(|| transformer_shape(config, block));
            Layer::new(scope, i, resnet_shape(config, own + skip, block.channels, 1.0), transformer)
        };
        let layers = (0..=block.layers).map(|i| layer((i, scope))).collect();
        let upsample = (index > 0).then(|| {
            Conv::same(&mut scope.child("upsamplers").child(0).child("conv"), block.channels, block.channels, 3)
        });
        Self { layers, upsample }
    }

    /// Pops one image from `skips` for each layer, and ends at the size of the next one.
    pub(super) fn forward(
        &self,
        weights: &Weights,
        mut x: Tensor<4>,
        time: &Tensor<2>,
        context: &mut Context<'_>,
        skips: &mut Vec<Tensor<4>>,
    ) -> Tensor<4> {
        for layer in &self.layers {
            if let Some(skip) = skips.pop() {
                x = Tensor::cat(vec![x, skip], 3);
            }
            x = layer.forward(weights, x, time, context);
        }
        if let (Some(upsample), Some(next)) = (&self.upsample, skips.last()) {
            let [_, height, width, _] = next.dims();
            x = upsample.forward(weights, upsample_to(x, [height, width]));
        }
        x
    }

    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    pub(super) fn upsample(&self) -> Option<&Conv> {
        self.upsample.as_ref()
    }

    pub(super) fn transformers(&self) -> impl Iterator<Item = &Transformer> {
        self.layers.iter().filter_map(Layer::transformer)
    }
}

fn resnet_shape(config: &UnetConfig, inputs: usize, outputs: usize, output_scale: f64) -> ResnetShape {
    ResnetShape {
        inputs,
        outputs,
        time: Some(config.time_width()),
        groups: config.norm_num_groups,
        epsilon: config.norm_eps,
        output_scale,
    }
}

fn transformer_shape(config: &UnetConfig, block: &BlockConfig) -> TransformerShape {
    TransformerShape {
        channels: block.channels,
        heads: block.heads,
        layers: block.transformer_layers,
        context: config.cross_attention_dim,
        groups: config.norm_num_groups,
        linear_projection: config.use_linear_projection,
        only_cross_attention: block.only_cross_attention,
    }
}
