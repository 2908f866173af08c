"""Named configurations, as frozen dataclass instances: what `q2d2 train --preset NAME` trains."""

from __future__ import annotations

from dataclasses import replace

from q2d2.baselines import FSQConfig, VQConfig
from q2d2.codec import CodecConfig
from q2d2.decoder import HarmonicDecoderConfig
from q2d2.encoder import SpectralEncoderConfig
from q2d2.grid import RhombicGrid
from q2d2.quantizer import Q2D2Config
from q2d2.seanet import SEANetConfig
from q2d2.vocos import VocosConfig

R7, R9 = RhombicGrid((7, 7)), RhombicGrid((9, 9))

# One model, three rates: 1.03, 3.32 and 6.77 kbps are prefixes of the same 18 pairs, at 53.3 frames a second.
SPEECH = CodecConfig(
    name="speech",
    encoder=SpectralEncoderConfig(),
    quantizer=Q2D2Config(dim=320, grids=(R7,) * 3 + (R9,) * 15),
    decoder=HarmonicDecoderConfig(),
    rates={"1k": 3, "3k": 9, "7k": 18},
)

# The same in miniature, for tests and tutorials: every path of `speech`, in milliseconds.
TINY = CodecConfig(
    name="tiny",
    encoder=SpectralEncoderConfig(dim=16, fine_dim=8, fine_layers=1, layers=1),
    quantizer=Q2D2Config(dim=16, grids=(R7,) * 2 + (R9,) * 2),
    decoder=HarmonicDecoderConfig(features=16, dim=16, layers=1, fine_dim=8, fine_layers=1, num_pairs=4, pitch_dim=8),
    rates={"1k": 2, "3k": 3, "7k": 4},
)

# The paper's (section 4.1): WavTokenizer with its quantizer replaced, one model per rate. Strides as applied.
PAPER_1K = CodecConfig(
    name="paper-1k",
    encoder=SEANetConfig(strides=(3, 5, 5, 6)),
    quantizer=Q2D2Config(dim=512, grids=(R7, R7, R7)),
    decoder=VocosConfig(hop=450),
)
PAPER_3K = replace(
    PAPER_1K,
    name="paper-3k",
    encoder=SEANetConfig(strides=(2, 3, 4, 6)),
    quantizer=Q2D2Config(dim=512, grids=(R9, R7, R7)),
    decoder=VocosConfig(hop=144),
)
PAPER_7K = replace(
    PAPER_1K,
    name="paper-7k",
    encoder=SEANetConfig(strides=(1, 3, 4, 6)),
    quantizer=Q2D2Config(dim=512, grids=(R9, R9, R7)),
    decoder=VocosConfig(hop=72),
)

# WavTokenizer itself: one codebook of 4096, 0.9 and 0.48 kbps; and FSQ in its place at 12.1 bits.
WAVTOKENIZER_75 = CodecConfig(
    name="wavtokenizer-75",
    encoder=SEANetConfig(strides=(2, 4, 5, 8)),
    quantizer=VQConfig(dim=512, codebook_size=4096),
    decoder=VocosConfig(hop=320),
)
WAVTOKENIZER_40 = replace(
    WAVTOKENIZER_75, name="wavtokenizer-40", encoder=SEANetConfig(strides=(4, 5, 5, 6)), decoder=VocosConfig(hop=600)
)
FSQ_75 = replace(WAVTOKENIZER_75, name="fsq-75", quantizer=FSQConfig(dim=512, levels=(7, 5, 5, 5, 5)))

PRESETS: dict[str, CodecConfig] = {
    config.name: config
    for config in (SPEECH, TINY, PAPER_1K, PAPER_3K, PAPER_7K, WAVTOKENIZER_75, WAVTOKENIZER_40, FSQ_75)
}
