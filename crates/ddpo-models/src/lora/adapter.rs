//! An adapter as a value beside the weights that it changes.

use burn::tensor::{DType, Device, Tensor};
use ddpo_core::Parameter;
use ddpo_kernels::cast;
use ddpo_nn::{Error, Init, Layout, LowRankTerm, ParamId, ParamSpec, Result, Specs, Weights, leaf, vector};

use super::names::{module, readable_module};

/// Which layers an adapter changes, and how much room it has.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// The inner size of the factors.
    pub rank: usize,
    /// The term is scaled by `alpha / rank`.
    pub alpha: f64,
    /// The last parts of the names of the layers, such as `to_q`.
    pub targets: Vec<String>,
}

impl Default for LoraConfig {
    /// Rank 4 on the four projections of every attention, as ddpo-pytorch has it.
    fn default() -> Self {
        let targets = ["to_q", "to_k", "to_v", "to_out.0"].map(str::to_owned).to_vec();
        Self { rank: 4, alpha: 4.0, targets }
    }
}

/// A low-rank adapter of a UNet, or of a text encoder: for each layer `W` `[K, N]` it has factors `A` `[K, rank]` and `B` `[rank, N]`.
///
/// The layer then computes `x W + b + ((x A) B) alpha / rank`; `A B` is never formed, except by [`Lora::merge`], and for convolutions,
/// which an adapter from a file may have and which are not trained.
#[derive(Clone, Debug)]
pub struct Lora {
    pub(super) specs: Specs,
    pub(super) layers: Vec<Layer>,
}

/// The factors of one layer.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) id: ParamId,
    pub(super) rank: usize,
    pub(super) alpha: f64,
    /// `A`, flat.
    pub(super) down: Tensor<1>,
    /// `B`, flat.
    pub(super) up: Tensor<1>,
}

impl Lora {
    /// A fresh adapter of the model described by `specs`: `A` normal with standard deviation `1 / rank`, `B` zero, so that
    /// the model's output does not change.
    ///
    /// # Errors
    ///
    /// If the rank is zero, or a target names no layer.
    pub fn init(specs: &Specs, config: &LoraConfig, seed: u64, device: &Device) -> Result<Self> {
        if config.rank == 0 || !config.alpha.is_finite() {
            let found = (config.rank, config.alpha);
            return Err(Error::input(
                "make an adapter",
                "rank and alpha",
                found,
                "a rank of at least 1 and a finite alpha",
            ));
        }
        let ends = |name: &str, target: &str| {
            name.strip_suffix(target).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let names = |spec: &ParamSpec, target: &str| module(spec).is_some_and(|module| ends(module, target));
        if let Some(target) = config.targets.iter().find(|target| !specs.iter().any(|spec| names(spec, target))) {
            return Err(Error::input(
                "make an adapter",
                "target",
                target,
                "the end of a linear layer's name, such as `to_q`",
            ));
        }
        let is_target = |spec: &ParamSpec| config.targets.iter().any(|target| names(spec, target));
        let layers = specs.iter().enumerate().filter(|(_, spec)| is_target(spec));
        let layers = layers.map(|(id, spec)| Layer::init(ParamId(id), spec, config, seed, device)).collect();
        Ok(Self { specs: specs.clone(), layers })
    }

    /// The factors in a fixed order, named as in the files: `unet.<layer>.lora_A.weight`, `unet.<layer>.lora_B.weight`.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.layers.iter().flat_map(|layer| layer.parameters(&self.specs)).collect()
    }

    /// The same adapter with other values, in the order of [`Lora::parameters`].
    ///
    /// # Errors
    ///
    /// If the count or a length does not fit.
    pub fn with_values(&self, values: Vec<Tensor<1>>) -> Result<Self> {
        if values.len() != 2 * self.layers.len() {
            return Err(Error::input("set an adapter", "number of tensors", values.len(), 2 * self.layers.len()));
        }
        for (parameter, value) in self.parameters().iter().zip(&values) {
            let (found, wanted) = (value.dims()[0], parameter.value.dims()[0]);
            if found != wanted {
                return Err(Error::input("set an adapter", format!("length of `{}`", parameter.name), found, wanted));
            }
        }
        let mut values = values.into_iter();
        let mut adapter = self.clone();
        for layer in &mut adapter.layers {
            if let (Some(down), Some(up)) = (values.next(), values.next()) {
                (layer.down, layer.up) = (down, up);
            }
        }
        Ok(adapter)
    }

