"""DDPO by TRL's DDPOTrainer on a pipeline in a directory, on the CPU: the peer of compare_trl.py.

Prints a JSON object an epoch: images, seconds sampling and training. With --tuned, PyTorch as one would set it up for speed:
channels-last weights, and the adapter merged into the base while sampling.
Needs torch, diffusers, transformers, peft and trl 0.22.2, the last line with DDPOTrainer (see README.md).
"""
import argparse
import io
import json
import os
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy
import torch
from accelerate import PartialState

PartialState(cpu=True)
from PIL import Image
from trl import DDPOConfig, DDPOTrainer, DefaultDDPOStableDiffusionPipeline


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for name in ["epochs", "steps", "batch", "batches", "threads"]:
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--prompts", required=True)
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    return parser.parse_args()


def jpeg_compressibility(images, prompts, metadata):
    rewards = []
    for image in images:
        pixels = (image.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=95)
        rewards.append(-len(file.getvalue()) / 1000)
    return torch.tensor(rewards), {}


def main():
    args = parse()
    torch.set_num_threads(args.threads)
    prompts = args.prompts.split(",")
    folder = tempfile.mkdtemp()
    config = DDPOConfig(
        num_epochs=args.epochs, mixed_precision="bf16" if args.precision == "bf16" else "no", allow_tf32=False, sample_num_steps=args.steps,
        sample_batch_size=args.batch, sample_num_batches_per_epoch=args.batches, sample_guidance_scale=args.guidance,
        train_batch_size=args.batch, train_gradient_accumulation_steps=1, train_learning_rate=3e-4,
        per_prompt_stat_tracking=False, save_freq=10**6, log_with=None, tracker_kwargs={},
        project_kwargs=dict(project_dir=folder, logging_dir=folder), accelerator_kwargs=dict(cpu=True))
    pipeline = DefaultDDPOStableDiffusionPipeline(args.model, use_lora=True)
    pipeline.sd_pipeline.set_progress_bar_config(disable=True)
    trainer = DDPOTrainer(
        config, jpeg_compressibility, lambda: (numpy.random.choice(prompts), {}), pipeline)
    unet, generate, seconds = pipeline.sd_pipeline.unet, trainer._generate_samples, {}
    if args.tuned:
        pipeline.sd_pipeline.vae.to(memory_format=torch.channels_last)
        unet.to(memory_format=torch.channels_last)
    adapted = [module for module in unet.modules() if hasattr(module, "merge") and hasattr(module, "unmerge")]

    def sample(*positional, **named):
        start = time.perf_counter()
        if args.tuned:
            for layer in adapted:
                layer.merge()
        samples = generate(*positional, **named)
        if args.tuned:
            for layer in adapted:
                layer.unmerge()
        seconds["sample"] = time.perf_counter() - start
        return samples

    trainer._generate_samples = sample
    step = 0
    for epoch in range(args.epochs):
        start = time.perf_counter()
        step = trainer.step(epoch, step)
        total = time.perf_counter() - start
        line = dict(images=args.batch * args.batches, sample_seconds=seconds["sample"])
        print(json.dumps(line | dict(train_seconds=total - seconds["sample"])), flush=True)


main()
