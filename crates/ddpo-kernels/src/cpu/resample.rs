//! Every pixel four times, and back.

use super::{
    conv::Images,
    memory::{self, filled},
};

/// `[batch, 2 height, 2 width, channels]`, every pixel repeated twice both ways.
pub(crate) fn upsample(x: &[f32], images: Images) -> Vec<f32> {
    let row = images.width * images.channels;
    assert_eq!(x.len(), images.len(), "upsample: values of x");
    // SAFETY: the tasks cover every row.
    unsafe {
        filled(x.len() * 4, |y| {
            memory::for_each(images.batch * images.height, x.len() * 8, |index| {
                let from = &x[index * row..(index + 1) * row];
                let to = y.slice(index * 4 * row..(index + 1) * 4 * row);
                let (first, second) = to.split_at_mut(2 * row);
                let c = images.channels;
                for (to, from) in first.chunks_exact_mut(2 * c).zip(from.chunks_exact(c)) {
                    to[..c].copy_from_slice(from);
                    to[c..].copy_from_slice(from);
                }
                second.copy_from_slice(first);
            });
        })
    }
}

/// The sum of each block of four gradients.
pub(crate) fn upsample_gradient(g: &[f32], images: Images) -> Vec<f32> {
    let row = images.width * images.channels;
    assert_eq!(g.len(), images.len() * 4, "upsample: values of the gradient");
    // SAFETY: the tasks cover every row.
    unsafe {
        filled(images.len(), |y| {
            memory::for_each(images.batch * images.height, g.len() * 4, |index| {
                let to = y.slice(index * row..(index + 1) * row);
                let (first, second) = g[index * 4 * row..(index + 1) * 4 * row].split_at(2 * row);
                let c = images.channels;
                let pixels = first.chunks_exact(2 * c).zip(second.chunks_exact(2 * c));
                for (to, (a, b)) in to.chunks_exact_mut(c).zip(pixels) {
                    for (i, to) in to.iter_mut().enumerate() {
                        *to = (a[i] + a[c + i]) + (b[i] + b[c + i]);
                    }
                }
            });
        })
    }
}
