//! A tiny trainable policy for states of any rank.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use ddpo_core::{
    Address, Condition, Denoiser, Domain, Epoch, Error, Noise, Parameter, Policy, Prediction, PredictionKind, Result,
    SampleId, Stream, Timestep,
};

/// How a [`ToyPolicy`] is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToyPolicyConfig {
    /// The elements of a state.
    pub elements: usize,
    /// The hidden units.
    pub hidden: usize,
    /// The seed of the initial parameters.
    pub seed: u64,
}

/// A perceptron with one hidden layer that predicts ε from the flattened state, the time and the first number of the
/// condition. Products are summed per row, so it keeps the law of denoisers: a row does not depend on its batch, to the bit.
#[derive(Clone, Debug)]
pub struct ToyPolicy {
    net: Net,
    base: Net,
}

#[derive(Clone, Debug)]
struct Net {
    shapes: [[usize; 2]; 2],
    /// Two flat matrices, `[inputs, hidden]` and `[hidden + 1, elements]`.
    weights: Vec<Tensor<1>>,
}

const NAMES: [&str; 2] = ["hidden.weight", "output.weight"];

impl ToyPolicy {
    /// A policy with random parameters on this device.
    pub fn new(config: ToyPolicyConfig, device: &Device) -> Self {
        let shapes = [[config.elements + 3, config.hidden], [config.hidden + 1, config.elements]];
        let plain = device.clone().without_autodiff();
        let noise = Noise::new(config.seed, Domain::Initialisation);
        let weights = (0..2).map(|i| {
            let [rows, columns] = shapes[i];
            let address = Address { stream: Stream::Other(0), epoch: Epoch(0), sample: SampleId(0), step: i as u64 };
            let scale = 1.0 / (rows as f32).sqrt();
            let values: Vec<f32> = noise.at(address).normals(rows * columns).iter().map(|z| z * scale).collect();
            Tensor::from_data(TensorData::new(values, [rows * columns]), &plain)
        });
        let base = Net { shapes, weights: weights.collect() };
        Self { net: base.leaves(), base }
    }
}

impl Net {
    fn leaves(&self) -> Self {
        let weights = self.weights.iter().map(|weight| weight.clone().autodiff().require_grad()).collect();
        Self { shapes: self.shapes, weights }
    }

    fn plain(&self) -> Self {
        Self { shapes: self.shapes, weights: self.weights.iter().map(|weight| weight.clone().inner()).collect() }
    }

    /// `x W` as a sum of products over the middle dimension: `[B, I]` to `[B, O]`.
    fn dense(&self, layer: usize, x: Tensor<2>) -> Tensor<2> {
        let [inputs, outputs] = self.shapes[layer];
        let batch = x.dims()[0];
        let weight = self.weights[layer].clone().reshape([1, inputs, outputs]);
        (x.reshape([batch, inputs, 1]) * weight).sum_dim(1).reshape([batch, outputs])
    }

    fn inputs<const D: usize>(&self, x: &Tensor<D>, timesteps: &[Timestep], condition: &Condition) -> Tensor<2> {
        let batch = x.dims()[0];
        let times: Vec<f32> = timesteps.iter().map(|t| (t.0 / 1000.0) as f32).collect();
        let times = Tensor::from_data(TensorData::new(times, [batch, 1]), &x.device());
        let first = condition.states.clone().narrow(1, 0, 1).narrow(2, 0, 1).reshape([batch, 1]);
        let ones = Tensor::ones([batch, 1], &x.device());
        Tensor::cat(vec![x.clone().reshape([batch, self.shapes[1][1]]), times, first, ones], 1)
    }
}

impl<const D: usize> Denoiser<D> for Net {
    fn predict(&self, sample: &Tensor<D>, timesteps: &[Timestep], condition: &Condition) -> Result<Prediction<D>> {
        let elements: usize = sample.dims()[1..].iter().product();
        if elements != self.shapes[1][1] {
            let (found, wanted) = (sample.dims().to_vec(), vec![self.shapes[1][1]]);
            return Err(Error::Shape { operation: "toy policy", found, wanted });
        }
        let hidden = self.dense(0, self.inputs(sample, timesteps, condition)).tanh();
        let ones = Tensor::ones([hidden.dims()[0], 1], &hidden.device());
        let output = self.dense(1, Tensor::cat(vec![hidden, ones], 1));
        Ok(Prediction::new(PredictionKind::Epsilon, output.reshape(sample.dims())))
    }
}

impl<const D: usize> Denoiser<D> for ToyPolicy {
    fn predict(&self, sample: &Tensor<D>, timesteps: &[Timestep], condition: &Condition) -> Result<Prediction<D>> {
        self.net.predict(sample, timesteps, condition)
    }
}

impl<const D: usize> Policy<D> for ToyPolicy {
    fn parameters(&self) -> Vec<Parameter> {
        let weights = self.net.weights.iter().cloned().zip(NAMES).zip(self.net.shapes);
        weights.map(|((value, name), shape)| Parameter { name: name.into(), shape: shape.to_vec(), value }).collect()
    }

    fn set_parameters(&mut self, values: Vec<Tensor<1>>) -> Result<()> {
        let shapes = |weights: &[Tensor<1>]| weights.iter().map(|weight| weight.dims()[0]).collect::<Vec<_>>();
        let (found, wanted) = (shapes(&values), shapes(&self.net.weights));
        if found != wanted {
            return Err(Error::Shape { operation: "set the parameters of a toy policy", found, wanted });
        }
        let plain = values.into_iter().map(Tensor::inner).collect();
        self.net = Net { shapes: self.net.shapes, weights: plain }.leaves();
        Ok(())
    }

    fn sampler(&self) -> Box<dyn Denoiser<D> + '_> {
        Box::new(self.net.plain())
    }

    fn reference(&self) -> Box<dyn Denoiser<D> + '_> {
        Box::new(self.base.clone())
    }
}
