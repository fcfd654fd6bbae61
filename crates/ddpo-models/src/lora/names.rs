//! What the layers of an adapter are called in the files of different programs.

use ddpo_nn::{Layout, ParamSpec};

/// The layer that a parameter is the matrix of, if an adapter can be put on it.
pub(super) fn module(spec: &ParamSpec) -> Option<&str> {
    match spec.layout {
        Layout::Linear => spec.name.strip_suffix(".weight"),
        _ => None,
    }
}

/// What kohya's scripts, ComfyUI and A1111 call a layer of the UNet.
pub(super) fn kohya(module: &str) -> String {
    format!("lora_unet_{}", module.replace('.', "_"))
}

/// The part of an adapter that a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Down,
    Up,
    Alpha,
}

/// Splits a tensor's name into the layer, as its program calls it, and the part.
pub(super) fn split(name: &str) -> Option<(&str, Part)> {
    const SUFFIXES: [(&str, Part); 9] = [
        (".lora_A.weight", Part::Down),
        (".lora_B.weight", Part::Up),
        (".lora_A.default.weight", Part::Down),
        (".lora_B.default.weight", Part::Up),
        (".lora.down.weight", Part::Down),
        (".lora.up.weight", Part::Up),
        (".lora_down.weight", Part::Down),
        (".lora_up.weight", Part::Up),
        (".alpha", Part::Alpha),
    ];
    let (layer, part) = SUFFIXES.iter().find_map(|(suffix, part)| Some((name.strip_suffix(suffix)?, *part)))?;
    let layer = layer.strip_prefix("base_model.model.").unwrap_or(layer);
    Some((layer.strip_prefix("unet.").unwrap_or(layer), part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<(&str, Part)>) {
        assert_eq!(split(name), expected);
    }

    #[test]
    fn the_names_of_four_programs_are_understood() {
        check("unet.mid_block.attn.to_q.lora_A.weight", Some(("mid_block.attn.to_q", Part::Down)));
        check("unet.mid_block.attn.to_q.lora.up.weight", Some(("mid_block.attn.to_q", Part::Up)));
        check("base_model.model.a.to_k.lora_B.weight", Some(("a.to_k", Part::Up)));
        check("lora_unet_mid_block_to_q.alpha", Some(("lora_unet_mid_block_to_q", Part::Alpha)));
        check("unet.mid_block.attn.to_q.weight", None);
    }
}
