"""What a reward costs that waits as long as sampling takes: an epoch's sampling and scoring against the longer of the two.

python bench/overlap.py target/release/ddpo OUT

Runs `ddpo train` on the embedded model, once with a reward that answers at once, to learn how long sampling takes, and then with one that
sleeps as long for each batch as sampling takes for it. Prints the medians of the epochs.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

REWARD = """import json, sys, time
for line in sys.stdin:
    request = json.loads(line)
    time.sleep(float(sys.argv[1]) * len(request["images"]))
    print(json.dumps({"id": request["id"], "scores": [len(prompt) for prompt in request["prompts"]]}), flush=True)
"""
EPOCHS = 6


def epochs(binary, out, name, seconds, batch, batches):
    """The lines of a run's epochs whose reward sleeps so many seconds a picture."""
    script = out / "sleep.py"
    script.write_text(REWARD)
    run = out / name
    options = {"eval.every": 0, "sample.batch-size": batch, "sample.batches-per-epoch": batches, "checkpoint.every": 0}
    command = [binary, "train", "--model", "emoji", "--epochs", str(EPOCHS), "--run-dir", str(run)]
    command += ["--reward", f"exec:{sys.executable} {script} {seconds}"]
    for key, value in options.items():
        command += ["--set", f"{key}={value}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == "epoch"][1:]


def median(lines, field):
    return statistics.median(line[field] for line in lines)


def main():
    binary, out = sys.argv[1], Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=False)
    for batch, batches in [(16, 4), (8, 8), (4, 16)]:
        fast = epochs(binary, out, f"fast-{batch}", 0.0, batch, batches)
        sampling = median(fast, "sample_seconds")
        slow = epochs(binary, out, f"slow-{batch}", sampling / (batch * batches), batch, batches)
        spent = statistics.median(line["sample_seconds"] + line["reward_seconds"] for line in slow)
        longer = max(median(slow, "reward_busy_seconds"), sampling)
        print(
            f"{batches} batches of {batch}: sampling alone {sampling:.2f} s, the reward {median(slow, 'reward_busy_seconds'):.2f} s, "
            f"both {spent:.2f} s: {spent / longer:.2f} of the longer, {spent / (sampling + median(slow, 'reward_busy_seconds')):.2f} of their sum; "
            f"training {median(slow, 'train_seconds'):.2f} s"
        )


if __name__ == "__main__":
    main()
