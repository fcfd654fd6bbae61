//! The example does what it says: its reward rises.

#[path = "../examples/gaussian_mixture.rs"]
#[expect(dead_code, reason = "an example has a main function that no test calls")]
mod gaussian_mixture;

#[test]
fn the_reward_of_the_example_rises() {
    let curve = gaussian_mixture::train(|epoch, _, deviation| assert_eq!(deviation, 0.0, "epoch {epoch}")).unwrap();
    let mean = |rewards: &[f32]| rewards.iter().sum::<f32>() / rewards.len() as f32;
    let (first, last) = (mean(&curve[..3]), mean(&curve[27..]));
    assert!(last > -0.5 && first < -1.5, "{first} in the first epochs, {last} in the last");
}
