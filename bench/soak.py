"""Trains the embedded model with a checkpoint an epoch for as long as asked, and measures the growth of its memory.

usage: soak.py DDPO OUT [SECONDS]     (DDPO: the program; OUT: a new directory; SECONDS: an hour without it)

Every ten seconds the resident memory goes into OUT/memory.csv. At the end the run is stopped by SIGTERM, as a machine
that shuts down would, and the slope of a line through all samples but those of the first quarter is printed beside the
deviation of the samples from it. Linux only: it reads /proc.
"""
import csv, os, re, signal, subprocess, sys, time

SETTINGS = ["sample.steps=3", "sample.batch-size=4", "sample.batches-per-epoch=1", "train.batch-size=4", "advantage.kind=per-prompt",
            "eval.every=20", "eval.count=4", "checkpoint.every=1", "checkpoint.keep=2"]


def resident(pid):
    """Resident memory in MiB."""
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) / 1024


def line(points):
    """Slope, its standard error, and the deviation of the points from the line of least squares."""
    n, mx, my = len(points), sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
    sxx = sum((x - mx) ** 2 for x, _ in points)
    slope = sum((x - mx) * (y - my) for x, y in points) / sxx
    deviation = (sum((y - my - slope * (x - mx)) ** 2 for x, y in points) / (n - 2)) ** 0.5
    return slope, deviation / sxx**0.5, deviation


def main(program, out, seconds="3600"):
    os.makedirs(out)
    run = f"{out}/run"
    command = [program, "train", "--run-dir", run, "--epochs", "1000000"]
    command += [part for setting in SETTINGS for part in ("--set", setting)]
    with open(f"{out}/log.txt", "w") as log, open(f"{out}/memory.csv", "w") as table:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        start, points, rows = time.monotonic(), [], csv.writer(table)
        rows.writerow(["seconds", "resident_mib"])
        while process.poll() is None and time.monotonic() - start < float(seconds):
            time.sleep(10)
            if process.poll() is None:
                points.append((time.monotonic() - start, resident(process.pid)))
                rows.writerow([f"{value:.3f}" for value in points[-1]])
                table.flush()
        process.send_signal(signal.SIGTERM)
        code = process.wait()
    epochs = sum(record.startswith("epoch ") for record in open(f"{out}/log.txt"))
    hours = points[-1][0] / 3600
    slope, error, deviation = line(points[len(points) // 4 :])
    print(f"{hours:.2f} hours, {epochs} epochs with a checkpoint each, exit code {code}")
    print(f"resident memory {points[0][1]:.1f} MiB at first, {points[-1][1]:.1f} at last, {max(y for _, y in points):.1f} at most")
    print(f"slope {slope * 3600:+.3f} ± {1.96 * error * 3600:.3f} MiB an hour; samples deviate from it by {deviation:.3f} MiB")


main(*sys.argv[1:])
