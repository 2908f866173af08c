"""Q2D2: a neural speech codec with two-dimensional lattice quantization.

codec = q2d2.load()
data = codec.compress(wav, sample_rate, rate="3k")  # bytes of a .q2d2 file
wav = codec.decompress(data)
"""

from q2d2.checkpoint import load, save
from q2d2.codec import Codec, CodecConfig, Codes
from q2d2.grid import BCCGrid, FCCGrid, HexagonalGrid, RectangularGrid, RegularHexagonalGrid, RhombicGrid
from q2d2.quantizer import OFFICIAL, PAPER, Q2D2, Quantized, Variant

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
    "RegularHexagonalGrid",
    "RhombicGrid",
    "Variant",
    "load",
    "save",
]
