//! From the rewards of candidates to one noise.

/// How much better a candidate must be to count for more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Temperature {
    /// The standard deviation of the candidates' rewards at each step, so that no scale of the reward matters.
    Adaptive,
    /// In units of the reward, above 0.
    Fixed(f64),
}

/// How candidates become the noise of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Synthesis {
    /// The sum of all candidates, each with the weight `tanh((R − R̄) / τ)`: what was bad pushes away from where it went.
    Tanh(Temperature),
    /// The sum with the weights `softmax(R / τ)`.
    Boltzmann(Temperature),
    /// The candidate with the largest reward, as it was drawn.
    Best,
}

impl Synthesis {
    /// The noise to take, of the candidates' `noises` `[n]` each. A sum has the norm √n of a typical noise:
    /// `z* = √n Σ w_k z_k / ‖Σ w_k z_k‖`.
    ///
    /// A candidate whose reward is NaN has no say. Where no reward differs from another, and where there is no candidate but
    /// one, it is the first candidate as it was drawn, so that such a step is a plain one. Without candidates it is empty.
    #[must_use]
    pub fn noise(self, rewards: &[f32], noises: &[Vec<f32>]) -> Vec<f32> {
        let first = || noises.first().cloned().unwrap_or_default();
        let scored: Vec<(f64, &Vec<f32>)> = rewards
            .iter()
            .map(|reward| f64::from(*reward))
            .zip(noises)
            .filter(|(reward, _)| reward.is_finite())
            .collect();
        let values: Vec<f64> = scored.iter().map(|(reward, _)| *reward).collect();
        let differ = values.iter().any(|value| *value != values[0]);
        if !differ {
            return first();
        }
        let weights = match self {
            Self::Best => {
                let best = scored.iter().fold(None, |best: Option<&(f64, &Vec<f32>)>, candidate| match best {
                    Some(best) if best.0 >= candidate.0 => Some(best),
                    _ => Some(candidate),
                });
                return best.map_or_else(first, |(_, noise)| (*noise).clone());
            }
            Self::Tanh(temperature) => {
                let (mean, scale) = (mean(&values), temperature.of(&values));
                values.iter().map(|value| ((value - mean) / scale).tanh()).collect::<Vec<_>>()
            }
            Self::Boltzmann(temperature) => {
                let (most, scale) = (values.iter().copied().fold(f64::NEG_INFINITY, f64::max), temperature.of(&values));
                // The normalisation of the sum below takes that of the softmax with it.
                values.iter().map(|value| ((value - most) / scale).exp()).collect()
            }
        };
        let mut sum = vec![0.0_f64; scored[0].1.len()];
        for (weight, (_, noise)) in weights.iter().zip(&scored) {
            sum.iter_mut().zip(noise.iter()).for_each(|(sum, z)| *sum += weight * f64::from(*z));
        }
        let norm = sum.iter().map(|z| z * z).sum::<f64>().sqrt();
        if norm <= 0.0 || !norm.is_finite() {
            return first();
        }
        let scale = (sum.len() as f64).sqrt() / norm;
        sum.into_iter().map(|z| (scale * z) as f32).collect()
    }
}

impl Temperature {
    fn of(self, rewards: &[f64]) -> f64 {
        match self {
            Self::Fixed(temperature) => temperature,
            Self::Adaptive => {
                let mean = mean(rewards);
                (rewards.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>() / rewards.len() as f64).sqrt()
            }
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
