//! The text encoder of a one-file checkpoint: CLIP's under transformers' names, or OpenCLIP's under its own.

use ddpo_nn::{Error, ParamSpec, Placement, Result, TensorFile, TextEncoder, Weights};

/// Where transformers' text encoder is (Stable Diffusion 1.x).
const CLIP: &str = "cond_stage_model.transformer.";

/// Where OpenCLIP's is (Stable Diffusion 2.x).
pub(super) const OPEN_CLIP: &str = "cond_stage_model.model.";

/// The layers of a text encoder outside of its blocks, in OpenCLIP's names.
const ENDS: [(&str, &str); 3] = [
    ("text_model.embeddings.token_embedding.weight", "token_embedding.weight"),
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("text_model.final_layer_norm.", "ln_final."),
];

/// The layers of a block, likewise.
const INSIDE: [(&str, &str); 5] = [
    ("layer_norm1.", "ln_1."),
    ("layer_norm2.", "ln_2."),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
    ("self_attn.out_proj.", "attn.out_proj."),
];

/// The projections that OpenCLIP keeps in one matrix, in the order of its rows.
const FUSED: [&str; 3] = ["q_proj", "k_proj", "v_proj"];

/// What OpenCLIP has besides: how states and pictures are compared, and a constant.
const OTHERS: [&str; 3] = ["text_projection", "logit_scale", "attn_mask"];

/// A parameter's place in the file: a tensor, or one third of the rows of a tensor.
struct Place {
    tensor: String,
    third: Option<usize>,
}

/// The weights of the text encoder in a one-file checkpoint.
///
/// # Errors
///
/// If a tensor is missing, unknown, damaged or of another shape.
pub(crate) fn text_weights(text: &TextEncoder, file: &TensorFile, placement: Placement) -> Result<Weights> {
    if !file.names().iter().any(|name| name.starts_with(OPEN_CLIP)) {
        return text.load_part(file, CLIP, placement);
    }
    check_names(text, file)?;
    Weights::from_file_order(text.specs(), |spec| read(spec, file), placement)
}

fn place(name: &str) -> Place {
    let whole = |tensor: String| Place { tensor: format!("{OPEN_CLIP}{tensor}"), third: None };
    if let Some((ours, theirs)) = ENDS.iter().find(|(ours, _)| name.starts_with(ours)) {
        return whole(format!("{theirs}{}", &name[ours.len()..]));
    }
    let Some((layer, inside)) = name.strip_prefix("text_model.encoder.layers.").and_then(|rest| rest.split_once('.'))
    else {
        return whole(name.to_owned());
    };
    let block = format!("transformer.resblocks.{layer}");
    if let Some((ours, theirs)) = INSIDE.iter().find(|(ours, _)| inside.starts_with(ours)) {
        return whole(format!("{block}.{theirs}{}", &inside[ours.len()..]));
    }
    let attention = inside.strip_prefix("self_attn.").and_then(|rest| rest.split_once('.'));
    let fused = attention.and_then(|(name, kind)| Some((FUSED.iter().position(|fused| *fused == name)?, kind)));
    match fused {
        Some((third, kind)) => Place { third: Some(third), ..whole(format!("{block}.attn.in_proj_{kind}")) },
        None => whole(name.to_owned()),
    }
}

/// The elements of a parameter.
fn read(spec: &ParamSpec, file: &TensorFile) -> Result<Vec<f32>> {
    let Place { tensor, third } = place(&spec.name);
    let mut wanted = spec.shape.clone();
    if let (Some(rows), Some(_)) = (wanted.first_mut(), third) {
        *rows *= FUSED.len();
    }
    let found = file.shape(&tensor)?;
    if found != wanted {
        return Err(Error::TensorShape { name: file.name().to_owned(), tensor, found: found.to_vec(), wanted });
    }
    let values = file.read(&tensor)?;
    let size = spec.elements();
    Ok(match third {
        Some(third) => values.get(third * size..(third + 1) * size).unwrap_or_default().to_vec(),
        None => values,
    })
}

/// Refuses a tensor of the text encoder that has no place in it. Blocks beyond those of the configuration have none either, and
/// are left out: Stable Diffusion 2 uses all but the last.
fn check_names(text: &TextEncoder, file: &TensorFile) -> Result<()> {
    let known: std::collections::BTreeSet<String> = text.specs().iter().map(|spec| place(&spec.name).tensor).collect();
    let layers = text.config().num_hidden_layers;
    let layer = |rest: &str| rest.strip_prefix("transformer.resblocks.")?.split_once('.')?.0.parse::<usize>().ok();
    let unknown: Vec<&str> = file
        .names()
        .into_iter()
        .filter(|name| {
            let Some(rest) = name.strip_prefix(OPEN_CLIP) else { return false };
            !known.contains(*name) && !OTHERS.contains(&rest) && layer(rest).is_none_or(|layer| layer < layers)
        })
        .collect();
    match unknown.first() {
        Some(first) => {
            let (name, first) = (file.name().to_owned(), (*first).to_owned());
            Err(Error::UnexpectedTensors { name, count: unknown.len(), first })
        }
        None => Ok(()),
    }
}
