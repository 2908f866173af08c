"""What a model's files cost: `python runs/file_bits.py MODEL DEV`.

Prints, for the clips of DEV at every rate, kbps as log2(points), as payload, as whole files and as files of version 1
of the format; what a chunk's beginning costs, on all clips in one; and how many codebooks fit into a rate.
"""

from __future__ import annotations

import io
import json
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
import tyro
from tyro.conf import Positional

from q2d2 import Codec, audio, bitstream, checkpoint
from q2d2.codec import Codes

CHUNKS = (16, 32, 64, 128, 256, 512, 1024, 2048)
TARGETS = (1.03, 3.3, 6.8)


def main(model: Positional[str], dev: Positional[Path]) -> None:
    torch.set_num_threads(1)
    codec = checkpoint.load(model)
    clips = [_encoded(codec, path) for path in audio.list_audio(dev)]
    seconds = np.array([clip.num_samples / clip.sample_rate_hz for clip in clips])

    print("rate  codebooks  log2(points)  payload  file  version 1  smaller: in all, least and most of a clip")
    for rate, codebooks in codec.rates.items():
        own = [Codes(clip.indices[:, :codebooks], clip.num_samples, clip.sample_rate_hz) for clip in clips]
        files = [codec.to_bytes(codes) for codes in own]
        sizes, old = np.array([len(file) for file in files]), np.array([_version_1(codec, codes) for codes in own])
        payload = sum(chunk.payload_bytes for file in files for chunk in codec.reader(io.BytesIO(file)).chunks())
        raw = sum(len(clip.indices) for clip in clips) * np.log2(codec.quantizer.points[:codebooks]).sum() / 8
        kbps = [8e-3 * size / seconds.sum() for size in (raw, payload, sizes.sum(), old.sum())]
        smaller = 1 - sizes / old
        print(f"{rate:<4}  {codebooks:>9}  {kbps[0]:>12.3f}  {kbps[1]:>7.3f}  {kbps[2]:.3f}  {kbps[3]:>9.3f}  ", end="")
        print(f"{1 - sizes.sum() / old.sum():.1%}, {smaller.min():.1%}, {smaller.max():.1%}")

    whole = torch.cat([clip.indices for clip in clips])
    long_s = len(whole) / codec.frame_rate_hz
    print(f"\nfile kbps by frames of a chunk, all clips in one ({long_s:.0f} s)\nrate  " + "  ".join(map(str, CHUNKS)))
    for rate, codebooks in codec.rates.items():
        found = [8e-3 * _length(codec, whole[:, :codebooks], frames) / long_s for frames in CHUNKS]
        print(f"{rate:<4}  " + "  ".join(f"{kbps:.3f}" for kbps in found))

    print("\nkbps of payload by codebooks")
    if codec.prior is not None:
        for codebooks in range(1, codec.quantizer.num_pairs + 1):
            bits = sum(codec.prior.bits(clip.indices[:, :codebooks].numpy()).sum() for clip in clips)
            kbps = 1e-3 * bits / sum(len(clip.indices) for clip in clips) * codec.frame_rate_hz
            under = [f"within {target}" for target in TARGETS if kbps <= target]
            print(f"{codebooks:>3}  {kbps:.3f}  {', '.join(under)}")


def _encoded(codec: Codec, path: Path) -> Codes:
    samples, rate_hz = audio.read(path)
    return codec.encode(audio.to_mono(samples), rate_hz, codec.quantizer.num_pairs)


def _length(codec: Codec, indices: torch.Tensor, chunk_frames: int) -> int:
    file = io.BytesIO()
    writer = codec.writer(file, codec.config.sample_rate_hz, indices.shape[1], chunk_frames)
    writer.write(indices.numpy())
    writer.close(len(indices) * codec.hop)
    return len(file.getvalue())


def _version_1(codec: Codec, codes: Codes) -> int:
    """Bytes of a file as `Codec.compress` wrote it in version 1: a JSON header, the length in the trailer."""
    points = codec.quantizer.points[: codes.indices.shape[1]]
    fields = {
        "model": codec.config.name,
        "weights": codec.weights,
        "sample_rate": codes.sample_rate_hz,
        "codec_rate": codec.config.sample_rate_hz,
        "hop": codec.hop,
        "samples": None,
        "points": [[len(list(run)), size] for size, run in groupby(points)],
    }
    header = bitstream.Header(
        codec.config.name, codec.weights, codes.sample_rate_hz, codec.config.sample_rate_hz, codec.hop, points
    )
    file = io.BytesIO()
    writer = bitstream.Writer(file, header)
    writer.write(codes.indices.numpy())
    writer.close(codes.num_samples)
    return len(file.getvalue()) - len(header.to_bytes()) + 11 + len(json.dumps(fields, separators=(",", ":")))


if __name__ == "__main__":
    tyro.cli(main)
