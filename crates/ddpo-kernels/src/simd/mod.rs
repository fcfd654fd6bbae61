//! Vectors of `f32`, in three widths chosen at run time.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod level;
mod math;
mod peak;
mod portable;
mod round;
mod several;
mod vector;

#[cfg(test)]
pub(crate) use level::forced;

pub(crate) use level::{Level, Work};
pub(crate) use math::{erf, exp, short_exp, sigmoid};
pub use peak::multiply_adds;
pub(crate) use round::round;
pub(crate) use several::Several;
pub(crate) use vector::Simd;
