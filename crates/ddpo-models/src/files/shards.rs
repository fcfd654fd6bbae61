//! Finding the weight files of a component: one file, a half-precision variant, or an index of shards.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{ModelFiles, TensorFile};
use crate::error::{Error, Result};

/// How a library names the weights of a component.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WeightNames {
    /// The stem, such as `diffusion_pytorch_model`.
    pub(crate) stem: &'static str,
    /// The stem of the pickled file it would have written.
    pub(crate) pickle: &'static str,
}

impl WeightNames {
    /// Of diffusers' models.
    pub(crate) const DIFFUSERS: Self = Self { stem: "diffusion_pytorch_model", pickle: "diffusion_pytorch_model" };
    /// Of transformers' models.
    pub(crate) const TRANSFORMERS: Self = Self { stem: "model", pickle: "pytorch_model" };
}

/// The variants that are tried after the plain file, in this order.
const VARIANTS: [Option<&str>; 3] = [None, Some("fp16"), Some("bf16")];

/// More shards than any model has.
const MOST_SHARDS: usize = 1000;

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: BTreeMap<String, String>,
}

/// Opens the weights of the component in the folder `folder`.
pub(crate) fn open_weights(files: &ModelFiles, folder: &str, names: WeightNames) -> Result<TensorFile> {
    let stem = names.stem;
    for variant in VARIANTS {
        let (plain, index) = match variant {
            None => (format!("{folder}/{stem}.safetensors"), format!("{folder}/{stem}.safetensors.index.json")),
            Some(variant) => (
                format!("{folder}/{stem}.{variant}.safetensors"),
                format!("{folder}/{stem}.safetensors.index.{variant}.json"),
            ),
        };
        if files.has(&plain) {
            return TensorFile::open(&plain, vec![files.bytes(&plain, "the weights")?]);
        }
        if files.has(&index) {
            return open_shards(files, folder, &index);
        }
    }
    for name in [
        format!("{folder}/{}.bin", names.pickle),
        format!("{folder}/{}.fp16.bin", names.pickle),
        format!("{folder}/{stem}.ckpt"),
    ] {
        if files.has(&name) {
            return Err(Error::Pickle { name });
        }
    }
    Err(files.missing(&format!("{folder}/{stem}.safetensors"), "the weights"))
}

fn open_shards(files: &ModelFiles, folder: &str, index: &str) -> Result<TensorFile> {
    let json = files.text(index, "the list of weight files")?;
    let refuse = |reason: String| Error::Json { name: index.to_owned(), reason };
    let map: ShardIndex = serde_json::from_slice(&json).map_err(|error| refuse(error.to_string()))?;
    let shards: BTreeSet<&String> = map.weight_map.values().collect();
    if shards.len() > MOST_SHARDS {
        return Err(refuse(format!("{} files found, at most {MOST_SHARDS} wanted", shards.len())));
    }
    let open = |shard: &&String| {
        if !is_plain_name(shard) {
            return Err(refuse(format!("file `{shard}` found, wanted a .safetensors file in the same folder")));
        }
        files.bytes(&format!("{folder}/{shard}"), &format!("a part that `{index}` lists"))
    };
    let file = TensorFile::open(index, shards.iter().map(open).collect::<Result<_>>()?)?;
    match map.weight_map.keys().find(|tensor| !file.has(tensor)) {
        Some(tensor) => Err(Error::MissingTensors { name: index.to_owned(), count: 1, first: tensor.clone() }),
        None => Ok(file),
    }
}

/// Whether a file name stays in its folder.
fn is_plain_name(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains(['/', '\\', ':', '\0']) && !name.starts_with('.')
}
