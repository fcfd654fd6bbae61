//! What an epoch of distillation must do.

use burn::tensor::{Tensor, TensorData};
use ddpo_core::{Condition, Denoiser, Parameter, Policy, Prediction, PredictionKind, Result, Timestep};
use ddpo_testing::{GaussianDenoiser, MeanBrightness, stable_diffusion_schedule};
use ddpo_train::{
    DistillParts, DistillPlan, DistillTrainer, DistillationRecord, Learner, Parts, Record, Run, StopFlag,
};

use crate::common::{listening, parts, sampling, timeless, with_policy};

const MEAN: f64 = 0.7;
const STD: f64 = 0.6;
const GRID: [usize; 4] = [999, 749, 499, 249];

/// The teacher: the exact denoiser of Gaussian data.
fn teacher() -> GaussianDenoiser {
    GaussianDenoiser { mean: MEAN, std: STD, kind: PredictionKind::Epsilon, schedule: stable_diffusion_schedule() }
}

/// A student whose guess is an affine function of the state at each timestep of the grid: slopes and then intercepts.
#[derive(Clone)]
pub struct Student(Tensor<1>);

impl Student {
    fn new() -> Self {
        Self(Tensor::<1>::from_floats([0.0_f32; 8], &burn::tensor::Device::flex()).autodiff().require_grad())
    }

    fn lines(&self) -> Vec<f32> {
        self.0.clone().inner().into_data().try_into_vec().unwrap()
    }
}

impl Denoiser<4> for Student {
    fn predict(&self, sample: &Tensor<4>, timesteps: &[Timestep], _: &Condition) -> Result<Prediction<4>> {
        let rows = timesteps.len();
        let place = |t: &Timestep| {
            // Evaluations visit other timesteps: the next one of the grid is asked.
            GRID.iter().position(|&timestep| timestep as f64 <= t.0).unwrap_or(GRID.len() - 1)
        };
        let one_hot: Vec<f32> =
            timesteps.iter().flat_map(|t| (0..4).map(move |i| f32::from(u8::from(i == place(t))))).collect();
        let one_hot = Tensor::<2>::from_data(TensorData::new(one_hot, [rows, 4]), &sample.device());
        let column = |first: usize| {
            one_hot.clone().matmul(self.0.clone().narrow(0, first, 4).reshape([4, 1])).reshape([rows, 1, 1, 1])
        };
        Ok(Prediction::new(PredictionKind::Sample, sample.clone() * column(0) + column(4)))
    }
}

impl Policy<4> for Student {
    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter { name: "lines".into(), shape: vec![8], value: self.0.clone() }]
    }

    fn set_parameters(&mut self, values: Vec<Tensor<1>>) -> Result<()> {
        if let Some(value) = values.into_iter().next() {
            self.0 = value.inner().autodiff().require_grad();
        }
        Ok(())
    }

    fn sampler(&self) -> Box<dyn Denoiser<4> + '_> {
        Box::new(Self(self.0.clone().inner()))
    }

    fn reference(&self) -> Box<dyn Denoiser<4> + '_> {
        Box::new(teacher())
    }
}

pub type Trainer = DistillTrainer<Student, 4>;

pub fn plan() -> DistillPlan {
    DistillPlan {
        sampling: sampling(),
        train_batch: 6,
        accumulation: 2,
        inner_epochs: 2,
        grid: GRID.to_vec(),
        teacher_guidance: 1.0,
        learning_rate: 0.01,
        ..DistillPlan::default()
    }
}

pub fn distill_parts(lanes: usize) -> DistillParts<Student, 4> {
    let shared = with_policy(parts(Box::new(MeanBrightness)), Student::new());
    let shared = Parts { evaluation: None, lanes, ..shared };
    let teacher = parts(Box::new(MeanBrightness)).scheduler;
    DistillParts { shared, schedule: stable_diffusion_schedule(), teacher }
}

fn trainer(plan: DistillPlan, lanes: usize) -> Trainer {
    DistillTrainer::new(plan, distill_parts(lanes)).unwrap()
}

fn run(trainer: &mut Trainer, epochs: u64) -> Vec<Record> {
    let (mut trackers, memory) = listening();
    Run::new(trainer, &mut trackers, StopFlag::new()).run(epochs).unwrap();
    memory.records()
}

