"""Recomputes a trace of `ddpo sample --trace FILE` with diffusers, and its log-probabilities with TRL.

usage: recompute.py MODEL TRACE.safetensors [--lora FILE]

Fails unless prompt embeddings and log-probabilities agree within 1e-3 and images within 2/255. Images are drawn anew from the
first latent, with the noise that the trace implies, so that a difference in one step is carried through all that follow.
"""
import argparse, json, os, sys
import numpy as np, torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerAncestralDiscreteScheduler, StableDiffusionPipeline
from safetensors import safe_open
from trl.models.modeling_sd_base import scheduler_step

CLASSES = {"ddim": DDIMScheduler, "ddpm": DDPMScheduler, "euler-ancestral": EulerAncestralDiscreteScheduler}


def read(path):
    with safe_open(path, "pt") as file:
        return {k: file.get_tensor(k) for k in file.keys()}, json.loads(file.metadata()["ddpo"])


def gaussian(kind, scheduler, index, output, x, eta):
    """Mean and standard deviation of the next latent. A trace's latents have the forward process's scale; Euler's own are
    larger by the root of 1 + sigma^2."""
    t = scheduler.timesteps[index]
    generator = lambda: torch.Generator().manual_seed(0)
    z = torch.randn(x.shape, generator=generator())
    if kind == "ddim":
        mean = scheduler.step(output, t, x, eta=eta, variance_noise=torch.zeros_like(x)).prev_sample if eta > 0 else scheduler.step(output, t, x).prev_sample
        previous = t - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
        return mean, (eta * scheduler._get_variance(t, previous) ** 0.5).item()
    if kind == "ddpm":
        std = scheduler._get_variance(t).item() ** 0.5 if t > 0 and index + 1 < len(scheduler.timesteps) else 0.0
        return scheduler.step(output, t, x, generator=generator()).prev_sample - std * z * (t > 0), std
    here, there = (s.double() for s in scheduler.sigmas[index : index + 2])
    scheduler.is_scale_input_called, scheduler._step_index = True, index
    up = (there**2 * (here**2 - there**2) / here**2) ** 0.5
    stepped = scheduler.step(output, t, (x * (here**2 + 1) ** 0.5).float(), generator=generator()).prev_sample
    scale = (there**2 + 1) ** 0.5
    return ((stepped - up * z) / scale).float(), (up / scale).item()


def recompute(model, trace, lora=None, clip_skip=None):
    """`lora` is a file, or what puts an adapter on a pipeline. The largest differences: of embeddings, log-probabilities and images."""
    t, request = read(trace)
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, requires_safety_checker=False)
    if callable(lora):
        lora(pipe)
    elif lora:
        pipe.load_lora_weights(os.path.dirname(os.path.abspath(lora)), weight_name=os.path.basename(lora))
    kind, eta, guidance = request["scheduler"], request["eta"], request["guidance"]
    scheduler = CLASSES[kind].from_config(pipe.scheduler.config)
    scheduler.set_timesteps(request["steps"])
    prompts = request["prompts"]
    positive, negative = pipe.encode_prompt(prompts, "cpu", 1, True, negative_prompt=[request["negative_prompt"]] * len(prompts),
                                            clip_skip=clip_skip)
    embeds = max((positive - t["prompt_embeds"]).abs().max().item(), (negative - t["negative_prompt_embeds"]).abs().max().item())
    assert torch.allclose(scheduler.timesteps.float(), t["timesteps"]), (scheduler.timesteps, t["timesteps"])

    def predict(x, moment):
        if guidance == 1.0:
            return pipe.unet(x, moment, positive).sample
        uncond, cond = pipe.unet(torch.cat([x, x]), moment, torch.cat([negative, positive])).sample.chunk(2)
        return uncond + guidance * (cond - uncond)

    latents, drawn, log_probs, worst = t["latents"], t["latents"][:, 0], t["log_probs"], 0.0
    column = 0
    for i, moment in enumerate(scheduler.timesteps):
        x, after = latents[:, i], latents[:, i + 1]
        output = predict(x, moment)
        mean, std = gaussian(kind, scheduler, i, output, x, eta)
        own, _ = gaussian(kind, scheduler, i, predict(drawn, moment), drawn, eta)
        if std > 1e-9:
            if kind == "ddim":
                log_prob = scheduler_step(scheduler, output, moment.repeat(len(x)), x, eta=eta, prev_sample=after).log_probs
            else:
                log_prob = (-((after - mean) ** 2) / (2 * std**2) - np.log(std) - 0.5 * np.log(2 * np.pi)).mean(dim=(1, 2, 3))
            worst = max(worst, (log_prob - log_probs[:, column]).abs().max().item())
            column += 1
            # The noise of the trace, through means of our own.
            drawn = own + (after - mean)
        else:
            drawn = own
    assert column == log_probs.shape[1], (column, log_probs.shape)
    images = pipe.vae.decode(drawn / pipe.vae.config.scaling_factor).sample
    images = (images / 2 + 0.5).clamp(0, 1)
    return embeds, worst, (images - t["images"]).abs().max().item()


@torch.no_grad()
def check(model, trace, lora=None, clip_skip=None):
    embeds, log_probs, images = recompute(model, trace, lora, clip_skip)
    good = embeds <= 1e-3 and log_probs <= 1e-3 and images <= 2 / 255
    print(f"{'ok  ' if good else 'FAIL'} embeddings {embeds:.1e}  log-probs {log_probs:.1e}  images {images * 255:.4f}/255", flush=True)
    return good


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("trace")
    p.add_argument("--lora")
    a = p.parse_args()
    sys.exit(0 if check(a.model, a.trace, a.lora) else 1)
