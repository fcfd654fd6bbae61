//! Textual inversion: vectors that were trained for a word of their own.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use ddpo_nn::{Bytes, Error, Result, TensorFile, map};

use crate::pipeline::Pipeline;

/// The name of the one tensor in files of A1111's web UI and of kohya's scripts, which call the word by the file's name.
const UNNAMED: &str = "emb_params";

/// The tensors of a file for both text encoders of Stable Diffusion XL.
const OF_XL: [&str; 2] = ["clip_l", "clip_g"];

/// Widths of text encoders, and which models have them.
const MODELS: [(usize, &str); 3] = [(768, "Stable Diffusion 1.x"), (1024, "2.x"), (1280, "XL")];

/// A textual-inversion embedding: a word, and the vectors that stand in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// The word as prompts write it.
    pub token: String,
    /// Where it is from, for errors.
    name: String,
    vectors: Vec<f32>,
    width: usize,
}

impl Embedding {
    /// The file in a folder or a repository of the hub, as diffusers names it.
    pub const FILE_NAME: &'static str = "learned_embeds.safetensors";

    /// Reads a file: one tensor, `[width]` or `[n, width]`, that is named by its word, as diffusers writes it, or `emb_params` as the
    /// web UI does, where the word is the file's name. `token` is another word for it.
    ///
    /// # Errors
    ///
    /// A pickle, a file of another kind or of Stable Diffusion XL, and a value that is not finite.
    pub fn load(path: &Path, token: Option<&str>) -> Result<Self> {
        let name = path.display().to_string();
        if matches!(path.extension().and_then(|extension| extension.to_str()), Some("bin" | "pt" | "ckpt" | "pth")) {
            let reason = "a pickle runs code when it is read, so safetensors are wanted (convert once, in Python: \
                          `safetensors.torch.save_file({word: vectors}, \"WORD.safetensors\")`)";
            return Err(Error::Tensors { name, reason: reason.to_owned() });
        }
        Self::read(&TensorFile::open(&name, vec![map(path)?])?, path, token)
    }

    /// Reads the content of such a file, called `name`.
    ///
    /// # Errors
    ///
    /// Those of [`Embedding::load`].
    pub fn from_bytes(name: &str, content: Vec<u8>, token: Option<&str>) -> Result<Self> {
        Self::read(&TensorFile::open(name, vec![Bytes::Shared(Arc::from(content))])?, Path::new(name), token)
    }

    fn read(file: &TensorFile, path: &Path, token: Option<&str>) -> Result<Self> {
        let refuse = |reason: String| Err(Error::Tensors { name: file.name().to_owned(), reason });
        let names = file.names();
        let tensor = match names.as_slice() {
            [one] => *one,
            several if several.iter().all(|name| OF_XL.contains(name)) && !several.is_empty() => {
                return refuse(
                    "an embedding of Stable Diffusion XL found (`clip_l`, `clip_g`), of 1.x or 2.x wanted".into(),
                );
            }
            several => {
                let first = several.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                return refuse(format!("{} tensors found ({first}), one of a textual inversion wanted", several.len()));
            }
        };
        let stem = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let own = || if tensor == UNNAMED { stem() } else { tensor.to_owned() };
        let token = token.map_or_else(own, ToOwned::to_owned);
        let width = match *file.shape(tensor)? {
            [width] if width > 0 => width,
            [count, width] if count > 0 && width > 0 => width,
            ref shape => return refuse(format!("`{tensor}` of {shape:?} found, [vectors, width] wanted")),
        };
        Ok(Self { token, name: file.name().to_owned(), vectors: file.read(tensor)?, width })
    }

    /// How many vectors stand in the word's place.
    pub fn len(&self) -> usize {
        self.vectors.len() / self.width
    }

    /// Whether there is none, which no file says.
    pub fn is_empty(&self) -> bool {
        self.vectors.is_empty()
    }
}

impl Pipeline {
    /// The pipeline that knows the word of an embedding: where it is in a prompt, its vectors are, one after the other. Equal to
    /// diffusers' `load_textual_inversion`.
    ///
    /// # Errors
    ///
    /// If it is of a text encoder of another width, or the word is known already.
    pub fn with_embedding(&self, embedding: &Embedding) -> Result<Self> {
        let Embedding { token, name, vectors, width } = embedding;
        let wanted = self.text_encoder.config().hidden_size;
        if *width != wanted {
            let of = |width: usize| MODELS.iter().find(|(of, _)| *of == width);
            let of = |width| of(width).map_or_else(|| width.to_string(), |(_, model)| format!("{width} ({model})"));
            let reason =
                format!("vectors of width {} found for `{token}`, {} wanted by this model", of(*width), of(wanted));
            return Err(Error::Tensors { name: name.clone(), reason });
        }
        let rows = TensorData::new(vectors.clone(), [embedding.len(), *width]);
        let rows = Tensor::from_data(rows, &self.text_weights.device());
        let first = self.text_encoder.config().vocab_size as u32;
        let tokenizer = self.tokenizer.with_word(token, first, embedding.len())?;
        let (encoder, text_weights) = self.text_encoder.with_tokens(&self.text_weights, rows)?;
        Ok(Self { tokenizer, text_encoder: Arc::new(encoder), text_weights, ..self.clone() })
    }
}
