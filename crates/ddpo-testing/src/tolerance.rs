//! Equality of numbers, to the bit or within a tolerance that says what it is for.

/// How far two numbers may be apart: `|found − wanted| ≤ absolute + relative · |wanted|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The part that does not depend on the size of the numbers.
    pub absolute: f64,
    /// The part that grows with them.
    pub relative: f64,
}

impl Tolerance {
    /// One step of f32 arithmetic against another implementation of it.
    pub const STEP: Self = Self { absolute: 1e-5, relative: 1e-5 };
    /// f64 tables against torch's, which are computed in f32.
    pub const TABLE: Self = Self { absolute: 1e-12, relative: 1e-6 };
    /// f64 against f64.
    pub const F64: Self = Self { absolute: 1e-12, relative: 1e-12 };

    /// Whether two numbers are as close as this. NaN is close to nothing.
    pub fn holds(self, found: f64, wanted: f64) -> bool {
        (found - wanted).abs() <= self.absolute + self.relative * wanted.abs()
    }
}

/// Asserts that two lists are element for element within a tolerance.
///
/// # Panics
/// If they are not; the message has the worst element.
#[track_caller]
pub fn assert_close<A: Copy + Into<f64>, B: Copy + Into<f64>>(found: &[A], wanted: &[B], tolerance: Tolerance) {
    assert_eq!(found.len(), wanted.len(), "different lengths");
    for (i, (&found, &wanted)) in found.iter().zip(wanted).enumerate() {
        let (found, wanted) = (found.into(), wanted.into());
        assert!(tolerance.holds(found, wanted), "element {i}: {found} found, {wanted} wanted within {tolerance:?}");
    }
}

/// Asserts that two lists are the same bit for bit, so that −0 differs from 0 and NaN may equal NaN.
///
/// # Panics
/// If they are not.
#[track_caller]
pub fn assert_bit_equal(found: &[f32], wanted: &[f32]) {
    assert_eq!(found.len(), wanted.len(), "different lengths");
    let different = found.iter().zip(wanted).position(|(found, wanted)| found.to_bits() != wanted.to_bits());
    if let Some(i) = different {
        panic!("element {i}: {:e} found, {:e} wanted to the bit", found[i], wanted[i]);
    }
}
