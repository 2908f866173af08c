"""Whether clips give the same codes one by one, as a batch and in short windows: `python runs/same_codes.py DIR`.

Counts the indices that differ and the largest difference of the waveforms, with the shipped weights.
"""

import sys
from pathlib import Path

import numpy as np

import q2d2
from q2d2 import audio
from q2d2 import codec as codec_module


def main(folder: Path) -> None:
    codec = q2d2.load()
    rate_hz = codec.config.sample_rate_hz
    clips = []
    for file in audio.list_audio(folder):
        samples, from_hz = audio.read(file)
        clips.append(audio.resample(audio.to_mono(samples), from_hz, rate_hz))
    single = [codec.encode(clip, rate_hz) for clip in clips]
    wavs = [codec.decode(codes) for codes in single]
    for name, window, together in (("one batch", 1536, True), ("64 frames", 64, False), ("256 frames", 256, False)):
        codec_module.WINDOW = window
        other = codec.encode(clips, rate_hz) if together else [codec.encode(clip, rate_hz) for clip in clips]
        again = codec.decode(other) if together else [codec.decode(codes) for codes in other]
        differ = sum(int((a.indices != b.indices).sum()) for a, b in zip(single, other, strict=True))
        apart = max(float(np.abs(a - b).max()) for a, b in zip(wavs, again, strict=True))
        print(f"{name}: {differ} of {sum(codes.indices.numel() for codes in single)} differ, wav {apart:.1e}")
    codec_module.WINDOW = 1536


if __name__ == "__main__":
    main(Path(sys.argv[1]))
