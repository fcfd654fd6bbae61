"""Times `ddpo train` and TRL's DDPOTrainer alternately on the same weights, and prints the ratios with their spread.

usage: compare_trl.py MODEL [--steps 20] [--batch 8] [--batches 2] [--rounds 3] [--epochs 3] [--threads 2] [--tuned]
       [--precision f32|bf16]

MODEL is a diffusers directory (random_pipeline.py makes one). Both sides train a LoRA of rank 4 by DDPO with importance
sampling: the same prompts, denoising steps, guidance, batch sizes, reward (JPEG size) and number of threads, in f32 or, with
`--precision bf16`, ours with `model.dtype = "bf16"` and TRL with `mixed_precision="bf16"`. A round
is one run of each; its first epoch is not counted. Peak memory is the largest resident set of the whole process.
Run it with a Python that has the peers (see README.md), after `cargo build --release`, and with nothing else running.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROMPTS = "cat,dog,horse,monkey,rabbit,zebra,spider,bird,sheep,deer,cow,goat,lion,tiger,bear,raccoon,fox,wolf"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    for name, default in dict(steps=20, batch=8, batches=2, rounds=3, epochs=3, threads=2).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--tuned", action="store_true", help="also PyTorch with channels-last and merged adapters")
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--ddpo", default=HERE.parent / "target/release/ddpo", help="the program to time")
    return parser.parse_args()


def run(command):
    """What a process prints, and its largest resident set in MiB."""
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as complaint:
        process = subprocess.Popen(command, stdout=printed, stderr=complaint)
        _, status, usage = os.wait4(process.pid, 0)
        printed.seek(0)
        complaint.seek(0)
        if status != 0:
            sys.exit(f"{command[0]} failed:\n{complaint.read()}")
        return printed.read(), usage.ru_maxrss / 1024


def ours(args):
    """Our epochs after the first, and the peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        prompts = json.dumps(PROMPTS.split(","))
        settings = [
            f"prompts.kind=\"list\"", f"prompts.values={prompts}", f"sample.steps={args.steps}", "sample.guidance=5.0",
            f"sample.batch-size={args.batch}", f"sample.batches-per-epoch={args.batches}",
            f"train.batch-size={args.batch}", "train.accumulation=1", "train.gradient-checkpointing=false",
            "train.learning-rate=3e-4", "train.clip-range=1e-4",
            "advantage.kind=\"batch\"", "eval.every=0", "checkpoint.every=0", f"run.threads={args.threads}",
            f"model.dtype=\"{args.precision}\"", "run.device=\"cpu\""]
        command = [str(args.ddpo), "train", "--model", args.model, "--epochs", str(args.epochs)]
        command += ["--reward", "jpeg-compressibility", "--run-dir", str(folder / "run")]
        _, memory = run(command + [word for setting in settings for word in ("--set", setting)])
        lines = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "epoch"][1:], memory


def theirs(args, tuned):
    """TRL's epochs after the first, and the peak memory."""
    command = [sys.executable, str(HERE / "trl_ddpo.py"), args.model, "--prompts", PROMPTS]
    for name in ["epochs", "steps", "batch", "batches", "threads", "precision"]:
        command += [f"--{name}", str(getattr(args, name))]
    text, memory = run(command + ["--tuned"] * tuned)
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")][1:], memory


def summary(args, measured):
    """Medians over the counted epochs of a run: seconds sampling, seconds training, images a second, MiB."""
    epochs, memory = measured
    sample = statistics.median(epoch["sample_seconds"] for epoch in epochs)
    train = statistics.median(epoch["train_seconds"] for epoch in epochs)
    return sample, train, args.batch * args.batches / (sample + train), memory


def spread(values):
    return f"{statistics.median(values):8.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    args = parse()
    sides = {"ddpo": lambda: ours(args), "TRL": lambda: theirs(args, False)}
    if args.tuned:
        sides["TRL, tuned"] = lambda: theirs(args, True)
    rows = {name: [] for name in sides}
    for number in range(args.rounds):
        for name, side in sides.items():
            rows[name].append(summary(args, side()))
            sample, train, speed, memory = rows[name][-1]
            print(f"round {number + 1}  {name:11} {sample:7.2f} s sampling {train:7.2f} s training "
                  f"{speed:7.3f} images/s {memory:6.0f} MiB", flush=True)
    ours_first = rows.pop("ddpo")
    for name, others in rows.items():
        pairs = list(zip(ours_first, others))
        print(f"\nddpo against {name}, {args.rounds} rounds: median (smallest to largest)")
        print("  images/s, times theirs  ", spread([a[2] / b[2] for a, b in pairs]))
        print("  sampling, times faster  ", spread([b[0] / a[0] for a, b in pairs]))
        print("  training, times faster  ", spread([b[1] / a[1] for a, b in pairs]))
        print("  peak memory, of theirs  ", spread([a[3] / b[3] for a, b in pairs]))


main()
