//! Which instructions multiply bf16, found once.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::{amx, dot};
use super::{step::Step, widened};
use crate::simd::Level;

/// What multiplies bf16 on this processor. A value is only made after the processor was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Tiles of 16 rows: Intel's AMX.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// Vectors of pairs: AVX512-BF16.
    #[cfg(target_arch = "x86_64")]
    Dot,
    /// Vectors of `f32`, to which bf16 is widened.
    Widened(Level),
}

impl Unit {
    /// The fastest unit of this processor, or what a test chose for this thread.
    pub(crate) fn current() -> Self {
        static FASTEST: OnceLock<Unit> = OnceLock::new();
        #[cfg(test)]
        if let Some(unit) = forced::UNIT.get() {
            return unit;
        }
        *FASTEST.get_or_init(|| Self::available()[0])
    }

    /// All units of this processor, the fastest first.
    pub(crate) fn available() -> Vec<Self> {
        let mut units = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if amx::is_permitted() {
                units.push(Self(Kind::Amx));
            }
            if std::is_x86_feature_detected!("avx512bf16") && std::is_x86_feature_detected!("avx512f") {
                units.push(Self(Kind::Dot));
            }
        }
        units.extend(Level::available().into_iter().map(|level| Self(Kind::Widened(level))));
        units
    }

    /// Whether its products are faster than Winograd's convolutions in `f32`, which have a quarter of the multiplications.
    pub(crate) fn outruns_winograd(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Amx => true,
            #[cfg(target_arch = "x86_64")]
            Kind::Dot => false,
            Kind::Widened(_) => false,
        }
    }

    /// Whether the bits of a product are those of AMX's definition.
    #[cfg(test)]
    pub(super) fn sums_by_tile(self) -> bool {
        !matches!(self.0, Kind::Dot)
    }

    /// Runs `body` with a unit that is ready to multiply.
    pub(in crate::cpu) fn ready<R>(self, body: impl FnOnce(Ready) -> R) -> R {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` makes this unit only where the processor has AMX and the system lends it.
            Kind::Amx => unsafe { amx::configured(|| body(Ready(self))) },
            _ => body(Ready(self)),
        }
    }
}

/// A unit within [`Unit::ready`].
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Ready(Unit);

impl Ready {
    /// Adds a product of tiles to sums.
    pub(in crate::cpu) fn accumulate(self, step: Step<'_>) {
        let depth = step.depth();
        if depth == 0 {
            return;
        }
        match self.0.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this unit is only made where the processor has AMX and a `Ready` only within `configured`; `depth` saw
            // the lengths.
            Kind::Amx => unsafe { amx::accumulate(step, depth) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this unit is only made where the processor has AVX512-BF16; `depth` saw the lengths.
            Kind::Dot => unsafe { dot::accumulate(step, depth) },
            Kind::Widened(level) => level.run(widened::Widened { step, depth }),
        }
    }
}

#[cfg(test)]
pub(crate) mod forced {
    //! Lets a test choose the unit for the operations its own thread starts.
    use std::cell::Cell;

    use super::Unit;

    thread_local! {
        pub(super) static UNIT: Cell<Option<Unit>> = const { Cell::new(None) };
    }

    /// Runs `body` once on every unit of this processor.
    pub(crate) fn each_unit(mut body: impl FnMut(Unit)) {
        for unit in Unit::available() {
            UNIT.set(Some(unit));
            body(unit);
        }
        UNIT.set(None);
    }
}
