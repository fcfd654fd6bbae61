"""Writes a Stable-Diffusion-shaped pipeline with random weights, in the layout that diffusers saves.

usage: random_pipeline.py OUT [--size tiny|small|sd15] [--kind sd1|sd2] [--seed N]

The sizes: `tiny` 8x8 latents and 0.8 M parameters, `small` 16x16 and 8.8 M, `sd15` the true shape of Stable Diffusion 1.5.
The kind `sd2` has what SD 2.x has and SD 1.x has not: linear projections, heads by block, v-prediction, GELU, another padding
token. The tokenizer is a byte-level BPE without merges, which can encode any text.
Needs torch, diffusers and transformers (see README.md).
"""
import argparse
import json
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.models.clip.tokenization_clip import bytes_to_unicode

#          latent, UNet channels, layers, heads, text width, layers, heads, tokens, VAE channels, layers
SIZES = {
    "tiny": (8, (32, 64), 1, 2, 32, 2, 4, 77, (32, 64, 64), 1),
    "small": (16, (64, 128, 192), 1, 4, 128, 3, 4, 32, (32, 64, 64), 1),
    "sd15": (64, (320, 640, 1280, 1280), 2, 8, 768, 12, 12, 77, (128, 256, 512, 512), 2),
}
KINDS = ("sd1", "sd2")


def unet(latent, channels, layers, heads, text, second):
    attended = len(channels) - 1
    return UNet2DConditionModel(
        sample_size=latent, layers_per_block=layers, block_out_channels=channels, cross_attention_dim=text,
        attention_head_dim=[heads * (i + 1) for i in range(len(channels))] if second else heads,
        use_linear_projection=second, down_block_types=["CrossAttnDownBlock2D"] * attended + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * attended)


def vae(latent, channels, layers):
    n = len(channels)
    return AutoencoderKL(
        latent_channels=4, block_out_channels=channels, layers_per_block=layers, sample_size=latent * 2 ** (n - 1),
        down_block_types=["DownEncoderBlock2D"] * n, up_block_types=["UpDecoderBlock2D"] * n)


def tokenizer(length, second):
    letters = list(bytes_to_unicode().values())
    tokens = letters + [letter + "</w>" for letter in letters] + ["<|startoftext|>", "<|endoftext|>"]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
        (folder / "merges.txt").write_text("#version: 0.2\n")
        return CLIPTokenizer(
            str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=length,
            **({"pad_token": "!"} if second else {}))


def text_encoder(width, layers, heads, length, vocabulary, second):
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=length, hidden_act="gelu" if second else "quick_gelu",
        bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1, pad_token_id=0 if second else vocabulary - 1))


def make(out, size="tiny", kind="sd1", seed=0):
    latent, channels, layers, heads, text, text_layers, text_heads, length, vae_channels, vae_layers = SIZES[size]
    second = kind == "sd2"
    torch.manual_seed(seed)
    words = tokenizer(length, second)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, prediction_type="v_prediction" if second else "epsilon")
    StableDiffusionPipeline(
        unet=unet(latent, channels, layers, heads, text, second), vae=vae(latent, vae_channels, vae_layers), tokenizer=words,
        text_encoder=text_encoder(text, text_layers, text_heads, length, len(words), second), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False).save_pretrained(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--kind", choices=KINDS, default="sd1")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    make(args.out, args.size, args.kind, args.seed)
