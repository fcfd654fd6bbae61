"""ddpo and PyTorch on one GPU: the same samples, then seconds and memory of sampling and training at Stable Diffusion 1.5's shape.

usage: run.py DDPO OUT [--size sd15|small|tiny] [--device cuda|cpu] [--dtype bf16|f16|f32] [--steps 20] [--batch 4] [--epochs 3]

DDPO is the program, built with `--features cuda`. Everything goes into the folder OUT, also the random weights, which are made
first (3.8 GB at `sd15`). The check compares chains of both in f32, latent by latent and log-probability by log-probability.
The times are those of epochs after the first: `batch` images of `steps` steps under guidance 5, decoded, scored by their size
as JPEG, and one update on all of their steps, LoRA of rank 4, gradients by batches of `batch`. PyTorch does what
ddpo-pytorch does, with frozen weights in the number type and the LoRA in f32 under autocast, diffusers' fused attention,
without and with gradient checkpointing. Needs torch, diffusers 0.35.1, transformers 4 and peft; a machine without
diffusers can be given its wheel alone (`pip install --no-deps`).
"""
import argparse
import io
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROMPTS = ["a cat", "a dog", "a horse", "a monkey"]
GUIDANCE = 5.0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ddpo")
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", default="sd15")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bf16", choices=["f32", "f16", "bf16"])
    for name, default in dict(steps=20, batch=4, epochs=3).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", choices=["check", "ours", "theirs"])
    return parser.parse_args()


