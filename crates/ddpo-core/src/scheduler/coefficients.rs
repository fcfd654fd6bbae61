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
    /// The step from level ᾱ to ᾱ' that adds the share `eta` of DDPM's noise (Song et al., arXiv 2010.02502, equations 12 and
    /// 16): `σ² = η² (1−ᾱ')/(1−ᾱ) (1−ᾱ/ᾱ')`, mean `√ᾱ' x̂₀ + √(1−ᾱ'−σ²) ε̂`.
    pub(super) fn implicit(alpha: f64, next: f64, eta: f64) -> Self {
        let variance = eta.powi(2) * (1.0 - next) / (1.0 - alpha) * (1.0 - alpha / next);
        // At η = 1 and ᾱ' = 1 rounding may leave a difference of −1e-17, whose root would be NaN.
        let direction = (1.0 - next - variance).max(0.0).sqrt();
        Self { x0: next.sqrt(), epsilon: direction, sample: 0.0, std: variance.max(0.0).sqrt(), ..Self::level(alpha) }
    }

    /// w: how far the mean of the step moves for an error of 1 of the predicted noise, in standard deviations of the step. The
    /// divergence that such an error costs is w²/2 an element; for DDIM with η = 1, w² is the gain in the signal-to-noise ratio,
    /// `SNR(t')/SNR(t) − 1`. Infinite for a step that draws nothing, and for one from pure noise.
    pub fn sensitivity(&self) -> f64 {
        (self.epsilon - self.x0 * self.noise / self.signal).abs() / self.std
    }

    /// The noise level ᾱ with a mean that stays where it is.
    pub(crate) fn level(alpha_bar: f64) -> Self {
        Self { signal: alpha_bar.sqrt(), noise: (1.0 - alpha_bar).sqrt(), x0: 0.0, epsilon: 0.0, sample: 1.0, std: 0.0 }
    }
}
