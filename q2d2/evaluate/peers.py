"""What a user would pick instead: Opus and Codec2, through the programs that Debian calls opus-tools and codec2.

Each codes a clip as a user would, through files, and the sizes are those of the files. Knows nothing of models and of
scores; a codec of another kind joins by being a `System`.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64

from q2d2 import audio


class PeerError(ValueError):
    """A peer that does not exist, or whose program failed."""


class Coded(NamedTuple):
    """A clip after a codec."""

    samples: Float32[np.ndarray, " samples"]  # decoded; as long as the original or not, late or not
    sample_rate_hz: int
    file_bytes: int
    payload_bytes: int  # without the container's headers and checksums
    indices: Int64[np.ndarray, "frames pairs"] | None = None  # the tokens, of a codec that has them


@runtime_checkable
class System(Protocol):
    """Whatever turns a clip into bytes and back."""

    @property
    def name(self) -> str: ...

    @property
    def may_delay(self) -> bool:
        """Whether a delay is the codec's right, to be compensated before scoring, or an error."""
        ...

    def missing(self) -> str | None:
        """What has to be installed before it can run."""
        ...

    def code(self, wav: Float32[np.ndarray, " samples"], sample_rate_hz: int) -> Coded: ...


@dataclass(frozen=True)
class Opus:
    """libopus through opusenc and opusdec, with their defaults: variable bit rate, 20 ms frames, full complexity."""

    kbps: float
    may_delay: bool = True

    @property
    def name(self) -> str:
        return f"opus-{self.kbps:g}"

    def missing(self) -> str | None:
        return _missing(("opusenc", "opusdec"), "opus-tools")

    def code(self, wav: Float32[np.ndarray, " samples"], sample_rate_hz: int) -> Coded:
        with tempfile.TemporaryDirectory(prefix="q2d2-opus-") as name:
            original, packed, decoded = (Path(name) / file for file in ("clip.wav", "clip.opus", "decoded.wav"))
            audio.write(original, wav, sample_rate_hz)
            # without the 512 bytes that it keeps free for tags: a short clip's file would be mostly those
            _run("opusenc", "--quiet", "--bitrate", f"{self.kbps:g}", "--padding", "0", original, packed)
            # at the rate that Opus decodes to, so that one resampler serves every codec
            _run("opusdec", "--quiet", "--float", "--rate", "48000", packed, decoded)
            samples, rate_hz = audio.read(decoded)
            data = packed.read_bytes()
        return Coded(audio.to_mono(samples), rate_hz, len(data), ogg_packet_bytes(data, skip=2))


@dataclass(frozen=True)
class Codec2:
    """codec2 through c2enc and c2dec: a vocoder for radio, 8 kHz, whose frames are the whole file."""

    mode: str = "3200"
    may_delay: bool = True

    @property
    def name(self) -> str:
        return f"codec2-{self.mode}"

    def missing(self) -> str | None:
        return _missing(("c2enc", "c2dec"), "codec2")

    def code(self, wav: Float32[np.ndarray, " samples"], sample_rate_hz: int) -> Coded:
        narrow = audio.to_int16(audio.resample(wav, sample_rate_hz, _CODEC2_RATE_HZ))
        # it drops a last frame that is not full
        whole = np.pad(narrow, (0, -len(narrow) % _CODEC2_FRAME[self.mode]))
        with tempfile.TemporaryDirectory(prefix="q2d2-codec2-") as name:
            original, packed, decoded = (Path(name) / file for file in ("clip.raw", "clip.bit", "decoded.raw"))
            original.write_bytes(whole.astype("<i2").tobytes())
            _run("c2enc", self.mode, original, packed)
            _run("c2dec", self.mode, packed, decoded)
            size = packed.stat().st_size
            pcm = np.frombuffer(decoded.read_bytes(), dtype="<i2")
        return Coded(pcm.astype(np.float32) / 32768, _CODEC2_RATE_HZ, size, size)


_CODEC2_RATE_HZ = 8000
_CODEC2_FRAME = {"3200": 160, "2400": 160, "1600": 320, "1400": 320, "1300": 320, "1200": 320, "700C": 320}  # samples


def peer(name: str) -> System:
    """The peer of this name: opus-6, opus-8, codec2-3200 and so on."""
    family, _, setting = name.partition("-")
    if family == "opus":
        try:
            kbps = float(setting)
        except ValueError:
            kbps = 0.0
        if 6 <= kbps <= 256:  # what opusenc takes for one channel
            return Opus(kbps)
    if family == "codec2" and setting in _CODEC2_FRAME:
        return Codec2(setting)
    modes = ", ".join(_CODEC2_FRAME)
    raise PeerError(f"there is no peer {name!r}: give opus-KBPS (6 to 256) or codec2-MODE ({modes})")


def ogg_packet_bytes(data: bytes, skip: int) -> int:
    """Bytes of the packets in an Ogg file, after the first `skip` of them (Opus: two of headers). RFC 3533, section 6.

    A page is a header of 27 bytes, of which the last counts the segments, their sizes, and the segments; a packet ends
    with a segment of less than 255 bytes.
    """
    position = packets = total = 0
    while position < len(data):
        if data[position : position + 4] != b"OggS":
            raise PeerError(f"no Ogg page begins at byte {position}")
        sizes = data[position + 27 : position + 27 + data[position + 26]]
        position += 27 + len(sizes) + sum(sizes)
        for size in sizes:
            total += size if packets >= skip else 0
            packets += size < 255
    return total


def _missing(programs: tuple[str, ...], package: str) -> str | None:
    absent = [program for program in programs if shutil.which(program) is None]
    if not absent:
        return None
    verb = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {verb} not on the PATH: install {package} (Debian, Ubuntu: apt install {package})"


def _run(program: str, *arguments: str | Path) -> None:
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
        raise PeerError(f"{program} failed with status {done.returncode}: {lines[-1]}")
