"""Named configurations, as frozen dataclass instances."""

from __future__ import annotations

from q2d2.codec import CodecConfig
from q2d2.decoder import HarmonicDecoderConfig
from q2d2.encoder import SpectralEncoderConfig
from q2d2.grid import RhombicGrid
from q2d2.quantizer import Q2D2Config

SPEECH = CodecConfig(
    name="speech",
    encoder=SpectralEncoderConfig(),
    quantizer=Q2D2Config(dim=320, grids=(RhombicGrid((7, 7)),) * 3 + (RhombicGrid((9, 9)),) * 15),
    decoder=HarmonicDecoderConfig(),
    rates={"1k": 3, "3k": 9, "7k": 18},
)
