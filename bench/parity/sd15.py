"""Stable Diffusion 1.5's shape on this machine: two sampling steps, and one training micro-step with gradient checkpointing,
by `ddpo` and by diffusers with PEFT; seconds and peak memory of each, in processes of their own. In bf16 it is `--dtype bf16` beside
a pipeline whose weights are in bf16 and channels-last, its adapter in f32 under autocast.

usage: sd15.py DDPO MODEL [--precision bf16]      (MODEL: made by `../random_pipeline.py MODEL --size sd15`; 3.8 GB)
"""
import contextlib, json, os, resource, subprocess, sys, tempfile, time

SIZE = 512


def diffusers(what, model, precision):
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from peft import LoraConfig
    from trl.models.modeling_sd_base import scheduler_step

    torch.set_num_threads(os.cpu_count())
    start = time.perf_counter()
    half = precision == "bf16"
    dtype = torch.bfloat16 if half else torch.float32
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, requires_safety_checker=False, torch_dtype=dtype)
    if half:
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    report = {"load": time.perf_counter() - start}
    start = time.perf_counter()
    pipe("a cat", num_inference_steps=2, guidance_scale=5.0, eta=1.0, height=SIZE, width=SIZE)
    report["sample"] = time.perf_counter() - start
    if what == "train":
        pipe.unet.requires_grad_(False)
        pipe.unet.add_adapter(LoraConfig(r=4, lora_alpha=4, init_lora_weights="gaussian", target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
        factors = [p for p in pipe.unet.parameters() if p.requires_grad]
        for factor in factors:
            factor.data = factor.data.float()
        optimizer = torch.optim.AdamW(factors, lr=3e-4)
        pipe.unet.enable_gradient_checkpointing()
        pipe.unet.train()
        with torch.no_grad():
            states = torch.cat(pipe.encode_prompt("a cat", "cpu", 1, True)[::-1])
        x, following, t = torch.randn(1, 4, SIZE // 8, SIZE // 8), torch.randn(1, 4, SIZE // 8, SIZE // 8), pipe.scheduler.timesteps[:1]
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16) if half else contextlib.nullcontext():
            uncond, cond = pipe.unet(torch.cat([x, x]).to(dtype), torch.cat([t, t]), states).sample.float().chunk(2)
        log_prob = scheduler_step(pipe.scheduler, uncond + 5.0 * (cond - uncond), t, x, eta=1.0, prev_sample=following).log_probs
        ratio = torch.exp(log_prob - log_prob.detach())
        torch.maximum(-ratio, -ratio.clamp(1 - 1e-4, 1 + 1e-4)).mean().backward()
        torch.nn.utils.clip_grad_norm_(factors, 1.0)
        optimizer.step()
        report["micro-step"] = time.perf_counter() - start
    print(json.dumps(report))


def measured(args):
    """Seconds, peak resident gibibytes and output of a process."""
    start, process = time.perf_counter(), subprocess.Popen(args, stdout=subprocess.PIPE, text=True)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{args} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 2**20, out


def report(who, seconds, peak, parts):
    shown = ", ".join(f"{name} {value:.1f} s" for name, value in parts.items())
    print(f"{who}: {seconds:.1f} s in all, peak {peak:.2f} GiB ({shown})", flush=True)


def main(program, model, precision="f32"):
    with tempfile.TemporaryDirectory() as out:
        sample = [program, "sample", "--model", model, "--prompt", "a cat", "--count", "1", "--steps", "2", "--guidance", "5", "--out", out, "--dtype", precision, "--device", "cpu"]
        seconds, peak, _ = measured(sample)
        report("ddpo sample", seconds, peak, {})
        report("diffusers sample", *(lambda s, p, o: (s, p, json.loads(o)))(*measured([sys.executable, __file__, "--sample", model, precision])))
        settings = ["sample.steps=2", "sample.guidance=5.0", "sample.batch-size=1", "sample.batches-per-epoch=1", "train.batch-size=1",
                    "train.timestep-fraction=0.5", "train.gradient-checkpointing=true", "eval.every=0", "advantage.kind=batch",
                    "prompts.kind=list", 'prompts.values=["a cat"]']
        train = [program, "train", "--model", model, "--run-dir", f"{out}/run", "--epochs", "1", "--dtype", precision, "--device", "cpu"]
        seconds, peak, _ = measured(train + [word for setting in settings for word in ("--set", setting)])
        epoch = next(r for r in map(json.loads, open(f"{out}/run/metrics.jsonl")) if r["kind"] == "epoch")
        report("ddpo train", seconds, peak, {"sample": epoch["sample_seconds"], "micro-step": epoch["train_seconds"]})
        report("diffusers train", *(lambda s, p, o: (s, p, json.loads(o)))(*measured([sys.executable, __file__, "--train", model, precision])))


if sys.argv[1] in ("--sample", "--train"):
    diffusers(sys.argv[1][2:], *sys.argv[2:])
else:
    main(*(word for word in sys.argv[1:] if word != "--precision"))
