"""Opus, through the programs that Debian calls opus-tools: what a user would pick for speech over a network."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from q2d2 import audio
from q2d2.evaluate.peers.base import Clip, Coded, PeerError, missing_programs, run_program

FORM = "opus-KBPS (6 to 256)"


@dataclass(frozen=True)
class Opus:
    """libopus through opusenc and opusdec, with their defaults: variable bit rate, 20 ms frames, full complexity."""

    kbps: float
    may_delay: bool = True

    @property
    def name(self) -> str:
        return f"opus-{self.kbps:g}"

    def missing(self) -> str | None:
        return missing_programs(("opusenc", "opusdec"), "opus-tools")

    def code(self, clip: Clip) -> Coded:
        with tempfile.TemporaryDirectory(prefix="q2d2-opus-") as name:
            original, packed, decoded = (Path(name) / file for file in ("clip.wav", "clip.opus", "decoded.wav"))
            audio.write(original, clip.wav, clip.sample_rate_hz)
            # without the 512 bytes that it keeps free for tags: a short clip's file would be mostly those
            run_program("opusenc", "--quiet", "--bitrate", f"{self.kbps:g}", "--padding", "0", original, packed)
            # at the rate that Opus decodes to, so that one resampler serves every codec
            run_program("opusdec", "--quiet", "--float", "--rate", "48000", packed, decoded)
            samples, rate_hz = audio.read(decoded)
            data = packed.read_bytes()
        return Coded(audio.to_mono(samples), rate_hz, len(data), ogg_packet_bytes(data, skip=2))


def parse(setting: str) -> Opus | None:
    """Opus at this many kbit/s, if opusenc takes them for one channel."""
    try:
        kbps = float(setting)
    except ValueError:
        return None
    return Opus(kbps) if 6 <= kbps <= 256 else None


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