fn steps(records: &[Record]) -> Vec<DistillationRecord> {
    records.iter().filter_map(|r| if let Record::Distillation(x) = r { Some(x.clone()) } else { None }).collect()
}

/// Where the teacher's deterministic chain over the grid arrives from each place of it: slopes and then intercepts.
fn ends() -> Vec<f64> {
    let alphas = stable_diffusion_schedule().alphas_cumprod().to_vec();
    let (mut end, mut ends) = ([1.0, 0.0], Vec::new());
    for place in (0..GRID.len()).rev() {
        let alpha = alphas[GRID[place]];
        let next = GRID.get(place + 1).map_or(1.0, |&timestep| alphas[timestep]);
        let slope = alpha.sqrt() * STD * STD / (alpha * STD * STD + 1.0 - alpha);
        let guess = [slope, MEAN * (1.0 - slope * alpha.sqrt())];
        let noise =
            [(1.0 - alpha.sqrt() * guess[0]) / (1.0 - alpha).sqrt(), -alpha.sqrt() * guess[1] / (1.0 - alpha).sqrt()];
        let step = [0, 1].map(|i| next.sqrt() * guess[i] + (1.0 - next).sqrt() * noise[i]);
        end = [end[0] * step[0], end[0] * step[1] + end[1]];
        ends.push(end);
    }
    ends.reverse();
    ends.iter().map(|end| end[0]).chain(ends.iter().map(|end| end[1])).collect()
}

#[test]
fn the_students_guesses_become_the_end_of_the_teachers_chain() {
    let mut trainer = trainer(plan(), 1);
    let before = trainer.policy().lines();
    let records = run(&mut trainer, 120);
    let (found, wanted) = (trainer.policy().lines(), ends());
    println!("{found:?} {wanted:?}");
    let error = |lines: &[f32]| lines.iter().zip(&wanted).map(|(x, y)| (f64::from(*x) - y).abs()).fold(0.0, f64::max);
    assert!(error(&before) > 0.3 && error(&found) < 0.05, "{found:?} {wanted:?}");
    let steps = steps(&records);
    assert_eq!(steps.len(), 120 * 4);
    assert!(steps[479].distance_to_target < 0.05 * steps[0].distance_to_target, "{:?} {:?}", steps[0], steps[479]);
    let queries = records.iter().filter_map(|r| if let Record::Epoch(x) = r { Some(x.reward_queries) } else { None });
    assert!(queries.into_iter().all(|queries| queries == 0));
}

#[test]
fn lanes_change_nothing_and_two_epochs_and_two_more_are_four() {
    // No reward is asked for, and NaN equals nothing.
    let one = |lanes| format!("{:?}", timeless(run(&mut trainer(plan(), lanes), 2)));
    assert_eq!(one(1), one(3));
    let whole = {
        let mut trainer = trainer(plan(), 1);
        run(&mut trainer, 4);
        trainer.snapshot().unwrap()
    };
    let mut first = trainer(plan(), 1);
    run(&mut first, 2);
    let snapshot = first.snapshot().unwrap();
    // The target is behind the student, and has a place of its own in the state.
    let values = |name: &str| snapshot.tensors.iter().find(|tensor| tensor.name == name).unwrap().values.clone();
    assert_ne!(values("old/lines"), values("parameter/lines"));
    let mut second = trainer(plan(), 1);
    second.restore(&snapshot).unwrap();
    run(&mut second, 4);
    assert_eq!(second.snapshot().unwrap(), whole);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |plan: DistillPlan| DistillTrainer::new(plan, distill_parts(1)).err().unwrap().to_string();
    assert_eq!(
        refused(DistillPlan { grid: vec![499, 999], ..plan() }),
        "grid is [499, 999], wanted timesteps that fall"
    );
    let late = DistillPlan { grid: vec![1000, 1], ..plan() };
    assert_eq!(refused(late), "timestep of the grid is 1000, wanted below 1000, the timesteps of the model");
    let still = DistillPlan { target_decay: 1.0, ..plan() };
    assert_eq!(refused(still), "decay of the target network is 1, wanted at least 0 and below 1");
}
