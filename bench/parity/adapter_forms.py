"""Adapters in the forms of many programs, each with how diffusers or PEFT puts it on a pipeline.

`forms(model, out)` writes them below `out` and yields a name, the path that `ddpo sample --lora` is given, and what puts the same adapter on a pipeline of
diffusers. Where diffusers does not load a form it is PEFT, or the product that kohya's scripts add to a matrix.
"""
import os
import torch
from diffusers import StableDiffusionPipeline
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]


def randomise(module, generator):
    for _, p in sorted((n, p) for n, p in module.named_parameters() if "lora_" in n):
        p.data = 0.2 * torch.randn(p.shape, generator=generator)


def by_diffusers(file):
    return lambda pipe: pipe.load_lora_weights(os.path.dirname(file), weight_name=os.path.basename(file))


def with_metadata(name, out, pipe, generator, unet, text=None):
    """As diffusers' training scripts save it."""
    pipe.unet.add_adapter(LoraConfig(r=4, target_modules=ATTENTION, **unet))
    randomise(pipe.unet, generator)
    parts, layers = {"unet": pipe.unet}, {}
    if text:
        pipe.text_encoder.add_adapter(LoraConfig(r=4, target_modules=["q_proj", "fc1"], **text))
        randomise(pipe.text_encoder, generator)
        parts["text_encoder"] = pipe.text_encoder
        layers["text_encoder_lora_layers"] = get_peft_model_state_dict(pipe.text_encoder)
    StableDiffusionPipeline.save_lora_weights(f"{out}/{name}", unet_lora_layers=get_peft_model_state_dict(pipe.unet), **layers, **_collate_lora_metadata(parts))
    return name, f"{out}/{name}", by_diffusers(f"{out}/{name}/pytorch_lora_weights.safetensors")


def peft_folders(out, pipe, generator):
    folder = f"{out}/peft"
    for part, targets in (("unet", ATTENTION), ("text_encoder", ["q_proj", "fc2"])):
        module = get_peft_model(getattr(pipe, part), LoraConfig(r=4, lora_alpha=3, use_rslora=part == "unet", target_modules=targets))
        randomise(module, generator)
        module.save_pretrained(f"{folder}/{part}")

    def load(pipe):
        for part in ("unet", "text_encoder"):
            setattr(pipe, part, PeftModel.from_pretrained(getattr(pipe, part), f"{folder}/{part}").base_model.model)

    return "PEFT's folders", folder, load


def layers_of(pipe, generator, unet, text):
    """Factors of rank 4 for the modules whose names these functions choose."""
    for part, prefix, choose in ((pipe.unet, "lora_unet_", unet), (pipe.text_encoder, "lora_te_", text)):
        for name, module in part.named_modules():
            if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) and choose(name):
                kernel = module.weight.shape[1:]
                down = 0.2 * torch.randn(4, *kernel, generator=generator)
                up = 0.2 * torch.randn(len(module.weight), 4, *[1] * (len(kernel) - 1), generator=generator)
                yield prefix + name.replace(".", "_"), name, part is pipe.unet, down, up


def kohya(name, out, pipe, generator, unet, text):
    tensors = {}
    for flat, _, _, down, up in layers_of(pipe, generator, unet, text):
        tensors |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up, f"{flat}.alpha": torch.tensor(2)}
    file = f"{out}/{name}.safetensors"
    save_file(tensors, file)
    return tensors, file


def added(tensors):
    """What kohya's scripts add to each matrix."""
    def load(pipe):
        for part, prefix in ((pipe.unet, "lora_unet_"), (pipe.text_encoder, "lora_te_")):
            for name, module in part.named_modules():
                flat = prefix + name.replace(".", "_")
                if f"{flat}.lora_down.weight" in tensors:
                    down, up = tensors[f"{flat}.lora_down.weight"].flatten(1), tensors[f"{flat}.lora_up.weight"].flatten(1)
                    module.weight.data += (up @ down).view(module.weight.shape) * (tensors[f"{flat}.alpha"].item() / len(down))
    return load


def processors(out, pipe, generator):
    tensors = {}
    for name, module in pipe.unet.named_modules():
        if name.endswith(("attn1", "attn2")):
            for projection in ("to_q", "to_k", "to_v", "to_out"):
                layer = module.to_out[0] if projection == "to_out" else getattr(module, projection)
                tensors[f"unet.{name}.processor.{projection}_lora.down.weight"] = 0.2 * torch.randn(4, layer.in_features, generator=generator)
                tensors[f"unet.{name}.processor.{projection}_lora.up.weight"] = 0.2 * torch.randn(layer.out_features, 4, generator=generator)
    file = f"{out}/processors.safetensors"
    save_file(tensors, file)
    return "processors of 2023", file, by_diffusers(file)


def forms(model, out):
    os.makedirs(out)
    generator = torch.Generator().manual_seed(5)
    fresh = lambda: StableDiffusionPipeline.from_pretrained(model, safety_checker=None, requires_safety_checker=False)
    yield with_metadata("rslora", out, fresh(), generator, dict(lora_alpha=4, use_rslora=True))
    yield with_metadata("patterns", out, fresh(), generator, dict(lora_alpha=4, alpha_pattern={"to_q": 9, "attn2.to_k": 2}, rank_pattern={"to_v": 2}), dict(lora_alpha=6))
    yield peft_folders(out, fresh(), generator)
    yield processors(out, fresh(), generator)
    linear = lambda name: name.endswith(("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"))
    _, file = kohya("kohya-text", out, fresh(), generator, linear, lambda name: "layers" in name)
    yield "kohya, text encoder", file, by_diffusers(file)
    convolution = lambda name: name.endswith(("conv1", "conv2", "conv_shortcut", "time_emb_proj", "samplers.0.conv"))
    _, file = kohya("locon", out, fresh(), generator, convolution, lambda name: False)
    yield "kohya, convolutions", file, by_diffusers(file)
    tensors, file = kohya("ends", out, fresh(), generator, lambda name: name in ("conv_in", "conv_out", "time_embedding.linear_1"), lambda name: False)
    yield "kohya, first and last layers, against their product", file, added(tensors)
