"""SNAC (Siuzdak et al. 2024), the 24 kHz model for speech, from the package `snac`: 0.98 kbit/s."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from huggingface_hub import constants, try_to_load_from_cache

from q2d2.evaluate.metrics.base import install, shown
from q2d2.evaluate.peers.base import Clip, Coded
from q2d2.evaluate.peers.network import Needs, Network, quiet, read_weights, reading

FORM = "snac-24"
NEEDS = Needs(("snac", "einops"), install("peers"))

_REPOSITORY = "hubertsiuzdak/snac_24khz"
_FILES = ("config.json", "pytorch_model.bin")
_RANDOM = {  # the published model's
    "sampling_rate": 24_000,
    "encoder_dim": 48,
    "encoder_rates": [2, 4, 8, 8],
    "decoder_dim": 1024,
    "decoder_rates": [8, 8, 4, 2],
    "attn_window_size": None,
    "codebook_size": 4096,
    "vq_strides": [4, 2, 1],
}


@dataclass(frozen=True)
class Snac:
    """The 24 kHz model: three codebooks of 12 bits, at 12, 23 and 47 frames a second."""

    name: str = "snac-24"
    may_delay: bool = True

    def missing(self) -> str | None:
        absent = NEEDS.missing()
        if absent is not None or _weights() is not None:
            return absent
        cache_folder = shown(Path(constants.HF_HUB_CACHE))
        return f"its weights are not in {cache_folder}: hf download {_REPOSITORY} {' '.join(_FILES)}"

    def code(self, clip: Clip) -> Coded:
        files = _weights()
        assert files is not None, "called although it is missing"
        return _network(_pretrained(*files)).code(clip)


def parse(setting: str) -> Snac | None:
    """The SNAC of this many kHz, if it is the one of 24."""
    return Snac() if setting == "24" else None


def random_network() -> Network:
    """Random weights, in the 24 kHz model's shape."""
    package = load_package()
    with quiet():
        return _network(package.SNAC(**_RANDOM).eval())


def _weights() -> tuple[Path, ...] | None:
    """Its files in the cache of the Hugging Face hub, where the package keeps them; None if one is not there."""
    found = [try_to_load_from_cache(_REPOSITORY, file, cache_dir=constants.HF_HUB_CACHE) for file in _FILES]
    paths = tuple(Path(path) for path in found if isinstance(path, str))
    return paths if len(paths) == len(_FILES) else None


def load_package() -> ModuleType:
    """Import it. MissingExtraError if it is not installed."""
    NEEDS.require()
    with quiet():
        return import_module("snac")


def _network(module: Any) -> Network:
    def encode(wav: torch.Tensor) -> list[torch.Tensor]:
        return list(module.encode(wav[:, None]))

    def decode(codes: list[torch.Tensor]) -> torch.Tensor:
        return module.decode(codes)[:, 0]

    return Network(module, module.sampling_rate, encode, decode, (module.codebook_size - 1).bit_length())


@cache
def _pretrained(config: Path, weights: Path) -> Any:
    network = load_package().SNAC
    with quiet(), reading(weights):
        module = network(**json.loads(config.read_text(encoding="utf-8")))
        module.load_state_dict(read_weights(weights))
        return module.eval()
