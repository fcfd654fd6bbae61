"""Times the encoders of learned rewards beside transformers, alternately, at their true size with random weights.

usage: compare_encoders.py ENCODERS vit-l-14|vit-h-14|deberta-xlarge [--batch 8] [--rounds 5] [--threads 2] [--dtype f32|bf16]

ENCODERS is the benchmark's program, which `cargo bench -p ddpo-nn --bench encoders --no-run` names. A round is one process of
each, in turn, with one forward pass that is not counted and one that is, in f32 or with the weights in bf16. Seconds an image or a text of 24 tokens, medians
with the smallest and largest; peak memory is the largest resident set of the whole process.
Run it with a Python that has the peers (see README.md), and with nothing else running.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders")
    parser.add_argument("model", choices=["vit-l-14", "vit-h-14", "deberta-xlarge"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def peer(args):
    """One round of transformers, in this process."""
    import resource
    import time
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel, DebertaConfig, DebertaModel
    torch.set_num_threads(args.threads)
    if args.model == "deberta-xlarge":
        model = DebertaModel(DebertaConfig(vocab_size=50265, hidden_size=1024, num_hidden_layers=40, num_attention_heads=16,
            intermediate_size=4096, max_position_embeddings=512, type_vocab_size=0, relative_attention=True,
            position_biased_input=False, pos_att_type="c2p|p2c"))
        inputs = torch.randint(0, 50000, (args.batch, 24))
    else:
        shapes = {"vit-l-14": (1024, 4096, 24, "quick_gelu"), "vit-h-14": (1280, 5120, 32, "gelu")}
        width, inner, layers, activation = shapes[args.model]
        model = CLIPVisionModel(CLIPVisionConfig(hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
            num_attention_heads=16, patch_size=14, hidden_act=activation))
        inputs = torch.randn(args.batch, 3, 224, 224)
    model.eval()
    if args.dtype == "bf16":
        model.bfloat16()
        inputs = inputs.bfloat16() if inputs.is_floating_point() else inputs
    with torch.inference_mode():
        model(inputs)
        start = time.perf_counter()
        model(inputs)
        seconds = (time.perf_counter() - start) / args.batch
    print(json.dumps({"seconds": [seconds], "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


def run(command, threads):
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    args = parse()
    if args.peer:
        return peer(args)
    ours, theirs = [], []
    numbers = [args.model, str(args.batch)]
    peer_command = [sys.executable, __file__, args.encoders, args.model, "--batch", str(args.batch), "--threads", str(args.threads), "--dtype", args.dtype, "--peer"]
    for _ in range(args.rounds):
        ours.append(run([args.encoders, *numbers, "1", args.dtype], args.threads))
        theirs.append(run(peer_command, args.threads))
        print(json.dumps({"ddpo": ours[-1], "transformers": theirs[-1]}), flush=True)
    for name, rounds in (("ddpo", ours), ("transformers", theirs)):
        seconds = [x for r in rounds for x in r["seconds"]]
        memory = statistics.median(r["mib"] for r in rounds)
        print(f"{name:13} {statistics.median(seconds):7.3f} s ({min(seconds):.3f} to {max(seconds):.3f})  {memory:6.0f} MiB")
    ratios = sorted(t["seconds"][0] / o["seconds"][0] for o, t in zip(ours, theirs))
    print(f"ratio         {statistics.median(ratios):7.2f}   ({ratios[0]:.2f} to {ratios[-1]:.2f})")


main()
