//! Which classes are still tried, and for how long.

/// The share of classes that each stage but the last leaves: one of so many.
const CUT: usize = 3;

/// A stage ends when each class it still tries has been tried so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Trials of each class by the end of the stage, those of earlier stages included.
    pub trials: usize,
    /// The classes that go on into the next stage: those of the least error so far.
    pub keep: usize,
}

/// Successive elimination: all classes are tried a little, and the best of them more. Trials are shared, so that few of
/// them tell hopeless classes from the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elimination {
    stages: Vec<Stage>,
}

impl Elimination {
    /// Every class is tried at all of `trials` pairs (at least 1).
    pub fn none(trials: usize) -> Self {
        Self { stages: vec![Stage { trials: trials.max(1), keep: usize::MAX }] }
    }

    /// A third of the classes (at least 2) is left after an eighth of the trials, a third of those after a quarter, and
    /// again after a half: for many classes a fifth of the full cost.
    pub fn successive(classes: usize, trials: usize) -> Self {
        let (mut stages, mut keep) = (Vec::new(), classes);
        for share in [8, 4, 2] {
            keep = keep.div_ceil(CUT).max(2);
            stages.push(Stage { trials: (trials / share).max(1), keep });
        }
        stages.push(Stage { trials: trials.max(1), keep });
        Self { stages }
    }

    /// The stages, in order, their trials never falling.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The predictions it costs to classify one sample.
    pub fn cost(&self, classes: usize) -> usize {
        let (mut cost, mut tried, mut left) = (0, 0, classes);
        for stage in &self.stages {
            cost += left * stage.trials.saturating_sub(tried);
            (tried, left) = (tried.max(stage.trials), left.min(stage.keep));
        }
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elimination_costs_less_than_a_third() {
        for classes in [9, 45, 398] {
            for trials in [32, 64, 256] {
                let (successive, full) = (Elimination::successive(classes, trials), Elimination::none(trials));
                assert_eq!(full.cost(classes), classes * trials);
                assert!(3 * successive.cost(classes) <= full.cost(classes), "{classes} classes, {trials} trials");
            }
        }
        assert_eq!(Elimination::successive(45, 64).cost(45), 45 * 8 + 15 * 8 + 5 * 16 + 2 * 32);
    }

    #[test]
    fn two_are_left_to_the_end() {
        for (classes, trials) in [(2, 1), (3, 5), (45, 64)] {
            let elimination = Elimination::successive(classes, trials);
            assert_eq!(elimination.stages().last(), Some(&Stage { trials, keep: 2 }));
            assert!(elimination.stages().windows(2).all(|pair| pair[0].trials <= pair[1].trials));
        }
    }
}
