//! The head that turns an embedding into a number: five linear layers without an activation between them.

use burn::tensor::{Device, Tensor};
use ddpo_nn::{Linear, ParamScope, Result, Specs, TensorFile, TensorPart, Weights};

/// What comes out of each layer.
const WIDTHS: [usize; 5] = [1024, 128, 64, 16, 1];

/// The places of the layers in the `Sequential` of the original, which has dropout between them.
const PLACES: [usize; 5] = [0, 2, 4, 6, 7];

/// The head, with its weights.
pub(super) struct Head {
    layers: Vec<Linear>,
    weights: Weights,
}

impl Head {
    /// Reads the tensors `{prefix}layers.0.weight` and so on of a file.
    ///
    /// # Errors
    ///
    /// If one is missing, damaged or of another shape.
    pub fn load(file: &TensorFile, prefix: &str, inputs: usize, device: &Device) -> Result<Self> {
        let (specs, layers) = describe(inputs);
        let part = |name: &str| TensorPart::whole(format!("{prefix}{name}"));
        let weights = Weights::load_parts(&specs, file, part, |_| true, device)?;
        Ok(Self { layers, weights })
    }

    /// One number a row.
    ///
    /// # Shapes
    ///
    /// `[B, inputs] -> B`
    ///
    /// # Errors
    ///
    /// If the numbers cannot be read from the device.
    pub fn score(&self, features: Tensor<2>) -> Result<Vec<f32>> {
        let score = self.layers.iter().fold(features, |x, layer| layer.forward(&self.weights, x));
        ddpo_nn::read_back("scores", score.flatten::<1>(0, 1))
    }
}

fn describe(inputs: usize) -> (Specs, Vec<Linear>) {
    let mut specs = Vec::new();
    let mut root = ParamScope::root(&mut specs);
    let mut scope = root.child("layers");
    let mut width = inputs;
    let mut layers = Vec::new();
    for (place, outputs) in PLACES.into_iter().zip(WIDTHS) {
        layers.push(Linear::new(&mut scope.child(place), width, outputs));
        width = outputs;
    }
    (specs.into(), layers)
}
