"""Writes a random-weight Stable Diffusion pipeline as diffusers saves it.

usage: make_model.py OUT [--kind sd1|sd2] [--size tiny|sd15] [--seed N]

sd2 has what SD 2.x has and SD 1.x has not: linear projections, heads by block, v-prediction, GELU, another padding token.
"""
import argparse, json, os, shutil
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.models.clip.tokenization_clip import bytes_to_unicode

SIZES = {
    "tiny": dict(latent=8, unet=(32, 64), layers=1, heads=2, groups=8, text=32, text_layers=2, text_heads=4, vae=(16, 32, 32), vae_layers=1),
    "sd15": dict(latent=64, unet=(320, 640, 1280, 1280), layers=2, heads=8, groups=32, text=768, text_layers=12, text_heads=12,
                 vae=(128, 256, 512, 512), vae_layers=2),
}
LENGTH = 77


def tokenizer(out, second):
    letters = list(bytes_to_unicode().values())
    tokens = letters + [x + "</w>" for x in letters] + ["<|startoftext|>", "<|endoftext|>"]
    os.makedirs(f"{out}/words")
    json.dump({t: i for i, t in enumerate(tokens)}, open(f"{out}/words/vocab.json", "w"))
    open(f"{out}/words/merges.txt", "w").write("#version: 0.2\n")
    made = CLIPTokenizer(f"{out}/words/vocab.json", f"{out}/words/merges.txt", model_max_length=LENGTH, **({"pad_token": "!"} if second else {}))
    shutil.rmtree(f"{out}/words")
    return made, len(tokens)


def make(out, kind, size, seed):
    torch.manual_seed(seed)
    c, second = SIZES[size], kind == "sd2"
    shutil.rmtree(out, ignore_errors=True)
    n, m = len(c["unet"]), len(c["vae"])
    unet = UNet2DConditionModel(
        sample_size=c["latent"], layers_per_block=c["layers"], block_out_channels=c["unet"], norm_num_groups=c["groups"],
        down_block_types=["CrossAttnDownBlock2D"] * (n - 1) + ["DownBlock2D"], up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (n - 1),
        cross_attention_dim=c["text"], attention_head_dim=[c["heads"] * (i + 1) for i in range(n)] if second else c["heads"],
        use_linear_projection=second)
    vae = AutoencoderKL(
        block_out_channels=c["vae"], layers_per_block=c["vae_layers"], norm_num_groups=c["groups"], latent_channels=4,
        down_block_types=["DownEncoderBlock2D"] * m, up_block_types=["UpDecoderBlock2D"] * m, sample_size=c["latent"] * 2 ** (m - 1))
    words, count = tokenizer(out, second)
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=count, hidden_size=c["text"], intermediate_size=4 * c["text"], num_hidden_layers=c["text_layers"],
        num_attention_heads=c["text_heads"], max_position_embeddings=LENGTH, hidden_act="gelu" if second else "quick_gelu",
        bos_token_id=count - 2, eos_token_id=count - 1, pad_token_id=0 if second else count - 1))
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1,
        prediction_type="v_prediction" if second else "epsilon")
    StableDiffusionPipeline(vae=vae, text_encoder=text, tokenizer=words, unet=unet, scheduler=scheduler, safety_checker=None,
        feature_extractor=None, requires_safety_checker=False).save_pretrained(out)


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("out")
    p.add_argument("--kind", default="sd1", choices=["sd1", "sd2"])
    p.add_argument("--size", default="tiny", choices=SIZES)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    make(a.out, a.kind, a.size, a.seed)
