//! Noise is a value: the same address has the same numbers, wherever and with whomever they are drawn.

use burn::tensor::Device;
use ddpo_core::{Address, Domain, Draw, Epoch, Noise, SampleId, Stream};
use ddpo_testing::assert_bit_equal;

const HERE: Address = Address { stream: Stream::Transition, epoch: Epoch(3), sample: SampleId(5), step: 7 };

fn draw(seed: u64, domain: Domain, address: Address) -> Draw {
    Noise::new(seed, domain).at(address)
}

/// These numbers are part of every recorded run. If this test fails, old seeds no longer mean what they meant.
#[test]
fn the_numbers_never_change() {
    let draw = draw(42, Domain::Training, HERE);
    assert_bit_equal(&draw.normals(4), &[0.17786357, 0.95954543, -0.85418093, 0.6651986]);
    assert_eq!(draw.permutation(8), [5, 7, 3, 6, 0, 4, 2, 1]);
    assert_eq!(draw.indices(1000, 3), [220, 394, 769]);
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let noise = Noise::new(1, Domain::Training);
    let read = |samples: &[u64]| -> Vec<f32> {
        let samples: Vec<SampleId> = samples.iter().copied().map(SampleId).collect();
        noise.normal_batch(HERE, &samples, [0, 3, 3], &Device::default()).into_data().try_into_vec().unwrap()
    };
    assert_bit_equal(&read(&[4, 9, 2]), &[read(&[4]), read(&[9]), read(&[2])].concat());
}

#[test]
fn the_first_numbers_do_not_depend_on_how_many_are_drawn() {
    let draw = draw(1, Domain::Training, HERE);
    assert_bit_equal(&draw.normals(101)[..7], &draw.normals(7));
    assert_bit_equal(&draw.normals(101), &draw.normals(101));
    assert!(draw.normals(0).is_empty());
}

#[test]
fn every_part_of_the_address_matters() {
    let base = draw(1, Domain::Training, HERE).normals(4);
    let others = [
        draw(2, Domain::Training, HERE),
        draw(1, Domain::Evaluation, HERE),
        draw(1, Domain::Other(0), HERE),
        draw(1, Domain::Training, Address { stream: Stream::InitialState, ..HERE }),
        draw(1, Domain::Training, Address { stream: Stream::Other(2), ..HERE }),
        draw(1, Domain::Training, Address { epoch: Epoch(4), ..HERE }),
        draw(1, Domain::Training, Address { sample: SampleId(6), ..HERE }),
        draw(1, Domain::Training, Address { step: 8, ..HERE }),
        // Exchanged parts must not meet: (epoch 3, sample 5) is not (epoch 5, sample 3).
        draw(1, Domain::Training, Address { epoch: Epoch(5), sample: SampleId(3), ..HERE }),
    ];
    for (i, other) in others.iter().enumerate() {
        assert!(other.normals(4).iter().all(|value| !base.contains(value)), "address {i}");
    }
}

#[test]
fn normals_are_normal() {
    let values: Vec<f64> = draw(9, Domain::Other(1), HERE).normals(200_000).into_iter().map(f64::from).collect();
    let n = values.len() as f64;
    let moment = |power: i32| values.iter().map(|value| value.powi(power)).sum::<f64>() / n;
    assert!(moment(1).abs() < 5.0 / n.sqrt(), "mean {}", moment(1));
    assert!((moment(2) - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "variance {}", moment(2));
    assert!(moment(3).abs() < 5.0 * (15.0 / n).sqrt(), "skewness {}", moment(3));
    assert!((moment(4) - 3.0).abs() < 5.0 * (96.0 / n).sqrt(), "kurtosis {}", moment(4));
    let neighbours = values.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / n;
    assert!(neighbours.abs() < 5.0 / n.sqrt(), "correlation of neighbours {neighbours}");
    let within = values.iter().filter(|value| value.abs() < 1.0).count() as f64 / n;
    assert!((within - 0.682_689).abs() < 5.0 * (0.2166 / n).sqrt(), "share within one sigma {within}");
}

#[test]
fn permutations_are_uniform() {
    let mut counts = std::collections::BTreeMap::new();
    for step in 0..6000 {
        let order = draw(1, Domain::Other(1), Address { step, ..HERE }).permutation(3);
        *counts.entry(order).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 6);
    assert!(counts.values().all(|count| (900..1100).contains(count)), "{counts:?}");
}

#[test]
fn indices_and_uniforms_stay_in_range() {
    let draw = draw(1, Domain::Other(1), HERE);
    let indices = draw.indices(7, 7000);
    assert!((0..7).all(|i| (850..1150).contains(&indices.iter().filter(|index| **index == i).count())));
    assert_eq!(draw.index(7), indices[0]);
    assert_eq!(draw.index(0), 0);
    let uniforms = draw.uniforms(1000);
    assert!(uniforms.iter().all(|value| (0.0..1.0).contains(value)));
    assert!(draw.permutation(0).is_empty());
}
