//! The permutation between a file's element order and the one in memory.

use super::spec::{Layout, ParamSpec};

/// Outputs that are moved together: their elements are neighbours in one order and far apart in the other, and this many of
/// each fill a cache line.
const BLOCK: usize = 16;

impl ParamSpec {
    /// Elements in the file's order, in the kernels': `[O, I, kh, kw] -> [kh, kw, I, O]`, `[O, I] -> [I, O]`.
    ///
    /// # Panics
    ///
    /// If there are fewer than [`ParamSpec::elements`].
    pub fn to_kernel_order(&self, file: &[f32]) -> Vec<f32> {
        permute(self, file, |kernel, file, at| kernel[at.kernel] = file[at.file])
    }

    /// Elements in the kernels' order, in the file's: the inverse of [`ParamSpec::to_kernel_order`].
    ///
    /// # Panics
    ///
    /// If there are fewer than [`ParamSpec::elements`].
    pub fn to_file_order(&self, kernel: &[f32]) -> Vec<f32> {
        permute(self, kernel, |file, kernel, at| file[at.file] = kernel[at.kernel])
    }
}

/// Where an element is in either order.
#[derive(Clone, Copy)]
struct Positions {
    kernel: usize,
    file: usize,
}

fn permute(spec: &ParamSpec, from: &[f32], put: impl Fn(&mut [f32], &[f32], Positions)) -> Vec<f32> {
    let Some((outputs, inputs, taps)) = dimensions(spec) else {
        return from.to_vec();
    };
    let mut to = vec![0.0; from.len()];
    for start in (0..outputs).step_by(BLOCK) {
        for input in 0..inputs {
            for tap in 0..taps {
                for output in start..outputs.min(start + BLOCK) {
                    let kernel = (tap * inputs + input) * outputs + output;
                    put(&mut to, from, Positions { kernel, file: (output * inputs + input) * taps + tap });
                }
            }
        }
    }
    to
}

/// Outputs, inputs and kernel taps of a matrix; nothing for what keeps its order.
fn dimensions(spec: &ParamSpec) -> Option<(usize, usize, usize)> {
    match (spec.layout, spec.shape.as_slice()) {
        (Layout::Conv | Layout::Linear, [outputs, inputs, taps @ ..]) => {
            Some((*outputs, *inputs, taps.iter().product()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Init;

    fn spec(shape: &[usize], layout: Layout) -> ParamSpec {
        ParamSpec { name: "w".into(), shape: shape.to_vec(), layout, init: Init::Zeros }
    }

    #[test]
    fn a_convolution_is_kept_tap_major() {
        let spec = spec(&[2, 3, 1, 2], Layout::Conv);
        let file: Vec<f32> = (0..12).map(|x| x as f32).collect();
        let kernel = spec.to_kernel_order(&file);
        // Row (tap 1, input 2), column 1 is file element [1, 2, 0, 1].
        assert_eq!(kernel[5 * 2 + 1], 11.0);
        assert_eq!(kernel[..4], [0.0, 6.0, 2.0, 8.0]);
        assert_eq!(spec.to_file_order(&kernel), file);
    }

    #[test]
    fn an_embedding_keeps_its_order() {
        let spec = spec(&[2, 2], Layout::Embedding);
        assert_eq!(spec.to_kernel_order(&[1.0, 2.0, 3.0, 4.0]), [1.0, 2.0, 3.0, 4.0]);
    }
}
