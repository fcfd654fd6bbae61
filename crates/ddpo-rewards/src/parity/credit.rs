//! The value of a set of labels, and what each of them adds to it.

/// How often each class is in a set.
#[derive(Clone, Debug)]
pub(super) struct Counts(Vec<usize>);

impl Counts {
    /// Of labels below `classes`.
    pub fn of(labels: &[usize], classes: usize) -> Self {
        let mut counts = vec![0; classes];
        for &label in labels {
            counts[label] += 1;
        }
        Self(counts)
    }

    /// `−Σ_a (n_a/n − 1/k)²`; 0 of an empty set.
    pub fn value(&self) -> f64 {
        distance(&self.0)
    }

    /// `R(S) − R(S∖{i})` of a member with this label. A picture alone has nothing to be compared with: 0.
    pub fn marginal(&self, label: usize) -> f64 {
        if self.0.iter().sum::<usize>() < 2 {
            return 0.0;
        }
        let mut others = self.0.clone();
        others[label] -= 1;
        self.value() - distance(&others)
    }

    /// The mean value of as many labels that are drawn evenly: `−(1 − 1/k)/n`.
    pub fn floor(&self) -> f64 {
        let n = self.0.iter().sum::<usize>().max(1) as f64;
        -(1.0 - 1.0 / self.0.len() as f64) / n
    }
}

fn distance(counts: &[usize]) -> f64 {
    let (n, k) = (counts.iter().sum::<usize>(), counts.len() as f64);
    if n == 0 {
        return 0.0;
    }
    -counts.iter().map(|&count| (count as f64 / n as f64 - 1.0 / k).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10, 3, 2 and 1 of four classes.
    fn uneven() -> (Vec<usize>, Counts) {
        let labels: Vec<usize> = [10, 3, 2, 1].into_iter().enumerate().flat_map(|(a, n)| vec![a; n]).collect();
        let counts = Counts::of(&labels, 4);
        (labels, counts)
    }

    #[test]
    fn what_there_is_too_much_of_takes_away_and_the_rest_adds() {
        let (_, counts) = uneven();
        let credits = [0, 1, 2, 3].map(|label| counts.marginal(label));
        for (found, wanted) in credits.into_iter().zip([-0.023, 0.039, 0.048, 0.057]) {
            assert!((found - wanted).abs() < 5e-4, "{credits:?}");
        }
        assert!((Counts::of(&[0; 16], 4).floor() + 0.046_875).abs() < 1e-12);
        assert_eq!((Counts::of(&[2], 4).marginal(2), Counts::of(&[], 4).value()), (0.0, 0.0));
        assert_eq!(Counts::of(&[0, 1, 2, 3], 4).value(), 0.0);
    }

    /// All labellings of four pictures with two classes, exactly: `E[Σ_i credit_i ∇ log p(a_i)]` is the same with both credits, and
    /// its variance is not.
    #[test]
    fn both_credits_have_the_same_gradient_on_average() {
        let (p, n) = (0.8_f64, 6);
        // d log p(a) / dp, of a Bernoulli variable.
        let slope = |a: usize| if a == 1 { 1.0 / p } else { -1.0 / (1.0 - p) };
        let mut moments = [[0.0; 2]; 2];
        for bits in 0..1_usize << n {
            let labels: Vec<usize> = (0..n).map(|i| bits >> i & 1).collect();
            let probability: f64 = labels.iter().map(|&a| if a == 1 { p } else { 1.0 - p }).product();
            let counts = Counts::of(&labels, 2);
            let marginal: f64 = labels.iter().map(|&a| counts.marginal(a) * slope(a)).sum();
            let shared: f64 = labels.iter().map(|&a| counts.value() * slope(a)).sum();
            for (moments, gradient) in moments.iter_mut().zip([marginal, shared]) {
                moments[0] += probability * gradient;
                moments[1] += probability * gradient * gradient;
            }
        }
        let [[marginal, of_marginal], [shared, of_shared]] = moments;
        assert!((marginal - shared).abs() < 1e-10, "{marginal} {shared}");
        // That of E[R], differentiated by hand: R = −2 (m/n − 1/2)² with m binomial.
        let derivative = -2.0 * ((1.0 - 2.0 * p) / n as f64 + 2.0 * (p - 0.5));
        assert!((marginal - derivative).abs() < 1e-10, "{marginal} {derivative}");
        assert!(of_marginal - marginal * marginal < of_shared - shared * shared, "{of_marginal} {of_shared}");
    }

    /// As the page of the method has it: 16 pictures of four classes at (.7, .1, .1, .1), both estimators drawn 4,000 times.
    #[test]
    fn marginal_credit_is_far_less_noisy() {
        let shares = [0.7, 0.1, 0.1, 0.1];
        let mut state = 7_u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let draws: Vec<(Vec<usize>, f64)> = (0..4000)
            .map(|_| {
                let label = |mut u: f64| {
                    for (class, share) in shares.iter().enumerate() {
                        if u < *share {
                            return class;
                        }
                        u -= share;
                    }
                    shares.len() - 1
                };
                let labels: Vec<usize> = (0..16).map(|_| label(uniform())).collect();
                let value = Counts::of(&labels, 4).value();
                (labels, value)
            })
            .collect();
        // The mean over all sets is the baseline of the shared credit, as the batch's mean is.
        let baseline = draws.iter().map(|(_, value)| value).sum::<f64>() / draws.len() as f64;
        // The gradient along the first logit: Σ_i credit_i (1[a_i = 0] − p_0).
        let variance = |gradient: &dyn Fn(&[usize], f64) -> f64| {
            let all: Vec<f64> = draws.iter().map(|(labels, value)| gradient(labels, *value)).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64
        };
        let slope = |a: usize| f64::from(u8::from(a == 0)) - shares[0];
        let marginal = variance(&|labels, _| {
            let counts = Counts::of(labels, 4);
            labels.iter().map(|&a| counts.marginal(a) * slope(a)).sum()
        });
        let shared = variance(&|labels, value| labels.iter().map(|&a| (value - baseline) * slope(a)).sum());
        assert!(shared / marginal > 8.0, "{shared} {marginal}");
    }
}
