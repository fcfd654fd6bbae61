//! What the tensors of an adapter are called in the files of different programs.

use ddpo_nn::{Layout, ParamSpec};

use super::Component;

/// The layer that a parameter is the matrix of, if an adapter that is trained can be put on it.
pub(super) fn module(spec: &ParamSpec) -> Option<&str> {
    match spec.layout {
        Layout::Linear => spec.name.strip_suffix(".weight"),
        _ => None,
    }
}

/// The layer that a parameter is the matrix of, if an adapter's file can have factors for it: also a convolution.
pub(super) fn readable_module(spec: &ParamSpec) -> Option<&str> {
    match spec.layout {
        Layout::Linear | Layout::Conv => spec.name.strip_suffix(".weight"),
        _ => None,
    }
}

/// What kohya's scripts, ComfyUI and A1111 call a layer.
pub(super) fn kohya(component: Component, module: &str) -> String {
    let prefix = match component {
        Component::Unet => "lora_unet_",
        Component::TextEncoder => "lora_te_",
    };
    format!("{prefix}{}", module.replace('.', "_"))
}

/// The part of an adapter that a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Down,
    Up,
    /// The core of a convolution in CP form, between the two.
    Mid,
    Alpha,
}

/// A tensor's name, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// What the prefix says.
    pub(super) component: Option<Component>,
    /// The layer as the file calls it, without the prefix.
    pub(super) layer: String,
    pub(super) part: Part,
    /// PEFT's name of the adapter, where the file has it.
    pub(super) adapter: Option<&'a str>,
}

/// Ends of names, longest first where one ends another. An underscore before `lora` begins a projection's own name.
const ENDS: [(&str, Part); 11] = [
    (".lora_linear_layer.down.weight", Part::Down),
    (".lora_linear_layer.up.weight", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    (".lora_down.weight", Part::Down),
    (".lora_up.weight", Part::Up),
    (".lora_mid.weight", Part::Mid),
    ("_lora.down.weight", Part::Down),
    ("_lora.up.weight", Part::Up),
    ("_lora.alpha", Part::Alpha),
    (".alpha", Part::Alpha),
];

/// Takes a tensor's name apart; nothing if no program calls a LoRA's tensor so.
pub(super) fn split(name: &str) -> Option<Name<'_>> {
    let (head, part, adapter) = split_end(name)?;
    let head = head.strip_prefix("base_model.model.").unwrap_or(head);
    let (component, layer) = split_component(head);
    let layer = layer.strip_prefix("attn_processors.").unwrap_or(layer);
    Some(Name { component, layer: projection(layer), part, adapter })
}

fn split_end(name: &str) -> Option<(&str, Part, Option<&str>)> {
    for (middle, part) in [(".lora_A.", Part::Down), (".lora_B.", Part::Up)] {
        if let Some((head, end)) = name.split_once(middle) {
            let adapter = end.strip_suffix("weight")?;
            let adapter = adapter.strip_suffix('.').filter(|name| !name.contains('.'));
            return (end == "weight" || adapter.is_some()).then_some((head, part, adapter));
        }
    }
    // A projection's name goes with what is before it, up to `_lora`.
    ENDS.iter().find_map(|(end, part)| {
        let head = name.strip_suffix(end)?;
        let whole = if end.starts_with('_') { &name[..head.len() + "_lora".len()] } else { head };
        Some((whole, *part, None))
    })
}

fn split_component(head: &str) -> (Option<Component>, &str) {
    let prefixes = [
        ("unet.", Component::Unet),
        ("lora_unet_", Component::Unet),
        ("text_encoder.", Component::TextEncoder),
        ("lora_te_", Component::TextEncoder),
    ];
    let found = prefixes.iter().find_map(|(prefix, component)| Some((Some(*component), head.strip_prefix(prefix)?)));
    found.unwrap_or((None, head))
}

/// The names of 2023, when an attention had a processor and the processor the adapters, are those of the layers.
fn projection(layer: &str) -> String {
    let Some((attention, projection)) = layer.rsplit_once('.') else { return layer.to_owned() };
    let attention = attention.strip_suffix(".processor").unwrap_or(attention);
    let is_text = attention.ends_with("self_attn");
    let name = match (projection, is_text) {
        ("to_q_lora", false) => "to_q",
        ("to_k_lora", false) => "to_k",
        ("to_v_lora", false) => "to_v",
        ("to_out_lora", false) => "to_out.0",
        ("to_q_lora", true) => "q_proj",
        ("to_k_lora", true) => "k_proj",
        ("to_v_lora", true) => "v_proj",
        ("to_out_lora", true) => "out_proj",
        _ => return layer.to_owned(),
    };
    format!("{attention}.{name}")
}

