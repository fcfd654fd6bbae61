//! The diffusion classifier over a perfect model, where the right answer is known.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use ddpo_core::classifier::{Classification, DiffusionClassifier, Elimination};
use ddpo_core::{
    Condition, Denoiser, Domain, Draw, Epoch, Noise, NoiseSchedule, Prediction, PredictionKind, Result, SampleId,
    Stream, Timestep,
};
use ddpo_testing::{GaussianDenoiser, stable_diffusion_schedule};

const ELEMENTS: usize = 16;
const CLASSES: usize = 45;

/// The exact denoiser of data `N(c, 0.5²)`, where c is the condition: noise does not care where the data is.
struct Conditional(GaussianDenoiser);

impl Denoiser<2> for Conditional {
    fn predict(&self, x: &Tensor<2>, timesteps: &[Timestep], condition: &Condition) -> Result<Prediction<2>> {
        let table = self.0.schedule.alphas_cumprod();
        let signals: Vec<f32> = timesteps.iter().map(|t| table[t.0 as usize].sqrt() as f32).collect();
        let rows = signals.len();
        let signals = Tensor::<2>::from_data(TensorData::new(signals, [rows, 1]), &x.device());
        let means = condition.states.clone().reshape([rows, ELEMENTS]);
        self.0.predict(&(x.clone() - means * signals), timesteps, condition)
    }
}

fn draw(sample: u64) -> Draw {
    let address = ddpo_core::Address { stream: Stream::Other(0), epoch: Epoch(0), sample: SampleId(sample), step: 0 };
    Noise::new(3, Domain::Other(1)).at(address)
}

/// The means of the classes.
fn classes() -> Vec<Vec<f32>> {
    (0..CLASSES as u64).map(|class| draw(class).normals(ELEMENTS).iter().map(|z| 0.5 * z).collect()).collect()
}

fn classify(sample: &[f32], elimination: &Elimination, batch: usize) -> Classification {
    let schedule: NoiseSchedule = stable_diffusion_schedule();
    let denoiser = Conditional(GaussianDenoiser {
        mean: 0.0,
        std: 0.5,
        kind: PredictionKind::Epsilon,
        schedule: schedule.clone(),
    });
    let noise = Noise::new(0, Domain::Classification);
    let classifier = DiffusionClassifier { denoiser: &denoiser, schedule: &schedule, noise, first_timestep: 0, batch };
    let means = TensorData::new(classes().concat(), [CLASSES, 1, ELEMENTS]);
    let condition = Condition::new(Tensor::from_data(means, &Device::default()));
    let clean = Tensor::from_data(TensorData::new(sample.to_vec(), [1, ELEMENTS]), &Device::default());
    classifier.classify(&clean, &condition, elimination).unwrap()
}

/// A sample of a class.
fn sample(class: usize, number: usize) -> Vec<f32> {
    let noise = draw(1000 + (class * 10 + number) as u64).normals(ELEMENTS);
    classes()[class].iter().zip(noise).map(|(mean, z)| mean + 0.25 * z).collect()
}

#[test]
fn the_class_is_named_and_elimination_names_the_same_at_a_third_of_the_cost() {
    let (full, successive) = (Elimination::none(64), Elimination::successive(CLASSES, 64));
    let (mut right, mut same) = (0, 0);
    for class in 0..CLASSES {
        let sample = sample(class, 0);
        let (slow, fast) = (classify(&sample, &full, 1000), classify(&sample, &successive, 1000));
        assert_eq!((slow.cost(), fast.cost()), (full.cost(CLASSES), successive.cost(CLASSES)));
        assert!(3 * fast.cost() <= slow.cost());
        right += usize::from(slow.ranking()[0] == class);
        same += usize::from(slow.ranking()[0] == fast.ranking()[0]);
    }
    println!("{right} right, {same} the same, of {CLASSES}");
    assert!(right * 10 >= 9 * CLASSES, "{right} of {CLASSES} right");
    assert!(same * 100 >= 95 * CLASSES, "{same} of {CLASSES} the same");
}

#[test]
fn the_verdict_does_not_depend_on_the_batch() {
    let (sample, elimination) = (sample(7, 1), Elimination::successive(CLASSES, 16));
    let whole = classify(&sample, &elimination, 1000);
    assert_eq!(classify(&sample, &elimination, 7), whole);
    assert_eq!(classify(&sample, &elimination, 1), whole);
}

#[test]
fn classes_that_are_left_out_keep_their_evidence() {
    let (sample, elimination) = (sample(3, 2), Elimination::successive(CLASSES, 16));
    let (fast, slow) = (classify(&sample, &elimination, 100), classify(&sample, &Elimination::none(2), 100));
    for class in (0..CLASSES).filter(|&class| fast.trials[class] == 2) {
        assert_eq!(fast.errors[class], slow.errors[class]);
    }
    let survivors = fast.log_posterior().into_iter().filter(|log| log.is_finite()).count();
    assert_eq!(survivors, 2);
}
