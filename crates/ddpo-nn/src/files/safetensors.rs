//! Tensors of safetensors files as `f32`, and back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use serde_json::{Map, Value, json};

use super::Bytes;
use crate::error::{Error, Result};

/// The number format in which weights are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileDtype {
    /// 32-bit floats: exactly what is in memory.
    F32,
    /// 16-bit floats: half the size.
    F16,
}

/// One or several safetensors files that together hold the tensors of one component.
#[derive(Debug)]
pub struct TensorFile {
    name: String,
    parts: Vec<Bytes>,
    index: HashMap<String, Entry>,
    metadata: HashMap<String, String>,
}

/// Where a tensor is.
#[derive(Debug)]
struct Entry {
    part: usize,
    range: std::ops::Range<usize>,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl TensorFile {
    /// Reads the headers of `parts`, the files of the component called `name`.
    ///
    /// The safetensors crate refuses a header longer than the file, offsets that leave it, overlaps and holes; nothing is
    /// allocated by what a header claims.
    ///
    /// # Errors
    ///
    /// If a header is damaged, or a tensor is in two of the files.
    pub fn open(name: &str, parts: Vec<Bytes>) -> Result<Self> {
        let damaged = |reason: String| Error::Tensors { name: name.to_owned(), reason };
        let (mut index, mut all_metadata) = (HashMap::new(), HashMap::new());
        for (part, bytes) in parts.iter().enumerate() {
            let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(error.to_string()))?;
            let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
            all_metadata.extend(metadata.metadata().clone().unwrap_or_default());
            for (tensor, view) in tensors.iter() {
                let start = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
                let range = start..start + view.data().len();
                let entry = Entry { part, range, dtype: view.dtype(), shape: view.shape().to_vec() };
                if index.insert(tensor.to_owned(), entry).is_some() {
                    return Err(damaged(format!("tensor `{tensor}` found in two files, wanted in one")));
                }
            }
        }
        Ok(Self { name: name.to_owned(), parts, index, metadata: all_metadata })
    }

    /// The files' name in errors.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.index.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The text that the writer added.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, tensor: &str) -> bool {
        self.index.contains_key(tensor)
    }

    /// The shape of a tensor.
    ///
    /// # Errors
    ///
    /// If there is none of this name.
    pub fn shape(&self, tensor: &str) -> Result<&[usize]> {
        Ok(&self.entry(tensor)?.shape)
    }

    /// Checks that the file has all tensors of these names, and no others but those that `ignored` knows.
    pub(crate) fn check_names(&self, wanted: &[&str], ignored: impl Fn(&str) -> bool) -> Result<()> {
        let name = self.name.clone();
        let missing: Vec<&&str> = wanted.iter().filter(|name| !self.has(name)).collect();
        if let Some(first) = missing.first() {
            return Err(Error::MissingTensors { name, count: missing.len(), first: (**first).to_owned() });
        }
        let known: BTreeSet<&str> = wanted.iter().copied().collect();
        let unknown: Vec<&str> =
            self.names().into_iter().filter(|name| !known.contains(name) && !ignored(name)).collect();
        match unknown.first() {
            Some(first) => Err(Error::UnexpectedTensors { name, count: unknown.len(), first: (*first).to_owned() }),
            None => Ok(()),
        }
    }

    /// The elements of a tensor.
    ///
    /// # Errors
    ///
    /// If there is none of this name, it does not hold floats, or one of them is not finite: whatever is computed with it is
    /// not finite either.
    pub fn read(&self, tensor: &str) -> Result<Vec<f32>> {
        let entry = self.entry(tensor)?;
        let Some(part) = self.parts.get(entry.part) else { return Ok(Vec::new()) };
        let values = part.with_part(entry.range.clone(), |data| self.decode(tensor, entry.dtype, data))??;
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => {
                let reason = format!("tensor `{tensor}` holds {value}, wanted finite numbers");
                Err(Error::Tensors { name: self.name.clone(), reason })
            }
            None => Ok(values),
        }
    }

    /// The number in a tensor of one element, which may be a whole one.
    ///
    /// # Errors
    ///
    /// If there is none of this name, it has more elements, or it holds no numbers.
    pub fn read_number(&self, tensor: &str) -> Result<f64> {
        let entry = self.entry(tensor)?;
        let whole = |size: usize, value: fn(&[u8]) -> Option<f64>| -> Result<Vec<f64>> {
            let part = self.parts.get(entry.part).map(|part| {
                part.with_part(entry.range.clone(), |data| data.chunks_exact(size).filter_map(value).collect())
            });
            part.unwrap_or_else(|| Ok(Vec::new()))
        };
        let numbers = match entry.dtype {
            Dtype::I64 => whole(8, |data| Some(i64::from_le_bytes(*data.first_chunk()?) as f64))?,
            Dtype::I32 => whole(4, |data| Some(f64::from(i32::from_le_bytes(*data.first_chunk()?))))?,
            Dtype::I16 => whole(2, |data| Some(f64::from(i16::from_le_bytes(*data.first_chunk()?))))?,
            Dtype::U8 => whole(1, |data| data.first().copied().map(f64::from))?,
            _ => self.read(tensor)?.into_iter().map(f64::from).collect(),
        };
        match numbers.as_slice() {
            [number] => Ok(*number),
            _ => {
                let reason = format!("tensor `{tensor}` holds {} numbers, wanted one", numbers.len());
                Err(Error::Tensors { name: self.name.clone(), reason })
            }
        }
    }

    fn decode(&self, tensor: &str, dtype: Dtype, data: &[u8]) -> Result<Vec<f32>> {
        match dtype {
            Dtype::F32 => Ok(words(data).map(f32::from_le_bytes).collect()),
            Dtype::F16 => Ok(words(data).map(|word| f16::from_le_bytes(word).to_f32()).collect()),
            Dtype::BF16 => Ok(words(data).map(|word| bf16::from_le_bytes(word).to_f32()).collect()),
            Dtype::F64 => Ok(words(data).map(|word| f64::from_le_bytes(word) as f32).collect()),
            other => {
                let reason = format!("tensor `{tensor}` holds {other:?}, wanted F32, F16, BF16 or F64");
                Err(Error::Tensors { name: self.name.clone(), reason })
            }
        }
    }

    fn entry(&self, tensor: &str) -> Result<&Entry> {
        self.index.get(tensor).ok_or_else(|| Error::MissingTensors {
            name: self.name.clone(),
            count: 1,
            first: tensor.to_owned(),
        })
    }
}

