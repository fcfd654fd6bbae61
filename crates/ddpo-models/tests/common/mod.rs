//! Pipelines, adapters and values for the tests of several files.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_models::{Lora, LoraConfig, Pipeline};
use ddpo_nn::ModelFiles;

/// A fixture's pipeline.
pub fn pipeline(kind: &str) -> Pipeline {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Pipeline::load(&ModelFiles::Directory(fixtures.join(kind)), &Device::default()).unwrap()
}

/// Values of a sine.
pub fn wave<const D: usize>(shape: [usize; D], frequency: f32) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * frequency).sin()).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::default())
}

/// The values, without a graph.
pub fn bits<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.inner().try_into_vec_as::<f32>().unwrap()
}

/// An adapter none of whose factors is zero.
pub fn adapter(pipeline: &Pipeline, targets: &[&str]) -> Lora {
    let targets = targets.iter().map(|target| (*target).to_owned()).collect();
    let config = LoraConfig { rank: 3, alpha: 2.0, targets };
    let adapter = Lora::init(pipeline.unet.specs(), &config, 5, &Device::default()).unwrap();
    let shifted = adapter.parameters().into_iter().map(|p| {
        let [n] = p.value.dims();
        p.value + wave([n], 0.7) * 0.1
    });
    adapter.with_values(shifted.collect()).unwrap()
}
