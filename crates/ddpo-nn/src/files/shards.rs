//! Finding the weight files of a component: one file, a half-precision variant, or an index of shards.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{ModelFiles, TensorFile};
use crate::{
    error::{Error, Result},
    json::parse_json,
};

/// How a library names the weights of a component.
#[derive(Clone, Copy, Debug)]
pub struct WeightNames {
    /// The stem, such as `diffusion_pytorch_model`.
    pub stem: &'static str,
    /// The stem of the pickled file it would have written.
    pub pickle: &'static str,
}

impl WeightNames {
    /// Of diffusers' models.
    pub const DIFFUSERS: Self = Self { stem: "diffusion_pytorch_model", pickle: "diffusion_pytorch_model" };
    /// Of transformers' models.
    pub const TRANSFORMERS: Self = Self { stem: "model", pickle: "pytorch_model" };
    /// Of OpenCLIP's models.
    pub const OPEN_CLIP: Self = Self { stem: "open_clip_model", pickle: "open_clip_pytorch_model" };
}

/// The variants that are tried after the plain file, in this order.
const VARIANTS: [&str; 2] = ["fp16", "bf16"];

/// More shards than any model has.
const MOST_SHARDS: usize = 1000;

/// Where the weights of a component are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundWeights {
    /// In one file.
    File(String),
    /// In those that this index lists.
    Index(String),
}

impl FoundWeights {
    /// Whether they are those of a variant.
    pub fn is_of(&self, variant: &str) -> bool {
        let (Self::File(name) | Self::Index(name)) = self;
        name.contains(&format!(".{variant}."))
    }
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// Finds the weights of the component in the folder `folder`, empty for the root: those of `variant` where there are any, else the plain ones.
/// Without a variant, half-precision weights serve where there are no others. `has` says whether there is a file of a name.
///
/// # Errors
///
/// If there are pickled weights only, or the variant is not a word.
pub fn find_weights(
    has: &dyn Fn(&str) -> bool,
    folder: &str,
    names: WeightNames,
    variant: Option<&str>,
) -> Result<Option<FoundWeights>> {
    if let Some(name) = variant.filter(|name| !is_variant(name)) {
        return Err(Error::config("model_index", "variant", name, "a word of a file's name, such as fp16 or non_ema"));
    }
    let others = if variant.is_none() { VARIANTS.as_slice() } else { &[] };
    let order = variant.into_iter().map(Some).chain([None]).chain(others.iter().copied().map(Some));
    let stem = names.stem;
    for variant in order {
        let (plain, index) = match variant {
            None => (format!("{stem}.safetensors"), format!("{stem}.safetensors.index.json")),
            Some(variant) => {
                (format!("{stem}.{variant}.safetensors"), format!("{stem}.safetensors.index.{variant}.json"))
            }
        };
        let (plain, index) = (inside(folder, &plain), inside(folder, &index));
        if has(&plain) {
            return Ok(Some(FoundWeights::File(plain)));
        }
        if has(&index) {
            return Ok(Some(FoundWeights::Index(index)));
        }
    }
    let pickles = [format!("{}.bin", names.pickle), format!("{}.fp16.bin", names.pickle), format!("{stem}.ckpt")];
    match pickles.map(|name| inside(folder, &name)).into_iter().find(|name| has(name)) {
        Some(name) => Err(Error::Pickle { name }),
        None => Ok(None),
    }
}

/// The path of a file in a folder, which is empty for the root.
fn inside(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Whether a name can be a part of a file's, and of no other folder's.
fn is_variant(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed)
}

/// Opens the weights of the component in the folder `folder`: those that [`find_weights`] finds.
///
/// # Errors
///
/// If there are none, or they are damaged.
pub fn open_weights(files: &ModelFiles, folder: &str, names: WeightNames, variant: Option<&str>) -> Result<TensorFile> {
    match find_weights(&|name| files.has(name), folder, names, variant)? {
        Some(FoundWeights::File(name)) => TensorFile::open(&name, vec![files.bytes(&name, "the weights")?]),
        Some(FoundWeights::Index(index)) => open_shards(files, folder, &index),
        None => Err(files.missing(&inside(folder, &format!("{}.safetensors", names.stem)), "the weights")),
    }
}

fn open_shards(files: &ModelFiles, folder: &str, index: &str) -> Result<TensorFile> {
    let json = files.text(index, "the list of weight files")?;
    let map = read_index(index, &json)?;
    let shards: BTreeSet<&String> = map.values().collect();
    let open = |shard: &&String| files.bytes(&inside(folder, shard), &format!("a part that `{index}` lists"));
    let file = TensorFile::open(index, shards.iter().map(open).collect::<Result<_>>()?)?;
    match map.keys().find(|tensor| !file.has(tensor)) {
        Some(tensor) => Err(Error::MissingTensors { name: index.to_owned(), count: 1, first: tensor.clone() }),
        None => Ok(file),
    }
}

/// The files that the index at `path` lists, by their path in the repository.
///
/// # Errors
///
/// If it is damaged, or lists something outside of its own folder.
pub fn shards_of(path: &str, content: &[u8]) -> Result<Vec<String>> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let names: BTreeSet<String> = read_index(path, content)?.into_values().collect();
    Ok(names.into_iter().map(|name| inside(folder, &name)).collect())
}

/// The file of each tensor: a file of the index's own folder.
fn read_index(index: &str, json: &[u8]) -> Result<BTreeMap<String, String>> {
    let refuse = |reason: String| Error::Json { name: index.to_owned(), reason };
    let map: ShardIndex = parse_json(index, json)?;
    let shards: BTreeSet<&String> = map.weight_map.values().collect();
    if shards.len() > MOST_SHARDS {
        return Err(refuse(format!("{} files found, at most {MOST_SHARDS} wanted", shards.len())));
    }
    match shards.iter().find(|shard| !is_plain_name(shard)) {
        Some(shard) => Err(refuse(format!("file `{shard}` found, wanted a .safetensors file in the same folder"))),
        None => Ok(map.weight_map),
    }
}

/// Whether a file name stays in its folder.
fn is_plain_name(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains(['/', '\\', ':', '\0']) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_files_of_its_own_folder() {
        let index = |file: &str| format!(r#"{{"weight_map": {{"a": "{file}"}}}}"#);
        let path = "unet/diffusion_pytorch_model.safetensors.index.json";
        assert_eq!(shards_of(path, index("b.safetensors").as_bytes()).unwrap(), ["unet/b.safetensors"]);
        assert!(shards_of(path, index("../b.safetensors").as_bytes()).is_err());
        let root = "model.safetensors.index.json";
        assert_eq!(shards_of(root, index("b.safetensors").as_bytes()).unwrap(), ["b.safetensors"]);
    }
}
