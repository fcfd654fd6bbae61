//! Adapters as many programs write them: the same outputs as diffusers and PEFT have, or a refusal that names the reason.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_models::{Adapter, KohyaDetails, Lora, LoraFormat, Pipeline};
use ddpo_nn::ModelFiles;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/adapters").join(name)
}

fn pipeline(kind: &str) -> Pipeline {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    Pipeline::load(&ModelFiles::Directory(fixtures.join(kind)), &Device::default()).unwrap()
}

fn bits<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.try_into_vec_as::<f32>().unwrap()
}

struct Golden(Vec<u8>);

impl Golden {
    fn new() -> Self {
        Self(std::fs::read(fixture("golden.safetensors")).unwrap())
    }

    fn values(&self, name: &str) -> (Vec<f32>, Vec<usize>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let words = view.data().as_chunks::<4>().0.iter();
        (words.map(|word| f32::from_le_bytes(*word)).collect(), view.shape().to_vec())
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (values, shape) = self.values(name);
        Tensor::from_data(TensorData::new(values, shape), &Device::default())
    }
}

fn load(files: &[&str]) -> Result<Adapter, String> {
    let files: Vec<PathBuf> = files.iter().map(|name| fixture(name)).collect();
    Adapter::load(&files, &pipeline("sd1"), &Device::default()).map_err(|error| error.to_string())
}

fn states(pipeline: &Pipeline, golden: &Golden) -> Tensor<3> {
    let (ids, shape) = golden.values("ids");
    let ids: Vec<Vec<u32>> = ids.chunks(shape[1]).map(|row| row.iter().map(|id| *id as u32).collect()).collect();
    pipeline.text_encoder.forward(&pipeline.text_weights, &ids).unwrap().hidden
}

fn denoised(pipeline: &Pipeline, golden: &Golden, states: Tensor<3>) -> Tensor<4> {
    let times: Vec<f64> = golden.values("timesteps").0.iter().map(|time| f64::from(*time)).collect();
    let sample = golden.tensor::<4>("sample").permute([0, 2, 3, 1]);
    pipeline.unet.forward(&pipeline.unet_weights, sample, &times, states).unwrap()
}

#[track_caller]
fn close<const D: usize>(what: &str, found: Tensor<D>, wanted: Tensor<D>) {
    let scale = wanted.clone().abs().max().into_scalar::<f32>().max(1.0);
    let error = (found - wanted).abs().max().into_scalar::<f32>();
    assert!(error <= 1e-4 * scale, "{what}: {error} of {scale}");
}

#[track_caller]
fn check(golden_name: &str, files: &[&str]) {
    let golden = Golden::new();
    let pipeline = load(files).unwrap().attach(&pipeline("sd1"), 1.0).unwrap();
    let states = states(&pipeline, &golden);
    close("states", states.clone(), golden.tensor(&format!("{golden_name}.states")));
    let wanted = golden.tensor::<4>(&format!("{golden_name}.unet")).permute([0, 2, 3, 1]);
    close("unet", denoised(&pipeline, &golden, states), wanted);
}

#[test]
fn pefts_folders_have_their_settings() {
    check("peft", &["peft/unet/adapter_model.safetensors", "peft/text_encoder/adapter_model.safetensors"]);
}

#[test]
fn patterns_of_diffusers_metadata_count() {
    check("pattern", &["pattern.safetensors"]);
}

#[test]
fn processors_of_2023_are_read_with_and_without_a_prefix() {
    check("processors", &["processors.safetensors"]);
    let golden = Golden::new();
    let pipeline = load(&["unprefixed.safetensors"]).unwrap().attach(&pipeline("sd1"), 1.0).unwrap();
    let wanted = golden.tensor::<4>("processors.unet").permute([0, 2, 3, 1]);
    close("unprefixed", denoised(&pipeline, &golden, golden.tensor("processors.states")), wanted);
}

#[test]
fn kohyas_convolutions_and_text_layers_are_applied() {
    check("kohya", &["kohya.safetensors"]);
}

#[test]
fn a_convolution_in_cp_form_is_its_product() {
    check("cp", &["cp.safetensors"]);
}

#[test]
fn nothing_of_an_adapter_is_nothing_to_the_bit() {
    let (golden, plain) = (Golden::new(), pipeline("sd1"));
    let none = load(&["kohya.safetensors"]).unwrap().attach(&plain, 0.0).unwrap();
    assert_eq!(bits(states(&none, &golden)), bits(states(&plain, &golden)));
    let of = |pipeline: &Pipeline| bits(denoised(pipeline, &golden, golden.tensor("none.states")));
    assert_eq!(of(&none), of(&plain));
}

