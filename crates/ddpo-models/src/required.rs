//! Which files of a repository a pipeline is made of, so that no other need be fetched.

use std::collections::BTreeSet;

use ddpo_nn::{Error, FoundWeights, Result, WeightNames, find_weights};

/// The files that [`Pipeline::load`](crate::Pipeline::load) reads of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredFiles {
    /// Files by their path in the repository.
    pub files: Vec<String>,
    /// Those of them that list more files, see [`shards_of`](ddpo_nn::shards_of).
    pub indices: Vec<String>,
}

/// The components with weights, and how their libraries name these.
pub(crate) const COMPONENTS: [(&str, WeightNames); 3] =
    [("unet", WeightNames::DIFFUSERS), ("vae", WeightNames::DIFFUSERS), ("text_encoder", WeightNames::TRANSFORMERS)];

/// Files of a tokenizer; those that are there are read.
const TOKENIZER: [&str; 6] = [
    "vocab.json",
    "merges.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
];

/// Picks the files out of a repository's `listing`. `variant` names half-precision weights such as `fp16`; without it the
/// plain ones are taken where there are any.
///
/// # Errors
///
/// If a component has no configuration or no safetensors weights.
pub fn required_files(listing: &[String], variant: Option<&str>) -> Result<RequiredFiles> {
    let names: BTreeSet<&str> = listing.iter().map(String::as_str).collect();
    let has = |name: &str| names.contains(name);
    let mut required = required_configuration(listing)?;
    check_variant(&has, variant)?;
    for (folder, library) in COMPONENTS {
        match find_weights(&has, folder, library, variant)? {
            Some(FoundWeights::File(name)) => required.files.push(name),
            Some(FoundWeights::Index(name)) => {
                required.files.push(name.clone());
                required.indices.push(name);
            }
            None => return Err(missing(format!("{folder}/{}.safetensors", library.stem), "the weights")),
        }
    }
    Ok(required)
}

/// The components of a model that have no weights of a variant, and whose plain ones are read in their place. `has` says whether there is a
/// file of a name.
///
/// # Errors
///
/// If no component has any, as in diffusers.
pub(crate) fn check_variant(has: &dyn Fn(&str) -> bool, variant: Option<&str>) -> Result<Vec<&'static str>> {
    let Some(name) = variant else { return Ok(Vec::new()) };
    let mut without = Vec::new();
    for (folder, library) in COMPONENTS {
        let found = find_weights(has, folder, library, variant)?;
        without.extend(found.is_none_or(|found| !found.is_of(name)).then_some(folder));
    }
    if without.len() < COMPONENTS.len() {
        return Ok(without);
    }
    let wanted = "a variant that the model has weights of, or none for its plain weights";
    Err(Error::config("model_index", "variant", name, wanted))
}

/// Picks what describes a pipeline out of a repository's `listing`: everything but the weights.
///
/// # Errors
///
/// If a component has no configuration.
pub fn required_configuration(listing: &[String]) -> Result<RequiredFiles> {
    let has = |name: &str| listing.iter().any(|file| file == name);
    let mut required = RequiredFiles::default();
    let configs = COMPONENTS.iter().map(|(folder, _)| format!("{folder}/config.json"));
    let always = ["model_index.json", "scheduler/scheduler_config.json"].map(str::to_owned);
    for name in always.into_iter().chain(configs) {
        if !has(&name) {
            return Err(missing(name, "a diffusers pipeline's"));
        }
        required.files.push(name);
    }
    required.files.extend(TOKENIZER.map(|name| format!("tokenizer/{name}")).into_iter().filter(|name| has(name)));
    Ok(required)
}

fn missing(name: String, wanted: &str) -> Error {
    Error::MissingFile { origin: "the repository".to_owned(), name, wanted: wanted.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(weights: &[&str]) -> Vec<String> {
        let rest = [
            "model_index.json",
            "scheduler/scheduler_config.json",
            "unet/config.json",
            "vae/config.json",
            "text_encoder/config.json",
            "tokenizer/vocab.json",
            "tokenizer/merges.txt",
            "README.md",
            "v1-5-pruned.ckpt",
            "safety_checker/model.safetensors",
        ];
        rest.iter().chain(weights).map(|name| (*name).to_owned()).collect()
    }

    #[track_caller]
    fn check(weights: &[&str], variant: Option<&str>, expected: &[&str]) {
        let files = required_files(&listing(weights), variant).unwrap().files;
        let weights: Vec<&str> = files.iter().map(String::as_str).filter(|name| name.contains("model.")).collect();
        assert_eq!(weights, expected);
        assert!(!files.iter().any(|name| name.contains("safety") || name.contains("ckpt") || name.contains("README")));
    }

    const PLAIN: [&str; 3] = [
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    ];
    const HALF: [&str; 3] = [
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.fp16.safetensors",
    ];

    #[test]
    fn one_set_of_weights_is_taken() {
        let both: Vec<&str> = PLAIN.iter().chain(&HALF).copied().collect();
        check(&both, None, &PLAIN);
        check(&both, Some("fp16"), &HALF);
        check(&HALF, None, &HALF);
        // A component without the variant has its plain file, as in diffusers.
        check(&[PLAIN[0], HALF[0], PLAIN[1], PLAIN[2]], Some("fp16"), &[HALF[0], PLAIN[1], PLAIN[2]]);
    }

    #[test]
    fn pickled_weights_and_missing_parts_are_named() {
        let error = required_files(&listing(&["unet/diffusion_pytorch_model.bin"]), None).unwrap_err().to_string();
        assert!(error.starts_with("refusing pickled weights `unet/diffusion_pytorch_model.bin`"), "{error}");
        let error = required_files(&listing(&[]), None).unwrap_err().to_string();
        assert_eq!(
            error,
            "`the repository` has no file `unet/diffusion_pytorch_model.safetensors`, wanted the weights"
        );
        let error = required_files(&[], None).unwrap_err().to_string();
        assert!(error.starts_with("`the repository` has no file `model_index.json`"), "{error}");
        // Diffusers refuses a variant that no component has, too.
        let error = required_files(&listing(&PLAIN), Some("bf16")).unwrap_err().to_string();
        assert!(error.contains("`variant` is bf16, wanted a variant that the model has"), "{error}");
        let error = required_files(&listing(&PLAIN), Some("../fp16")).unwrap_err().to_string();
        assert!(error.contains("`variant` is ../fp16"), "{error}");
    }
}
