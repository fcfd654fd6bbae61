//! What preference within pairs must be, whatever the model.

use burn::Tensor;
use burn::tensor::Device;
use ddpo_core::objective::{DdpoSf, PairClip, Pairwise, ReferenceTerms};
use ddpo_core::preference::DiffusionDpo;
use ddpo_core::{LogProbTerms, Loss, Objective};
use ddpo_testing::{Tolerance, assert_bit_equal, assert_close};

fn vector(values: &[f32]) -> Tensor<1> {
    Tensor::from_floats(values, &Device::flex())
}

fn read(tensor: Tensor<1>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

/// The loss of log-probabilities, and its gradient by them.
fn loss(objective: &dyn Objective, new: &[f32], reference: &[f32], advantages: &[f32]) -> (Loss, Vec<f32>) {
    let new = vector(new).autodiff().require_grad();
    let (old, reference, advantage) = (new.clone().inner(), vector(reference), vector(advantages));
    let terms = LogProbTerms {
        reference: Some(ReferenceTerms { log_prob: &reference, kl: &old }),
        unit: 2,
        ..LogProbTerms::new(&new, &old, &advantage)
    };
    let loss = objective.loss(&terms).unwrap();
    let gradient = read(new.grad(&loss.value.clone().backward()).unwrap());
    (loss, gradient)
}

const PAIRS: Pairwise = Pairwise { beta: 10.0, clip_range: 0.1, clip: PairClip::TwoSided };
const SIGNS: [f32; 4] = [1.0, -1.0, -1.0, 1.0];

/// At the reference a preference is a policy gradient whose advantages are plus and minus β, a mean over actions.
#[test]
fn at_the_reference_the_gradient_is_that_of_the_score_function() {
    let log_probs = [-1.5, -0.25, -2.0, 0.75];
    let (found, gradient) = loss(&PAIRS, &log_probs, &log_probs, &SIGNS);
    assert_close(&read(found.value), &[2f64.ln()], Tolerance::STEP);
    let score_function = DdpoSf { advantage_clip: f64::from(f32::MAX) };
    let scaled = SIGNS.map(|sign| PAIRS.beta as f32 * sign);
    let (_, wanted) = loss(&score_function, &log_probs, &log_probs, &scaled);
    assert_close(&gradient, &wanted, Tolerance::STEP);
    // −(β/2)(∇ℓ_w − ∇ℓ_l) of each of two pairs.
    assert_eq!(gradient, [-2.5, 2.5, 2.5, -2.5]);
}

#[test]
fn swapping_a_pair_changes_nothing() {
    let (new, reference) = ([-1.0, -1.02, -0.5, -0.47], [-1.03, -1.0, -0.48, -0.5]);
    let (here, gradient) = loss(&PAIRS, &new, &reference, &SIGNS);
    let swap = |values: [f32; 4]| [values[1], values[0], values[3], values[2]];
    let (there, swapped) = loss(&PAIRS, &swap(new), &swap(reference), &swap(SIGNS));
    assert_bit_equal(&read(here.value), &read(there.value));
    assert_bit_equal(&gradient, &swap(swapped.try_into().unwrap()));
    assert_eq!(read(here.pairs.unwrap().ranked), read(there.pairs.unwrap().ranked));
}

/// A tie, and a pair of which one sample was left out.
#[test]
fn where_neither_is_better_there_is_no_gradient() {
    let (new, reference) = ([-1.0, -1.02, -0.5, -0.47], [-1.03, -1.0, -0.48, -0.5]);
    let (whole, wanted) = loss(&PAIRS, &new, &reference, &SIGNS);
    for undecided in [[0.0, 0.0], [1.0, 0.0], [0.0, -1.0]] {
        let (found, gradient) = loss(&PAIRS, &new, &reference, &[SIGNS[0], SIGNS[1], undecided[0], undecided[1]]);
        assert_eq!(gradient[2..], [0.0, 0.0]);
        assert_bit_equal(&gradient[..2], &wanted[..2]);
        let pairs = found.pairs.unwrap();
        assert_eq!((read(pairs.tied), read(pairs.ranked)), (vec![1.0], vec![1.0]));
        assert!(read(found.value)[0] < read(whole.value.clone())[0]);
    }
}

/// Log-ratios of a winner and a loser: both as far as they should go, both beyond the range on the wrong side.
#[test]
fn one_sided_clips_pull_back_what_two_sided_ones_leave_stranded() {
    let one_sided = Pairwise { clip: PairClip::OneSided, ..PAIRS };
    let stranded = |(found, gradient): (Loss, Vec<f32>)| {
        let pairs = found.pairs.unwrap();
        (read(pairs.stranded)[0], read(found.clipped.unwrap())[0], gradient.iter().all(|&x| x == 0.0))
    };
    let gone = ([0.2, -0.2], [0.0; 2], [1.0, -1.0]);
    let lost = ([-0.2, 0.2], [0.0; 2], [1.0, -1.0]);
    assert_eq!(stranded(loss(&PAIRS, &gone.0, &gone.1, &gone.2)), (0.0, 1.0, true));
    assert_eq!(stranded(loss(&one_sided, &gone.0, &gone.1, &gone.2)), (0.0, 1.0, true));
    assert_eq!(stranded(loss(&PAIRS, &lost.0, &lost.1, &lost.2)), (2.0, 1.0, true));
    let (found, gradient) = loss(&one_sided, &lost.0, &lost.1, &lost.2);
    // β σ(−β m) with m = −0.4.
    let pull = 10.0 / (1.0 + (-4f64).exp());
    assert_close(&gradient, &[-pull, pull], Tolerance::STEP);
    assert_eq!((read(found.pairs.unwrap().stranded), read(found.clipped.unwrap())), (vec![0.0], vec![0.0]));
}

#[test]
fn given_pictures_that_the_reference_denoises_as_well_have_a_loss_of_ln_2() {
    let errors = vector(&[0.5, 0.25, 0.125, 2.0]);
    let objective = DiffusionDpo { loser_denoising: 0.5, ..DiffusionDpo::default() };
    let found = objective.loss(&errors, &errors).unwrap();
    assert_close(&read(found.loss), &[2f64.ln() + 0.125, 2f64.ln() + 1.0], Tolerance::STEP);
    assert_eq!(read(found.is_ranked), [0.0, 0.0]);
    let better = vector(&[0.4, 0.25, 0.125, 2.1]);
    assert_eq!(read(objective.loss(&better, &errors).unwrap().is_ranked), [1.0, 1.0]);
    assert!(objective.loss(&vector(&[0.5]), &vector(&[0.5])).is_err());
    assert!(objective.loss(&errors, &vector(&[0.5])).is_err());
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    assert!(PAIRS.validate().is_ok() && DiffusionDpo::default().validate().is_ok());
    for beta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Pairwise { beta, ..PAIRS }.validate().is_err());
        assert!(DiffusionDpo { beta, ..DiffusionDpo::default() }.validate().is_err());
    }
    for clip_range in [0.0, 1.0, f64::NAN] {
        assert!(Pairwise { clip_range, ..PAIRS }.validate().is_err());
    }
    assert!(DiffusionDpo { loser_weight: -0.5, ..DiffusionDpo::default() }.validate().is_err());
    assert!(DiffusionDpo { loser_denoising: f64::NAN, ..DiffusionDpo::default() }.validate().is_err());
}
