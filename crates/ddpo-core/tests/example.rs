//! The example does what it says: its reward rises, on the processor or, in a build for a GPU, on that.

use burn::tensor::Device;

#[path = "../examples/gaussian_mixture.rs"]
#[expect(dead_code, reason = "an example has a main function that no test calls")]
mod gaussian_mixture;

#[test]
fn the_reward_of_the_example_rises() {
    // A GPU may sum in another order when it trains than when it samples.
    let most = if Device::default() == Device::flex() { 0.0 } else { 1e-3 };
    let curve = gaussian_mixture::train(|epoch, _, deviation| {
        assert!(deviation <= most, "epoch {epoch}: {deviation}");
    });
    let curve = curve.unwrap();
    let mean = |rewards: &[f32]| rewards.iter().sum::<f32>() / rewards.len() as f32;
    let (first, last) = (mean(&curve[..3]), mean(&curve[27..]));
    assert!(last > -0.5 && first < -1.5, "{first} in the first epochs, {last} in the last");
}
