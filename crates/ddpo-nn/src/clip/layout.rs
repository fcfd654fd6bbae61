//! Where CLIP's parameters are in the files of OpenCLIP and of the original code.

use crate::{files::TensorFile, params::TensorPart};

/// A tensor that OpenCLIP's files alone have.
const MARK: &str = "visual.class_embedding";

/// The layout of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `vision_model.encoder.layers.0…`
    Transformers,
    /// `visual.transformer.resblocks.0…`; `prefix` is before the names of the text encoder.
    OpenClip { prefix: &'static str },
}

impl Layout {
    pub(super) fn of(file: &TensorFile) -> Self {
        match file.has(MARK) {
            false => Self::Transformers,
            true if file.has("text.token_embedding.weight") => Self::OpenClip { prefix: "text." },
            true => Self::OpenClip { prefix: "" },
        }
    }
}

/// The parameter of the image encoder that transformers calls `name`.
pub(super) fn vision_part(name: &str) -> TensorPart {
    let rest = name.strip_prefix("vision_model.").unwrap_or(name);
    match rest {
        "embeddings.class_embedding" => TensorPart::whole("visual.class_embedding"),
        "embeddings.patch_embedding.weight" => TensorPart::whole("visual.conv1.weight"),
        "embeddings.position_embedding.weight" => TensorPart::whole("visual.positional_embedding"),
        _ => match (rest.strip_prefix("pre_layrnorm."), rest.strip_prefix("post_layernorm.")) {
            (Some(kind), _) => TensorPart::whole(format!("visual.ln_pre.{kind}")),
            (_, Some(kind)) => TensorPart::whole(format!("visual.ln_post.{kind}")),
            _ => block_part(rest, "visual."),
        },
    }
}

/// The parameter of the text encoder that transformers calls `name`.
pub(super) fn text_part(name: &str, prefix: &str) -> TensorPart {
    let rest = name.strip_prefix("text_model.").unwrap_or(name);
    match rest {
        "embeddings.token_embedding.weight" => TensorPart::whole(format!("{prefix}token_embedding.weight")),
        "embeddings.position_embedding.weight" => TensorPart::whole(format!("{prefix}positional_embedding")),
        _ => match rest.strip_prefix("final_layer_norm.") {
            Some(kind) => TensorPart::whole(format!("{prefix}ln_final.{kind}")),
            None => block_part(rest, prefix),
        },
    }
}

/// A parameter of a layer, of which queries, keys and values are one matrix.
fn block_part(name: &str, prefix: &str) -> TensorPart {
    let (layer, rest) =
        name.strip_prefix("encoder.layers.").and_then(|rest| rest.split_once('.')).unwrap_or(("", name));
    let block = format!("{prefix}transformer.resblocks.{layer}");
    for (index, projection) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
        if let Some(kind) = rest.strip_prefix("self_attn.").and_then(|rest| rest.strip_prefix(projection)) {
            let kind = kind.trim_start_matches('.');
            return TensorPart::stacked(format!("{block}.attn.in_proj_{kind}"), index, 3);
        }
    }
    let renamed = [
        ("self_attn.out_proj", "attn.out_proj"),
        ("layer_norm1", "ln_1"),
        ("layer_norm2", "ln_2"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
    ];
    let found = renamed.iter().find_map(|(new, old)| Some((rest.strip_prefix(new)?, old)));
    TensorPart::whole(match found {
        Some((kind, old)) => format!("{block}.{old}{kind}"),
        None => format!("{block}.{rest}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_layer() {
        let part = vision_part("vision_model.encoder.layers.3.self_attn.k_proj.bias");
        assert_eq!(part, TensorPart::stacked("visual.transformer.resblocks.3.attn.in_proj_bias", 1, 3));
        let part = text_part("text_model.encoder.layers.0.mlp.fc2.weight", "text.");
        assert_eq!(part, TensorPart::whole("text.transformer.resblocks.0.mlp.c_proj.weight"));
    }
}
