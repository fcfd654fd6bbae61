//! Buffers and the division of work among threads.

use std::{cell::RefCell, ops::Range};

use rayon::prelude::*;

/// A cache line: panels start on one, so that no vector load straddles two.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Line([f32; 16]);

/// Zeroed values that start on a cache line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
}

impl Aligned {
    /// At least `length` zeros.
    pub(crate) fn zeros(length: usize) -> Self {
        Self { lines: vec![Line([0.0; 16]); length.div_ceil(16)] }
    }

    /// Grows to hold `length` values; what it held stays.
    fn reserve(&mut self, length: usize) {
        let lines = length.div_ceil(16);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line([0.0; 16]));
        }
    }

    pub(crate) fn values(&self) -> &[f32] {
        // SAFETY: a line is sixteen `f32` without padding, so the lines are that many values.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * 16) }
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `values`; the borrow of the lines is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * 16) }
    }

    /// The same memory as values of 16 bits.
    pub(crate) fn halves(&self) -> &[u16] {
        // SAFETY: a line is 64 bytes without padding, and any of their patterns are values of 16 bits.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.lines.len() * 32) }
    }

    pub(crate) fn halves_mut(&mut self) -> &mut [u16] {
        // SAFETY: as in `halves`, and any pattern is an `f32`; the borrow of the lines is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.lines.len() * 32) }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<Aligned>> = const { RefCell::new(Vec::new()) };
}

/// Lends a buffer of `length` values with arbitrary contents, kept by the thread for the next task.
pub(crate) fn with_scratch<R>(length: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    with_aligned(length, |buffer| body(&mut buffer.values_mut()[..length]))
}

/// [`with_scratch`] of values of 16 bits.
pub(crate) fn with_half_scratch<R>(length: usize, body: impl FnOnce(&mut [u16]) -> R) -> R {
    with_aligned(length.div_ceil(2), |buffer| body(&mut buffer.halves_mut()[..length]))
}

fn with_aligned<R>(length: usize, body: impl FnOnce(&mut Aligned) -> R) -> R {
    let mut buffer = SCRATCH.with_borrow_mut(Vec::pop).unwrap_or_default();
    buffer.reserve(length);
    let result = body(&mut buffer);
    SCRATCH.with_borrow_mut(|kept| kept.push(buffer));
    result
}

/// A destination that tasks write disjoint parts of.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    start: *mut f32,
    length: usize,
}

// SAFETY: a `Shared` is only an address; `at` and `slice` are where memory is vouched for.
unsafe impl Send for Shared {}
// SAFETY: as for `Send`.
unsafe impl Sync for Shared {}

impl Shared {
    /// The values of a slice.
    pub(crate) fn new(values: &mut [f32]) -> Self {
        Self { start: values.as_mut_ptr(), length: values.len() }
    }

    /// Number of values.
    pub(crate) fn len(self) -> usize {
        self.length
    }

    /// The destination from value `start` on.
    pub(crate) fn offset(self, start: usize) -> Self {
        assert!(start <= self.length);
        Self { start: self.start.wrapping_add(start), length: self.length - start }
    }

    /// The address of value `index`.
    ///
    /// # Safety
    ///
    /// `index` must be within the destination, which must still be borrowed.
    #[inline(always)]
    pub(crate) unsafe fn at(self, index: usize) -> *mut f32 {
        debug_assert!(index <= self.length);
        // SAFETY: the caller vouches for the index.
        unsafe { self.start.add(index) }
    }

    /// A part of the destination.
    ///
    /// # Safety
    ///
    /// The range must be within the destination, which must still be borrowed, and no other task may
    /// use it meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn slice<'a>(self, range: Range<usize>) -> &'a mut [f32] {
        debug_assert!(range.start <= range.end && range.end <= self.length);
        // SAFETY: the caller vouches for the range and its exclusive use.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// `length` values, written by `fill`.
///
/// # Safety
///
/// `fill` must write every value, and read none before it wrote it.
pub(crate) unsafe fn filled(length: usize, fill: impl FnOnce(Shared)) -> Vec<f32> {
    let mut values = Vec::<f32>::with_capacity(length);
    fill(Shared { start: values.as_mut_ptr(), length });
    // SAFETY: the capacity is `length`, and the caller vouches that `fill` wrote every value.
    unsafe { values.set_len(length) };
    values
}

/// Floating-point operations below which waking other threads costs more than it brings.
const SMALL: usize = 1 << 21;

/// Runs `task` for each of `count` indices; `work` is the number of operations of all together.
///
/// Which thread runs a task must never change its result.
pub(crate) fn for_each(count: usize, work: usize, task: impl Fn(usize) + Sync + Send) {
    if count <= 1 || work < SMALL || rayon::current_num_threads() == 1 {
        (0..count).for_each(task);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// Runs `task` for each part of `size` values; what is left behind the last whole one is no part.
pub(crate) fn for_each_part<T: Send>(
    values: &mut [T],
    size: usize,
    work: usize,
    task: impl Fn(usize, &mut [T]) + Sync + Send,
) {
    let parts = values.chunks_exact_mut(size.max(1)).enumerate();
    if work < SMALL || rayon::current_num_threads() == 1 {
        parts.for_each(|(index, part)| task(index, part));
    } else {
        values.par_chunks_exact_mut(size.max(1)).enumerate().for_each(|(index, part)| task(index, part));
    }
}

/// How many tasks to cut work into: enough to even out the threads' speeds.
pub(crate) fn tasks() -> usize {
    rayon::current_num_threads() * 4
}

/// Values of a matrix from where on it is no longer read again and again from a near cache: its parts are then brought there once,
/// for as many rows as there is room for.
pub(crate) const HEAVY: usize = 1 << 18;
/// Values of some rows and a part of `K` that stay in a core's second cache beside a part of a panel.
pub(crate) const NEAR: usize = 5 << 16;
/// Elements of `K` in a part of a heavy matrix.
pub(crate) const DEPTH: usize = 1280;

/// Part `index` of `0..length` cut into `parts`, in multiples of `unit`.
pub(crate) fn part(length: usize, unit: usize, parts: usize, index: usize) -> Range<usize> {
    let units = length.div_ceil(unit);
    let at = |i: usize| (units * i / parts * unit).min(length);
    at(index)..at(index + 1)
}
