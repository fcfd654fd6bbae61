//! What is written reads back the same, and what is damaged gets an error that names it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use ddpo_models::{Lora, LoraConfig, LoraFormat, Pipeline, Unet, UnetConfig, VaeConfig};
use ddpo_nn::{FileDtype, ModelFiles};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

fn fixture(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(kind)
}

fn load(directory: &Path) -> Result<Pipeline, String> {
    Pipeline::load(&ModelFiles::Directory(directory.to_owned()), &Device::default()).map_err(|error| error.to_string())
}

/// A copy of a fixture to damage.
fn copy(kind: &str) -> tempfile::TempDir {
    fn copy_all(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy_all(&entry.path(), &target)
            } else {
                fs::copy(entry.path(), target).map(drop).unwrap()
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    copy_all(&fixture(kind), folder.path());
    folder
}

/// The error after `damage` was done to a fixture.
#[track_caller]
fn check(damage: impl FnOnce(&Path), expected: &str) {
    let folder = copy("sd1");
    damage(folder.path());
    let error = load(folder.path()).expect_err("the damage was not noticed");
    let error = error.replace(&folder.path().display().to_string(), "DIR");
    assert!(error.starts_with(expected), "{error}");
}

fn edit(path: PathBuf, from: &str, to: &str) {
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_saved_pipeline_loads_with_the_same_weights() {
    for kind in ["sd1", "sd2"] {
        let original = load(&fixture(kind)).unwrap();
        // Kept, so that the same directory can be given to diffusers (fixtures/check_saved.py).
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(kind);
        original.save(&folder, FileDtype::F32).unwrap();
        let read = load(&folder).unwrap();
        assert_eq!(read.unet.config(), original.unet.config());
        assert_eq!(read.vae.config(), original.vae.config());
        assert_eq!(read.text_encoder.config(), original.text_encoder.config());
        assert_eq!(read.scheduler, original.scheduler);
        for (a, b) in [
            (&original.unet_weights, &read.unet_weights),
            (&original.vae_weights, &read.vae_weights),
            (&original.text_weights, &read.text_weights),
        ] {
            assert_eq!(a.to_file_order().unwrap(), b.to_file_order().unwrap());
        }
        original.save(&folder.with_extension("half"), FileDtype::F16).unwrap();
        load(&folder.with_extension("half")).unwrap();
        let config = LoraConfig { rank: 2, alpha: 5.0, ..LoraConfig::default() };
        let adapter = Lora::init(original.unet.specs(), &config, 3, &Device::default()).unwrap();
        let ones = adapter.parameters().into_iter().map(|p| p.value.add_scalar(0.1)).collect();
        let adapter = adapter.with_values(ones).unwrap();
        adapter.save(&folder.join(Lora::FILE_NAME), &LoraFormat::Diffusers).unwrap();
        adapter.save(&folder.join("kohya.safetensors"), &LoraFormat::Kohya(Default::default())).unwrap();
    }
}

#[test]
fn a_half_precision_variant_and_shards_are_found() {
    let folder = copy("sd1");
    let unet = folder.path().join("unet");
    let plain = unet.join("diffusion_pytorch_model.safetensors");
    fs::rename(&plain, unet.join("diffusion_pytorch_model.fp16.safetensors")).unwrap();
    load(folder.path()).unwrap();
    fs::rename(unet.join("diffusion_pytorch_model.fp16.safetensors"), unet.join("part.safetensors")).unwrap();
    let index = r#"{"weight_map": {"conv_in.weight": "part.safetensors"}}"#;
    fs::write(unet.join("diffusion_pytorch_model.safetensors.index.json"), index).unwrap();
    load(folder.path()).unwrap();
}

/// Rewrites the weights of a component, all of them in another number format.
fn convert(path: &Path, to: Dtype, pack: impl Fn(f32) -> Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let words = |data: &[u8]| -> Vec<u8> {
        data.as_chunks::<4>().0.iter().flat_map(|word| pack(f32::from_le_bytes(*word))).collect()
    };
    let packed: Vec<_> =
        file.iter().map(|(name, view)| (name.to_owned(), view.shape().to_vec(), words(view.data()))).collect();
    let views = packed.iter().map(|(name, shape, data)| (name, TensorView::new(to, shape.clone(), data).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn every_number_format_of_weights_is_read() {
    let original = load(&fixture("sd1")).unwrap().unet_weights.to_file_order().unwrap();
    let check = |to, error: f32, pack: fn(f32) -> Vec<u8>| {
        let folder = copy("sd1");
        convert(&folder.path().join("unet/diffusion_pytorch_model.safetensors"), to, pack);
        let read = load(folder.path()).unwrap().unet_weights.to_file_order().unwrap();
        for ((name, wanted), (_, found)) in original.iter().zip(&read) {
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= error * a.abs() + 1e-7;
            assert!(wanted.iter().zip(found).all(close), "{to:?} {name}");
        }
    };
    check(Dtype::F32, 0.0, |x| x.to_le_bytes().to_vec());
    check(Dtype::F16, 1.0 / 2048.0, |x| half::f16::from_f32(x).to_le_bytes().to_vec());
    check(Dtype::BF16, 1.0 / 256.0, |x| half::bf16::from_f32(x).to_le_bytes().to_vec());
    check(Dtype::F64, 0.0, |x| f64::from(x).to_le_bytes().to_vec());
    let folder = copy("sd1");
    convert(&folder.path().join("unet/diffusion_pytorch_model.safetensors"), Dtype::I32, |x| x.to_le_bytes().to_vec());
    let error = load(folder.path()).unwrap_err();
    assert!(error.contains("holds I32, wanted F32, F16, BF16 or F64"), "{error}");
}

#[test]
fn a_variant_is_taken_where_it_is_asked_for() {
    let folder = copy("sd1");
    let unet = folder.path().join("unet");
    let (plain, half) = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors");
    fs::copy(unet.join(plain), unet.join(half)).unwrap();
    convert(&unet.join(half), Dtype::F32, |x| (2.0 * x).to_le_bytes().to_vec());
    let first = |variant| {
        let files = ModelFiles::Directory(folder.path().to_owned());
        let pipeline = Pipeline::load_variant(&files, variant, &Device::default()).unwrap();
        pipeline.unet_weights.to_file_order().unwrap()[0].1[0]
    };
    assert_eq!(first(Some("fp16")), 2.0 * first(None));
    // Two components have plain weights alone, and are said to.
    let files = ModelFiles::Directory(folder.path().to_owned());
    assert_eq!(Pipeline::without_variant(&files, Some("fp16")).unwrap(), ["vae", "text_encoder"]);
    assert!(Pipeline::without_variant(&files, None).unwrap().is_empty());
    let error = Pipeline::load_variant(&files, Some("bf16"), &Device::default()).unwrap_err().to_string();
    assert!(error.contains("`variant` is bf16, wanted a variant that the model has"), "{error}");
}

#[test]
fn an_index_cannot_leave_its_folder() {
    let evil = |name: &'static str| {
        move |dir: &Path| {
            fs::remove_file(dir.join("unet/diffusion_pytorch_model.safetensors")).unwrap();
            let index = format!(r#"{{"weight_map": {{"conv_in.weight": "{name}"}}}}"#);
            fs::write(dir.join("unet/diffusion_pytorch_model.safetensors.index.json"), index).unwrap();
        }
    };
    let refused = "cannot parse `unet/diffusion_pytorch_model.safetensors.index.json`: file ";
    check(evil("../vae/diffusion_pytorch_model.safetensors"), refused);
    check(evil("/etc/passwd.safetensors"), refused);
    check(evil("part.bin"), refused);
}

#[test]
fn damaged_weights_are_refused() {
    let unet = "unet/diffusion_pytorch_model.safetensors";
    let damaged = "cannot read tensors of `unet/diffusion_pytorch_model.safetensors`: ";
    check(|dir| fs::write(dir.join(unet), []).unwrap(), damaged);
    check(|dir| fs::write(dir.join(unet), [0xff; 8]).unwrap(), damaged);
    let huge = [(1u64 << 60).to_le_bytes().as_slice(), b"{}"].concat();
    check(|dir| fs::write(dir.join(unet), &huge).unwrap(), damaged);
    let truncate = |dir: &Path| {
        let bytes = fs::read(dir.join(unet)).unwrap();
        fs::write(dir.join(unet), &bytes[..bytes.len() - 1]).unwrap();
    };
    check(truncate, damaged);
    check(
        |dir| fs::rename(dir.join(unet), dir.join("unet/diffusion_pytorch_model.bin")).unwrap(),
        "refusing pickled weights `unet/diffusion_pytorch_model.bin`",
    );
    check(
        |dir| fs::remove_file(dir.join(unet)).unwrap(),
        "`DIR` has no file `unet/diffusion_pytorch_model.safetensors`, wanted the weights",
    );
}

#[test]
fn weights_that_do_not_fit_their_config_are_named() {
    let config = |from: &'static str, to: &'static str| move |dir: &Path| edit(dir.join("unet/config.json"), from, to);
    check(
        config("\"cross_attention_dim\": 16", "\"cross_attention_dim\": 24"),
        "tensor `down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight` of `unet/diffusion_pytorch_model.safetensors` has shape [16, 16], wanted [16, 24]",
    );
    check(
        config("\"layers_per_block\": 1", "\"layers_per_block\": 2"),
        "`unet/diffusion_pytorch_model.safetensors` lacks ",
    );
    check(
        config("\"mid_block_type\": \"UNetMidBlock2DCrossAttn\"", "\"mid_block_type\": null"),
        "`unet/diffusion_pytorch_model.safetensors` holds ",
    );
    check(
        config("\"act_fn\": \"silu\"", "\"act_fn\": \"mish\""),
        "`unet` config field `act_fn` is \"mish\", wanted \"silu\" or \"swish\" or null",
    );
    check(
        config("\"act_fn\"", "\"fancy\": 1, \"act_fn\""),
        "`unet` config field `fancy` is 1, wanted no such field, or null",
    );
    check(
        config("\"norm_num_groups\": 8", "\"norm_num_groups\": 7"),
        "`unet` config field `norm_num_groups` is 7, wanted a divisor of 16",
    );
}

#[test]
fn other_pipelines_are_refused() {
    let index = |from: &'static str, to: &'static str| move |dir: &Path| edit(dir.join("model_index.json"), from, to);
    check(
        index("StableDiffusionPipeline", "FluxPipeline"),
        "`model_index` config field `_class_name` is \"FluxPipeline\", wanted StableDiffusionPipeline",
    );
    check(index("CLIPTokenizer", "T5Tokenizer"), "`model_index` config field `tokenizer` is ");
    check(|dir| fs::remove_file(dir.join("model_index.json")).unwrap(), "`DIR` has no file `model_index.json`");
    check(|dir| fs::remove_file(dir.join("tokenizer/merges.txt")).unwrap(), "`DIR` has no file `tokenizer/vocab.json`");
    check(|dir| fs::write(dir.join("tokenizer/merges.txt"), "a b\n").unwrap(), "cannot parse `tokenizer/merges.txt`");
}

#[test]
fn an_adapter_of_another_model_is_refused() {
    let config = UnetConfig::small(&[16, 24], 2, 4, [8, 8], 16);
    let unet = Unet::new(config).unwrap();
    let path = fixture("sd1_lora").join(Lora::FILE_NAME);
    let error = Lora::load(&path, unet.specs(), &Device::default()).unwrap_err().to_string();
    assert!(error.contains("has shape [3, 32], wanted [3, 24]"), "{error}");
    let targets = LoraConfig { targets: vec!["to_z".into()], ..LoraConfig::default() };
    let error = Lora::init(unet.specs(), &targets, 0, &Device::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot make an adapter: target is \"to_z\", wanted the end of a linear layer's name, such as `to_q`"
    );
}

#[test]
fn a_small_config_writes_what_it_reads() {
    let unet = UnetConfig::small(&[64, 96], 4, 8, [8, 8], 96);
    assert_eq!(UnetConfig::from_json(unet.to_json().to_string().as_bytes()).unwrap(), unet);
    let vae = VaeConfig::small(&[16, 32, 64, 64], 8, 64);
    assert_eq!(VaeConfig::from_json(vae.to_json().to_string().as_bytes()).unwrap(), vae);
}
