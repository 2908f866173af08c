"""Codec2, through the programs that Debian calls codec2: a vocoder for radio, at 8 kHz. The file is its frames."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from q2d2 import audio
from q2d2.evaluate.peers.base import Clip, Coded, missing_programs, run_program

_RATE_HZ = 8000
_FRAME = {"3200": 160, "2400": 160, "1600": 320, "1400": 320, "1300": 320, "1200": 320, "700C": 320}  # samples

FORM = f"codec2-MODE ({', '.join(_FRAME)})"


@dataclass(frozen=True)
class Codec2:
    """c2enc and c2dec in one of their modes, which are bits per second."""

    mode: str = "3200"
    may_delay: bool = True

    @property
    def name(self) -> str:
        return f"codec2-{self.mode}"

    def missing(self) -> str | None:
        return missing_programs(("c2enc", "c2dec"), "codec2")

    def code(self, clip: Clip) -> Coded:
        narrow = audio.to_int16(audio.resample(clip.wav, clip.sample_rate_hz, _RATE_HZ))
        # it drops a last frame that is not full
        whole = np.pad(narrow, (0, -len(narrow) % _FRAME[self.mode]))
        with tempfile.TemporaryDirectory(prefix="q2d2-codec2-") as name:
            original, packed, decoded = (Path(name) / file for file in ("clip.raw", "clip.bit", "decoded.raw"))
            original.write_bytes(whole.astype("<i2").tobytes())
            run_program("c2enc", self.mode, original, packed)
            run_program("c2dec", self.mode, packed, decoded)
            size = packed.stat().st_size
            pcm = np.frombuffer(decoded.read_bytes(), dtype="<i2")
        return Coded(pcm.astype(np.float32) / 32768, _RATE_HZ, size, size)


def parse(setting: str) -> Codec2 | None:
    """The Codec2 of this mode, if there is one."""
    return Codec2(setting) if setting in _FRAME else None
