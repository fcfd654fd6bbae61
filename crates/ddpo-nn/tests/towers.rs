//! CLIP's encoders and preprocessing beside transformers, OpenCLIP, Pillow and torchvision, from `fixtures/make_towers.py`.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_nn::{
    ClipConfig, ClipImageEncoder, ClipTextEncoder, CropRounding, Fit, ImageProcessor, ModelFiles, TensorFile,
    Tokenizer, map,
};

const TEXTS: [&str; 5] = ["a cat", "an astronaut riding a horse", "the painting of a dog, 12 cats", "", X];
const X: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

fn fixtures(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn open(name: &str) -> TensorFile {
    TensorFile::open(name, vec![map(&fixtures(name)).unwrap()]).unwrap()
}

fn files(name: &str) -> ModelFiles {
    ModelFiles::Directory(fixtures(name))
}

fn tensor<const D: usize>(file: &TensorFile, name: &str) -> Tensor<D> {
    let shape = file.shape(name).unwrap().to_vec();
    Tensor::from_data(TensorData::new(file.read(name).unwrap(), shape), &Device::default())
}

/// The largest difference over the largest value.
#[track_caller]
fn check<const D: usize>(what: &str, found: Tensor<D>, wanted: Tensor<D>) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let largest = |x: Tensor<D>| x.abs().max().into_scalar::<f32>();
    let error = largest(found - wanted.clone()) / largest(wanted);
    assert!(error <= 1e-5, "{what}: relative error {error}");
}

fn ids(golden: &TensorFile, name: &str) -> Vec<Vec<u32>> {
    let shape = golden.shape(name).unwrap().to_vec();
    let values: Vec<u32> = golden.read(name).unwrap().into_iter().map(|id| id as u32).collect();
    values.chunks(shape[1]).map(<[u32]>::to_vec).collect()
}

fn check_encoders(folder: &str, weights: &str) {
    let (golden, device) = (open("golden.safetensors"), Device::default());
    let config = ClipConfig::from_files(&files(folder)).unwrap();
    let file = open(&format!("{folder}/{weights}"));
    let images = ClipImageEncoder::new(&config).unwrap();
    let loaded = images.load(&file, &device).unwrap();
    let found = images.encode(&loaded, tensor(&golden, "clip.pixels")).unwrap();
    check(&format!("{folder} images"), found, tensor(&golden, &format!("{folder}.images")));
    let texts = ClipTextEncoder::new(&config).unwrap();
    let loaded = texts.load(&file, &device).unwrap();
    let ids = ids(&golden, &format!("{folder}.ids"));
    let found = ids.iter().map(|ids| texts.encode(&loaded, ids).unwrap()).collect();
    check(&format!("{folder} texts"), Tensor::cat(found, 0), tensor(&golden, &format!("{folder}.texts")));
}

#[test]
fn features_are_transformers() {
    check_encoders("clip", "model.safetensors");
}

#[test]
fn features_are_open_clips() {
    check_encoders("open_clip", "open_clip_model.safetensors");
}

#[test]
fn hidden_states_are_transformers() {
    let (golden, device) = (open("golden.safetensors"), Device::default());
    let encoder = ClipImageEncoder::new(&ClipConfig::from_files(&files("clip")).unwrap()).unwrap();
    let tower = encoder.tower();
    let weights = tower.load(&open("clip/model.safetensors"), &device).unwrap();
    let output = tower.forward(&weights, tensor(&golden, "clip.pixels")).unwrap();
    check("hidden", output.hidden, tensor(&golden, "clip.hidden"));
}

#[test]
fn a_picture_does_not_know_its_batch() {
    let (golden, device) = (open("golden.safetensors"), Device::default());
    let encoder = ClipImageEncoder::new(&ClipConfig::from_files(&files("clip")).unwrap()).unwrap();
    let weights = encoder.init(3, &device);
    let pixels: Tensor<4> = tensor(&golden, "clip.pixels");
    let bits = |x: Tensor<2>| x.try_into_vec_as::<f32>().unwrap().into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let together = encoder.encode(&weights, pixels.clone()).unwrap();
    for row in 0..pixels.dims()[0] {
        let alone = encoder.encode(&weights, pixels.clone().narrow(0, row, 1)).unwrap();
        assert_eq!(bits(alone), bits(together.clone().narrow(0, row, 1)), "{row}");
    }
}

#[test]
fn ids_are_those_of_the_models_own_tokenizer() {
    let tokenizer = Tokenizer::from_folder(&files("clip"), "").unwrap();
    for (text, ids) in TEXTS.iter().zip(ids(&open("golden.safetensors"), "clip.ids")) {
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text}");
    }
}

#[test]
fn pixels_are_transformers_to_the_bit() {
    let json = std::fs::read(fixtures("clip/preprocessor_config.json")).unwrap();
    check_pixels(&ImageProcessor::from_json(&json).unwrap(), "clip", 0.0);
}

#[test]
fn pixels_are_torchvisions_to_the_bit() {
    let fit = Fit::Crop { shortest_edge: 32, crop: 32, rounding: CropRounding::HalfEven };
    check_pixels(&ImageProcessor::fitting(fit), "shortest", 0.0);
}

#[test]
fn padded_pixels_are_those_of_hps() {
    check_pixels(&ImageProcessor::fitting(Fit::Pad(32)), "longest", 1e-5);
}

fn check_pixels(processor: &ImageProcessor, kind: &str, tolerance: f32) {
    let pictures = open("pictures.safetensors");
    for picture in 0..6 {
        let name = format!("picture.{picture}");
        let (height, width) = (pictures.shape(&name).unwrap()[0], pictures.shape(&name).unwrap()[1]);
        let bytes: Vec<u8> = pictures.read(&name).unwrap().into_iter().map(|value| value as u8).collect();
        let found = processor.pixels(&bytes, width, height).unwrap();
        let wanted = pictures.read(&format!("{kind}.{picture}")).unwrap();
        assert_eq!(found.len(), wanted.len());
        let error = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error <= tolerance, "{kind} {name} of {width}x{height}: {error}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let device = Device::default();
    let encoder = ClipImageEncoder::new(&ClipConfig::from_files(&files("clip")).unwrap()).unwrap();
    let error = encoder.load(&open("open_clip/open_clip_model.safetensors"), &device).unwrap_err().to_string();
    assert!(error.contains("has shape [40], wanted [32]"), "{error}");
    let error = encoder.load(&open("golden.safetensors"), &device).unwrap_err().to_string();
    assert!(error.contains("lacks") && error.contains("`vision_model.embeddings.class_embedding`"), "{error}");
    let weights = encoder.init(0, &device);
    let error = encoder.encode(&weights, Tensor::zeros([1, 16, 32, 3], &device)).unwrap_err().to_string();
    assert_eq!(error, "cannot encode pictures: shape is \"16x32x3\", wanted 32x32x3");
}
