//! What a kernel may ask of a vector unit.

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
