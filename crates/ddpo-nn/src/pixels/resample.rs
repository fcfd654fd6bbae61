//! Pillow's bicubic resampling of 8-bit pictures, to the bit, and PyTorch's of floats with `antialias`, which has the same weights.
//!
//! `Image.resize(size, BICUBIC)` stretches the kernel when it shrinks a picture, works in two passes with 8-bit values between
//! them, and multiplies in fixed point (Pillow, `src/libImaging/Resample.c`).

use std::ops::Range;

/// Bits behind the point of a weight: eight are the value's, and two keep the sums of weights that overshoot.
const PRECISION: u32 = 32 - 8 - 2;

/// The kernel is zero from here on.
const SUPPORT: f64 = 2.0;

/// Channels of a pixel.
const CHANNELS: usize = 3;

/// What one value of the result is made of.
struct Taps<W> {
    /// The values of the input.
    inputs: Range<usize>,
    /// Their weights.
    weights: Vec<W>,
}

/// A picture of `height * width` RGB pixels at another size, `[width, height]` each.
///
/// # Panics
///
/// If there are fewer pixels, or a size is zero.
pub fn resize_bicubic(pixels: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    resize(pixels, from, to, fixed, |taps, value| {
        let products = taps.inputs.clone().zip(&taps.weights).map(|(input, weight)| i32::from(value(input)) * weight);
        let sum = products.fold(1 << (PRECISION - 1), i32::wrapping_add);
        (sum >> PRECISION).clamp(0, 255) as u8
    })
}

/// [`resize_bicubic`] of floats, whose range may be left.
pub(super) fn resize_bicubic_floats(pixels: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    resize(
        pixels,
        from,
        to,
        |weight| weight as f32,
        |taps, value| taps.inputs.clone().zip(&taps.weights).map(|(input, weight)| value(input) * weight).sum(),
    )
}

/// Two passes, horizontal first.
fn resize<T: Copy, W>(
    pixels: &[T],
    [width, height]: [usize; 2],
    to: [usize; 2],
    weight: impl Fn(f64) -> W,
    sum: impl Fn(&Taps<W>, &dyn Fn(usize) -> T) -> T,
) -> Vec<T> {
    assert!(pixels.len() >= width * height * CHANNELS, "resize: values of the picture, against its size");
    assert!(width > 0 && height > 0 && !to.contains(&0), "resize: to {to:?}, wanted sizes of at least 1");
    let wide = match to[0] == width {
        true => pixels.to_vec(),
        false => across(pixels, width, &taps(width, to[0], &weight), &sum),
    };
    match to[1] == height {
        true => wide,
        false => down(&wide, to[0], &taps(height, to[1], &weight), &sum),
    }
}

/// The weights of all values of the result.
fn taps<W>(from: usize, to: usize, number: &impl Fn(f64) -> W) -> Vec<Taps<W>> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = SUPPORT * stretch;
    let one = |place: usize| {
        let centre = (place as f64 + 0.5) * scale;
        // Casts cut towards zero, which is what C does, and saturate below.
        let first = (centre - support + 0.5) as usize;
        let last = ((centre + support + 0.5) as usize).min(from);
        let weight = |input: usize| bicubic((input as f64 - centre + 0.5) * (1.0 / stretch));
        let mut weights: Vec<f64> = (first..last).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        if sum != 0.0 {
            weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        Taps { inputs: first..last, weights: weights.into_iter().map(number).collect() }
    };
    (0..to).map(one).collect()
}

/// Keys' cubic convolution with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < SUPPORT {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// A weight in fixed point, halves away from zero.
fn fixed(weight: f64) -> i32 {
    let half = if weight < 0.0 { -0.5 } else { 0.5 };
    (half + weight * f64::from(1 << PRECISION)) as i32
}

/// The horizontal pass.
fn across<T: Copy, W>(
    pixels: &[T],
    width: usize,
    taps: &[Taps<W>],
    sum: &impl Fn(&Taps<W>, &dyn Fn(usize) -> T) -> T,
) -> Vec<T> {
    let rows = pixels.chunks_exact(width * CHANNELS);
    let mut out = Vec::with_capacity(rows.len() * taps.len() * CHANNELS);
    for row in rows {
        for taps in taps {
            out.extend((0..CHANNELS).map(|channel| sum(taps, &|input| row[input * CHANNELS + channel])));
        }
    }
    out
}

/// The vertical pass.
fn down<T: Copy, W>(
    pixels: &[T],
    width: usize,
    taps: &[Taps<W>],
    sum: &impl Fn(&Taps<W>, &dyn Fn(usize) -> T) -> T,
) -> Vec<T> {
    let stride = width * CHANNELS;
    let mut out = Vec::with_capacity(taps.len() * stride);
    for taps in taps {
        out.extend((0..stride).map(|column| sum(taps, &|input| pixels[input * stride + column])));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_stays_flat_at_any_size() {
        for to in [[1, 1], [3, 9], [17, 4], [40, 40]] {
            let out = resize_bicubic(&[200; 7 * 11 * 3], [7, 11], to);
            assert_eq!(out, vec![200; to[0] * to[1] * 3], "{to:?}");
        }
    }

    #[test]
    fn weights_of_a_value_sum_to_one() {
        for (from, to) in [(5, 12), (512, 224), (3, 3), (1, 8), (100, 1)] {
            for taps in taps(from, to, &fixed) {
                let sum: i32 = taps.weights.iter().sum();
                assert!((sum - (1 << PRECISION)).abs() <= taps.weights.len() as i32, "{from} to {to}: {sum}");
            }
        }
    }
}
