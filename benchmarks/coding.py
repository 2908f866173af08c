"""Indices <-> bytes, by the prior and at a constant rate, beside the networks: `python benchmarks/coding.py CLIP`.

One thread, a chunk of the clip's first 512 frames, the best of some repeats, times real time; the last column is the
decoder's networks on the same frames in the same run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import tyro
from tyro.conf import Positional

from q2d2 import audio, checkpoint
from q2d2.bitstream.packing import pack, unpack
from q2d2.codec import Codes


def main(clip: Positional[Path], model: str | None = None, repeats: int = 7) -> None:
    torch.set_num_threads(1)
    codec = checkpoint.load(model)
    samples, rate_hz = audio.read(clip)
    whole = codec.encode(audio.to_mono(samples), rate_hz, codec.quantizer.num_pairs).indices[:512]
    seconds = len(whole) / codec.frame_rate_hz
    if codec.prior is None:
        raise SystemExit(f"{codec.config.name} has no prior")

    print(f"{seconds:.1f} s        by the prior        constant rate       networks")
    print("rate          pack     unpack      pack    unpack        decode")
    for rate, codebooks in codec.rates.items():
        tensor = whole[:, :codebooks]
        indices, points, frames = tensor.numpy(), codec.quantizer.points[:codebooks], len(whole)
        coded, plain = codec.prior.pack(indices), pack(indices, points)
        codes = Codes(tensor, frames * codec.hop, codec.config.sample_rate_hz)
        works: list[Callable[[], object]] = [
            partial(codec.prior.pack, indices),
            partial(codec.prior.unpack, coded, frames, codebooks),
            partial(pack, indices, points),
            partial(unpack, plain, frames, points),
            partial(codec.decode, codes),
        ]
        speeds = [seconds / min(_time(work) for _ in range(repeats)) for work in works]
        print(f"{rate:<8}" + "".join(f"{speed:>10.0f} x" for speed in speeds))


def _time(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    tyro.cli(main)
