"""Weights between those of two runs from one start: `python runs/interpolate.py MODEL_A MODEL_B SHARE_OF_B OUT`.

Fine-tuned models of one origin lie in one basin, and a point between them is often better than either (Wortsman et al.
2022, "Model soups"). The shipped `speech` lies between a run on reconstruction and the mean of two against
discriminators.
"""

import sys

import torch

from q2d2 import checkpoint


def main(first: str, second: str, share: str, out: str) -> None:
    codec, other = checkpoint.load(first), checkpoint.load(second)
    with torch.no_grad():
        for mine, theirs in zip(codec.parameters(), other.parameters(), strict=True):
            mine.lerp_(theirs, float(share))
    checkpoint.save(codec, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
