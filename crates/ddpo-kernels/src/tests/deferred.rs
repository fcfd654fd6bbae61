//! A deferred gradient against the graph's own.

use burn::tensor::{DType, Tensor};

use super::support::{random, values};
use crate::deferred;

/// The gradient of `sum (2 p)^2 w`, whose inner factor is made without a graph: `dL/dp = 8 p w`.
fn gradient(dtype: DType, is_deferred: bool) -> Vec<f32> {
    let parameters = random(1, [6]).cast(dtype).autodiff().require_grad();
    let weights = random(2, [2, 3]).cast(dtype);
    let value: Tensor<2> = if is_deferred {
        let doubled = parameters.clone().inner().mul_scalar(2.0).reshape([2, 3]);
        deferred(parameters.clone(), &doubled, |gradient: Tensor<2>| Some(gradient.flatten(0, 1).mul_scalar(2.0)))
    } else {
        parameters.clone().mul_scalar(2.0).reshape([2, 3])
    };
    let gradients = (value.square() * weights).sum().backward();
    values(parameters.grad(&gradients).unwrap().cast(DType::F32))
}

/// Numbers of 64 bits are none of this crate's kernels': they go the way of every device.
#[test]
fn a_deferred_gradient_is_the_graphs_own_whatever_the_numbers() {
    for dtype in [DType::F32, DType::F64] {
        assert_eq!(gradient(dtype, true), gradient(dtype, false), "{dtype:?}");
    }
}

#[test]
fn without_parameters_in_a_graph_there_is_only_the_value() {
    let value = random(3, [4]);
    let out = deferred(random(1, [2]), &value, |_: Tensor<1>| None);
    assert!(!out.is_autodiff());
    assert_eq!(values(out), values(value));
}

/// The gradient reaches the parameters through what they are made of.
#[test]
fn parameters_may_be_made_of_others() {
    let leaf = random(1, [3]).autodiff().require_grad();
    let doubled = leaf.clone().mul_scalar(2.0);
    let value = deferred(doubled, &random(2, [3]), Some);
    let gradients = value.sum().backward();
    assert_eq!(values(leaf.grad(&gradients).unwrap()), [2.0; 3]);
}
