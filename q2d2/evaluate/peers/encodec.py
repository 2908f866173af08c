"""Encodec (Defossez et al. 2022) at 24 kHz, from the package `encodec`, without its language model."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from q2d2.evaluate.metrics.base import install
from q2d2.evaluate.peers.base import Clip, Coded
from q2d2.evaluate.peers.network import Needs, Network, missing_weights, quiet, read_weights, reading
from q2d2.evaluate.torchaudio_stub import without_torchaudio

RATES_KBPS = ("1.5", "3", "6", "12", "24")

FORM = f"encodec-KBPS ({', '.join(RATES_KBPS)})"
NEEDS = Needs(("encodec", "einops"), install("peers"))

_FILE = "encodec_24khz-d7cc33bc.th"
_URL = f"https://dl.fbaipublicfiles.com/encodec/v0/{_FILE}"


@dataclass(frozen=True)
class Encodec:
    """The 24 kHz model at one of its rates. The file is its own (.ecdc): a header of some 60 bytes, then the codes."""

    kbps: float
    may_delay: bool = True

    @property
    def name(self) -> str:
        return f"encodec-{self.kbps:g}"

    def missing(self) -> str | None:
        return NEEDS.missing() or missing_weights(weights(), _URL)

    def code(self, clip: Clip) -> Coded:
        coded = _network(_pretrained(weights()), self.kbps).code(clip)
        assert coded.payload_bytes is not None and coded.indices is not None
        header = io.BytesIO()
        fields = {"m": "encodec_24khz", "al": len(coded.samples), "nc": coded.indices.shape[1], "lm": False}
        load_package().binary.write_ecdc_header(header, fields)
        return coded._replace(file_bytes=coded.payload_bytes + len(header.getvalue()))


def parse(setting: str) -> Encodec | None:
    """Encodec at this many kbit/s, if it has that rate."""
    return Encodec(float(setting)) if setting in RATES_KBPS else None


def weights() -> Path:
    """Where the package keeps them: the cache of torch.hub."""
    return Path(torch.hub.get_dir()) / "checkpoints" / _FILE


def random_network() -> Network:
    """Random weights, at 6 kbit/s."""
    return _network(_module(), 6.0)


def _network(module: Any, kbps: float) -> Network:
    def encode(wav: torch.Tensor) -> list[torch.Tensor]:
        module.set_target_bandwidth(kbps)
        ((codes, _),) = module.encode(wav[:, None])  # one segment: the 24 kHz model takes a clip whole
        return list(codes.unbind(1))

    def decode(codes: list[torch.Tensor]) -> torch.Tensor:
        return module.decode([(torch.stack(codes, 1), None)])[:, 0]

    return Network(module, module.sample_rate, encode, decode, module.bits_per_codebook)


def load_package() -> ModuleType:
    """Import it, without torchaudio. MissingExtraError if it is not installed."""
    NEEDS.require()
    with quiet(), without_torchaudio():
        return import_module("encodec")


def _module() -> Any:
    package = load_package()
    with quiet():
        return package.EncodecModel.encodec_model_24khz(pretrained=False)


@cache
def _pretrained(path: Path) -> Any:
    module = _module()
    with reading(path):
        module.load_state_dict(read_weights(path))
    return module
