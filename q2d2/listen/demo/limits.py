"""How much the demo takes from anybody, and keeps."""

from __future__ import annotations

from dataclasses import dataclass

_USUAL_RATE_HZ = 48_000


@dataclass(frozen=True)
class Limits:
    """Bounds on what a page of strangers' clips may cost: at worst 25 MB of disk for each clip that is kept."""

    most_bytes: int = 32 * 2**20  # of an upload
    uploading_s: float = 120.0  # an upload that takes longer is given up
    longest_s: float = 60.0  # of a clip is used
    most_waiting: int = 8  # clips that arrive or wait while another one is worked on
    kept_clips: int = 32  # of those that are done; the oldest goes first
    decoding_s: float = 20.0  # for reading a file
    decoding_bytes: int = 2**30  # the address space in which a file is read

    @property
    def most_samples(self) -> int:
        """Of a clip: `longest_s` at 48 kHz. At higher rates, clips are shorter."""
        return round(self.longest_s * _USUAL_RATE_HZ)

    def samples_at(self, sample_rate_hz: int) -> int:
        """How many samples of a clip are used."""
        return max(1, min(self.most_samples, round(self.longest_s * sample_rate_hz)))
