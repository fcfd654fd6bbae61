//! Which training timesteps a sampler of fewer steps visits (Lin et al., arXiv 2305.08891, table 2).

use super::beta::linspace;
use crate::{Error, Result};

/// How the steps of a sampler are spread over the training timesteps, as diffusers 0.35 spreads them. To which level a step goes
/// from there is the sampler's affair: see [`Ddim`](crate::scheduler::Ddim) for where that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spacing {
    /// Multiples of ⌊T/n⌋ plus an offset: never the noisiest timestep (Stable Diffusion 1, offset 1).
    Leading {
        /// Added to every timestep, `steps_offset` in diffusers.
        offset: usize,
    },
    /// Counted down from the noisiest timestep. For some numbers of steps (61 of 1,000 is the first) diffusers' floating-point
    /// range has one entry too many, timestep −1; it is left out here.
    Trailing,
    /// From the noisiest timestep to 0, both included.
    Linspace,
    /// Even in ln(SNR) = ln(ᾱ/(1−ᾱ)), from the first timestep of [`Leading`](Self::Leading) with this offset to its last: the
    /// timesteps whose levels are nearest. At η = 1 the squared sensitivity of a DDIM step to the prediction is SNR'/SNR − 1, so
    /// that here every step has the same share of the divergence, where leading spacing gives nearly all of it to one.
    ///
    /// Of a model whose noisiest level is pure noise the first step is there, as with [`Trailing`](Self::Trailing), and the others are even
    /// from the second of that: nothing is even about an SNR of 0.
    LogSnr {
        /// The last timestep.
        offset: usize,
    },
}

impl Spacing {
    /// The `steps` timesteps of a model whose training timesteps have these levels ᾱ, strictly decreasing.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `steps` is 0 or more than there are levels, or if the offset pushes a timestep past the last one.
    pub fn timesteps(self, steps: usize, alphas_cumprod: &[f64]) -> Result<Vec<usize>> {
        let train_steps = alphas_cumprod.len();
        if steps == 0 || steps > train_steps {
            return Err(Error::parameter("sampling steps", steps, format!("a number from 1 to {train_steps}")));
        }
        let timesteps: Vec<usize> = match self {
            Self::Leading { offset } => (0..steps).rev().map(|i| i * (train_steps / steps) + offset).collect(),
            Self::Trailing => {
                let ratio = train_steps as f64 / steps as f64;
                (0..steps).map(|i| trailing(train_steps, ratio, i)).collect()
            }
            Self::Linspace => {
                let rounded = |t: f64| t.round_ties_even() as usize;
                let mut ascending: Vec<usize> = linspace(0.0, (train_steps - 1) as f64, steps).map(rounded).collect();
                ascending.reverse();
                ascending
            }
            Self::LogSnr { offset } => {
                let leading = Self::Leading { offset }.timesteps(steps, alphas_cumprod)?;
                if alphas_cumprod[train_steps - 1] > 0.0 {
                    even_in_log_snr(&leading, alphas_cumprod)
                } else {
                    let trailing = Self::Trailing.timesteps(steps, alphas_cumprod)?;
                    let ends: Vec<usize> = trailing.iter().take(2).chain(leading.iter().skip(2)).copied().collect();
                    ends[..1].iter().copied().chain(even_in_log_snr(&ends[1..], alphas_cumprod)).collect()
                }
            }
        };
        check(timesteps, train_steps)
    }
}

/// As many timesteps as `ends` has, from its first to its last, whose ln(SNR) are as even as a table of levels allows: near the
/// end, where neighbours are further apart than a step is long, every timestep comes once.
fn even_in_log_snr(ends: &[usize], alphas_cumprod: &[f64]) -> Vec<usize> {
    let (Some(&first), Some(&last)) = (ends.first(), ends.last()) else { return Vec::new() };
    let log_snr = |t: usize| (alphas_cumprod[t] / (1.0 - alphas_cumprod[t])).ln();
    let (from, to, count) = (log_snr(first), log_snr(last), ends.len());
    let mut timesteps: Vec<usize> = Vec::with_capacity(count);
    for step in 0..count {
        let wanted = from + (to - from) * step as f64 / (count.max(2) - 1) as f64;
        // What is left needs a timestep each, down to the last one.
        let low = last + (count - 1 - step);
        let high = timesteps.last().map_or(first, |before| before - 1);
        let distance = |t: &usize| (log_snr(*t) - wanted).abs();
        let nearest = (low..=high).min_by(|a, b| distance(a).total_cmp(&distance(b)));
        timesteps.push(nearest.unwrap_or(low));
    }
    timesteps
}

