//! What a classifier has found.

/// The evidence for each class.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// The mean over a class's trials of the squared error of its prediction, summed over elements: the less, the
    /// better the class explains the sample.
    pub errors: Vec<f64>,
    /// How often each class was tried; those that were left out on the way less often than the others.
    pub trials: Vec<usize>,
}

impl Classification {
    /// The classes from best to worst: whoever was tried longer is before whoever was left out.
    pub fn ranking(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.errors.len()).collect();
        let worse = |&a: &usize, &b: &usize| {
            self.trials[b].cmp(&self.trials[a]).then(self.errors[a].total_cmp(&self.errors[b]))
        };
        order.sort_by(worse);
        order
    }

    /// The logarithm of each class's posterior under a uniform prior, `−E_c − ln Σ exp(−E_c')`:
    /// errors are bounds of log-likelihoods. Classes which were left out have −∞.
    pub fn log_posterior(&self) -> Vec<f64> {
        let most = self.trials.iter().max().copied().unwrap_or(0);
        let tried_to_the_end = |class: usize| self.trials[class] == most;
        let survivors = || (0..self.errors.len()).filter(|&class| tried_to_the_end(class));
        let least = survivors().map(|class| self.errors[class]).fold(f64::INFINITY, f64::min);
        let total: f64 = survivors().map(|class| (least - self.errors[class]).exp()).sum();
        let log =
            |class| if tried_to_the_end(class) { least - self.errors[class] - total.ln() } else { f64::NEG_INFINITY };
        (0..self.errors.len()).map(log).collect()
    }

    /// The predictions it took.
    pub fn cost(&self) -> usize {
        self.trials.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posteriors_add_up_to_one_and_follow_the_errors() {
        let verdict = Classification { errors: vec![1000.0, 1001.0, 900.0, 1000.5], trials: vec![8, 8, 2, 8] };
        let posterior: Vec<f64> = verdict.log_posterior().into_iter().map(f64::exp).collect();
        assert!((posterior.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((posterior[0] / posterior[1] - 1f64.exp()).abs() < 1e-9 && posterior[2] == 0.0);
        assert_eq!(verdict.ranking(), [0, 3, 1, 2]);
        assert_eq!(verdict.cost(), 26);
    }
}
