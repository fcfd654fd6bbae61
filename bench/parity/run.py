"""Samples random pipelines with `ddpo`, recomputes every number with diffusers, and takes adapters and models both ways.

usage, in the root of the repository: run.py DDPO OUT        (DDPO: the program; OUT: a directory for models, adapters and traces)
"""
import os, subprocess, sys
import torch
import transformers
import diffusers
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

# A long prompt is among the cases, and what is cut off it is none of the output.
transformers.logging.set_verbosity_error()
diffusers.utils.logging.set_verbosity_error()
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.abspath("crates/ddpo-models/fixtures"))
import make_single_file
from random_pipeline import make
from adapter_forms import forms
from recompute import check

LONG = "an astronaut, " * 30
CASES = [
    ("ddim, eta 1", []),
    ("ddim, eta 0.3, negative prompt", ["--eta", "0.3", "--negative-prompt", "blurry, café 猫"]),
    ("ddim, eta 0", ["--eta", "0"]),
    ("ddim, no guidance", ["--guidance", "1"]),
    ("ddim, 48x64", ["--height", "48", "--width", "64"]),
    ("ddpm", ["--scheduler", "ddpm"]),
    ("euler-ancestral", ["--scheduler", "euler-ancestral"]),
]


def ddpo(program, *args):
    done = subprocess.run([program, *args], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(args)}\n{done.stdout}{done.stderr}")
    return done


def sample(program, out, model, trace, *more, prompts=("a cat", LONG)):
    args = ["sample", "--model", model, "--prompt", *prompts, "--count", "2", "--steps", "10", "--seed", "3", *more]
    guidance = [] if "--guidance" in more else ["--guidance", "5"]
    ddpo(program, *args, *guidance, "--out", f"{out}/images", "--trace", trace)


def single_file(model, path, version_2):
    """The pipeline in the original layout, which diffusers reads as the pipeline, tensor by tensor."""
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None)
    save_file(make_single_file.single_file(pipe, version_2), path, metadata={"format": "pt"})
    make_single_file.check(path, model)
    return path


def peft_adapter(model, out):
    """Rank 3, alpha 6, no factor zero, as PEFT makes and diffusers saves it."""
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None)
    config = LoraConfig(r=3, lora_alpha=6, init_lora_weights=False, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
    pipe.unet.add_adapter(config)
    torch.manual_seed(4)
    with torch.no_grad():
        for name, p in pipe.unet.named_parameters():
            if "lora" in name:
                p.copy_(0.2 * torch.randn(p.shape))
    metadata = {"r": 3, "lora_alpha": 6, "target_modules": sorted(config.target_modules), "rank_pattern": {}, "alpha_pattern": {}}
    StableDiffusionPipeline.save_lora_weights(out, unet_lora_layers=get_peft_model_state_dict(pipe.unet), unet_lora_adapter_metadata=metadata)
    return f"{out}/pytorch_lora_weights.safetensors"


def embeddings(model, out):
    """Words of textual inversion, one under its own name and one under a file's, and what gives them to a pipeline."""
    width, generator = StableDiffusionPipeline.from_pretrained(model, safety_checker=None).text_encoder.config.hidden_size, torch.Generator().manual_seed(8)
    os.makedirs(out)
    save_file({"<toy>": 0.1 * torch.randn(3, width, generator=generator)}, f"{out}/learned_embeds.safetensors")
    save_file({"emb_params": 0.1 * torch.randn(1, width, generator=generator)}, f"{out}/webui.safetensors")

    def load(pipe):
        pipe.load_textual_inversion(f"{out}/learned_embeds.safetensors")
        pipe.load_textual_inversion(f"{out}/webui.safetensors", token="webui")

    return ["--embedding", out, "--embedding", f"{out}/webui.safetensors"], load


def train(program, model, run, *more):
    settings = ["sample.steps=4", "sample.batch-size=4", "sample.batches-per-epoch=2", "train.batch-size=4", "train.accumulation=1",
                "train.learning-rate=1e-2",
                "advantage.kind=batch", "eval.every=0", "lora.alpha=6.0"]
    args = [word for setting in settings for word in ("--set", setting)]
    ddpo(program, "train", "--model", model, "--run-dir", run, "--epochs", "2", *args, *more)


def main(program, out):
    os.makedirs(out)
    good = True
    for kind in ("sd1", "sd2"):
        model, trace = f"{out}/{kind}", f"{out}/{kind}.safetensors"
        make(model, "tiny", kind, 7)
        for name, more in CASES:
            sample(program, out, model, trace, *more)
            print(f"{kind}, {name}: ", end="")
            good &= check(model, trace)
        checkpoint = single_file(model, f"{out}/{kind}-single.safetensors", kind == "sd2")
        sample(program, out, checkpoint, trace, "--model-config", model)
        print(f"{kind}, a one-file checkpoint: ", end="")
        good &= check(model, trace)
        sample(program, out, model, trace, "--clip-skip", "1", "--negative-prompt", "blurry")
        print(f"{kind}, clip skip 1: ", end="")
        good &= check(model, trace, clip_skip=1)
        words, load = embeddings(model, f"{out}/{kind}-embeddings")
        sample(program, out, model, trace, *words, "--negative-prompt", "webui, blurry", prompts=("a <toy> cat, webui", "<toy> " * 30))
        print(f"{kind}, embeddings: ", end="")
        good &= check(model, trace, load)
        adapter = peft_adapter(model, f"{out}/{kind}-peft")
        sample(program, out, model, trace, "--lora", adapter)
        print(f"{kind}, an adapter of PEFT's: ", end="")
        good &= check(model, trace, adapter)
        for name, path, load in forms(model, f"{out}/{kind}-forms"):
            sample(program, out, model, trace, "--lora", path)
            print(f"{kind}, {name}: ", end="")
            good &= check(model, trace, load)
        for form in ("diffusers", "kohya"):
            run = f"{out}/{kind}-{form}"
            train(program, model, run, "--lora-format", form)
            sample(program, out, model, trace, "--lora", run)
            print(f"{kind}, an adapter of ours, {form} names: ", end="")
            good &= check(model, trace, f"{run}/pytorch_lora_weights.safetensors")
        run = f"{out}/{kind}-full"
        train(program, model, run, "--set", "train.parameters=full", "--set", "train.learning-rate=1e-4")
        sample(program, out, model, trace, "--lora", run)
        print(f"{kind}, a whole model of ours: ", end="")
        good &= check(f"{run}/model", trace)
    sys.exit(0 if good else 1)


main(*sys.argv[1:])
