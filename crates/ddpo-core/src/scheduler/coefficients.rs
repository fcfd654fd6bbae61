//! What a scheduler says of one step: six numbers.

/// The Gaussian of one step in terms of what the model saw and said. With `x_t = signal · x̂₀ + noise · ε̂`,
/// the next state is drawn from `N(x0 · x̂₀ + epsilon · ε̂ + sample · x_t, std² I)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients {
    /// √ᾱ_t, the share of the clean sample in `x_t`.
    pub signal: f64,
    /// √(1−ᾱ_t), the share of noise in `x_t`.
    pub noise: f64,
    /// The weight of the predicted clean sample in the mean.
    pub x0: f64,
    /// The weight of the predicted noise in the mean.
    pub epsilon: f64,
    /// The weight of the current sample in the mean.
    pub sample: f64,
    /// The standard deviation; 0 for a step that draws nothing.
    pub std: f64,
}

impl Coefficients {
    /// The noise level ᾱ with a mean that stays where it is.
    pub(crate) fn level(alpha_bar: f64) -> Self {
        Self { signal: alpha_bar.sqrt(), noise: (1.0 - alpha_bar).sqrt(), x0: 0.0, epsilon: 0.0, sample: 1.0, std: 0.0 }
    }
}
