"""DAC, the Descript audio codec (Kumar et al. 2023), from the package `descript-audio-codec`.

That package asks for audiotools, which pins a protobuf of years ago, and needs of it a base class and a few names in
annotations. So it is installed without its dependencies, and small stand-ins take their place while it is imported. Its
.dac files are not used: they store each code of 10 bits in 16, and open as pickles only.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from q2d2.evaluate.peers.base import Clip, Coded
from q2d2.evaluate.peers.network import Needs, Network, missing_weights, quiet, read_weights, reading
from q2d2.evaluate.torchaudio_stub import without_torchaudio

NEEDS = Needs(("dac", "einops"), "pip install --no-deps einops descript-audio-codec==1.0.0")


class _Release(NamedTuple):
    tag: str
    url: str  # under the releases of the project
    codebooks: int


_RELEASES = {  # those of 8 kbit/s by name; whose 24 kHz model has 24 kbit/s
    16: _Release("0.0.5", "0.0.5/weights_16khz.pth", 12),
    24: _Release("0.0.4", "0.0.4/weights_24khz.pth", 32),
    44: _Release("0.0.1", "0.0.1/weights.pth", 9),
}
_URL = "https://github.com/descriptinc/descript-audio-codec/releases/download"
_RANDOM = {"sample_rate": 24_000, "encoder_rates": [2, 4, 5, 8], "decoder_rates": [8, 5, 4, 2], "n_codebooks": 32}

FORM = f"dac-KHZ ({', '.join(map(str, _RELEASES))}) or dac-KHZxCODEBOOKS (as dac-24x4: the first 4 of its codebooks)"


@dataclass(frozen=True)
class Dac:
    """One of the published models, with all of its codebooks or the first few, at 10 bits each a frame."""

    khz: int
    codebooks: int | None = None
    may_delay: bool = True

    @property
    def name(self) -> str:
        return f"dac-{self.khz}" + (f"x{self.codebooks}" if self.codebooks else "")

    def missing(self) -> str | None:
        return NEEDS.missing() or missing_weights(weights(self.khz), f"{_URL}/{_RELEASES[self.khz].url}")

    def code(self, clip: Clip) -> Coded:
        return _network(_pretrained(weights(self.khz)), self.codebooks).code(clip)


def parse(setting: str) -> Dac | None:
    """The DAC of KHZ or KHZxCODEBOOKS, if it has as many."""
    khz, times, codebooks = setting.partition("x")
    release = {str(known): known for known in _RELEASES}.get(khz)
    if release is None:
        return None
    if not times:
        return Dac(release)
    known = codebooks.isdecimal() and 1 <= int(codebooks) <= _RELEASES[release].codebooks
    return Dac(release, int(codebooks)) if known else None


def weights(khz: int) -> Path:
    """Where the package keeps them."""
    return Path.home() / ".cache" / "descript" / "dac" / f"weights_{khz}khz_8kbps_{_RELEASES[khz].tag}.pth"


def random_network() -> Network:
    """Random weights, at 24 kHz with all 32 codebooks."""
    package = load_package()
    with quiet():
        return _network(package.DAC(**_RANDOM).eval(), None)


class _BaseModel(nn.Module):
    """What its network takes from audiotools: a module, with two lists that it extends."""

    INTERN: ClassVar[list[str]] = []
    EXTERN: ClassVar[list[str]] = []


def _as_it_is(*_: object, **__: object) -> Callable[[Any], Any]:
    """For argbind's decorator, which makes options of a program out of arguments."""
    return lambda function: function


_STAND_INS: Mapping[str, Mapping[str, object]] = {
    "audiotools": {"AudioSignal": object, "STFTParams": object},
    "audiotools.ml": {"BaseModel": _BaseModel, "Accelerator": object},
    "argbind": {"bind": _as_it_is},
}


def load_package() -> ModuleType:
    """Import it, with stand-ins for what it can do without. MissingExtraError if it is not installed."""
    NEEDS.require()
    with quiet(), without_torchaudio(*_STAND_INS):
        for module, names in _STAND_INS.items():
            for name, stand_in in names.items():
                vars(sys.modules[module]).setdefault(name, stand_in)  # the real ones stay, if they are imported already
        return import_module("dac")


def _network(module: Any, codebooks: int | None) -> Network:
    def encode(wav: torch.Tensor) -> list[torch.Tensor]:
        padded = module.preprocess(wav[:, None], module.sample_rate)
        return list(module.encode(padded, codebooks)[1].unbind(1))

    def decode(codes: list[torch.Tensor]) -> torch.Tensor:
        return module.decode(module.quantizer.from_codes(torch.stack(codes, 1))[0])[:, 0]

    return Network(module, module.sample_rate, encode, decode, (module.codebook_size - 1).bit_length())


@cache
def _pretrained(path: Path) -> Any:
    network = load_package().DAC
    with quiet(), reading(path):
        saved = read_weights(path)
        known = inspect.signature(network).parameters
        module = network(**{name: value for name, value in saved["metadata"]["kwargs"].items() if name in known})
        module.load_state_dict(saved["state_dict"])
        return module.eval()
