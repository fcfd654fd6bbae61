//! An allocator that keeps the memory of tensors for the next ones.
//!
//! A step of training frees what it allocated, and the next step allocates the same sizes again. The C library gives such
//! blocks back to the system, so that every activation costs a page fault for each 4 KiB and the zeroing of the page.
//! Here a freed block stays, in a list of its size, until a block of that size is asked for.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr::{self, NonNull},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The sizes kept: below, the system's own lists are as fast; above, a block may be most of a model.
const SMALLEST: usize = 32 << 10;
const LARGEST: usize = 64 << 20;
/// Bytes kept free at most; what is freed beyond goes back to the system.
const MOST_KEPT: usize = 512 << 20;
/// Sizes for each doubling: rounding up wastes an eighth at most.
const STEPS: usize = 8;
const SIZES: usize = (LARGEST.ilog2() - SMALLEST.ilog2()) as usize * STEPS + 1;
/// Every kept block starts on a cache line.
const ALIGN: usize = 64;

/// The system's allocator, with free blocks of 32 KiB to 64 MiB kept for the next tensor of their size, 512 MiB of them at
/// most.
///
/// For programs: `#[global_allocator] static ALLOCATOR: ddpo_kernels::KeepingAllocator = ddpo_kernels::KeepingAllocator::new();`
#[derive(Debug)]
pub struct KeepingAllocator {
    free: [Mutex<Free>; SIZES],
    kept: AtomicUsize,
}

/// A list of free blocks of one size, each of which begins with the address of the next.
#[derive(Debug)]
struct Free(Option<NonNull<u8>>);

// SAFETY: the addresses in a list are of memory that nobody else uses.
unsafe impl Send for Free {}

impl KeepingAllocator {
    /// An allocator that keeps nothing yet.
    pub const fn new() -> Self {
        Self { free: [const { Mutex::new(Free(None)) }; SIZES], kept: AtomicUsize::new(0) }
    }

    /// A free block of a size.
    fn take(&self, size: Size) -> Option<NonNull<u8>> {
        let mut free = self.free[size.index].lock().unwrap_or_else(PoisonError::into_inner);
        let block = free.0?;
        // SAFETY: a free block is at least `SMALLEST` bytes on a cache line, and begins with what `keep` wrote.
        free.0 = unsafe { block.cast::<Option<NonNull<u8>>>().read() };
        self.kept.fetch_sub(size.bytes, Ordering::Relaxed);
        Some(block)
    }

    /// Keeps a block, unless enough are kept.
    fn keep(&self, block: NonNull<u8>, size: Size) -> bool {
        if self.kept.fetch_add(size.bytes, Ordering::Relaxed) + size.bytes > MOST_KEPT {
            self.kept.fetch_sub(size.bytes, Ordering::Relaxed);
            return false;
        }
        let mut free = self.free[size.index].lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the block was allocated with at least `SMALLEST` bytes on a cache line, and its owner gave it up.
        unsafe { block.cast::<Option<NonNull<u8>>>().write(free.0) };
        free.0 = Some(block);
        true
    }
}

impl Default for KeepingAllocator {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for KeepingAllocator {
    fn drop(&mut self) {
        for size in (0..SIZES).map(Size::at) {
            while let Some(block) = self.take(size) {
                // SAFETY: a kept block came from the system with the layout of its size, and is in no list any more.
                unsafe { System.dealloc(block.as_ptr(), size.layout()) };
            }
        }
    }
}

/// A size of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    bytes: usize,
    index: usize,
}

impl Size {
    /// The size of the blocks that hold `layout`, if such blocks are kept.
    fn of(layout: Layout) -> Option<Self> {
        let wanted = layout.size();
        if !(SMALLEST..=LARGEST).contains(&wanted) || layout.align() > ALIGN {
            return None;
        }
        let octave = wanted.ilog2();
        let steps = (wanted - (1 << octave)).div_ceil((1 << octave) / STEPS);
        Some(Self::at((octave - SMALLEST.ilog2()) as usize * STEPS + steps))
    }

    /// The size of a list.
    fn at(index: usize) -> Self {
        let octave = SMALLEST << (index / STEPS);
        Self { bytes: octave + index % STEPS * (octave / STEPS), index }
    }

    /// How the blocks are asked from the system.
    fn layout(self) -> Layout {
        // SAFETY: the alignment is a power of two, and the size at most `LARGEST`.
        unsafe { Layout::from_size_align_unchecked(self.bytes, ALIGN) }
    }
}

