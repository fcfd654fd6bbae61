//! What consistency distillation must be, of Gaussian data, whose deterministic chains are known.

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use ddpo_core::distillation::{ConsistencyDistillation, DistillationLoss, DistillationModels, GridStates};
use ddpo_core::schedule::Spacing;
use ddpo_core::{
    Address, Condition, Denoiser, Domain, Epoch, Noise, Prediction, PredictionKind, Result, SampleId, Stream, Timestep,
};
use ddpo_testing::{GaussianDenoiser, Tolerance, assert_close, stable_diffusion_schedule};

const MEAN: f64 = 0.7;
const STD: f64 = 0.6;

fn read(tensor: Tensor<1>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

fn normals(step: u64, shape: [usize; 2]) -> Tensor<2> {
    let address = Address { stream: Stream::Other(1), epoch: Epoch(0), sample: SampleId(0), step };
    let values = Noise::new(0, Domain::Other(9)).at(address).normals(shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn teacher() -> GaussianDenoiser {
    GaussianDenoiser { mean: MEAN, std: STD, kind: PredictionKind::Epsilon, schedule: stable_diffusion_schedule() }
}

/// Where the teacher's deterministic chain over a grid arrives from each place of it, an affine function: slope and intercept.
fn ends(grid: &[usize]) -> Vec<[f64; 2]> {
    let alphas = stable_diffusion_schedule().alphas_cumprod().to_vec();
    let mut end = [1.0, 0.0];
    let mut ends = Vec::new();
    for place in (0..grid.len()).rev() {
        let alpha = alphas[grid[place]];
        let next = grid.get(place + 1).map_or(1.0, |&timestep| alphas[timestep]);
        // The guess at the clean sample is the mean of what is left of the data, and the noise is the rest.
        let slope = alpha.sqrt() * STD * STD / (alpha * STD * STD + 1.0 - alpha);
        let guess = [slope, MEAN * (1.0 - slope * alpha.sqrt())];
        let noise = [1.0, 0.0];
        let noise = [0, 1].map(|i| (noise[i] - alpha.sqrt() * guess[i]) / (1.0 - alpha).sqrt());
        let step = [0, 1].map(|i| next.sqrt() * guess[i] + (1.0 - next).sqrt() * noise[i]);
        end = [end[0] * step[0], end[0] * step[1] + end[1]];
        ends.push(end);
    }
    ends.reverse();
    ends
}

/// A model whose guess is an affine function of the state at each timestep.
struct Affine {
    grid: Vec<usize>,
    lines: Vec<[f64; 2]>,
}

impl Denoiser<2> for Affine {
    fn predict(&self, sample: &Tensor<2>, timesteps: &[Timestep], _: &Condition) -> Result<Prediction<2>> {
        let place = |t: &Timestep| self.grid.iter().position(|&timestep| timestep as f64 == t.0).unwrap();
        let column = |i: usize| {
            let values: Vec<f32> = timesteps.iter().map(|t| self.lines[place(t)][i] as f32).collect();
            Tensor::<2>::from_data(TensorData::new(values, [timesteps.len(), 1]), &sample.device())
        };
        Ok(Prediction::new(PredictionKind::Sample, sample.clone() * column(0) + column(1)))
    }
}

fn loss(grid: &[usize], student: &dyn Denoiser<2>, target: &dyn Denoiser<2>) -> DistillationLoss {
    let places: Vec<usize> = (0..grid.len()).collect();
    let shape = [grid.len(), 16];
    let states = GridStates {
        clean: &normals(0, shape).mul_scalar(STD).add_scalar(MEAN),
        epsilon: &normals(1, shape),
        grid,
        places: &places,
        condition: &Condition::none(grid.len(), &Device::flex()),
    };
    let models = DistillationModels { student, target, teacher: &teacher() };
    ConsistencyDistillation::default().loss(&stable_diffusion_schedule(), &states, &models).unwrap()
}

fn grid(steps: usize) -> Vec<usize> {
    stable_diffusion_schedule().timesteps(Spacing::Trailing, steps).unwrap()
}

/// The optimum is known: the end of the teacher's chain, from wherever one is on it.
#[test]
fn the_end_of_the_teachers_chain_has_no_loss_and_the_teacher_itself_has() {
    let grid = grid(20);
    let student = Affine { grid: grid.clone(), lines: ends(&grid) };
    let optimal = loss(&grid, &student, &student);
    assert!(read(optimal.distance).iter().all(|&distance| distance < 1e-9));
    let itself = loss(&grid, &teacher(), &teacher());
    let distances = read(itself.distance);
    // All but the last step, whose guess is the end.
    assert!(distances[..19].iter().all(|&distance| distance > 1e-6) && distances[19] < 1e-9, "{distances:?}");
}

/// As the grid gets finer the chain's end becomes the flow's: `x ↦ m + s (x − √ᾱ m) / √(ᾱ s² + 1 − ᾱ)`.
#[test]
fn the_end_of_a_fine_chain_is_the_flows() {
    let alphas = stable_diffusion_schedule().alphas_cumprod().to_vec();
    let error = |steps: usize| {
        let grid = grid(steps);
        let slopes = ends(&grid).into_iter().zip(&grid).map(|([slope, _], &timestep)| {
            let alpha = alphas[timestep];
            slope * (alpha * STD * STD + 1.0 - alpha).sqrt() / STD - 1.0
        });
        slopes.map(f64::abs).fold(0.0, f64::max)
    };
    assert!(error(1000) < 0.01 && error(1000) < 0.2 * error(50), "{} {}", error(50), error(1000));
}

#[test]
fn a_student_is_pulled_to_its_target_by_the_pseudo_huber_gradient() {
    let grid = grid(4);
    let lines = ends(&grid);
    let off = Affine { grid: grid.clone(), lines: lines.iter().map(|[slope, start]| [*slope, start + 0.5]).collect() };
    let DistillationLoss { loss, distance } = loss(&grid, &off, &Affine { grid: grid.clone(), lines });
    let wanted = (0.25_f64 + 1e-6).sqrt() - 1e-3;
    assert_close(&read(loss), &[wanted; 4], Tolerance { absolute: 1e-5, relative: 1e-4 });
    assert_close(&read(distance), &[0.25; 4], Tolerance { absolute: 1e-5, relative: 1e-4 });
}

#[test]
fn what_does_not_fit_is_refused() {
    assert!(ConsistencyDistillation { huber: 0.0 }.validate().is_err());
    assert!(ConsistencyDistillation { huber: f64::NAN }.validate().is_err());
    let (clean, condition) = (normals(0, [1, 4]), Condition::none(1, &Device::flex()));
    let states = GridStates { clean: &clean, epsilon: &clean, grid: &[999, 499], places: &[2], condition: &condition };
    let models = DistillationModels { student: &teacher(), target: &teacher(), teacher: &teacher() };
    let schedule = stable_diffusion_schedule();
    let refused = |states| ConsistencyDistillation::default().loss(&schedule, &states, &models).err().unwrap();
    assert!(refused(states).to_string().contains("place on the grid"));
    assert!(refused(GridStates { places: &[0, 1], ..states }).to_string().contains("places on the grid"));
}
