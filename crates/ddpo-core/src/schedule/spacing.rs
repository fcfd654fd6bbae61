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
}

impl Spacing {
    /// The `steps` timesteps out of `train_steps`, strictly decreasing.
    ///
    /// # Errors
    /// [`Error::Parameter`] if `steps` is 0 or more than `train_steps`, or if the offset pushes a timestep past the last one.
    pub fn timesteps(self, steps: usize, train_steps: usize) -> Result<Vec<usize>> {
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
        };
        check(timesteps, train_steps)
    }
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

    #[test]
    fn stable_diffusions_fifty_steps() {
        let timesteps = Spacing::Leading { offset: 1 }.timesteps(50, 1000).unwrap();
        assert_eq!((timesteps[0], timesteps[1], timesteps[49]), (981, 961, 1));
    }

    #[test]
    fn every_spacing_is_strictly_decreasing_for_every_number_of_steps() {
        for spacing in [Spacing::Leading { offset: 0 }, Spacing::Trailing, Spacing::Linspace] {
            for steps in 1..=1000 {
                let timesteps = spacing.timesteps(steps, 1000).unwrap();
                assert_eq!(timesteps.len(), steps);
            }
        }
    }

    #[test]
    fn an_offset_past_the_last_timestep_is_refused() {
        let error = Spacing::Leading { offset: 1 }.timesteps(1000, 1000).unwrap_err();
        assert_eq!(error.to_string(), "first timestep: 1000 found, a timestep below 1000 (a smaller offset) wanted");
    }

    #[test]
    fn impossible_numbers_of_steps_are_refused() {
        assert!(Spacing::Trailing.timesteps(0, 1000).is_err());
        assert!(Spacing::Trailing.timesteps(1001, 1000).is_err());
    }
}
