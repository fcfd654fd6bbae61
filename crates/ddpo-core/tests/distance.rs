//! The distance of two models, against closed forms.

use burn::tensor::{Device, Tensor};
use ddpo_core::distance::{DistanceMeasure, ModelDistance};
use ddpo_core::schedule::BetaSchedule;
use ddpo_core::{Condition, Domain, Noise, NoiseSchedule, PredictionKind, SampleId, Stream};
use ddpo_testing::GaussianDenoiser;

const STEPS: usize = 200;

fn schedule() -> NoiseSchedule {
    NoiseSchedule::new(BetaSchedule::ScaledLinear { start: 0.004, end: 0.06 }, STEPS).unwrap()
}

fn model(mean: f64, kind: PredictionKind) -> GaussianDenoiser {
    GaussianDenoiser { mean, std: 0.5, kind, schedule: schedule() }
}

fn measure(kind: PredictionKind, draws: usize, samples: &[u64]) -> Vec<ModelDistance> {
    let (device, schedule) = (Device::flex(), schedule());
    let samples: Vec<SampleId> = samples.iter().copied().map(SampleId).collect();
    let noise = Noise::new(3, Domain::Evaluation);
    let address =
        ddpo_core::Address { stream: Stream::Other(1), epoch: ddpo_core::Epoch(0), sample: SampleId(0), step: 0 };
    let clean: Tensor<2> = noise.normal_batch(address, &samples, [samples.len(), 6], &device);
    let condition = Condition::new(Tensor::<3>::zeros([samples.len(), 1, 1], &device));
    let measure = DistanceMeasure { schedule: &schedule, noise, draws };
    measure.between(&model(1.0, kind), &model(0.25, kind), &clean, &condition, &samples).unwrap()
}

#[track_caller]
fn check(found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= 1e-4 * wanted, "{found}, wanted {wanted}");
}

/// With as many draws as timesteps each has one, so that the mean is exact: the models differ by a constant at each.
#[test]
fn of_two_gaussians_it_is_the_closed_form_whatever_they_predict() {
    let schedule = schedule();
    let (mut epsilon, mut x0) = (0.0, 0.0);
    for alpha_bar in schedule.alphas_cumprod() {
        let [one, other] = [1.0, 0.25].map(|mean| model(mean, PredictionKind::Epsilon).line(*alpha_bar).1);
        let square = (one - other).powi(2) / STEPS as f64;
        epsilon += square;
        x0 += square * ((1.0 - alpha_bar) / alpha_bar).min(25.0);
    }
    for kind in [PredictionKind::Epsilon, PredictionKind::Sample, PredictionKind::Velocity] {
        for found in measure(kind, STEPS, &[0, 7]) {
            check(found.epsilon, epsilon);
            check(found.x0, x0);
        }
    }
}

#[test]
fn a_sample_has_its_own_in_any_batch_and_a_model_none_from_itself() {
    let kind = PredictionKind::Epsilon;
    let together = measure(kind, 3, &[4, 5, 6]);
    assert_ne!(together[0], together[1]);
    for (sample, wanted) in [4, 5, 6].into_iter().zip(&together) {
        assert_eq!(&measure(kind, 3, &[sample])[0], wanted);
    }
    let (device, schedule) = (Device::flex(), schedule());
    let measure = DistanceMeasure { schedule: &schedule, noise: Noise::new(0, Domain::Evaluation), draws: 4 };
    let condition = Condition::new(Tensor::<3>::zeros([1, 1, 1], &device));
    let (clean, model) = (Tensor::<2>::ones([1, 6], &device), model(1.0, kind));
    let none = measure.between(&model, &model, &clean, &condition, &[SampleId(0)]).unwrap();
    assert_eq!(none, [ModelDistance::default()]);
    let error = measure.between(&model, &model, &clean, &condition, &[]).unwrap_err().to_string();
    assert_eq!(error, "measure a distance: 0 samples found, 1 wanted");
}
