"""A reward for ddpo in Python. Copy this file beside yours, and decorate a function of pictures and prompts, as its last lines."""

import json
import sys

from PIL import Image


def reward(score):
    """Answer ddpo with what score(images, prompts) returns: a number for each PIL image, or None for no score.

    With the option `metadata` it is score(images, prompts, metadata), with a dict for each prompt.
    """
    if score.__module__ != "__main__":
        return score
    answers, sys.stdout = sys.stdout, sys.stderr  # What libraries print is no answer.
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"protocol": 2, "id": request["id"]}
        try:
            images = [Image.open(path).convert("RGB") for path in request["images"]]
            known = [request["metadata"]] if "metadata" in request else []
            answer["scores"] = [None if s is None else float(s) for s in score(images, request["prompts"], *known)]
        except Exception as error:  # ddpo decides whether the run ends, asks again, or leaves the pictures out.
            answer["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), file=answers, flush=True)
    return score
