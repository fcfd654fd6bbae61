//! Fresh models run, differentiate, and give every row the same bits in any batch.

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_models::{Unet, UnetConfig, Vae, VaeConfig};
use ddpo_nn::Weights;

fn wave<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn bits<const D: usize>(x: Tensor<D>) -> Vec<u32> {
    x.inner().try_into_vec_as::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn unet() -> Unet {
    let json = r#"{"block_out_channels": [32, 64], "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "layers_per_block": 1, "attention_head_dim": 2,
        "cross_attention_dim": 16, "norm_num_groups": 8, "sample_size": 8}"#;
    Unet::new(UnetConfig::from_json(json.as_bytes()).unwrap()).unwrap()
}

#[test]
fn a_row_of_a_unet_batch_is_the_row_alone() {
    let (unet, device) = (unet(), Device::default());
    let weights = Weights::init(unet.specs(), 7, &device);
    let (x, states) = (wave([3, 8, 6, 4], &device), wave([3, 5, 16], &device));
    let times = [1.0, 500.0, 981.0];
    let all = unet.forward(&weights, x.clone(), &times, states.clone()).unwrap();
    assert_eq!(all.dims(), [3, 8, 6, 4]);
    let one = unet.forward(&weights, x.narrow(0, 1, 1), &times[1..2], states.narrow(0, 1, 1)).unwrap();
    assert_eq!(bits(all.narrow(0, 1, 1)), bits(one));
}

#[test]
fn odd_sizes_survive_the_way_down_and_up() {
    let (unet, device) = (unet(), Device::default());
    let weights = Weights::init(unet.specs(), 7, &device);
    let out = unet.forward(&weights, wave([1, 7, 9, 4], &device), &[3.0], wave([1, 5, 16], &device)).unwrap();
    assert_eq!(out.dims(), [1, 7, 9, 4]);
}

#[test]
fn trainable_weights_predict_the_same_bits_and_all_get_gradients() {
    let (unet, device) = (unet(), Device::default());
    let frozen = Weights::init(unet.specs(), 7, &device);
    let trainable = Weights::trainable(unet.specs(), frozen.values(), &device.clone().autodiff()).unwrap();
    let (x, states) = (wave([2, 8, 8, 4], &device), wave([2, 5, 16], &device));
    let expected = unet.forward(&frozen, x.clone(), &[3.0, 700.0], states.clone()).unwrap();
    for _ in 0..2 {
        let out = unet.forward(&trainable, x.clone(), &[3.0, 700.0], states.clone()).unwrap();
        assert!(bits(out.clone()) == bits(expected.clone()), "a graph changes the values");
        let gradients = out.powi_scalar(2).mean().backward();
        for (spec, leaf) in unet.specs().iter().zip(trainable.values()) {
            let gradient = leaf.grad(&gradients).unwrap_or_else(|| panic!("no gradient of {}", spec.name));
            let largest: f32 = gradient.abs().max().into_scalar();
            assert!(largest > 0.0 && largest.is_finite(), "{}: {largest}", spec.name);
        }
    }
}

#[test]
fn a_vae_halves_and_doubles() {
    let json = r#"{"block_out_channels": [8, 16, 16], "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"], "norm_num_groups": 4}"#;
    let (vae, device) = (Vae::new(VaeConfig::from_json(json.as_bytes()).unwrap()).unwrap(), Device::default());
    let weights = Weights::init(vae.specs(), 1, &device);
    let moments = vae.encode(&weights, wave([2, 16, 24, 3], &device)).unwrap();
    assert_eq!(moments.mean.dims(), [2, 4, 6, 4]);
    assert_eq!(vae.decode(&weights, moments.mean).unwrap().dims(), [2, 16, 24, 3]);
    assert!(vae.encode(&weights, wave([1, 15, 16, 3], &device)).is_err());
}
