//! Every unit against its definition, and convolutions against direct sums.

use super::{DEPTH, HalfPanels, Unit, convolve, input_gradient, multiply, widened::widen};
use crate::{
    cpu::{
        conv::{Geometry, Images, OutputRows},
        conv_input::phases,
    },
    simd::{Level, round},
};

/// Values in `-1..1` that depend on `seed` alone.
fn random(seed: u64, length: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..length).map(|_| next()).collect()
}

/// The nearest bf16 of each value.
fn rounded(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&value| widen(round(value))).collect()
}

fn packed(matrix: &[f32], rows: usize, columns: usize) -> HalfPanels {
    HalfPanels::pack(&matrix.iter().map(|&value| round(value)).collect::<Vec<_>>(), rows, columns)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The element that a unit is defined to give, for factors in bf16.
fn defined(unit: Unit, row: &[f32], column: &[f32], bias: f32) -> f32 {
    let mut sum = 0.0_f32;
    for (row, column) in row.chunks(DEPTH).zip(column.chunks(DEPTH)) {
        let (mut even, mut odd) = (0.0_f32, 0.0_f32);
        for (row, column) in row.chunks(2).zip(column.chunks(2)) {
            let second = (row.get(1).unwrap_or(&0.0), column.get(1).unwrap_or(&0.0));
            if unit.sums_by_tile() {
                even = row[0].mul_add(column[0], even);
                odd = second.0.mul_add(*second.1, odd);
            } else {
                sum = row[0].mul_add(column[0], second.0.mul_add(*second.1, sum));
            }
        }
        sum += even + odd;
    }
    sum + bias
}

fn column(matrix: &[f32], columns: usize, index: usize) -> Vec<f32> {
    matrix.iter().skip(index).step_by(columns).copied().collect()
}

#[test]
fn every_unit_gives_the_bits_it_is_defined_to() {
    // One tile and less, tails of every kind, several steps of `K`, several parts of it.
    for (rows, k, n) in
        [(1, 1, 1), (3, 33, 7), (16, 32, 32), (17, 64, 33), (40, 1000, 70), (300, 96, 20), (257, 2500, 17)]
    {
        let (x, matrix, bias) = (rounded(&random(1, rows * k)), rounded(&random(2, k * n)), random(3, n));
        let panels = packed(&matrix, k, n);
        for unit in Unit::available() {
            let found = multiply((Level::current(), unit), &x, rows, &panels, Some(&bias));
            let wanted: Vec<f32> = (0..rows * n)
                .map(|i| defined(unit, &x[i / n * k..][..k], &column(&matrix, n, i % n), bias[i % n]))
                .collect();
            assert!(bits(&found) == bits(&wanted), "{unit:?}, {rows}x{k}x{n}");
        }
    }
}

#[test]
fn what_is_not_finite_comes_through() {
    for unit in Unit::available() {
        let panels = packed(&[1.0; 64], 64, 1);
        let with = |value: f32| {
            let mut x = vec![1.0; 64];
            x[40] = value;
            multiply((Level::current(), unit), &x, 1, &panels, None)[0]
        };
        assert!(with(f32::NAN).is_nan() && with(f32::INFINITY) == f32::INFINITY, "{unit:?}");
        assert_eq!(with(-f32::MAX), f32::NEG_INFINITY, "{unit:?}");
    }
}

/// What instructions that take subnormal values for zero may be off by.
#[test]
fn subnormal_values_count_for_next_to_nothing() {
    let smallest = f32::MIN_POSITIVE;
    for unit in Unit::available() {
        let found = multiply((Level::current(), unit), &[smallest / 4.0; 32], 1, &packed(&[1.0; 32], 32, 1), None)[0];
        assert!((0.0..=8.0 * smallest).contains(&found), "{unit:?}: {found}");
    }
}

/// A convolution of rounded factors, summed in `f64`.
fn direct(x: &[f32], images: Images, geometry: Geometry, matrix: &[f32], n: usize) -> Vec<f32> {
    let Images { batch, height, width, channels } = images;
    let [kh, kw] = geometry.kernel;
    let [down, across] = geometry.output;
    let mut result = vec![0.0_f64; batch * down * across * n];
    for (pixel, result) in result.chunks_mut(n).enumerate() {
        let (image, y, x0) = (pixel / (down * across), pixel / across % down, pixel % across);
        for (tap, channel) in (0..kh * kw).flat_map(|tap| (0..channels).map(move |channel| (tap, channel))) {
            let at = |out: usize, tap: usize, before: isize| {
                usize::try_from((out * geometry.stride + tap) as isize - before).unwrap_or(usize::MAX)
            };
            let (y, x0) = (at(y, tap / kw, geometry.before[0]), at(x0, tap % kw, geometry.before[1]));
            if y < height && x0 < width {
                let left = f64::from(x[((image * height + y) * width + x0) * channels + channel]);
                for (result, right) in result.iter_mut().zip(&matrix[(tap * channels + channel) * n..][..n]) {
                    *result += left * f64::from(*right);
                }
            }
        }
    }
    result.into_iter().map(|value| value as f32).collect()
}

#[track_caller]
fn close(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < 2e-5 * wanted.abs().max(4.0), "{found}, wanted {wanted}");
    }
}

