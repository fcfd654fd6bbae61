//! Models as other programs and other releases leave them are read as these mean them: values and files of diffusers 0.35.1 and of
//! transformers 4.57 and 5.24.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use ddpo_models::{Pipeline, SingleFile, UnetConfig};
use ddpo_nn::{FileDtype, ModelFiles, TensorFile, Weights, encode, map};

/// A tensor's name, shape and elements.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn load(directory: &Path, variant: Option<&str>) -> Result<Pipeline, String> {
    let files = ModelFiles::Directory(directory.to_owned());
    Pipeline::load_variant(&files, variant, &Device::default()).map_err(|error| error.to_string())
}

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

/// A copy of the first fixture, after `change`.
fn changed(change: impl FnOnce(&Path)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_all(&fixture("sd1"), folder.path());
    change(folder.path());
    folder
}

/// Sets fields of a JSON file.
fn edit(path: PathBuf, change: impl FnOnce(&mut serde_json::Value)) {
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn tensors(path: &Path) -> Tensors {
    let file = TensorFile::open("file", vec![map(path).unwrap()]).unwrap();
    let read = |name: &&str| (name.to_string(), file.shape(name).unwrap().to_vec(), file.read(name).unwrap());
    file.names().iter().map(read).collect()
}

/// Rewrites the tensors of a file.
fn rewrite(path: PathBuf, change: impl FnOnce(Tensors) -> Tensors) {
    let bytes = encode(&change(tensors(&path)), FileDtype::F32, BTreeMap::new()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn bits(weights: &Weights) -> Vec<(String, Vec<u32>)> {
    let values = weights.to_file_order().unwrap().into_iter();
    values.map(|(name, values)| (name, values.into_iter().map(f32::to_bits).collect())).collect()
}

#[track_caller]
fn check_same_weights(a: &Pipeline, b: &Pipeline) {
    assert_eq!(bits(&a.unet_weights), bits(&b.unet_weights));
    assert_eq!(bits(&a.vae_weights), bits(&b.vae_weights));
    assert_eq!(bits(&a.text_weights), bits(&b.text_weights));
}

const TEXT: &str = "text_encoder/model.safetensors";

/// What the text encoder's tensors are called, and what else is in the file, differs from release to release and from class to
/// class.
#[test]
fn a_text_encoder_is_found_in_every_file_that_holds_one() {
    let original = load(&fixture("sd1"), None).unwrap();
    let forms: [fn(Tensors) -> Tensors; 4] = [
        |tensors| renamed(tensors, |name| name.replacen("text_model.", "", 1)),
        |tensors| renamed(tensors, |name| format!("text_encoder.{name}")),
        |tensors| with(tensors, &["text_projection.weight"]),
        |tensors| {
            with(tensors, &["vision_model.embeddings.class_embedding", "visual_projection.weight", "logit_scale"])
        },
    ];
    for form in forms {
        let folder = changed(|folder| rewrite(folder.join(TEXT), form));
        check_same_weights(&load(folder.path(), None).unwrap(), &original);
    }
    let folder = changed(|folder| rewrite(folder.join(TEXT), |tensors| with(tensors, &["text_model.rotary.weight"])));
    assert!(load(folder.path(), None).unwrap_err().contains("`text_model.rotary.weight`"));
    let twice = |tensors: Tensors| {
        let second = renamed(tensors.clone(), |name| format!("second.{name}"));
        tensors.into_iter().chain(second).collect()
    };
    let folder = changed(|folder| rewrite(folder.join(TEXT), twice));
    assert!(load(folder.path(), None).unwrap_err().contains("two text encoders found"));
}

fn renamed(tensors: Tensors, name: impl Fn(&str) -> String) -> Tensors {
    tensors.into_iter().map(|(old, shape, values)| (name(&old), shape, values)).collect()
}

fn with(mut tensors: Tensors, names: &[&str]) -> Tensors {
    tensors.extend(names.iter().map(|name| (name.to_string(), vec![2], vec![0.0; 2])));
    tensors
}

#[test]
fn a_text_encoder_of_fewer_layers_than_its_file_skips_the_last() {
    let layers = |count: usize| {
        move |folder: &Path| {
            edit(folder.join("text_encoder/config.json"), |config| config["num_hidden_layers"] = count.into())
        }
    };
    let mut original = load(&fixture("sd1"), None).unwrap();
    let folder = changed(layers(1));
    let shorter = load(folder.path(), None).unwrap();
    let prompts = ["a cat".to_owned()];
    let states = |pipeline: &Pipeline| pipeline.encode_prompts(&prompts).unwrap().try_into_vec_as::<f32>().unwrap();
    let whole = states(&original);
    original.clip_skip = 1;
    assert_eq!(states(&original), states(&shorter));
    assert_ne!(states(&original), whole);
    // Guidance steers away from the states of all layers, as in diffusers.
    let negative = original.encode_negative_prompts(&prompts).unwrap().try_into_vec_as::<f32>().unwrap();
    assert_eq!(negative, whole);
    original.clip_skip = 3;
    let error = original.encode_prompts(&prompts).unwrap_err().to_string();
    assert_eq!(error, "cannot encode text: number of skipped layers is 3, wanted at most 2, the text encoder's layers");
    assert!(load(changed(layers(3)).path(), None).unwrap_err().contains("lacks 16 tensors"));
}

#[test]
fn a_config_of_a_whole_clip_is_that_of_its_text_part() {
    let nest = |config: &mut serde_json::Value| {
        *config = serde_json::json!({
            "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 32, "text_config": config.take(),
            "vision_config": {"model_type": "clip_vision_model", "image_size": 8}
        });
    };
    let folder = changed(|folder| edit(folder.join("text_encoder/config.json"), nest));
    check_same_weights(&load(folder.path(), None).unwrap(), &load(&fixture("sd1"), None).unwrap());
    let siglip = |config: &mut serde_json::Value| config["architectures"] = serde_json::json!(["SiglipTextModel"]);
    let folder = changed(|folder| edit(folder.join("text_encoder/config.json"), siglip));
    assert!(load(folder.path(), None).unwrap_err().contains("`architectures` is [\"SiglipTextModel\"]"));
}

#[test]
fn a_tokenizer_of_transformers_5_gives_the_same_ids() {
    let edit_settings = |config: &mut serde_json::Value| {
        config["backend"] = "tokenizers".into();
        config["is_local"] = true.into();
        config["local_files_only"] = true.into();
    };
    let folder = changed(|folder| edit(folder.join("tokenizer/tokenizer_config.json"), edit_settings));
    let (a, b) = (load(folder.path(), None).unwrap(), load(&fixture("sd1"), None).unwrap());
    assert_eq!(a.tokenizer.encode("A cat's café!").unwrap(), b.tokenizer.encode("A cat's café!").unwrap());
}

/// What `EMAModel.save_pretrained` adds says how weights were averaged.
#[test]
fn averaged_weights_are_weights() {
    let ema = |config: &mut serde_json::Value| {
        for (field, value) in [("decay", 0.9999), ("inv_gamma", 1.0), ("min_decay", 0.0), ("power", 2.0 / 3.0)] {
            config[field] = value.into();
        }
        config["optimization_step"] = 1000.into();
        config["update_after_step"] = 0.into();
        config["use_ema_warmup"] = false.into();
    };
    let folder = changed(|folder| edit(folder.join("unet/config.json"), ema));
    check_same_weights(&load(folder.path(), None).unwrap(), &load(&fixture("sd1"), None).unwrap());
}

/// The default of before 0.9 said nothing of the model; later sizes, pairs and files without a version are taken at their word.
#[test]
fn unfinished_sizes_of_old_files_are_corrected() {
    let size = |fields: &str| UnetConfig::from_json(format!("{{{fields}}}").as_bytes()).unwrap().sample_size;
    assert_eq!(size(r#""_diffusers_version": "0.6.0", "sample_size": 32"#), [64; 2]);
    assert_eq!(size(r#""_diffusers_version": "0.8.0.dev0", "sample_size": 8"#), [64; 2]);
    assert_eq!(size(r#""_diffusers_version": "0.8.1", "sample_size": 96"#), [96; 2]);
    assert_eq!(size(r#""_diffusers_version": "0.8.1", "sample_size": [32, 48]"#), [32, 48]);
    assert_eq!(size(r#""_diffusers_version": "0.9.0.dev0", "sample_size": 32"#), [32; 2]);
    assert_eq!(size(r#""_diffusers_version": "0.10.0", "sample_size": 32"#), [32; 2]);
    assert_eq!(size(r#""sample_size": 32"#), [32; 2]);
}

#[test]
fn a_variant_may_have_any_name() {
    const UNET: &str = "unet/diffusion_pytorch_model";
    for name in ["non_ema", "fp16-fixed", "v1.5"] {
        let folder = changed(|folder| {
            let (plain, other) =
                (folder.join(format!("{UNET}.safetensors")), folder.join(format!("{UNET}.{name}.safetensors")));
            fs::rename(plain, other).unwrap();
        });
        check_same_weights(&load(folder.path(), Some(name)).unwrap(), &load(&fixture("sd1"), None).unwrap());
    }
    for name in ["", "../fp16", ".fp16", "a/b"] {
        assert!(load(&fixture("sd1"), Some(name)).unwrap_err().contains("`variant` is"), "{name}");
    }
}

#[test]
fn pointers_of_git_lfs_are_named_wherever_a_file_is_read() {
    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00ff\nsize 3438167536\n";
    for name in [
        "unet/diffusion_pytorch_model.safetensors",
        TEXT,
        "tokenizer/vocab.json",
        "unet/config.json",
        "model_index.json",
    ] {
        let folder = changed(|folder| fs::write(folder.join(name), POINTER).unwrap());
        let error = load(folder.path(), None).unwrap_err();
        assert!(error.contains(&format!("{name}` is a Git LFS pointer, which stands for 3438167536 bytes")), "{error}");
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    for value in [f32::NAN, f32::INFINITY] {
        let folder = changed(|folder| {
            let path = folder.join("unet/diffusion_pytorch_model.safetensors");
            let mut bytes = fs::read(&path).unwrap();
            let end = bytes.len() - 4;
            bytes[end..].copy_from_slice(&value.to_le_bytes());
            fs::write(path, bytes).unwrap();
        });
        let error = load(folder.path(), None).unwrap_err();
        assert!(error.contains(&format!("holds {value}, wanted finite numbers")), "{error}");
    }
}

fn single(kind: &str) -> SingleFile {
    let path = fixture(&format!("{kind}_single.safetensors"));
    SingleFile::new(TensorFile::open("single.safetensors", vec![map(&path).unwrap()]).unwrap()).unwrap()
}

/// The files are of `fixtures/make_single_file.py`, which has diffusers read the same tensors from them.
#[test]
fn a_one_file_checkpoint_has_the_weights_of_its_pipeline() {
    for kind in ["sd1", "sd2"] {
        let directory = ModelFiles::Directory(fixture(kind));
        let (single, device) = (single(kind), Device::default());
        assert_eq!(single.is_version_2(), kind == "sd2");
        let found = Pipeline::load_single_file(&single, &directory, &device).unwrap();
        check_same_weights(&found, &Pipeline::load(&directory, &device).unwrap());
    }
}

#[test]
fn a_one_file_checkpoint_needs_the_configuration_of_its_own_kind() {
    let error = Pipeline::load_single_file(&single("sd2"), &ModelFiles::Directory(fixture("sd1")), &Device::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("single.safetensors"), "{error}");
}

/// What the file of another kind holds is said; nothing is made of a part of it.
#[test]
fn other_files_are_told_from_one_file_checkpoints() {
    let all = tensors(&fixture("sd2_single.safetensors"));
    let refused = |change: fn(Tensors) -> Tensors| {
        let bytes = encode(&change(all.clone()), FileDtype::F32, BTreeMap::new()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        fs::write(&path, bytes).unwrap();
        let file = TensorFile::open("a.safetensors", vec![map(&path).unwrap()]).unwrap();
        SingleFile::new(file).expect_err("it was taken").to_string()
    };
    for (change, wanted) in [
        (
            (|t| with(t, &["conditioner.embedders.0.a"])) as fn(Tensors) -> Tensors,
            "a Stable Diffusion XL checkpoint found",
        ),
        (|t| with(t, &["control_model.a"]), "a ControlNet found"),
        (|t| with(t, &["vae.encoder.conv_in.weight"]), "two autoencoders found, at `first_stage_model.` and `vae.`"),
        (|t| without(t, "first_stage_model."), "no autoencoder found"),
        (|t| without(t, "cond_stage_model."), "no text encoder found"),
        (|t| without(t, "model.diffusion_model."), "the UNet of a one-file checkpoint wanted"),
        (|_| with(vec![], &["lora_unet_a.alpha"]), "an adapter (give it with --lora) found"),
        (inpainting, "an inpainting model (9 input channels) found"),
    ] {
        let error = refused(change);
        assert!(error.contains(wanted), "{error}");
    }
}

fn without(tensors: Tensors, prefix: &str) -> Tensors {
    tensors.into_iter().filter(|(name, _, _)| !name.starts_with(prefix)).collect()
}

fn inpainting(tensors: Tensors) -> Tensors {
    const INPUT: &str = "model.diffusion_model.input_blocks.0.0.weight";
    let mut tensors = without(tensors, INPUT);
    tensors.push((INPUT.to_owned(), vec![1, 9, 1, 1], vec![0.0; 9]));
    tensors
}
