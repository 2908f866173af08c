"""A codec as data, JSON through pydantic: its encoder, quantizer and decoder, and the building of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from pydantic import Discriminator

from q2d2.baselines import FSQ, RVQ, VQ, FSQConfig, Identity, IdentityConfig, RVQConfig, VQConfig
from q2d2.decoder import Decoder, HarmonicDecoder, HarmonicDecoderConfig
from q2d2.encoder import Encoder, SpectralEncoder, SpectralEncoderConfig
from q2d2.quantizer import Q2D2, Q2D2Config, Quantizer
from q2d2.seanet import SEANetConfig, SEANetEncoder
from q2d2.vocos import VocosConfig, VocosDecoder

EncoderConfig = Annotated[SpectralEncoderConfig | SEANetConfig, Discriminator("kind")]
QuantizerConfig = Annotated[Q2D2Config | FSQConfig | VQConfig | RVQConfig | IdentityConfig, Discriminator("kind")]
DecoderConfig = Annotated[HarmonicDecoderConfig | VocosConfig, Discriminator("kind")]


@dataclass(frozen=True)
class CodecConfig:
    """A codec as data. `rates` names prefixes of the quantizer's pairs, lowest first; the last is the default."""

    name: str
    encoder: EncoderConfig
    quantizer: QuantizerConfig
    decoder: DecoderConfig
    rates: dict[str, int] = field(default_factory=dict)
    sample_rate_hz: int = 24000


class Parts(NamedTuple):
    """What a codec is made of, in the order of the data."""

    encoder: Encoder
    quantizer: Quantizer
    decoder: Decoder


def build(config: CodecConfig) -> Parts:
    """The parts, freshly initialised; ValueError if they do not fit each other or the rates."""
    parts = Parts(_encoder(config.encoder), _quantizer(config.quantizer), _decoder(config.decoder))
    encoder, decoder, pairs = config.encoder, config.decoder, parts.quantizer.num_pairs
    _agree("hop", parts.encoder.hop, parts.decoder.hop)
    decoder_width = decoder.features if isinstance(decoder, HarmonicDecoderConfig) else decoder.dim
    _agree("width", encoder.dim, config.quantizer.dim, decoder_width)
    if isinstance(encoder, SpectralEncoderConfig):
        _agree("sample rate", encoder.sample_rate_hz, config.sample_rate_hz)
    if isinstance(decoder, HarmonicDecoderConfig):
        _agree("sample rate", decoder.sample_rate_hz, config.sample_rate_hz)
        if decoder.num_pairs < pairs:
            raise ValueError(f"the decoder knows rates of up to {decoder.num_pairs} pairs, the quantizer has {pairs}")
    for name, count in config.rates.items():
        if not 1 <= count <= pairs:
            raise ValueError(f"the rate {name} has {count} pairs, the quantizer {pairs}")
    return parts


def _agree(what: str, *values: int) -> None:
    if len(set(values)) > 1:
        raise ValueError(f"the parts of the codec differ in {what}: {', '.join(map(str, values))}")


def _encoder(config: EncoderConfig) -> Encoder:
    return SEANetEncoder(config) if isinstance(config, SEANetConfig) else SpectralEncoder(config)


def _decoder(config: DecoderConfig) -> Decoder:
    return VocosDecoder(config) if isinstance(config, VocosConfig) else HarmonicDecoder(config)


def _quantizer(config: QuantizerConfig) -> Quantizer:
    match config:
        case Q2D2Config():
            return Q2D2.from_config(config)
        case FSQConfig():
            return FSQ(config)
        case VQConfig():
            return VQ(config)
        case RVQConfig():
            return RVQ(config)
        case IdentityConfig():
            return Identity(config)
