//! Axes of charts, with round ticks.

/// A range of values and the distance of its ticks: 1, 2 or 5 times a power of ten.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// The axis over some finite values, from tick to tick, with a single value in its middle; `None` where there is none.
    pub fn over(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = range(values)?;
        if low == high {
            let step = round_step(if low == 0.0 { 1.0 } else { low.abs() * 0.1 }, 1.0);
            return Some(Self { low: low - 2.0 * step, high: low + 2.0 * step, step });
        }
        let step = round_step(high - low, 5.0);
        Some(Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step })
    }

    /// The axis of what cannot be negative, such as a divergence.
    pub(super) fn from_zero(values: impl Iterator<Item = f64>) -> Option<Self> {
        Self::over(values.chain([0.0])).map(|axis| Self { low: axis.low.max(0.0), ..axis })
    }

    /// The axis of shares, from 0 to 1 whatever they are.
    pub(super) fn shares() -> Self {
        Self { low: 0.0, high: 1.0, step: 0.25 }
    }

    /// The axis of what is counted, such as epochs: whole numbers, and no more than the values need.
    pub(super) fn whole(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = range(values)?;
        let high = high.max(low + 1.0);
        Some(Self { low, high, step: round_step(high - low, 6.0).max(1.0) })
    }

    /// Where a value is: 0 at the low end, 1 at the high one.
    pub fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// The round values of the axis.
    pub fn ticks(&self) -> Vec<f64> {
        // Half a step's thousandth: what rounding may have moved is still inside.
        let slack = self.step * 5e-4;
        let first = ((self.low - slack) / self.step).ceil();
        let count = ((self.high + slack) / self.step - first).floor() as usize;
        (0..=count).map(|i| (first + i as f64) * self.step).collect()
    }

    /// A tick's text, with as many decimals as tell ticks apart.
    pub fn label(&self, value: f64) -> String {
        let decimals = (-self.step.log10().floor()).clamp(0.0, 9.0) as usize;
        // Adding zero turns -0 into 0.
        format!("{:.decimals$}", (value / self.step).round() * self.step + 0.0)
    }
}

/// The least and the greatest value.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    (low <= high).then_some((low, high))
}

/// The least round number of which at most `most` make the span.
fn round_step(span: f64, most: f64) -> f64 {
    let power = 10f64.powf((span / most).log10().floor());
    let fits = |step: &f64| span / step <= most * (1.0 + 1e-9);
    [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(fits).unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| axis.label(tick)).collect()
    }

    #[test]
    fn ticks_are_round_numbers_around_the_values() {
        assert_eq!(labels(Axis::over([-1.83, -1.21].into_iter()).unwrap()), ["-2.0", "-1.8", "-1.6", "-1.4", "-1.2"]);
        assert_eq!(labels(Axis::over([0.0, 37_581.0].into_iter()).unwrap()), ["0", "10000", "20000", "30000", "40000"]);
    }

    #[test]
    fn a_single_value_is_in_the_middle() {
        for value in [0.0, 1.0, -2.74, 1e6, 1e-7] {
            let axis = Axis::over([value].into_iter()).unwrap();
            assert!((axis.share(value) - 0.5).abs() < 1e-9 && axis.ticks().len() > 2, "{value}: {axis:?}");
        }
        assert!(Axis::over(std::iter::empty()).is_none());
    }

    #[test]
    fn axes_fit_their_quantity() {
        assert_eq!(Axis::shares().ticks(), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(Axis::from_zero([0.0].into_iter()).unwrap().low, 0.0);
        assert_eq!(Axis::from_zero([3.0, 12.0].into_iter()).unwrap().low, 0.0);
        // Epochs are whole, also where there are few of them.
        assert_eq!(labels(Axis::whole([0.0, 1.0].into_iter()).unwrap()), ["0", "1"]);
        assert_eq!(labels(Axis::whole([0.0].into_iter()).unwrap()), ["0", "1"]);
        assert_eq!(labels(Axis::whole([1.0, 30.0].into_iter()).unwrap()), ["5", "10", "15", "20", "25", "30"]);
    }
}