#[test]
fn what_is_not_trained_is_not_gone_on_with() {
    for (file, layer) in [
        ("pattern.safetensors", "text_model.encoder.layers.0.self_attn.q_proj"),
        ("cp.safetensors", "mid_block.resnets.0.conv1"),
    ] {
        let error = load(&[file]).unwrap().trainable().unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot go on training an adapter: a layer is \"{layer}\"")), "{error}");
    }
    load(&["unprefixed.safetensors"]).unwrap().trainable().unwrap();
    let lora = Lora::load(&fixture("pattern.safetensors"), pipeline("sd1").unet.specs(), &Device::default());
    assert!(lora.unwrap_err().to_string().contains("is of the text encoder, wanted layers of the unet alone"));
}

/// A tensor: name, type, shape, bytes.
type Raw = (String, Dtype, Vec<usize>, Vec<u8>);

fn tensors(name: &str) -> Vec<Raw> {
    let bytes = std::fs::read(fixture(name)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let own = |(name, view): (&str, TensorView<'_>)| {
        (name.to_owned(), view.dtype(), view.shape().to_vec(), view.data().to_vec())
    };
    file.iter().map(own).collect()
}

/// The adapter of changed tensors, with this metadata.
fn read(tensors: &[Raw], metadata: &str) -> Result<Adapter, String> {
    let views =
        tensors.iter().map(|(name, kind, shape, data)| (name, TensorView::new(*kind, shape.clone(), data).unwrap()));
    let metadata = Some([("lora_adapter_metadata".to_owned(), metadata.to_owned())].into());
    let bytes = safetensors::serialize(views, metadata).unwrap();
    Adapter::from_bytes("FILE", bytes, None, &pipeline("sd1"), &Device::default()).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(change: impl Fn(&mut Vec<Raw>), metadata: &str, reason: &str) {
    let mut tensors = tensors("kohya.safetensors");
    change(&mut tensors);
    let error = read(&tensors, metadata).unwrap_err();
    assert!(error.contains("FILE") && error.contains(reason), "{error}");
}

fn renamed(from: &'static str, to: &'static str) -> impl Fn(&mut Vec<Raw>) {
    move |tensors| {
        let tensor = tensors.iter_mut().find(|tensor| tensor.0.ends_with(from)).unwrap();
        tensor.0 = tensor.0.replace(from, to);
    }
}

fn alpha(bytes: Vec<u8>, kind: Dtype) -> impl Fn(&mut Vec<Raw>) {
    move |tensors| {
        let tensor = tensors.iter_mut().find(|tensor| tensor.0.ends_with("conv_in.alpha")).unwrap();
        (tensor.1, tensor.2, tensor.3) = (kind, vec![bytes.len() * 8 / kind.bitsize()], bytes.clone());
    }
}

#[test]
fn other_kinds_and_other_models_are_named() {
    refused(
        renamed("conv_in.lora_up.weight", "conv_in.dora_scale"),
        "{}",
        "it is a DoRA (`lora_unet_conv_in.dora_scale`)",
    );
    refused(renamed("conv_in.lora_up.weight", "conv_in.hada_w1_a"), "{}", "it is a LoHa");
    refused(renamed("conv_in.lora_up.weight", "conv_in.lokr_w1"), "{}", "it is a LoKr");
    refused(renamed("conv_in.lora_up.weight", "conv_in.oft_blocks"), "{}", "it is an OFT");
    refused(
        renamed(
            "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha",
            "lora_te2_text_model_encoder_layers_0_mlp_fc1.alpha",
        ),
        "{}",
        "it is an adapter of Stable Diffusion XL",
    );
    refused(
        renamed("conv_in.lora_up.weight", "conv_i.lora_up.weight"),
        "{}",
        "1 tensors found that belong to no layer of the model",
    );
    let wide = |tensors: &mut Vec<Raw>| {
        let name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight";
        tensors.push((name.into(), Dtype::F32, vec![1, 1024], vec![0; 4096]));
    };
    refused(wide, "{}", "it was made for texts of width 1024, as Stable Diffusion 2 has them");
}

/// An adapter that was made with transformers from 5.6 on, whose text encoder has no `text_model`.
#[test]
fn the_text_encoders_layers_may_have_their_new_names() {
    let golden = Golden::new();
    let shown = |tensors: &[Raw]| {
        let pipeline = read(tensors, "{}").unwrap().attach(&pipeline("sd1"), 1.0).unwrap();
        bits(states(&pipeline, &golden))
    };
    let (old, mut new) = (tensors("kohya.safetensors"), tensors("kohya.safetensors"));
    new.iter_mut().for_each(|tensor| tensor.0 = tensor.0.replace("lora_te_text_model_", "lora_te_"));
    assert!(old.iter().zip(&new).any(|(old, new)| old.0 != new.0));
    assert_eq!(shown(&new), shown(&old));
}

#[test]
fn two_readings_of_a_file_are_refused_with_both() {
    let twice = |tensors: &mut Vec<Raw>| {
        let mut second = tensors.iter().find(|tensor| tensor.0 == "lora_unet_conv_in.lora_up.weight").unwrap().clone();
        second.0 = "unet.conv_in.lora_B.default.weight".into();
        tensors.push(second);
    };
    refused(
        twice,
        "{}",
        "`lora_unet_conv_in.lora_up.weight` and `unet.conv_in.lora_B.default.weight` are the same part of one layer",
    );
    refused(|_| {}, r#"{"unet.lora_alpha": 3}"#, "is 4 in a tensor and 3 in the settings");
    refused(|_| {}, r#"{"unet.r": 8}"#, "is 8, and its tensors have 2");
    refused(
        alpha(0f32.to_le_bytes().to_vec(), Dtype::F32),
        "{}",
        "no adapter at all to diffusers, and alpha = rank to kohya's scripts",
    );
    read(&tensors("kohya.safetensors"), r#"{"unet.lora_alpha": 4, "unet.r": 2}"#).unwrap();
}

#[test]
fn what_is_no_number_is_named() {
    refused(|_| {}, "{no JSON", "the metadata `lora_adapter_metadata` of FILE");
    refused(
        alpha(f32::NAN.to_le_bytes().to_vec(), Dtype::F32),
        "{}",
        "tensor `lora_unet_conv_in.alpha` holds NaN, wanted finite numbers",
    );
    refused(alpha(vec![0; 8], Dtype::F32), "{}", "tensor `lora_unet_conv_in.alpha` holds 2 numbers, wanted one");
    let nan = |tensors: &mut Vec<Raw>| {
        let tensor = tensors.iter_mut().find(|tensor| tensor.0.ends_with("conv_in.lora_down.weight")).unwrap();
        tensor.3[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    };
    refused(nan, "{}", "tensor `lora_unet_conv_in.lora_down.weight` holds NaN, wanted finite numbers");
    let mut whole = tensors("kohya.safetensors");
    for (kind, bytes) in
        [(Dtype::I32, 4i32.to_le_bytes().to_vec()), (Dtype::F64, 4f64.to_le_bytes().to_vec()), (Dtype::U8, vec![4])]
    {
        alpha(bytes, kind)(&mut whole);
        read(&whole, "{}").unwrap();
    }
}

#[test]
fn an_adapter_is_as_strong_in_programs_that_read_no_metadata() {
    let (pipeline, folder) = (pipeline("sd1"), tempfile::tempdir().unwrap());
    let path = folder.path().join("a.safetensors");
    let lora = load(&["unprefixed.safetensors"]).unwrap().trainable().unwrap().scaled(1.5);
    let merged = |lora: &Lora| lora.merge(&pipeline.unet_weights).unwrap().to_file_order().unwrap();
    lora.save(&path, &LoraFormat::Diffusers).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    // Without its metadata, as a program reads it that does not know it.
    let bare = safetensors::serialize(file.iter(), None).unwrap();
    let read = Lora::from_bytes("bare", bare, pipeline.unet.specs(), &Device::default()).unwrap();
    for ((name, found), (_, wanted)) in merged(&read).into_iter().zip(merged(&lora)) {
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0)), "{name}");
    }
    let details = KohyaDetails { output_name: "style".into(), base_model: "base".into(), v_parameterization: true };
    lora.save(&path, &LoraFormat::Kohya(details)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    for (key, value) in [
        ("ss_output_name", "style"),
        ("ss_sd_model_name", "base"),
        ("ss_v2", "False"),
        ("ss_base_model_version", "sd_v1_v"),
        ("modelspec.title", "style"),
    ] {
        assert_eq!(metadata.get(key).map(String::as_str), Some(value), "{key}");
    }
}