    /// The same adapter, its terms multiplied by `strength`.
    #[must_use]
    pub fn scaled(&self, strength: f64) -> Self {
        let mut adapter = self.clone();
        adapter.layers.iter_mut().for_each(|layer| layer.alpha *= strength);
        adapter
    }

    /// The same adapter with autodiff leaves for values, with the gradient-checkpointing strategy of `device`.
    pub fn tracked(&self, device: &Device) -> Self {
        self.map(|value| leaf(value, device))
    }

    /// The same adapter with constants for values.
    pub fn without_gradients(&self) -> Self {
        self.map(Tensor::inner)
    }

    /// `weights` with this adapter on top of them and of the adapters that they have; tracked if the adapter is.
    ///
    /// # Errors
    ///
    /// If the weights are of another model.
    pub fn attach(&self, weights: &Weights) -> Result<Weights> {
        self.check(weights)?;
        let (linear, convolutions): (Vec<_>, Vec<_>) =
            self.layers.iter().partition(|layer| module(&self.specs[layer.id.0]).is_some());
        let weights = weights.with_terms(linear.into_iter().map(|layer| (layer.id, layer.term(&self.specs))));
        match convolutions.as_slice() {
            [] => Ok(weights),
            layers => Ok(weights.replaced(layers.iter().map(|layer| layer.merged(&self.specs, &weights)).collect())),
        }
    }

    /// Constant weights in which this adapter has been added to the matrices: `W + A B alpha / rank`. Other adapters stay on top.
    ///
    /// # Errors
    ///
    /// If the weights are of another model.
    pub fn merge(&self, weights: &Weights) -> Result<Weights> {
        self.check(weights)?;
        Ok(weights.replaced(self.layers.iter().map(|layer| layer.merged(&self.specs, weights)).collect()))
    }

    /// The names of the layers in the files of diffusers.
    pub(super) fn layer_names(&self) -> Vec<String> {
        let name = |layer: &Layer| readable_module(&self.specs[layer.id.0]).unwrap_or_default().to_owned();
        self.layers.iter().map(name).collect()
    }

    fn map(&self, change: impl Fn(Tensor<1>) -> Tensor<1>) -> Self {
        let mut adapter = self.clone();
        for layer in &mut adapter.layers {
            (layer.down, layer.up) = (change(layer.down.clone()), change(layer.up.clone()));
        }
        adapter
    }

    fn check(&self, weights: &Weights) -> Result<()> {
        if weights.fits(&self.specs) {
            return Ok(());
        }
        let wanted = format!("the {} of the adapter's model", self.specs.len());
        Err(Error::input("apply an adapter", "number of parameters", weights.specs().len(), wanted))
    }
}

impl Layer {
    fn init(id: ParamId, spec: &ParamSpec, config: &LoraConfig, seed: u64, device: &Device) -> Self {
        let [inputs, outputs] = spec.matrix_shape();
        let init = Init::Normal(1.0 / config.rank as f64);
        let name = format!("{}.lora_A", spec.name);
        let down = ParamSpec { name, shape: vec![config.rank, inputs], layout: Layout::Linear, init }.draw(seed);
        let up = vec![0.0; config.rank * outputs];
        Self { id, rank: config.rank, alpha: config.alpha, down: vector(down, device), up: vector(up, device) }
    }

    pub(super) fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }

    fn parameters(&self, specs: &Specs) -> [Parameter; 2] {
        let spec = &specs[self.id.0];
        let [inputs, outputs] = spec.matrix_shape();
        let name = |factor: &str| format!("unet.{}.{factor}.weight", module(spec).unwrap_or(&spec.name));
        [
            Parameter { name: name("lora_A"), shape: vec![inputs, self.rank], value: self.down.clone() },
            Parameter { name: name("lora_B"), shape: vec![self.rank, outputs], value: self.up.clone() },
        ]
    }

    /// The layer's matrix with the term added, constant and in its format.
    fn merged(&self, specs: &Specs, weights: &Weights) -> (ParamId, Tensor<1>) {
        let [inputs, outputs] = specs[self.id.0].matrix_shape();
        let down = self.down.clone().inner().reshape([inputs, self.rank]);
        let up = self.up.clone().inner().reshape([self.rank, outputs]);
        let change: Tensor<1> = down.matmul(up).mul_scalar(self.scale()).flatten(0, 1);
        let value = weights.vector(self.id).inner();
        let format = value.dtype();
        (self.id, cast(cast(value, DType::F32) + change, format))
    }

    fn term(&self, specs: &Specs) -> LowRankTerm {
        let shape = specs[self.id.0].matrix_shape();
        LowRankTerm::new([self.down.clone(), self.up.clone()], shape, self.rank, self.scale())
    }
}
