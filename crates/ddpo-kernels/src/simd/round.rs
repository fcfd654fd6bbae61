//! From `f32` to bf16.

/// A value's upper half, rounded to the nearest, to even where two are as near; what is not a number stays so.
#[inline(always)]
pub(crate) fn round(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let quiet = bits >> 16 | 0x40;
    (if value.is_nan() { quiet } else { rounded }) as u16
}

#[cfg(test)]
mod tests {
    use super::round;
    use crate::simd::{Simd, Work, forced::each_level};

    struct Pairs<'a>(&'a [[f32; 16]; 2], &'a mut [u16; 32]);

    impl Work for Pairs<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for at in (0..16).step_by(S::LANES) {
                // SAFETY: vectors divide sixteen values, and the pairs are twice as many.
                unsafe {
                    let [first, second] = [0, 1].map(|i| s.load(self.0[i].as_ptr().add(at)));
                    s.store_pairs(self.1.as_mut_ptr().add(2 * at), first, second);
                    let back = s.load_pairs(self.1.as_ptr().add(2 * at));
                    let mut lanes = [0.0; 16];
                    s.store(lanes.as_mut_ptr(), back[1]);
                    for (i, lane) in lanes[..S::LANES].iter().enumerate() {
                        assert_eq!(lane.to_bits() >> 16, u32::from(round(self.0[1][at + i])));
                    }
                }
            }
        }
    }

    #[test]
    fn every_vector_unit_rounds_alike() {
        let special =
            [0.0, -0.0, f32::NAN, f32::INFINITY, -f32::MAX, f32::MIN_POSITIVE / 2.0, 1.003_906_3, 1.011_718_8];
        let values: [[f32; 16]; 2] = std::array::from_fn(|k| {
            std::array::from_fn(|i| {
                special.get(i + 8 * k).copied().unwrap_or((i as f32 + 0.37).powi(3) * 1.01 - k as f32)
            })
        });
        each_level(|level| {
            let mut found = [0; 32];
            level.run(Pairs(&values, &mut found));
            for (i, pair) in found.chunks(2).enumerate() {
                assert_eq!(pair, [round(values[0][i]), round(values[1][i])], "{level:?}, pair {i}");
            }
        });
    }

    #[test]
    fn ties_go_to_even_and_what_is_not_finite_stays_so() {
        let check = |value: f32, wanted: u32| assert_eq!(u32::from(round(value)) << 16, wanted, "{value}");
        check(1.0, 0x3f80_0000);
        check(f32::from_bits(0x3f80_8000), 0x3f80_0000);
        check(f32::from_bits(0x3f81_8000), 0x3f82_0000);
        check(f32::from_bits(0x3f80_8001), 0x3f81_0000);
        check(-f32::MAX, 0xff80_0000);
        check(f32::INFINITY, 0x7f80_0000);
        check(f32::from_bits(0x7f80_0001), 0x7fc0_0000);
        check(f32::from_bits(0xffff_ffff), 0xffff_0000);
    }
}
