//! A vision transformer's weights from the files of transformers.

use super::model::VisionTower;
use crate::{
    error::Result,
    files::TensorFile,
    params::{Placement, TensorPart, Weights},
};

/// Where the parameters are in [`VisionTower`]'s own names.
const OWN: &str = "vision_model.";

/// A parameter by which the network is found in a file.
const MARK: &str = "embeddings.class_embedding";

impl VisionTower {
    /// Constant weights from a transformers file of a `CLIPModel` or a `CLIPVisionModel`; what else is in it is left out.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, unknown, damaged or of another shape.
    pub fn load(&self, file: &TensorFile, placement: impl Into<Placement>) -> Result<Weights> {
        let names = file.names();
        let prefix = names.iter().find_map(|name| name.strip_suffix(MARK)).unwrap_or(OWN).to_owned();
        let rename =
            |name: &str| name.strip_prefix(OWN).map_or_else(|| name.to_owned(), |name| format!("{prefix}{name}"));
        // Without a prefix the names of others cannot be told from unknown ones.
        let others = ["visual_projection.", "text_projection.", "text_model.", "logit_scale", "logit_bias"];
        let ignored = |name: &str| {
            let inside = name.strip_prefix(prefix.as_str());
            inside.is_none_or(|inside| {
                inside == "embeddings.position_ids" || others.iter().any(|other| inside.starts_with(other))
            })
        };
        Weights::load_renamed(self.specs(), file, rename, ignored, placement)
    }

    /// Constant weights from a file with the names of timm's vision transformers behind `prefix`, such as
    /// `blip.visual_encoder.`; what else is in it is left out.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, damaged or of another shape.
    pub fn load_timm(&self, file: &TensorFile, prefix: &str, placement: impl Into<Placement>) -> Result<Weights> {
        let part = |name: &str| {
            let part = timm_part(name.strip_prefix(OWN).unwrap_or(name));
            TensorPart { name: format!("{prefix}{}", part.name), ..part }
        };
        Weights::load_parts(self.specs(), file, part, |_| true, placement)
    }
}

/// The parameter that transformers calls `name`.
fn timm_part(name: &str) -> TensorPart {
    match name {
        "embeddings.class_embedding" => return TensorPart::whole("cls_token"),
        "embeddings.position_embedding.weight" => return TensorPart::whole("pos_embed"),
        _ => {}
    }
    if let Some(kind) = name.strip_prefix("embeddings.patch_embedding.") {
        return TensorPart::whole(format!("patch_embed.proj.{kind}"));
    }
    if let Some(kind) = name.strip_prefix("post_layernorm.") {
        return TensorPart::whole(format!("norm.{kind}"));
    }
    let layer = name.strip_prefix("encoder.layers.").and_then(|rest| rest.split_once('.'));
    let (layer, rest) = layer.unwrap_or(("", name));
    for (index, projection) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
        if let Some(kind) = rest.strip_prefix("self_attn.").and_then(|rest| rest.strip_prefix(projection)) {
            return TensorPart::stacked(format!("blocks.{layer}.attn.qkv{kind}"), index, 3);
        }
    }
    let renamed = [("self_attn.out_proj", "attn.proj"), ("layer_norm1", "norm1"), ("layer_norm2", "norm2")];
    let found = renamed.iter().find_map(|(new, old)| Some(format!("{old}{}", rest.strip_prefix(new)?)));
    TensorPart::whole(format!("blocks.{layer}.{}", found.as_deref().unwrap_or(rest)))
}
