//! Weights from and to files in diffusers' layout.

use std::collections::BTreeMap;

use super::{ParamSpec, Placement, Specs, Weights};
use crate::{
    error::{Error, Result},
    files::{FileDtype, TensorFile, encode},
};

/// The names that diffusers once gave an autoencoder's attention, new to old.
const RENAMED: [(&str, &str); 4] = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];

impl Weights {
    /// Constant weights from the tensors of a file, each checked against `specs`. The file holds this network and nothing else;
    /// of another, [`Weights::load_renamed`] takes a part.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, unknown, damaged or of another shape.
    pub fn load(specs: &Specs, file: &TensorFile, placement: impl Into<Placement>) -> Result<Self> {
        Self::load_renamed(specs, file, |name| name_in(file, name), |_| false, placement)
    }

    /// [`Weights::load`] of a file in which a parameter has the name that `rename` makes of it, and which may hold more: the
    /// tensors that `ignored` knows.
    ///
    /// # Errors
    ///
    /// Those of [`Weights::load`].
    pub fn load_renamed(
        specs: &Specs,
        file: &TensorFile,
        rename: impl Fn(&str) -> String,
        ignored: impl Fn(&str) -> bool,
        placement: impl Into<Placement>,
    ) -> Result<Self> {
        let names: Vec<String> = specs.iter().map(|spec| rename(&spec.name)).collect();
        file.check_names(&names.iter().map(String::as_str).collect::<Vec<_>>(), ignored)?;
        for (spec, name) in specs.iter().zip(&names) {
            check_shape(spec, name, file)?;
        }
        let mut names = names.iter();
        let read = |_: &ParamSpec| names.next().map_or_else(|| Ok(Vec::new()), |name| file.read(name));
        Self::from_file_order(specs, read, placement)
    }

    /// A safetensors file of all parameters under diffusers' names and shapes.
    ///
    /// # Errors
    ///
    /// If a value cannot be read from the device, or is not finite in `dtype`.
    pub fn to_safetensors(&self, dtype: FileDtype) -> Result<Vec<u8>> {
        let values = self.to_file_order()?;
        let tensors: Vec<_> =
            self.specs().iter().zip(values).map(|(spec, (name, values))| (name, spec.shape.clone(), values)).collect();
        encode(&tensors, dtype, BTreeMap::from([("format".to_owned(), "pt".to_owned())]))
    }
}

/// The name a parameter has in the file: its own, or the one that diffusers used to give it.
fn name_in(file: &TensorFile, name: &str) -> String {
    if !file.has(name) {
        for (new, old) in RENAMED {
            let renamed = name.replace(&format!(".attentions.0.{new}."), &format!(".attentions.0.{old}."));
            if renamed != name && file.has(&renamed) {
                return renamed;
            }
        }
    }
    name.to_owned()
}

fn check_shape(spec: &ParamSpec, name: &str, file: &TensorFile) -> Result<()> {
    let found = file.shape(name)?;
    // The old attention of an autoencoder was a 1x1 convolution in some conversions, and is one in the original files.
    let ones = |more: &[usize]| more.iter().all(|size| *size == 1);
    let renamed = name != spec.name && found.strip_prefix(spec.shape.as_slice()).is_some_and(ones);
    if found == spec.shape || renamed {
        return Ok(());
    }
    Err(Error::TensorShape {
        name: file.name().to_owned(),
        tensor: name.to_owned(),
        found: found.to_vec(),
        wanted: spec.shape.clone(),
    })
}
