//! The one error type of this crate.

use std::path::PathBuf;

/// What can go wrong when a model is described, read, run or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was attempted, an infinitive such as `read`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file that the model needs does not exist.
    #[error("`{origin}` has no file `{name}`, wanted {wanted}")]
    MissingFile {
        /// The directory or embedded model that was searched.
        origin: String,
        /// The file's name.
        name: String,
        /// What it was needed for.
        wanted: String,
    },
    /// A weight file in a format that executes code when it is read.
    #[error(
        "refusing pickled weights `{name}`: wanted safetensors (convert once with `pipe.save_pretrained(DIR, safe_serialization=True)` in diffusers)"
    )]
    Pickle {
        /// The file's name.
        name: String,
    },
    /// A text that Git LFS leaves in the place of a large file.
    #[error(
        "`{name}` is a Git LFS pointer, which stands for {size} bytes, and not the file itself: fetch it with `git lfs pull`, or from the hub"
    )]
    LfsPointer {
        /// The file's name.
        name: String,
        /// The size of what it stands for.
        size: String,
    },
    /// A JSON file that is not what it should be.
    #[error("cannot parse `{name}`: {reason}")]
    Json {
        /// The file's name.
        name: String,
        /// What the parser found.
        reason: String,
    },
    /// A configuration value that no part of this crate implements.
    #[error("`{component}` config field `{field}` is {found}, wanted {wanted}")]
    Config {
        /// `unet`, `vae`, `text_encoder`, `tokenizer`, `scheduler` or `model_index`.
        component: &'static str,
        /// The field's name in `config.json`.
        field: String,
        /// The value found.
        found: String,
        /// What would have been accepted.
        wanted: String,
    },
    /// A safetensors file that is damaged or hostile.
    #[error("cannot read tensors of `{name}`: {reason}")]
    Tensors {
        /// The file's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Tensors that the configuration asks for and the file lacks.
    #[error("`{name}` lacks {count} tensors of its config, the first of them `{first}`")]
    MissingTensors {
        /// The file's name.
        name: String,
        /// How many.
        count: usize,
        /// The first missing name.
        first: String,
    },
    /// Tensors in the file that the configuration does not know.
    #[error("`{name}` holds {count} tensors its config does not have, the first of them `{first}`")]
    UnexpectedTensors {
        /// The file's name.
        name: String,
        /// How many.
        count: usize,
        /// The first unknown name.
        first: String,
    },
    /// A tensor whose shape is not that of the configuration.
    #[error("tensor `{tensor}` of `{name}` has shape {found:?}, wanted {wanted:?}")]
    TensorShape {
        /// The file's name.
        name: String,
        /// The tensor's name.
        tensor: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape the configuration implies.
        wanted: Vec<usize>,
    },
    /// An argument of a forward pass that does not fit the model.
    #[error("cannot {action}: {what} is {found}, wanted {wanted}")]
    Input {
        /// What was attempted, such as `run the unet`.
        action: &'static str,
        /// Which argument.
        what: String,
        /// The value found.
        found: String,
        /// The value wanted.
        wanted: String,
    },
    /// The tokenizer's files could not be used.
    #[error("cannot build the tokenizer: {0}")]
    Tokenizer(String),
    /// A value could not be read back from the device.
    #[error("cannot read `{what}` from the device: {reason}")]
    Device {
        /// What was read.
        what: String,
        /// The backend's answer.
        reason: String,
    },
}

/// The result of every fallible operation in this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Input`] from anything that can be shown.
    pub fn input(
        action: &'static str,
        what: impl Into<String>,
        found: impl std::fmt::Debug,
        wanted: impl std::fmt::Display,
    ) -> Self {
        Self::Input { action, what: what.into(), found: format!("{found:?}"), wanted: wanted.to_string() }
    }

    /// An [`Error::Config`] from anything that can be shown.
    pub fn config(
        component: &'static str,
        field: impl Into<String>,
        found: impl std::fmt::Display,
        wanted: impl std::fmt::Display,
    ) -> Self {
        Self::Config { component, field: field.into(), found: found.to_string(), wanted: wanted.to_string() }
    }
}
