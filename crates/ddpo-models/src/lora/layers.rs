//! One layer of an adapter from the tensors of a file.

use std::collections::BTreeMap;

use burn::tensor::Device;
use ddpo_nn::{Error, Layout, ParamId, ParamSpec, Result, TensorFile, vector};

use super::{
    adapter::Layer,
    names::{Part, readable_module},
    settings::Settings,
};

/// The tensors of one layer, by name in the file.
pub(super) type Found = BTreeMap<Part, String>;

/// Reads the factors of the layer `spec`, and their strength from its own alpha or else the settings.
///
/// # Errors
///
/// A factor that is missing, does not fit or is not finite, or two strengths that differ.
pub(super) fn read_layer(
    file: &TensorFile,
    spec: &ParamSpec,
    id: ParamId,
    found: &Found,
    settings: Option<&Settings>,
    device: &Device,
) -> Result<Layer> {
    let tensor = |part: Part, name: &str| {
        found.get(&part).map(String::as_str).ok_or_else(|| Error::MissingTensors {
            name: file.name().to_owned(),
            count: 1,
            first: format!("{name} of {}", spec.name),
        })
    };
    let (down, up) = (tensor(Part::Down, "lora_A")?, tensor(Part::Up, "lora_B")?);
    let [outputs, inputs, taps @ ..] = spec.shape.as_slice() else {
        return Err(damaged(file, format!("`{down}` is of no matrix")));
    };
    let rank = file.shape(down)?.first().copied().unwrap_or(0);
    if rank == 0 {
        return Err(shape_error(file, down, &[1, *inputs]));
    }
    let is_conv = spec.layout == Layout::Conv;
    let a = match found.get(&Part::Mid) {
        Some(mid) if is_conv => cp_factor(file, down, mid, [rank, *inputs], taps)?,
        Some(mid) => return Err(damaged(file, format!("`{mid}` is the core of a convolution, on a linear layer"))),
        None if is_conv => read_factor(file, down, &[&[rank, *inputs], taps].concat())?,
        None => read_factor(file, down, &[rank, *inputs])?,
    };
    let b = read_factor(file, up, &[*outputs, rank])?;
    let alpha = alpha(file, spec, found.get(&Part::Alpha), settings, rank)?;
    Ok(Layer { id, rank, alpha, down: vector(a, device), up: vector(b, device) })
}

/// Alpha as the term is multiplied by `alpha / rank`.
fn alpha(
    file: &TensorFile,
    spec: &ParamSpec,
    tensor: Option<&String>,
    settings: Option<&Settings>,
    rank: usize,
) -> Result<f64> {
    let module = readable_module(spec).unwrap_or(&spec.name);
    let set = settings.map(|settings| settings.alpha(module, rank)).transpose()?;
    let Some(tensor) = tensor else { return Ok(set.unwrap_or(rank as f64)) };
    let own = file.read_number(tensor)?;
    if !own.is_finite() {
        return Err(damaged(file, format!("tensor `{tensor}` is {own}, wanted a finite number")));
    }
    if own == 0.0 {
        let both = "which is no adapter at all to diffusers, and alpha = rank to kohya's scripts";
        return Err(damaged(file, format!("tensor `{tensor}` is 0, {both}")));
    }
    match set.filter(|set| (set - own).abs() > 1e-6 * own.abs()) {
        Some(set) => Err(damaged(file, format!("alpha of `{module}` is {own} in a tensor and {set} in the settings"))),
        None => Ok(own),
    }
}

/// One factor of this shape, in kernel order. Factors of 1x1 convolutions have two more axes of one.
fn read_factor(file: &TensorFile, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let found = file.shape(name)?;
    if found != shape && found.strip_suffix(&[1, 1]) != Some(shape) {
        return Err(shape_error(file, name, shape));
    }
    let layout = if shape.len() > 2 { Layout::Conv } else { Layout::Linear };
    let spec = ParamSpec { shape: shape.to_vec(), layout, ..ParamSpec::linear(name, [0, 0]) };
    Ok(spec.to_kernel_order(&read_finite(file, name)?))
}

fn read_finite(file: &TensorFile, name: &str) -> Result<Vec<f32>> {
    let values = file.read(name)?;
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(damaged(file, format!("tensor `{name}` holds {value}, wanted finite numbers"))),
        None => Ok(values),
    }
}

/// The first factor of a convolution in CP form, in kernel order: `down` `[r, I]` into the core `mid` `[r, r, kh, kw]`, which
/// together are a convolution `[r, I, kh, kw]`.
fn cp_factor(file: &TensorFile, down: &str, mid: &str, shape: [usize; 2], taps: &[usize]) -> Result<Vec<f32>> {
    let [rank, inputs] = shape;
    let wanted = [&[rank, rank], taps].concat();
    if file.shape(mid)? != wanted {
        return Err(shape_error(file, mid, &wanted));
    }
    let (a, core) = (read_factor(file, down, &shape)?, read_finite(file, mid)?);
    let taps: usize = taps.iter().product();
    let mut factor = vec![0.0f32; taps * inputs * rank];
    for (row, value) in factor.iter_mut().enumerate() {
        let (tap, input, outer) = (row / (inputs * rank), row / rank % inputs, row % rank);
        // `a` is in kernel order, `[I, r]`; the core in the file's, `[outer, inner, tap]`.
        *value = (0..rank).map(|inner| core[(outer * rank + inner) * taps + tap] * a[input * rank + inner]).sum();
    }
    Ok(factor)
}

fn shape_error(file: &TensorFile, name: &str, wanted: &[usize]) -> Error {
    let found = file.shape(name).unwrap_or_default().to_vec();
    Error::TensorShape { name: file.name().to_owned(), tensor: name.to_owned(), found, wanted: wanted.to_vec() }
}

/// The refusal of a file.
pub(super) fn damaged(file: &TensorFile, reason: String) -> Error {
    Error::Tensors { name: file.name().to_owned(), reason }
}