def pipeline(args, dtype):
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(
        args.out / "model", safety_checker=None, requires_safety_checker=False)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(args.device)
    # As the program has it: the text encoder and the autoencoder in f32.
    pipe.unet.to(dtype={"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype])
    return pipe


def make(args):
    if not (args.out / "model/model_index.json").exists():
        subprocess.run([sys.executable, HERE.parent / "random_pipeline.py", args.out / "model", "--size", args.size],
                       check=True)


def check(args):
    """The largest differences of chains in f32, relative to the largest value."""
    import torch
    from safetensors.torch import load_file

    trace = args.out / "trace.safetensors"
    command = [args.ddpo, "sample", "--model", args.out / "model", "--prompt", PROMPTS[0], "--count", "1", "--steps", "5",
               "--guidance", str(GUIDANCE), "--device", args.device, "--trace", trace, "--out", args.out / "samples"]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    ours = {name: tensor.float() for name, tensor in load_file(trace).items()}
    pipe = pipeline(args, "f32")
    states = torch.cat([ours["negative_prompt_embeds"], ours["prompt_embeds"]]).to(args.device)
    pipe.scheduler.set_timesteps(5)
    worst = 0.0
    # Each step from the program's own latent: what is compared is the network, not how errors grow along a chain.
    for k, timestep in enumerate(pipe.scheduler.timesteps):
        latent = ours["latents"][:, k].to(args.device)
        with torch.no_grad():
            uncond, cond = pipe.unet(torch.cat([latent] * 2), timestep, states).sample.chunk(2)
        noise = uncond + GUIDANCE * (cond - uncond)
        step = pipe.scheduler.step(noise, timestep, latent, eta=1.0, variance_noise=torch.zeros_like(latent))
        std = pipe.scheduler._get_variance(int(timestep), int(timestep) - 1000 // 5).clamp(min=0) ** 0.5
        following = ours["latents"][:, k + 1].to(args.device)
        z = (following - step.prev_sample) / std.clamp(min=1e-6).to(args.device)
        log_prob = (-0.5 * z**2 - torch.log(std.clamp(min=1e-6)).to(args.device)
                    - 0.5 * torch.log(torch.tensor(2 * torch.pi))).mean()
        found = ours["log_probs"].flatten()[k]
        worst = max(worst, abs(float(found) - float(log_prob)) / max(1.0, abs(float(found))))
    with torch.no_grad():
        image = pipe.vae.decode(ours["latents"][:, -1].to(args.device) / pipe.vae.config.scaling_factor).sample
    image = ((image / 2 + 0.5).clamp(0, 1).cpu() - ours["images"]).abs().max()
    print(f"check: log-probabilities within {worst:.1e} (relative), pictures within {255 * float(image):.3f} of 255", flush=True)
    if worst > 1e-3 or image > 2 / 255:
        sys.exit("the chains differ")


class Memory:
    """The most memory that the device reports while this is open, in GiB, less what was there before."""

    def __init__(self, args):
        self.cuda, self.open, self.most = args.device.startswith("cuda"), True, 0

    def now(self):
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"]
        return int(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0])

    def __enter__(self):
        if self.cuda:
            self.before = self.now()
            self.thread = threading.Thread(target=self.watch)
            self.thread.start()
        return self

    def watch(self):
        while self.open:
            self.most = max(self.most, self.now())
            time.sleep(0.2)

    def __exit__(self, *_):
        self.open = False
        if self.cuda:
            self.thread.join()
            self.gib = (self.most - self.before) / 1024
        else:
            self.gib = float("nan")


def report(who, args, sample, train, memory):
    images, steps = args.batch / (sample + train), args.steps
    print(f"{who:28} {args.batch / sample:7.3f} images/s sampled   {steps / train:7.3f} training micro-steps/s of {args.batch} rows   "
          f"{images:7.3f} images/s in all   peak {memory:5.1f} GiB", flush=True)
    return images


def ours(args, checkpointing):
    run = args.out / f"run-{checkpointing}"
    subprocess.run(["rm", "-rf", run], check=True)
    settings = [f"sample.steps={args.steps}", f"sample.guidance={GUIDANCE}", f"sample.batch-size={args.batch}",
                "sample.batches-per-epoch=1", f"train.batch-size={args.batch}", "train.accumulation=1", "train.learning-rate=3e-4",
                f"train.gradient-checkpointing={str(checkpointing).lower()}", "eval.every=0", "checkpoint.every=0",
                "advantage.kind=batch", "prompts.kind=list", f"prompts.values={json.dumps(PROMPTS)}"]
    command = [args.ddpo, "train", "--model", args.out / "model", "--run-dir", run, "--epochs", args.epochs, "--device",
               args.device, "--dtype", args.dtype, "--reward", "jpeg-compressibility"]
    command += [word for setting in settings for word in ("--set", setting)]
    with Memory(args) as memory:
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["kind"] == "epoch"][1:]
    deviation = max(line["ratio_max_deviation"] for line in lines if line["kind"] == "update")
    sample, train = [statistics.median(epoch[name] for epoch in epochs) for name in ("sample_seconds", "train_seconds")]
    speed = report("ddpo" + ", checkpointing" * checkpointing, args, sample, train, memory.gib)
    print(f"{'':28} the ratio is within {deviation:.1e} of 1", flush=True)
    return speed


def theirs(args, checkpointing):
    import torch
    from peft import LoraConfig
    from PIL import Image

    with Memory(args) as memory:
        pipe = pipeline(args, args.dtype)
        pipe.unet.requires_grad_(False)
        pipe.unet.add_adapter(LoraConfig(r=4, lora_alpha=4, init_lora_weights="gaussian",
                                         target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
        factors = [parameter for parameter in pipe.unet.parameters() if parameter.requires_grad]
        for factor in factors:
            factor.data = factor.data.float()
        if checkpointing:
            pipe.unet.enable_gradient_checkpointing()
            pipe.unet.train()
        optimizer = torch.optim.AdamW(factors, lr=3e-4)
        half = {"f32": None, "f16": torch.float16, "bf16": torch.bfloat16}[args.dtype]
        cast = lambda: torch.autocast(args.device.split(":")[0], dtype=half, enabled=half is not None)
        with torch.no_grad():
            states = torch.cat([pipe.encode_prompt(PROMPTS[k % len(PROMPTS)], args.device, 1, True)[0]
                                for k in range(args.batch)])
            states = torch.cat([pipe.encode_prompt("", args.device, 1, False)[0].expand_as(states), states])
        scheduler = pipe.scheduler
        scheduler.set_timesteps(args.steps)
        gap = 1000 // args.steps
        config = pipe.unet.config

        def mean_and_std(latents, timestep):
            uncond, cond = pipe.unet(torch.cat([latents] * 2), timestep, states).sample.float().chunk(2)
            noise = uncond + GUIDANCE * (cond - uncond)
            mean = scheduler.step(noise, timestep, latents, eta=1.0, variance_noise=torch.zeros_like(latents)).prev_sample
            return mean, max(float(scheduler._get_variance(int(timestep), int(timestep) - gap)), 1e-12) ** 0.5

        def log_prob(mean, std, following):
            z = (following - mean) / std
            return (-0.5 * z**2).mean(dim=(1, 2, 3)) - float(torch.log(torch.tensor(std * (2 * torch.pi) ** 0.5)))

        def synchronised():
            if args.device.startswith("cuda"):
                torch.cuda.synchronize()
            return time.perf_counter()

        times = []
        for _ in range(args.epochs):
            start = synchronised()
            latents = torch.randn(args.batch, config.in_channels, config.sample_size, config.sample_size, device=args.device)
            chain, old = [latents], []
            with torch.no_grad(), cast():
                for timestep in scheduler.timesteps:
                    mean, std = mean_and_std(latents, timestep)
                    latents = mean + std * torch.randn_like(mean)
                    old.append(log_prob(mean, std, latents))
                    chain.append(latents)
                images = pipe.vae.to(latents.dtype).decode(latents / pipe.vae.config.scaling_factor).sample
            pixels = ((images.float() / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            sizes = []
            for picture in pixels:
                buffer = io.BytesIO()
                Image.fromarray(picture).save(buffer, "JPEG", quality=95)
                sizes.append(-buffer.tell() / 1000)
            sampled = synchronised()
            rewards = torch.tensor(sizes, device=args.device)
            advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-8)
            for k, timestep in enumerate(scheduler.timesteps):
                with cast():
                    mean, std = mean_and_std(chain[k], timestep)
                    ratio = torch.exp(log_prob(mean, std, chain[k + 1]) - old[k])
                loss = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - 1e-4, 1 + 1e-4)).mean()
                (loss / args.steps).backward()
            torch.nn.utils.clip_grad_norm_(factors, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            times.append((sampled - start, synchronised() - sampled))
    sample, train = [statistics.median(part) for part in zip(*times[1:])]
    return report("PyTorch" + ", checkpointing" * checkpointing, args, sample, train, memory.gib)


def main():
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    make(args)
    if args.only in (None, "check"):
        check(args)
    speeds = {}
    for side in (ours, theirs):
        if args.only not in (None, side.__name__):
            continue
        for checkpointing in (False, True):
            speeds[side.__name__, checkpointing] = side(args, checkpointing)
    for checkpointing in (False, True):
        pair = [speeds.get((side, checkpointing)) for side in ("ours", "theirs")]
        if all(pair):
            print(f"{'with' if checkpointing else 'without'} gradient checkpointing: ddpo has {pair[0] / pair[1]:.2f} times PyTorch's images/s")


main()