fn words<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks::<N>().0.iter().copied()
}

/// A safetensors file of tensors, each with its name, its shape and its elements in the file's order.
///
/// # Errors
///
/// If a value is not finite or overflows the number format.
pub fn encode(
    tensors: &[(String, Vec<usize>, Vec<f32>)],
    dtype: FileDtype,
    metadata: BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let packed = tensors.iter().map(|(name, _, values)| pack(name, values, dtype)).collect::<Result<Vec<_>>>()?;
    let kind = match dtype {
        FileDtype::F32 => Dtype::F32,
        FileDtype::F16 => Dtype::F16,
    };
    let damaged =
        |error: safetensors::SafeTensorError| Error::Tensors { name: "weights".to_owned(), reason: error.to_string() };
    let views = tensors.iter().zip(&packed).map(|((name, shape, _), data)| {
        TensorView::new(kind, shape.clone(), data).map(|view| (name.as_str(), view)).map_err(damaged)
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let file = serialize(views, Some(metadata.clone().into_iter().collect())).map_err(damaged)?;
    sort_metadata(file, &metadata)
}

/// Puts the metadata in order: `serialize` takes a hash map, whose order differs from call to call, and the same weights
/// have to be the same bytes.
fn sort_metadata(mut file: Vec<u8>, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    const KEY: &str = "__metadata__";
    let damaged = |reason: String| Error::Tensors { name: "weights".to_owned(), reason };
    let end = 8 + file.first_chunk().map_or(0, |length| u64::from_le_bytes(*length) as usize);
    let header = file.get_mut(8..end).ok_or_else(|| damaged("the header is cut".to_owned()))?;
    let mut entries: Map<String, Value> = serde_json::from_slice(header).map_err(|error| damaged(error.to_string()))?;
    entries.insert(KEY.to_owned(), json!(metadata));
    let mut text = serde_json::to_vec(&entries).map_err(|error| damaged(error.to_string()))?;
    // The same entries in another order have the same length, up to the spaces that pad the header.
    text.resize(header.len(), b' ');
    header.copy_from_slice(&text);
    Ok(file)
}

fn pack(name: &str, values: &[f32], dtype: FileDtype) -> Result<Vec<u8>> {
    let fits = |value: &f32| match dtype {
        FileDtype::F32 => value.is_finite(),
        FileDtype::F16 => f16::from_f32(*value).is_finite(),
    };
    if let Some(value) = values.iter().find(|value| !fits(value)) {
        return Err(Error::input(
            "write weights",
            format!("a value of `{name}`"),
            value,
            format!("a finite {dtype:?}"),
        ));
    }
    Ok(match dtype {
        FileDtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        FileDtype::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
    })
}
