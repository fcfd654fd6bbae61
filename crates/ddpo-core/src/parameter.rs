//! One trainable tensor of a policy, as optimizers and checkpoints see it.

use burn::Tensor;

/// A trainable tensor, flat, with the name and the shape that give it a meaning.
///
/// Optimizer and checkpoint treat all parameters alike, so the value is flat; only the policy that owns it unfolds it.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The name, unique within the policy.
    pub name: String,
    /// The unfolded shape; its product is the length of `value`.
    pub shape: Vec<usize>,
    /// The values `[n]`, f32: a leaf on an autodiff device that requires a gradient.
    pub value: Tensor<1>,
}
