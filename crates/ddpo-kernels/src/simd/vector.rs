//! What a kernel may ask of a vector unit.

use super::round;

/// A vector unit. A value of the type is the proof that the processor has it, so the operations on
/// values are safe; only memory access is not.
///
/// Every method is inlined into a function compiled for the unit (see [`super::Level::run`]), and
/// must therefore never be called from anywhere else in a hot loop.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Self::LANES`] values.
    type V: Copy;

    /// Values in a vector.
    const LANES: usize;

    fn splat(self, value: f32) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, rounded once where the unit can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The nearest whole number.
    fn round(self, a: Self::V) -> Self::V;
    /// `2^n` for whole `n` in `-126..=127`.
    fn power_of_two(self, n: Self::V) -> Self::V;

    /// Reads [`Self::LANES`] values.
    ///
    /// # Safety
    ///
    /// `from` must be valid for reading that many values; no alignment is asked.
    unsafe fn load(self, from: *const f32) -> Self::V;

    /// Writes [`Self::LANES`] values.
    ///
    /// # Safety
    ///
    /// `to` must be valid for writing that many values; no alignment is asked.
    unsafe fn store(self, to: *mut f32, value: Self::V);

    /// [`Self::LANES`] pairs of bf16 as two vectors: the first of each pair, and the second.
    ///
    /// # Safety
    ///
    /// `from` must be valid for reading twice as many values of 16 bits; no alignment is asked.
    #[inline(always)]
    unsafe fn load_pairs(self, from: *const u16) -> [Self::V; 2] {
        let mut lanes = [[0.0_f32; 16]; 2];
        for i in 0..Self::LANES {
            for (place, lanes) in lanes.iter_mut().enumerate() {
                // SAFETY: the caller vouches for the values.
                lanes[i] = f32::from_bits(u32::from(unsafe { *from.add(2 * i + place) }) << 16);
            }
        }
        // SAFETY: a buffer holds 16 values, and no unit has more lanes.
        unsafe { [self.load(lanes[0].as_ptr()), self.load(lanes[1].as_ptr())] }
    }

    /// Writes two vectors as pairs of bf16, rounded as `half::round` does.
    ///
    /// # Safety
    ///
    /// `to` must be valid for writing twice [`Self::LANES`] values of 16 bits; no alignment is asked.
    #[inline(always)]
    unsafe fn store_pairs(self, to: *mut u16, first: Self::V, second: Self::V) {
        let mut lanes = [[0.0_f32; 16]; 2];
        for (lanes, value) in lanes.iter_mut().zip([first, second]) {
            // SAFETY: a buffer holds 16 values, and no unit that does not have a method of its own has more lanes.
            unsafe { self.store(lanes.as_mut_ptr(), value) };
        }
        let [first, second] = lanes;
        for (i, (first, second)) in first.into_iter().zip(second).take(Self::LANES).enumerate() {
            // SAFETY: the caller vouches for the memory.
            unsafe { to.add(2 * i).cast::<[u16; 2]>().write_unaligned([round(first), round(second)]) };
        }
    }

    /// The first `count` values of memory, then zeros.
    ///
    /// # Safety
    ///
    /// `from` must be valid for reading `count` values, and `count` at most [`Self::LANES`].
    #[inline(always)]
    unsafe fn load_partial(self, from: *const f32, count: usize) -> Self::V {
        let mut lanes = [0.0_f32; 16];
        // SAFETY: the caller vouches for `count` readable values, and `count` fits the buffer.
        unsafe { std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count) };
        // SAFETY: the buffer holds 16 values, and no unit has more lanes.
        unsafe { self.load(lanes.as_ptr()) }
    }

    /// Writes the first `count` values.
    ///
    /// # Safety
    ///
    /// `to` must be valid for writing `count` values, and `count` at most [`Self::LANES`].
    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, value: Self::V, count: usize) {
        let mut lanes = [0.0_f32; 16];
        // SAFETY: the buffer holds 16 values, and no unit has more lanes.
        unsafe { self.store(lanes.as_mut_ptr(), value) };
        // SAFETY: the caller vouches for `count` writable values, and the buffer has as many.
        unsafe { std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count) };
    }

    /// The first `count` lanes, then zeros.
    #[inline(always)]
    fn first(self, value: Self::V, count: usize) -> Self::V {
        if count >= Self::LANES {
            return value;
        }
        let mut lanes = [0.0_f32; 16];
        // SAFETY: the buffer holds 16 values, `count` is less than a vector, and no unit has more
        // than 16 lanes.
        unsafe {
            self.store_partial(lanes.as_mut_ptr(), value, count);
            self.load(lanes.as_ptr())
        }
    }

    /// The sum of the lanes, halving: lane `i` with lane `i + LANES / 2`, and again.
    #[inline(always)]
    fn sum(self, value: Self::V) -> f32 {
        let mut lanes = [0.0_f32; 16];
        // SAFETY: the buffer holds 16 values, and no unit has more lanes.
        unsafe { self.store(lanes.as_mut_ptr(), value) };
        let mut width = Self::LANES;
        while width > 1 {
            width /= 2;
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
        }
        lanes[0]
    }
}
