"""Named configurations, as frozen dataclass instances: what `q2d2 train --preset NAME` trains."""

from __future__ import annotations

import math
from dataclasses import replace

from q2d2 import allocations
from q2d2.baselines import FSQConfig, IdentityConfig, RVQConfig, VQConfig
from q2d2.config import CodecConfig, DecoderConfig, EncoderConfig, QuantizerConfig
from q2d2.decoder import HarmonicDecoderConfig
from q2d2.encoder import SpectralEncoderConfig
from q2d2.grid import AnyGrid, BCCGrid, HexagonalGrid, RectangularGrid, RegularHexagonalGrid, RhombicGrid
from q2d2.quantizer import OFFICIAL, PAPER, Q2D2Config, Variant
from q2d2.seanet import SEANetConfig
from q2d2.vocos import VocosConfig

R7, R9 = RhombicGrid((7, 7)), RhombicGrid((9, 9))

# One model, three rates: prefixes of the same 48 pairs at 53.3 frames a second, of which the later refine the earlier.
# Their indices are 1.44, 4.01 and 7.70 kbps, planned for files of 1.03, 3.3 and 6.8 kbps; they are 0.99, 2.80 and 5.40.
SPEECH = CodecConfig(
    name="speech",
    encoder=SpectralEncoderConfig(bypass=64, high_pass_hz=30.0),
    quantizer=Q2D2Config(dim=320, grids=allocations.CODED),
    decoder=HarmonicDecoderConfig(num_pairs=48, bypass=64),
    rates={"1k": 6, "3k": 20, "7k": 48},
)

# For conversations: nothing but the inverse STFT, less than one frame of it, looks ahead; and a quarter of the size.
SPEECH_LIVE = CodecConfig(
    name="speech-live",
    encoder=SpectralEncoderConfig(dim=160, fine_dim=128, bypass=36, causal=True),
    quantizer=Q2D2Config(dim=160, grids=allocations.EQUAL),
    decoder=HarmonicDecoderConfig(features=160, dim=192, layers=4, fine_dim=128, pitch_dim=48, bypass=64, causal=True),
    rates={"1k": 3, "3k": 9, "7k": 18},
)

