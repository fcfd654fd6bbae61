//! Rows of several texts in one matrix.

use burn::tensor::Tensor;
use ddpo_kernels::Mask;

/// States of several texts, one after the other.
#[derive(Clone, Debug)]
pub struct Ragged {
    /// `[sum of lengths, C]`
    pub states: Tensor<2>,
    /// How many rows each text has.
    pub lengths: Vec<usize>,
}

impl Ragged {
    /// The rows of each text.
    pub fn split(&self) -> Vec<Tensor<2>> {
        split(&self.states, &self.lengths)
    }
}

/// Where each text begins.
fn starts(lengths: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    lengths.iter().scan(0, |next, length| {
        let start = *next;
        *next += length;
        Some((start, *length))
    })
}

/// The rows of each text.
pub(super) fn split(states: &Tensor<2>, lengths: &[usize]) -> Vec<Tensor<2>> {
    starts(lengths).map(|(start, length)| states.clone().narrow(0, start, length)).collect()
}

/// What the tokens of each text take from what it looks at.
///
/// # Shapes
///
/// - `query`: `[sum of lengths, C]`, `key` and `value`: `[sum of seen, C]`
/// - result: `[sum of lengths, C]`
pub(super) fn attend(
    [query, key, value]: [Tensor<2>; 3],
    lengths: &[usize],
    seen: &[usize],
    heads: usize,
) -> Tensor<2> {
    let one = |((query, key), value): ((Tensor<2>, Tensor<2>), Tensor<2>)| {
        let [query, key, value] = [query, key, value].map(Tensor::unsqueeze::<3>);
        ddpo_kernels::attention(query, key, value, heads, Mask::None).squeeze_dim::<2>(0)
    };
    let parts = split(&query, lengths).into_iter().zip(split(&key, seen)).zip(split(&value, seen));
    Tensor::cat(parts.map(one).collect(), 0)
}