/// What tensors are that a LoRA has not, by a part of their names, or with `$` their end: another kind of adapter, or one of
/// another model.
const OTHERS: [(&str, &str); 38] = [
    ("lora_magnitude_vector", "a DoRA"),
    ("dora_scale", "a DoRA"),
    (".hada_", "a LoHa"),
    (".lokr_", "a LoKr"),
    ("boft_", "a BOFT"),
    ("oft_blocks", "an OFT"),
    ("oft_diag", "an OFT"),
    (".oft_r", "an OFT"),
    (".oft_R", "an OFT"),
    (".ia3_l", "an (IA)³"),
    (".on_input", "an (IA)³"),
    (".a1.weight", "a GLoRA"),
    (".b1.weight", "a GLoRA"),
    ("vera_lambda", "a VeRA"),
    ("randlora_", "a RandLora"),
    ("fourierft_", "a FourierFT"),
    ("hra_u", "an HRA"),
    (".lora_E", "an AdaLoRA"),
    (".lora_embedding_", "a LoRA of embeddings"),
    (".lora_B.bias", "a LoRA with biases"),
    (".scalar$", "a LoRA with scalars of its own"),
    (".diff$", "a full difference"),
    (".diff_b$", "a full difference"),
    (".w_norm", "a difference of norms"),
    (".b_norm", "a difference of norms"),
    ("custom_diffusion", "a Custom Diffusion"),
    ("_ip.", "an IP-Adapter"),
    ("ip_adapter", "an IP-Adapter"),
    ("motion_modules", "an adapter of AnimateDiff"),
    ("bundle_emb", "an adapter with embeddings"),
    ("string_to_param", "an embedding"),
    ("lora_te1_", "an adapter of Stable Diffusion XL"),
    ("lora_te2_", "an adapter of Stable Diffusion XL"),
    ("text_encoder_2.", "an adapter of Stable Diffusion XL"),
    ("lora_unet_input_blocks_", "an adapter of Stable Diffusion XL"),
    ("single_blocks", "an adapter of FLUX or a model like it"),
    ("double_blocks", "an adapter of FLUX or a model like it"),
    ("joint_blocks", "an adapter of Stable Diffusion 3"),
];

/// What a tensor's name says about its file, if that is no LoRA of a model that is known here.
pub(super) fn other_kind(name: &str) -> Option<&'static str> {
    let has = |part: &str| part.strip_suffix('$').map_or_else(|| name.contains(part), |end| name.ends_with(end));
    let named = OTHERS.iter().find_map(|(part, kind)| has(part).then_some(*kind));
    let transformer = ["transformer.", "lora_transformer_", "diffusion_model."];
    named.or_else(|| transformer.iter().any(|p| name.starts_with(p)).then_some("an adapter of a diffusion transformer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, component: Option<Component>, layer: &str, part: Part) {
        let found = split(name).unwrap();
        assert_eq!((found.component, found.layer.as_str(), found.part), (component, layer, part));
    }

    const UNET: Option<Component> = Some(Component::Unet);
    const TEXT: Option<Component> = Some(Component::TextEncoder);

    #[test]
    fn the_names_of_many_programs_are_understood() {
        check("unet.mid_block.attn.to_q.lora_A.weight", UNET, "mid_block.attn.to_q", Part::Down);
        check("unet.mid_block.attn.to_q.lora.up.weight", UNET, "mid_block.attn.to_q", Part::Up);
        check("base_model.model.a.to_k.lora_B.weight", None, "a.to_k", Part::Up);
        check("lora_unet_mid_block_to_q.alpha", UNET, "mid_block_to_q", Part::Alpha);
        check(
            "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
            TEXT,
            "text_model_encoder_layers_0_mlp_fc1",
            Part::Down,
        );
        check("lora_unet_conv_in.lora_mid.weight", UNET, "conv_in", Part::Mid);
    }

    #[test]
    fn a_processor_of_2023_is_its_attention() {
        check("mid.attn1.processor.to_q_lora.down.weight", None, "mid.attn1.to_q", Part::Down);
        check("unet.mid.attn1.processor.to_out_lora.up.weight", UNET, "mid.attn1.to_out.0", Part::Up);
        check("attn_processors.mid.attn1.processor.to_v_lora.up.weight", None, "mid.attn1.to_v", Part::Up);
        check(
            "text_encoder.text_model.layers.0.self_attn.to_out_lora.up.weight",
            TEXT,
            "text_model.layers.0.self_attn.out_proj",
            Part::Up,
        );
        check(
            "text_encoder.text_model.layers.0.mlp.fc1.lora_linear_layer.down.weight",
            TEXT,
            "text_model.layers.0.mlp.fc1",
            Part::Down,
        );
    }

    #[test]
    fn an_adapter_of_peft_may_have_a_name() {
        for (name, adapter) in [
            ("a.lora_A.weight", None),
            ("a.lora_A.default.weight", Some("default")),
            ("a.lora_B.style_1.weight", Some("style_1")),
        ] {
            assert_eq!(split(name).unwrap().adapter, adapter, "{name}");
        }
    }

    #[test]
    fn other_tensors_are_none_of_a_lora() {
        for name in [
            "unet.mid_block.attn.to_q.weight",
            "a.lora_A.bias",
            "a.lora_A.x.y.weight",
            "a.hada_w1_a",
            "a.to_q_lora.mid.weight",
        ] {
            assert_eq!(split(name), None, "{name}");
        }
        for (name, kind) in [
            ("unet.a.lora_magnitude_vector", "a DoRA"),
            ("lora_unet_a.dora_scale", "a DoRA"),
            ("lora_unet_a.hada_t1", "a LoHa"),
            ("base_model.model.a.lokr_w1", "a LoKr"),
            ("lora_te2_text_model.lora_up.weight", "an adapter of Stable Diffusion XL"),
            (
                "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight",
                "an adapter of a diffusion transformer",
            ),
        ] {
            assert_eq!(other_kind(name), Some(kind), "{name}");
        }
        assert_eq!(other_kind("lora_unet_a.lora_down.weight"), None);
    }
}
