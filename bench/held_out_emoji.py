"""Held-out renderings of the 45 animals for the diffusion classifier, and its score on them.

usage: held_out_emoji.py make DATA NOTO OUT
       held_out_emoji.py score DDPO FOLDER [--full] [--trials N] [--first-timestep T]

`make` writes three folders of 64x64 PNGs named ANIMAL-CODEPOINT.png, none of which the embedded model was trained on:

- OUT/nudged: a training glyph of each animal, turned by 2 to 6 degrees to either side, scaled by 0.92 to 1, shifted by up to 1.5 pixels,
  its hue turned by up to 3 % of the circle and its brightness changed by up to 8 %. Training has flipped glyphs and no more.
- OUT/moved: the same by 5 to 20 degrees, 0.8 to 0.95, 3 pixels, 8 % and 15 %.
- OUT/noto: each glyph that the bare noun names, as Google drew it (Noto Color Emoji): other pictures by other people.

DATA is the folder of `cargo xtask emoji-dataset DATA --size 72` as it was at commit 18ede1c; NOTO is `img/google/64` of the npm package
emoji-datasource-google 16.0.0. Needs pillow. `score` asks `ddpo classify` and prints the share that is right, and the predictions it took.
"""
import argparse
import json
import random
import subprocess
import tempfile
from pathlib import Path


def glyphs(data):
    """(animal, file) of every glyph that the animal's bare noun names."""
    rows = [json.loads(line) for line in (data / "metadata.jsonl").read_text().splitlines()]
    return [(animal, row["file_name"]) for row in rows for animal in row["animal"] if animal in row["text"]]


def on_white(picture):
    from PIL import Image
    picture = picture.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


#                  degrees, scale, pixels, hue, brightness
CHANGES = {
    "nudged": ((2, 6), (0.92, 1), 1.5, 0.03, 0.08),
    "moved": ((5, 20), (0.8, 0.95), 3, 0.08, 0.15),
}


def changed(picture, change, dice):
    from PIL import Image, ImageEnhance
    degrees, scale, pixels, hues, brightness = change
    size = picture.size[0]
    angle = dice.choice([-1, 1]) * dice.uniform(*degrees)
    shift = tuple(round(dice.uniform(-pixels, pixels) * size / 64) for _ in range(2))
    smaller = round(size * dice.uniform(*scale))
    ground = Image.new("RGB", (size, size), "white")
    margin = (size - smaller) // 2
    ground.paste(picture.resize((smaller, smaller), Image.LANCZOS), (margin, margin))
    turned = ground.rotate(angle, Image.BICUBIC, translate=shift, fillcolor="white")
    hue, saturation, value = turned.convert("HSV").split()
    offset = round(dice.uniform(-hues, hues) * 256)
    hue = hue.point(lambda h: (h + offset) % 256)
    coloured = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    return ImageEnhance.Brightness(coloured).enhance(dice.uniform(1 - brightness, 1 + brightness))


def make(args):
    from PIL import Image
    for folder in [*CHANGES, "noto"]:
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    dice, seen = {name: random.Random(0) for name in CHANGES}, set()
    for animal, file in sorted(glyphs(args.data)):
        name = f"{animal}-{Path(file).stem}.png"
        if animal not in seen:
            for folder, change in CHANGES.items():
                picture = changed(on_white(Image.open(args.data / file)), change, dice[folder])
                picture.resize((64, 64), Image.LANCZOS).save(args.out / folder / name)
        seen.add(animal)
        stem = Path(file).stem
        noto = next(path for path in [args.noto / f"{stem}.png", args.noto / f"{stem}-fe0f.png"] if path.exists())
        on_white(Image.open(noto)).resize((64, 64), Image.LANCZOS).save(args.out / "noto" / name)


def score(args):
    images = sorted(args.folder.glob("*.png"))
    animals = [path.stem.rsplit("-", 1)[0] for path in images]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "verdicts.json"
        full = ["--full"] if args.full else []
        classes = ",".join(sorted(set(animals)))
        subprocess.run([args.ddpo.resolve(), "classify", "--classes", classes, "--trials", str(args.trials),
                        "--first-timestep", str(args.first_timestep), "--json", out, *full, *images], check=True, stdout=subprocess.DEVNULL)
        verdicts = json.loads(out.read_text())
    if args.json:
        args.json.write_text(json.dumps(verdicts))
    right = sum(verdict["class"] == animal for verdict, animal in zip(verdicts, animals))
    third = sum(animal in [row["class"] for row in verdict["classes"][:3]] for verdict, animal in zip(verdicts, animals))
    predictions = sum(verdict["predictions"] for verdict in verdicts) / len(verdicts)
    print(f"{right} of {len(images)} right, {third} among the first three, {predictions:.0f} predictions an image")
    print("  ".join(f"{animal}: {verdict['class']}" for verdict, animal in zip(verdicts, animals) if verdict["class"] != animal))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    maker = commands.add_parser("make")
    for name in ["data", "noto", "out"]:
        maker.add_argument(name, type=Path)
    maker.set_defaults(run=make)
    scorer = commands.add_parser("score")
    scorer.add_argument("ddpo", type=Path)
    scorer.add_argument("folder", type=Path)
    scorer.add_argument("--full", action="store_true")
    scorer.add_argument("--trials", type=int, default=64)
    scorer.add_argument("--first-timestep", type=int, default=600)
    scorer.add_argument("--json", type=Path)
    scorer.set_defaults(run=score)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
