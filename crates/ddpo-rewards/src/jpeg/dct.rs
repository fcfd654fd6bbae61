//! libjpeg's accurate integer forward DCT (`jpeg_fdct_islow`).
//!
//! Loeffler, Ligtenberg and Moschytz, "Practical Fast 1-D DCT Algorithms with 11 Multiplications",
//! ICASSP 1989, in 13-bit fixed point. The order of operations is part of the result: each
//! product is rounded once, and libjpeg's byte counts follow from exactly these roundings.

const CONST_BITS: u32 = 13;
/// Extra precision kept between the passes.
const PASS1_BITS: u32 = 2;

/// The coefficients of an 8×8 block in row order, scaled up by 8.
pub fn forward(mut block: [i32; 64]) -> [i32; 64] {
    for row in 0..8 {
        let [means, waves] = butterfly(std::array::from_fn(|i| block[row * 8 + i]));
        for (i, value) in scaled(means, waves, |m| m << PASS1_BITS, CONST_BITS - PASS1_BITS) {
            block[row * 8 + i] = value;
        }
    }
    for column in 0..8 {
        let [means, waves] = butterfly(std::array::from_fn(|i| block[i * 8 + column]));
        for (i, value) in scaled(means, waves, |m| descale(m, PASS1_BITS), CONST_BITS + PASS1_BITS) {
            block[i * 8 + column] = value;
        }
    }
    block
}

/// Rounding shift to the right.
fn descale(value: i32, bits: u32) -> i32 {
    (value + (1 << (bits - 1))) >> bits
}

/// Coefficients 0 and 4 carry no fixed-point factor, the six others carry `CONST_BITS`.
fn scaled(
    means: [i32; 8],
    waves: [i32; 8],
    mean: impl Fn(i32) -> i32,
    bits: u32,
) -> impl Iterator<Item = (usize, i32)> {
    (0..8).map(move |i| (i, if i % 4 == 0 { mean(means[i]) } else { descale(waves[i], bits) }))
}

/// One 1-D transform before scaling: `[coefficients 0 and 4, the others]`, zero elsewhere.
fn butterfly(v: [i32; 8]) -> [[i32; 8]; 2] {
    let sum: [i32; 4] = std::array::from_fn(|i| v[i] + v[7 - i]);
    let [s0, s1, d1, d0] = [sum[0] + sum[3], sum[1] + sum[2], sum[1] - sum[2], sum[0] - sum[3]];
    let turn = (d1 + d0) * 4_433;
    let [w1, w3, w5, w7] = odd(std::array::from_fn(|i| v[3 - i] - v[4 + i]));
    let means = [s0 + s1, 0, 0, 0, s0 - s1, 0, 0, 0];
    [means, [0, w1, turn + d0 * 6_270, w3, 0, w5, turn - d1 * 15_137, w7]]
}

/// Coefficients 1, 3, 5 and 7 from the differences of mirrored samples, innermost first.
fn odd([t4, t5, t6, t7]: [i32; 4]) -> [i32; 4] {
    let z5 = (t4 + t6 + t5 + t7) * 9_633;
    let z1 = -(t4 + t7) * 7_373;
    let z2 = -(t5 + t6) * 20_995;
    let z3 = z5 - (t4 + t6) * 16_069;
    let z4 = z5 - (t5 + t7) * 3_196;
    [t7 * 12_299 + z1 + z4, t6 * 25_172 + z2 + z3, t5 * 16_819 + z2 + z4, t4 * 2_446 + z1 + z3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_block_has_only_a_mean() {
        let coefficients = forward([-7; 64]);
        assert_eq!(coefficients[0], -7 * 64);
        assert!(coefficients[1..].iter().all(|c| *c == 0));
    }

    #[test]
    fn a_cosine_lands_on_its_coefficient() {
        let wave = |i: usize| {
            let angle = (2 * (i % 8) + 1) as f64 * 3.0 * std::f64::consts::PI / 16.0;
            (100.0 * angle.cos()).round() as i32
        };
        let coefficients = forward(std::array::from_fn(wave));
        let expect = (100.0 * 32.0 * std::f64::consts::SQRT_2).round() as i32;
        assert!((coefficients[3] - expect).abs() < 20, "{} for {expect}", coefficients[3]);
        assert!(coefficients.iter().enumerate().all(|(i, c)| i == 3 || c.abs() < 20));
    }
}
