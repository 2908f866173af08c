"""Whether clips give the same codes alone, as a batch, in short windows and live: `python runs/same_codes.py DIR`.

Counts the indices that differ and the largest difference of the waveforms, with the shipped weights.
"""

import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch

import q2d2
from q2d2 import audio, clips
from q2d2.codec import Codec, Codes

PUSH = 480  # samples: 20 ms


def encode_live(codec: Codec, wav: np.ndarray) -> Codes:
    with codec.streaming() as stream:
        parts = [stream.push(wav[start : start + PUSH]) for start in range(0, len(wav), PUSH)]
        return Codes(torch.cat([*parts, stream.flush()]), len(wav), codec.config.sample_rate_hz)


def decode_live(codec: Codec, codes: Codes) -> np.ndarray:
    with codec.streaming_decoder() as stream:
        return np.concatenate(
            [*(stream.push(frame) for frame in codes.indices.split(1)), stream.flush(codes.num_samples)]
        )


def main(folder: Path) -> None:
    codec = q2d2.load()
    rate_hz = codec.config.sample_rate_hz
    wavs = []
    for file in audio.list_audio(folder):
        samples, from_hz = audio.read(file)
        wavs.append(audio.resample(audio.to_mono(samples), from_hz, rate_hz))
    single = [codec.encode(wav, rate_hz) for wav in wavs]
    decoded = [codec.decode(codes) for codes in single]

    def compare(name: str, other: list[Codes], again: list[np.ndarray]) -> None:
        differ = sum(int((a.indices != b.indices).sum()) for a, b in zip(single, other, strict=True))
        apart = max(float(np.abs(a - b).max()) for a, b in zip(decoded, again, strict=True))
        print(f"{name}: {differ} of {sum(codes.indices.numel() for codes in single)} differ, wav {apart:.1e}")

    compare("one batch", together := codec.encode(wavs, rate_hz), codec.decode(together))
    for frames in (64, 256):
        with mock.patch.object(clips, "WINDOW", frames):
            alone = [codec.encode(wav, rate_hz) for wav in wavs]
            compare(f"windows of {frames} frames", alone, [codec.decode(codes) for codes in alone])
    live = [encode_live(codec, wav) for wav in wavs]
    compare("live, 20 ms and frame by frame", live, [decode_live(codec, codes) for codes in live])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
