//! Axes of charts, with round ticks.

/// A range of values and the distance of its ticks: 1, 2 or 5 times a power of ten.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// The axis over some finite values, from tick to tick; `None` where there is no value.
    pub fn over(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if low > high {
            return None;
        }
        let span = if high > low { high - low } else { low.abs().max(1.0) * 0.1 };
        let power = 10f64.powf((span / 4.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|m| m * power)
            .into_iter()
            .find(|step| span / step <= 5.0)
            .unwrap_or(power * 10.0);
        Some(Self {
            low: (low / step).floor() * step,
            high: ((high / step).ceil() * step).max((low / step).floor() * step + step),
            step,
        })
    }

    /// Where a value is: 0 at the low end, 1 at the high one.
    pub fn share(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Round values from end to end.
    pub fn ticks(&self) -> Vec<f64> {
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|i| self.low + i as f64 * self.step).collect()
    }

    /// A tick's text, with as many decimals as tell ticks apart.
    pub fn label(&self, value: f64) -> String {
        let decimals = (-self.step.log10().floor()).clamp(0.0, 9.0) as usize;
        // Adding zero turns -0 into 0.
        format!("{:.decimals$}", (value / self.step).round() * self.step + 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_around_the_values() {
        let axis = Axis::over([-1.83, -1.21].into_iter()).unwrap();
        let labels: Vec<String> = axis.ticks().into_iter().map(|tick| axis.label(tick)).collect();
        assert_eq!(labels, ["-2.0", "-1.8", "-1.6", "-1.4", "-1.2"]);
        let flat = Axis::over([0.0].into_iter()).unwrap();
        assert!(flat.high > flat.low);
    }
}
