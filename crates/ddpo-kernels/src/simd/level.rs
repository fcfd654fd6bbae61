//! Which vector unit to use, found once.

use std::sync::OnceLock;

use super::{Simd, portable::Portable};

/// A vector unit this processor has. A value is only made after the processor was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Unit);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

/// A piece of work written for any vector unit.
pub(crate) trait Work {
    /// What it leaves.
    type Output;

    /// Does the work. Implementations, and all they call with `simd`, must be `#[inline(always)]`:
    /// only then are they compiled for the unit.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

impl Level {
    /// The widest unit of this processor, or what a test chose for this thread.
    pub(crate) fn current() -> Self {
        static WIDEST: OnceLock<Level> = OnceLock::new();
        #[cfg(test)]
        if let Some(level) = forced::LEVEL.get() {
            return level;
        }
        *WIDEST.get_or_init(|| Self::available()[0])
    }

    /// All units of this processor, the widest first.
    pub(crate) fn available() -> Vec<Self> {
        let mut units = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx512f") {
                units.push(Self(Unit::Avx512));
            }
            if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                units.push(Self(Unit::Avx2));
            }
        }
        units.push(Self(Unit::Portable));
        units
    }

    /// Does a piece of work on this unit.
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` makes this level only where the processor has AVX-512F.
            Unit::Avx512 => unsafe { avx512(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` makes this level only where the processor has AVX2 and FMA.
            Unit::Avx2 => unsafe { avx2(work) },
            Unit::Portable => work.run(Portable),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<W: Work>(work: W) -> W::Output {
    // SAFETY: the caller vouches for AVX-512F.
    work.run(unsafe { super::avx512::Avx512::assume() })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<W: Work>(work: W) -> W::Output {
    // SAFETY: the caller vouches for AVX2 and FMA.
    work.run(unsafe { super::avx2::Avx2::assume() })
}

#[cfg(test)]
pub(crate) mod forced {
    //! Lets a test choose the unit for the operations its own thread starts.
    use std::cell::Cell;

    use super::Level;

    thread_local! {
        pub(super) static LEVEL: Cell<Option<Level>> = const { Cell::new(None) };
    }

    /// Runs `body` once on every unit of this processor.
    pub(crate) fn each_level(mut body: impl FnMut(Level)) {
        for level in Level::available() {
            LEVEL.set(Some(level));
            body(level);
        }
        LEVEL.set(None);
    }
}