// SAFETY: a block comes from the system with the layout of its size, which holds the layout asked for, and goes back with
// the same one, because the size follows from the layout; between, it is in a list or its owner's.
unsafe impl GlobalAlloc for KeepingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match Size::of(layout) {
            // SAFETY: the caller's layout has a size, and so has that of a block.
            None => unsafe { System.alloc(layout) },
            Some(size) => match self.take(size) {
                Some(block) => block.as_ptr(),
                // SAFETY: as above.
                None => unsafe { System.alloc(size.layout()) },
            },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(size) = Size::of(layout) else {
            // SAFETY: the caller's layout has a size.
            return unsafe { System.alloc_zeroed(layout) };
        };
        match self.take(size) {
            Some(block) => {
                // SAFETY: the block is at least as long as the layout, and nobody else's.
                unsafe { ptr::write_bytes(block.as_ptr(), 0, layout.size()) };
                block.as_ptr()
            }
            // SAFETY: the layout of a block has a size.
            None => unsafe { System.alloc_zeroed(size.layout()) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match (Size::of(layout), NonNull::new(block)) {
            (Some(size), Some(block)) => {
                if !self.keep(block, size) {
                    // SAFETY: it came from the system with this layout.
                    unsafe { System.dealloc(block.as_ptr(), size.layout()) };
                }
            }
            // SAFETY: it came from the system with the caller's layout.
            _ => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, wanted: usize) -> *mut u8 {
        // SAFETY: the caller vouches that `wanted` is not zero and does not overflow when rounded up to the alignment.
        let new = unsafe { Layout::from_size_align_unchecked(wanted, layout.align()) };
        match (Size::of(layout), Size::of(new)) {
            // SAFETY: the block came from the system with the caller's layout.
            (None, None) => unsafe { System.realloc(block, layout, wanted) },
            (Some(old), Some(new)) if old == new => block,
            _ => {
                // SAFETY: `new` has a size; both blocks hold what is copied, and are different ones; the old one is given up
                // with the layout it was allocated with.
                unsafe {
                    let to = self.alloc(new);
                    if !to.is_null() {
                        ptr::copy_nonoverlapping(block, to, layout.size().min(wanted));
                        self.dealloc(block, layout);
                    }
                    to
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).unwrap()
    }

    #[test]
    fn a_size_holds_what_it_is_for() {
        let mut last = None;
        for wanted in (SMALLEST..2 * SMALLEST).chain((SMALLEST..=LARGEST).step_by(9973)).chain([LARGEST]) {
            let size = Size::of(layout(wanted)).unwrap();
            assert!(size.bytes >= wanted && size.bytes <= wanted + wanted / STEPS + 1, "{size:?} for {wanted}");
            assert!(size.index < SIZES);
            assert_eq!(Size::of(layout(size.bytes)), Some(size));
            last = Some(size);
        }
        assert_eq!(last, Some(Size { bytes: LARGEST, index: SIZES - 1 }));
        assert_eq!(Size::of(layout(SMALLEST - 1)), None);
        assert_eq!(Size::of(layout(LARGEST + 1)), None);
        assert_eq!(Size::of(Layout::from_size_align(SMALLEST, 128).unwrap()), None);
    }

    #[test]
    fn a_freed_block_comes_back_and_zeroed_if_asked() {
        let allocator = KeepingAllocator::new();
        // SAFETY: layouts have sizes, blocks are given back with the layouts they were allocated with, and only bytes asked for are
        // touched.
        unsafe {
            let first = allocator.alloc(layout(100_000));
            first.write_bytes(7, 100_000);
            allocator.dealloc(first, layout(100_000));
            assert_eq!(allocator.kept.load(Ordering::Relaxed), Size::of(layout(100_000)).unwrap().bytes);
            let second = allocator.alloc_zeroed(layout(99_000));
            assert_eq!(first, second);
            assert!(std::slice::from_raw_parts(second, 99_000).iter().all(|&byte| byte == 0));
            assert_eq!(allocator.kept.load(Ordering::Relaxed), 0);
            allocator.dealloc(second, layout(99_000));
        }
    }

    #[test]
    fn contents_survive_growing_and_shrinking() {
        let allocator = KeepingAllocator::new();
        // SAFETY: as above; what is written lies before both the old and the new size.
        unsafe {
            let (mut block, mut size) = (allocator.alloc(layout(1000)), 1000);
            for (i, wanted) in [5000, 40_000, 40_001, 70_000_000, 50_000, 300].into_iter().enumerate() {
                block.write(i as u8);
                block.add(size.min(wanted) - 1).write(i as u8 + 100);
                let at = size.min(wanted) - 1;
                block = allocator.realloc(block, layout(size), wanted);
                size = wanted;
                assert_eq!((block.read(), block.add(at).read()), (i as u8, i as u8 + 100), "to {wanted}");
            }
            allocator.dealloc(block, layout(size));
        }
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let allocator = KeepingAllocator::new();
        // SAFETY: as above; what is kept came from the system with the layout of its size.
        unsafe {
            let blocks: Vec<_> = (0..10).map(|_| allocator.alloc(layout(LARGEST))).collect();
            for block in blocks {
                allocator.dealloc(block, layout(LARGEST));
            }
            assert_eq!(allocator.kept.load(Ordering::Relaxed), MOST_KEPT);
        }
    }
}