fn geometry(kernel: usize, stride: usize, before: isize, [height, width]: [usize; 2]) -> Geometry {
    let output = [height, width].map(|length| (length + 2 * before as usize - kernel) / stride + 1);
    Geometry { kernel: [kernel; 2], stride, before: [before; 2], output, place: OutputRows::all(output) }
}

#[test]
fn a_convolution_and_its_input_gradient_are_the_direct_sums_of_rounded_factors() {
    for (channels, n, kernel, stride) in [(32, 40, 3, 1), (5, 3, 3, 1), (64, 33, 3, 2), (96, 16, 1, 1), (3, 20, 2, 1)] {
        let images = Images { batch: 2, height: 7, width: 9, channels };
        let geometry = geometry(kernel, stride, isize::from(kernel == 3), [7, 9]);
        let outputs = Images { batch: 2, height: geometry.output[0], width: geometry.output[1], channels: n };
        let (x, g) = (rounded(&random(1, images.len())), rounded(&random(4, outputs.len())));
        let matrix = rounded(&random(2, kernel * kernel * channels * n));
        let panels = packed(&matrix, kernel * kernel * channels, n);
        let phases = phases(geometry, images);
        let adjoints: Vec<_> = phases.iter().map(|phase| panels.adjoint(&phase.taps, channels)).collect();
        let wanted = direct(&x, images, geometry, &matrix, n);
        // The gradient of `Σ y · g` at an input is what the outputs that see it make of a one there.
        let inner: f64 = wanted.iter().zip(&g).map(|(y, g)| f64::from(y * g)).sum();
        for unit in Unit::available() {
            let with = (Level::current(), unit);
            close(&convolve(with, &x, images, geometry, &panels, None), &wanted);
            let gradient = input_gradient(with, &g, outputs, images, &phases, &adjoints);
            let through: f64 = gradient.iter().zip(&x).map(|(a, b)| f64::from(a * b)).sum();
            assert!((through - inner).abs() < 1e-4 * inner.abs().max(100.0), "{through}, wanted {inner}");
        }
    }
}

#[test]
fn a_packed_matrix_gives_back_its_bits_and_those_of_its_transpose() {
    for (rows, columns) in [(1, 1), (33, 70), (64, 32), (70, 15)] {
        let matrix: Vec<u16> = random(1, rows * columns).into_iter().map(round).collect();
        let panels = HalfPanels::pack(&matrix, rows, columns);
        assert_eq!(panels.unpack(), matrix);
        let transposed = panels.adjoint(&[0], rows).unpack();
        let wanted: Vec<u16> = (0..rows * columns).map(|i| matrix[i % rows * columns + i / rows]).collect();
        assert_eq!(transposed, wanted, "{rows}x{columns}");
    }
}