/// Step `i` from the end, rounded half to even as numpy does.
fn trailing(train_steps: usize, ratio: f64, i: usize) -> usize {
    let rounded = (train_steps as f64 - ratio * i as f64).round_ties_even() as usize;
    rounded.saturating_sub(1)
}

fn check(timesteps: Vec<usize>, train_steps: usize) -> Result<Vec<usize>> {
    if let Some(&first) = timesteps.first()
        && first >= train_steps
    {
        return Err(Error::parameter(
            "first timestep",
            first,
            format!("a timestep below {train_steps} (a smaller offset)"),
        ));
    }
    match timesteps.windows(2).find(|pair| pair[1] >= pair[0]) {
        Some(pair) => {
            Err(Error::parameter("timesteps", format!("{} after {}", pair[1], pair[0]), "a strictly decreasing list"))
        }
        None => Ok(timesteps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{BetaSchedule, NoiseSchedule};

    /// Stable Diffusion's.
    fn levels() -> Vec<f64> {
        let betas = BetaSchedule::ScaledLinear { start: 0.00085, end: 0.012 };
        NoiseSchedule::new(betas, 1000).unwrap().alphas_cumprod().to_vec()
    }

    #[test]
    fn ten_steps_even_in_log_snr() {
        let timesteps = Spacing::LogSnr { offset: 1 }.timesteps(10, &levels()).unwrap();
        assert_eq!(timesteps, [901, 779, 633, 462, 285, 142, 57, 19, 5, 1]);
        assert_eq!(Spacing::LogSnr { offset: 1 }.timesteps(5, &levels()).unwrap(), [801, 485, 152, 20, 1]);
    }

    #[test]
    fn stable_diffusions_fifty_steps() {
        let timesteps = Spacing::Leading { offset: 1 }.timesteps(50, &levels()).unwrap();
        assert_eq!((timesteps[0], timesteps[1], timesteps[49]), (981, 961, 1));
    }

    #[test]
    fn every_spacing_is_strictly_decreasing_for_every_number_of_steps() {
        let (levels, even) = (levels(), Spacing::LogSnr { offset: 0 });
        for spacing in [Spacing::Leading { offset: 0 }, Spacing::Trailing, Spacing::Linspace, even] {
            for steps in 1..=1000 {
                let timesteps = spacing.timesteps(steps, &levels).unwrap();
                assert_eq!(timesteps.len(), steps);
            }
        }
    }

    #[test]
    fn a_chain_even_in_log_snr_begins_at_pure_noise_where_the_model_knows_it() {
        let betas = BetaSchedule::ScaledLinear { start: 0.00085, end: 0.012 };
        let schedule = NoiseSchedule::new(betas, 1000).unwrap().rescale_zero_terminal_snr().unwrap();
        let levels = schedule.alphas_cumprod();
        let timesteps = |steps| Spacing::LogSnr { offset: 1 }.timesteps(steps, levels).unwrap();
        let ten = timesteps(10);
        assert_eq!((ten[0], ten[1], ten[9]), (999, 899, 1));
        let log_snr: Vec<f64> = ten[1..7].iter().map(|&t| (levels[t] / (1.0 - levels[t])).ln()).collect();
        let gains: Vec<f64> = log_snr.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gains.iter().all(|gain| (gain - gains[0]).abs() < 0.1), "{gains:?}");
        for steps in 1..1000 {
            let chain = timesteps(steps);
            assert_eq!((chain.len(), chain[0]), (steps, 999));
        }
    }

    #[test]
    fn an_offset_past_the_last_timestep_is_refused() {
        let error = Spacing::Leading { offset: 1 }.timesteps(1000, &levels()).unwrap_err();
        assert_eq!(error.to_string(), "first timestep: 1000 found, a timestep below 1000 (a smaller offset) wanted");
    }

    #[test]
    fn impossible_numbers_of_steps_are_refused() {
        assert!(Spacing::Trailing.timesteps(0, &levels()).is_err());
        assert!(Spacing::Trailing.timesteps(1001, &levels()).is_err());
    }
}