# The same in miniature, for tests and tutorials: every path of `speech`, in milliseconds.
TINY = CodecConfig(
    name="tiny",
    encoder=SpectralEncoderConfig(dim=16, fine_dim=8, fine_layers=1, layers=1, bypass=8),
    quantizer=Q2D2Config(dim=16, grids=(R7,) * 2 + (R9,) * 2),
    decoder=HarmonicDecoderConfig(
        features=16, dim=16, layers=1, fine_dim=8, fine_layers=1, num_pairs=4, pitch_dim=8, bypass=3
    ),
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


def _paper(
    name: str, *grids: AnyGrid, strides: tuple[int, ...] = (3, 5, 5, 6), variant: Variant = PAPER
) -> CodecConfig:
    """`paper-1k` with other grids, another hop or a variant of the quantizer."""
    quantizer = Q2D2Config(dim=512, grids=grids, variant=variant)
    return replace(_with_strides(PAPER_1K, strides), name=name, quantizer=quantizer)


def _with_strides(config: CodecConfig, strides: tuple[int, ...]) -> CodecConfig:
    return replace(config, encoder=SEANetConfig(strides=strides), decoder=VocosConfig(hop=math.prod(strides)))


HEX7, HEX9 = HexagonalGrid((7, 7)), HexagonalGrid((9, 9))

# The paper's ablations: `paper-1k` with one thing changed. Bits per frame where they differ from its 19.23.
ABLATIONS = (
    # Table 8, grids: at the paper's levels; then, with others, at (nearly) the bits of rhombic [7]*6
    _paper("grid-rectangular-7", *[RectangularGrid((7, 7))] * 3),  # 16.84
    _paper("grid-hexagonal-7", *[HEX7] * 3),  # 16.84
    _paper("grid-rectangular-9", *[RectangularGrid((9, 9))] * 3),  # 19.02
    _paper("grid-hexagonal-9", *[HEX9] * 3),  # 19.02
    _paper("grid-regular-hexagonal-9", *[RegularHexagonalGrid((9, 9))] * 3),  # 19.02
    _paper("grid-bcc-8", *[BCCGrid((8, 8, 8))] * 2),  # 19.48
    replace(PAPER_1K, name="fsq-9", quantizer=FSQConfig(dim=512, levels=(9,) * 6)),  # 19.02
    replace(PAPER_1K, name="rvq-2x768", quantizer=RVQConfig(dim=512, stages=2, codebook_size=768)),  # 19.17
    replace(PAPER_1K, name="identity", quantizer=IdentityConfig(dim=512)),  # what no quantizer would lose
    # Table 9, dimensions at 1 kbps; of the eight levels of its first row one is missing in print, 3 fits the bitrate
    _paper("dimensions-4", *[RhombicGrid((19, 19))] * 2),  # 18.84
    _paper("dimensions-8", *[RhombicGrid((5, 5))] * 2, RhombicGrid((5, 3)), RhombicGrid((3, 3))),  # 18.94
    # Table 10, levels: `paper-1k`, -3k, -7k, and those of 9.5 and 25 kbps, whose hops fit the count of Eq. 4 only
    _paper("levels-9", R9, R9, R9, strides=(1, 2, 4, 6)),  # 21.54 at 500 frames a second: 10.8 kbps
    _paper("levels-11", *[RhombicGrid((11, 11))] * 3, strides=(1, 2, 2, 5)),  # 23.36 at 1,200: 28.0 kbps
    # Table 11, input projection, on the hexagonal grid of `grid-hexagonal-7`
    _paper("projection-linear", *[HEX7] * 3, variant=Variant(input_projection="linear")),  # 16.84
    _paper("projection-layernorm", *[HEX7] * 3, variant=Variant(input_projection="layernorm")),  # 16.84
    # Table 12, row offset: `grid-hexagonal-7` has dx/4
    _paper("offset-half", *[HexagonalGrid((7, 7), offset=0.5)] * 3),  # 16.84
    _paper("offset-none", *[HexagonalGrid((7, 7), offset=0.0)] * 3),  # 16.84
    # Appendix D: spread and bound, midpoints as Algorithm 3 reads, gradients; and the public code's choices together
    _paper("bound-extent", R7, R7, R7, variant=Variant(bound="extent")),
    _paper("midpoints-full", *[RhombicGrid((7, 7), midpoints="full")] * 3),  # 19.84
    _paper("gradient-rotation", R7, R7, R7, variant=Variant(gradient="rotation")),
    _paper("gradient-noise", R7, R7, R7, variant=Variant(gradient="noise")),
    _paper("official", R7, R7, R7, variant=OFFICIAL),
)
RVQ_75 = replace(WAVTOKENIZER_75, name="rvq-75", quantizer=RVQConfig(dim=512, stages=8, codebook_size=1024))


def _base(name: str, quantizer: QuantizerConfig) -> CodecConfig:
    """The networks of `speech` at half the width and fewer layers, for comparisons that fit a small budget."""
    return CodecConfig(
        name=name,
        encoder=SpectralEncoderConfig(dim=160, fine_dim=128, fine_layers=1, layers=2),
        quantizer=quantizer,
        # as many pairs as any of them has: the decoder is the same for all
        decoder=HarmonicDecoderConfig(
            features=160, dim=192, layers=3, fine_dim=128, fine_layers=2, num_pairs=4, pitch_dim=48
        ),
    )


# Our comparison of quantizers: the same networks, 12.7 or 12.8 bits a frame, 53.3 frames a second, 0.68 kbps
BASE = (
    _base("base-rhombic", Q2D2Config(dim=160, grids=(R7,) * 2)),  # 12.82
    _base("base-rectangular", Q2D2Config(dim=160, grids=(RectangularGrid((9, 9)),) * 2)),  # 12.68
    _base("base-hexagonal", Q2D2Config(dim=160, grids=(HEX9,) * 2)),  # 12.68
    _base("base-regular-hexagonal", Q2D2Config(dim=160, grids=(RegularHexagonalGrid((9, 9)),) * 2)),  # 12.68
    _base("base-fsq", FSQConfig(dim=160, levels=(9,) * 4)),  # 12.68
    _base("base-vq", VQConfig(dim=160, codebook_size=85**2)),  # 12.82
    _base("base-rvq", RVQConfig(dim=160, stages=2, codebook_size=85)),  # 12.82
    _base("base-identity", IdentityConfig(dim=160)),  # what no quantizer would lose
)


def _half(name: str, grids: allocations.Grids, rates: tuple[int, int, int]) -> CodecConfig:
    """The networks of `speech` at half the width, over other grids."""
    return CodecConfig(
        name=name,
        encoder=SpectralEncoderConfig(dim=160, fine_dim=128, bypass=96),
        quantizer=Q2D2Config(dim=160, grids=grids),
        decoder=HarmonicDecoderConfig(features=160, dim=192, fine_dim=128, num_pairs=48, pitch_dim=48, bypass=64),
        rates=dict(zip(SPEECH.rates, rates, strict=True)),
    )


# Where the bits of `speech` go: 19.2, 62 and 127 bits a frame in three ways, and the grids of `speech` itself
ALLOCATIONS = (
    _half("allocation-equal", allocations.EQUAL, (3, 9, 18)),
    _half("allocation-graded", allocations.GRADED, (4, 16, 40)),
    _half("allocation-refined", allocations.REFINED, (5, 20, 47)),
    _half("allocation-coded", allocations.CODED, (6, 20, 48)),
)

# Which models each comparison is between. The first six are the paper's tables and its Appendix D, with twins.
TABLES: dict[str, tuple[str, ...]] = {
    "8": (
        "paper-1k",
        "grid-rectangular-7",
        "grid-hexagonal-7",
        "grid-rectangular-9",
        "grid-hexagonal-9",
        "grid-regular-hexagonal-9",
        "grid-bcc-8",
        "fsq-9",
        "rvq-2x768",
        "identity",
    ),
    "9": ("dimensions-8", "paper-1k", "dimensions-4"),
    "10": ("levels-11", "levels-9", "paper-7k", "paper-3k", "paper-1k"),
    "11": ("projection-linear", "projection-layernorm", "grid-hexagonal-7"),
    "12": ("offset-half", "grid-hexagonal-7", "offset-none"),
    "appendix-d": ("paper-1k", "bound-extent", "midpoints-full", "gradient-rotation", "gradient-noise", "official"),
    "base": tuple(config.name for config in BASE),
    "allocations": tuple(config.name for config in ALLOCATIONS),
}

PRESETS: dict[str, CodecConfig] = {
    config.name: config
    for config in (
        *(
            SPEECH,
            SPEECH_LIVE,
            TINY,
            PAPER_1K,
            PAPER_3K,
            PAPER_7K,
            WAVTOKENIZER_75,
            WAVTOKENIZER_40,
            FSQ_75,
            RVQ_75,
        ),
        *ABLATIONS,
        *BASE,
        *ALLOCATIONS,
    )
}
MINIATURE = "tiny-"


def find(name: str) -> CodecConfig:
    """The preset of this name; `tiny-NAME` is NAME in miniature. ValueError with the names there are."""
    full = name.removeprefix(MINIATURE)
    if full not in PRESETS:
        raise ValueError(
            f"there is no preset {name}: give one of {', '.join(PRESETS)}, or {MINIATURE}NAME for a small one"
        )
    return PRESETS[name] if name in PRESETS else miniature(PRESETS[full])


def miniature(config: CodecConfig) -> CodecConfig:
    """The same tokens and the same paths through networks of a few ten thousand parameters: for tests and tutorials."""
    dim = 32
    if isinstance(config.encoder, SEANetConfig):
        encoder: EncoderConfig = replace(config.encoder, dim=dim, width=4, lstm_layers=1)
    else:
        encoder = replace(config.encoder, dim=dim, fine_dim=8, fine_layers=1, layers=1, bypass=0)
    if isinstance(config.decoder, VocosConfig):
        decoder: DecoderConfig = replace(config.decoder, dim=dim, width=32, inner=64, layers=2)
    else:
        decoder = replace(config.decoder, features=dim, dim=16, layers=1, fine_dim=8, fine_layers=1, pitch_dim=8)
    quantizer = replace(config.quantizer, dim=dim)
    if isinstance(quantizer, VQConfig | RVQConfig):
        quantizer = replace(quantizer, codebook_size=64)
    return replace(config, name=MINIATURE + config.name, encoder=encoder, quantizer=quantizer, decoder=decoder)
