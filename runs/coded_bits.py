"""What a model's indices cost once they are coded: `python runs/coded_bits.py MODEL CORPUS DEV`.

Tables of how often each index followed the same pair's index of the frame before, fitted on as many hours of the packed
corpus as `--hours` says, and their cross-entropy on the clips of DEV. Prints bits a frame and kbps of every rate.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
import torch
import tyro

from q2d2 import checkpoint
from q2d2.ablation.measure import SAMPLE_RATE_HZ, read_clips


def main(model: str, corpus: Path, dev: Path, /, hours: float = 0.5) -> None:
    torch.set_num_threads(1)
    codec = checkpoint.load(model)
    points = codec.quantizer.points
    once = [np.full(n, 0.5) for n in points]
    after = [np.zeros((n, n)) for n in points]
    parts = json.loads((corpus / "index.json").read_text())
    for part in parts:
        with soundfile.SoundFile(corpus / part["file"]) as file:
            wav = file.read(round(3600 * hours / len(parts) * file.samplerate), dtype="float32")
            indices = codec.encode(wav, file.samplerate).indices.numpy()
        for pair, column in enumerate(indices.T):
            once[pair] += np.bincount(column, minlength=points[pair])
            np.add.at(after[pair], (column[:-1], column[1:]), 1)

    bits, frames = np.zeros(len(points)), 0
    for clip in read_clips(dev):
        indices = codec.encode(clip, SAMPLE_RATE_HZ).indices.numpy()
        frames += len(indices)
        for pair, column in enumerate(indices.T):
            share = once[pair] / once[pair].sum()
            weight = 4 + points[pair] / 8  # of the share, in counts, beside the table's row
            rows = after[pair][column[:-1]]
            found = (rows[np.arange(len(rows)), column[1:]] + weight * share[column[1:]]) / (rows.sum(1) + weight)
            bits[pair] -= np.log2(found).sum() + np.log2(share[column[0]])
    raw, coded = np.log2(points).cumsum(), (bits / frames).cumsum()
    for name, pairs in codec.rates.items():
        of_raw, of_coded = raw[pairs - 1], coded[pairs - 1]
        kbps = codec.frame_rate_hz / 1000
        print(f"{name}: {pairs} indices, raw {of_raw:.2f} bits, {of_raw * kbps:.3f} kbps; ", end="")
        print(f"coded {of_coded:.2f} bits, {of_coded * kbps:.3f} kbps, {1 - of_coded / of_raw:.1%} saved")


if __name__ == "__main__":
    tyro.cli(main)
