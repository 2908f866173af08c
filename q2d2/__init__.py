"""Q2D2: a neural speech codec with two-dimensional lattice quantization.

codec = q2d2.load()
data = codec.compress(wav, sample_rate, rate="3k")  # bytes of a .q2d2 file
wav = codec.decompress(data)

Names are imported when they are used: `q2d2 --help` and the file format need no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from q2d2.checkpoint import load, save
    from q2d2.codec import Codec, CodecConfig, Codes
    from q2d2.grid import BCCGrid, FCCGrid, HexagonalGrid, RectangularGrid, RegularHexagonalGrid, RhombicGrid
    from q2d2.quantizer import OFFICIAL, PAPER, Q2D2, Quantized, Variant
    from q2d2.refinement import Refinement
    from q2d2.tokens.reading import TokenRow, read_tokens

__all__ = [
    "OFFICIAL",
    "PAPER",
    "Q2D2",
    "BCCGrid",
    "Codec",
    "CodecConfig",
    "Codes",
    "FCCGrid",
    "HexagonalGrid",
    "Quantized",
    "RectangularGrid",
    "Refinement",
    "RegularHexagonalGrid",
    "RhombicGrid",
    "TokenRow",
    "Variant",
    "load",
    "read_tokens",
    "save",
]

_HOMES = dict.fromkeys(("OFFICIAL", "PAPER", "Q2D2", "Quantized", "Variant"), "quantizer")
_HOMES |= {"Refinement": "refinement"}
_HOMES |= dict.fromkeys(("Codec", "CodecConfig", "Codes"), "codec")
_HOMES |= dict.fromkeys(("load", "save"), "checkpoint")
_HOMES |= dict.fromkeys(("TokenRow", "read_tokens"), "tokens.reading")
_HOMES |= {name: "grid" for name in __all__ if name.endswith("Grid")}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'q2d2' has no attribute {name!r}")
    value = getattr(import_module(f"q2d2.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
