//! The text encoder under its own laws; its values are compared with transformers' by `ddpo-models/tests/parity.rs`.

use burn::tensor::{Device, Tensor};
use ddpo_nn::{TextEncoder, TextEncoderConfig, Weights};

fn bits<const D: usize>(x: Tensor<D>) -> Vec<u32> {
    x.try_into_vec_as::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_text_state_does_not_see_later_tokens() {
    let json = r#"{"vocab_size": 20, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 6}"#;
    let (text, device) =
        (TextEncoder::new(TextEncoderConfig::from_json(json.as_bytes()).unwrap()).unwrap(), Device::default());
    let weights = Weights::init(text.specs(), 1, &device);
    let a = text.forward(&weights, &[vec![1, 2, 3, 4]]).unwrap().hidden;
    let b = text.forward(&weights, &[vec![1, 2, 3, 5]]).unwrap().hidden;
    assert_eq!(bits(a.clone().narrow(1, 0, 3)), bits(b.clone().narrow(1, 0, 3)));
    assert_ne!(bits(a.narrow(1, 3, 1)), bits(b.narrow(1, 3, 1)));
    assert_eq!(
        text.forward(&weights, &[vec![20]]).unwrap_err().to_string(),
        "cannot encode text: token is 20, wanted less than 20"
    );
}
