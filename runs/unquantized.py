"""What the grids cost: `python runs/unquantized.py MODEL DEV`, a Q2D2 codec's scores with and without them.

Without: the channels go to the decoder as they are, in place of their points, and what refines them is left out. The
networks were not trained for that, so it is a hint and no bound. On every `--stride`-th clip of the folder DEV.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import tyro

from q2d2 import checkpoint
from q2d2.ablation.measure import METRICS, SAMPLE_RATE_HZ, measure, read_clips
from q2d2.codec import Codec
from q2d2.evaluate.metrics import Original
from q2d2.quantizer import Q2D2


def main(model: str, dev: Path, /, stride: int = 4) -> None:
    torch.set_num_threads(1)
    codec, clips = checkpoint.load(model), read_clips(dev)[::stride]
    if codec.config.sample_rate_hz != SAMPLE_RATE_HZ:
        raise ValueError(f"{model}: is for {codec.config.sample_rate_hz} Hz, the clips are scored at {SAMPLE_RATE_HZ}")
    for rate, pairs in codec.config.rates.items():
        scores = measure(codec, clips, rate).scores
        made = [(Original(clip), _unquantized(codec, clip, pairs)) for clip in clips]
        found = [metric.measure(*pair) for metric in METRICS for pair in made]
        free = {name: np.mean([own[name] for own in found if name in own]) for name in scores}
        print(rate, *(f"{name} {scores[name]:.3f}, unquantized {free[name]:.3f};" for name in scores), flush=True)


@torch.no_grad()
def _unquantized(codec: Codec, clip: np.ndarray, pairs: int) -> np.ndarray:
    quantizer = codec.quantizer
    assert isinstance(quantizer, Q2D2)
    wav = torch.from_numpy(np.pad(clip, (0, -len(clip) % codec.hop)))[None]
    z = quantizer.project(codec.encoder(wav))
    codes = torch.zeros(*z.shape[:2], quantizer.num_pairs, quantizer.axes)
    for place, pair in enumerate(quantizer.stages[0].pairs):
        grid = quantizer.grids[pair]
        if pair < pairs:
            codes[:, :, pair] = z[:, :, place] * torch.tensor(np.divide(grid.half_width, grid.extent))
    return codec.decoder(quantizer.project_out(codes.flatten(-2)), torch.tensor([pairs])).wav[0, : len(clip)].numpy()


if __name__ == "__main__":
    tyro.cli(main)
