"""A new codec and some speech -> a codec that is a linear vocoder already, before the first step of training.

What so many channels can say of a frame of speech by matrices alone has a solution in closed form, and the codec begins
with it. The encoder's bypass becomes the best linear predictors, from the features of a frame, of its log-mel spectrum,
pitch and voicing (reduced-rank regression, in the order of what they explain, so that every prefix of the pairs is the
best one of its size); the quantizer hands them through; the decoder's bypass makes the envelope of them again (ridge
regression). The networks beside both begin small. It takes seconds, in place of many minutes of training, and finds
what training from noise does not (docs/log.md, 2026-11-25).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from q2d2.codec import Codec
from q2d2.decoder import HarmonicDecoder
from q2d2.encoder import SpectralEncoder
from q2d2.layers import Bypass
from q2d2.quantizer import Q2D2
from q2d2.spectral import mel_filters, windowed_frames
from q2d2.train.allocation import Channels
from q2d2.train.data import Speech
from q2d2.train.pitch import track_pitch

AIMING, SHAPING, LEVELLING = 48, 24, 4  # batches of the recipe's size for each of three parts
WINDOW_S = 0.025  # of the log-mel spectrum
FLOOR = 1e-3  # of its amplitudes
PITCH_WEIGHT = 4.0  # of pitch (octaves) and voicing beside a band (nepers): few numbers, and much depends on them
# z = tanh(x / (SPREAD * standard deviation)): within 1 % of the best for 3 to 13 levels (docs/quantizer.md)
SPREAD = 1.9
EDGE = 8  # frames that the ends of a crop disturb


def is_possible(codec: Codec) -> bool:
    """Whether it has the linear ways, wide enough for all channels of its quantizer."""
    encoder, quantizer, decoder = codec.encoder, codec.quantizer, codec.decoder
    return (
        isinstance(encoder, SpectralEncoder)
        and isinstance(decoder, HarmonicDecoder)
        and isinstance(quantizer, Q2D2)
        and isinstance(quantizer.project_in, nn.Linear)
        and quantizer.variant.input_projection == "tanh"
        and encoder.bypass is not None
        and decoder.bypass is not None
        and encoder.config.bypass >= quantizer.channels <= decoder.config.dim
    )


@torch.no_grad()
def begin(codec: Codec, speech: Speech) -> None:
    """Fit the linear ways of a new codec, for which it `is_possible`, on the first batches of `speech`."""
    encoder, quantizer, decoder = codec.encoder, codec.quantizer, codec.decoder
    assert isinstance(encoder, SpectralEncoder)
    assert isinstance(quantizer, Q2D2)
    assert isinstance(decoder, HarmonicDecoder)
    codec.eval()
    _aim(codec, encoder, _batches(codec, speech, 0, AIMING))
    _hand_through(quantizer, decoder)
    _shape(codec, decoder, quantizer, _batches(codec, speech, AIMING, SHAPING))
    _level(codec, decoder, list(_batches(codec, speech, AIMING + SHAPING, LEVELLING)))
    codec.train()


@torch.no_grad()
def channels_of(codec: Codec, speech: Speech) -> Channels:
    """The channels that a codec with this encoder begins with, as many as there are, for `allocation`."""
    assert isinstance(codec.encoder, SpectralEncoder)
    found = _predictors(codec, codec.encoder, _batches(codec, speech, 0, AIMING))
    return Channels(found.variance.cpu().numpy(), found.correlation.cpu().numpy())


class _Predictors(NamedTuple):
    """Linear predictors of a frame's log-mel spectrum, pitch and voicing; the first ones explain the most."""

    matrix: Float[Tensor, "channels inputs"]
    variance: Float[Tensor, " channels"]
    correlation: Float[Tensor, " channels"]  # of a frame with the one before
    mean: Float[Tensor, " inputs"]


class Regression:
    """Sums of y and of x with a constant, from which linear maps follow."""

    def __init__(self) -> None:
        self.xx = self.xy = torch.zeros(())

    def add(self, x: Float[Tensor, "batch frames inputs"], y: Float[Tensor, "batch frames outputs"]) -> None:
        rows = nn.functional.pad(_inner(x), (0, 1), value=1.0)
        self.xx, self.xy = self.xx + rows.T @ rows, self.xy + rows.T @ _inner(y)

    @property
    def mean(self) -> Float[Tensor, " inputs"]:
        return self.xx[-1, :-1] / self.xx[-1, -1]

    @property
    def covariance(self) -> Float[Tensor, "inputs inputs"]:
        return self.xx[:-1, :-1] / self.xx[-1, -1] - self.mean.outer(self.mean)

    @property
    def cross_covariance(self) -> Float[Tensor, "inputs outputs"]:
        return self.xy[:-1] / self.xx[-1, -1] - self.mean.outer(self.xy[-1] / self.xx[-1, -1])

    def solve(self) -> tuple[Float[Tensor, "outputs inputs"], Float[Tensor, " outputs"]]:
        """Matrix and constant of the ridge regression of y on x."""
        ridge = 1e-4 * self.xx.diag().mean() * torch.eye(len(self.xx), device=self.xx.device, dtype=self.xx.dtype)
        found = torch.linalg.solve(self.xx + ridge, self.xy)
        return found[:-1].T, found[-1]

    def directions(self) -> tuple[Float[Tensor, "outputs inputs"], Float[Tensor, " outputs"]]:
        """Reduced-rank regression: orthogonal parts of what x tells of y, the largest first, and their variances."""
        matrix, _ = self.solve()
        explained = matrix @ self.covariance @ matrix.T
        variance, directions = torch.linalg.eigh((explained + explained.T) / 2)
        return directions.flip(1).T @ matrix, variance.flip(0).clamp(min=1e-12)


def _predictors(codec: Codec, encoder: SpectralEncoder, batches: Iterator[Tensor]) -> _Predictors:
    """Reduced-rank regression: what to tell of a frame if so much can be told."""
    regression, next_frame = Regression(), Regression()
    for wav in batches:
        features = encoder.spectral_frames(encoder.features(wav))
        regression.add(features, targets(codec, wav))
        next_frame.add(features[:, :-1], features[:, 1:])
    predictors, variance = regression.directions()
    correlation = ((predictors @ next_frame.cross_covariance) * predictors).sum(1) / variance
    return _Predictors(predictors, variance, correlation, regression.mean)


def _aim(codec: Codec, encoder: SpectralEncoder, batches: Iterator[Tensor]) -> None:
    """The latent's first channels become the best linear predictors, the first of them those that explain the most."""
    assert isinstance(encoder.bypass, Bypass)
    assert isinstance(codec.quantizer, Q2D2)
    channels, found = codec.quantizer.channels, _predictors(codec, encoder, batches)
    predictors = found.matrix[:channels] / (SPREAD * found.variance[:channels].sqrt())[:, None]
    straight = torch.eye(encoder.config.dim, channels, dtype=predictors.dtype, device=predictors.device)
    _set(encoder.bypass, predictors, straight, -straight @ predictors @ found.mean)
    encoder.norm.weight.fill_(0.1)


def _hand_through(quantizer: Q2D2, decoder: HarmonicDecoder) -> None:
    """The latent's first channels are what is quantized, and stand out in the decoder's coarse stage."""
    channels = quantizer.channels
    assert isinstance(quantizer.project_in, nn.Linear)
    assert isinstance(quantizer.project_out, nn.Linear)
    for linear, faint in ((quantizer.project_in, 0.05), (quantizer.project_out, 0.02), (decoder.embed, 0.02)):
        nn.init.normal_(linear.weight, std=faint)
        nn.init.zeros_(linear.bias)
    quantizer.project_in.weight[:, :channels] = torch.eye(channels)
    quantizer.project_out.weight[:channels] = quantizer.synthesis_matrix().float()
    width = decoder.config.dim
    axes, _ = torch.linalg.qr(torch.randn(width, channels, device=decoder.embed.weight.device))
    decoder.embed.weight[:, :channels] = 0.15 * width**0.5 * axes


def _shape(codec: Codec, decoder: HarmonicDecoder, quantizer: Q2D2, batches: Iterator[Tensor]) -> None:
    """The decoder's bypass becomes the best linear map from its coarse stage to the envelope, over all rates."""
    assert isinstance(decoder.bypass, Bypass)
    regression = Regression()
    for wav in batches:
        latent, target = codec.encoder(wav), _log_mel(codec, wav)
        for rate in codec.config.rates.values() or [quantizer.num_pairs]:
            pairs = _pairs(wav, rate)
            regression.add(decoder.coarse(quantizer(latent, num_pairs=pairs).features, pairs), target)
    matrix, constant = regression.solve()
    # the best of this rank: the largest directions of what comes out
    spread = regression.covariance
    root = torch.linalg.cholesky(spread + 1e-6 * spread.diag().mean() * torch.eye(len(spread), device=spread.device))
    left, sizes, right = torch.linalg.svd(matrix @ root, full_matrices=False)
    rank = decoder.config.bypass
    down = torch.linalg.solve_triangular(root, right[:rank], upper=False, left=False)
    up = left[:, :rank] * sizes[:rank]
    _set(decoder.bypass, down, up, constant + (matrix - up @ down) @ regression.mean)
    tone, _, breath = decoder.head.bias.chunk(3)
    tone.fill_(0.0)
    breath.fill_(-2.0)


def _level(codec: Codec, decoder: HarmonicDecoder, wavs: list[Tensor]) -> None:
    """The envelope's constant becomes what makes the output as loud as the input, band by band."""
    assert isinstance(decoder.bypass, Bypass)
    for _ in range(3):  # the floor of the logarithm makes it not quite linear
        errors = []
        for wav in wavs:
            made = codec(wav, _pairs(wav, codec.quantizer.num_pairs)).decoded.wav
            errors.append(_inner(_log_mel(codec, wav) - _log_mel(codec, made)).mean(0))
        decoder.bypass.up.bias.add_(torch.stack(errors).mean(0))


def _set(bypass: Bypass, down: Tensor, up: Tensor, constant: Tensor) -> None:
    """up @ down x + constant, with the scale between the two such that `down` is of the size it is drawn with."""
    rank, inputs = down.shape
    size = down.norm(dim=1)
    nn.init.normal_(bypass.up.weight, std=0.02)
    bypass.down.weight[:rank] = down / size[:, None] * inputs**0.5
    bypass.up.weight[:, :rank] = up * size
    bypass.up.bias.copy_(constant)


def _batches(codec: Codec, speech: Speech, first: int, count: int) -> Iterator[Tensor]:
    for step in range(first, first + count):
        yield speech.batch_at(step).wav.to(codec.silence.device)


def _inner(x: Tensor) -> Tensor:
    """[batch frames channels] -> [rows channels] in float64, without the frames at the ends."""
    edge = min(EDGE, (x.shape[1] - 1) // 2)
    return x[:, edge : x.shape[1] - edge].flatten(0, 1).double()


def _pairs(wav: Tensor, rate: int) -> Int64[Tensor, " batch"]:
    return torch.full((len(wav),), rate, device=wav.device)


def targets(codec: Codec, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames numbers"]:
    """What channels are to tell of a frame: its log-mel spectrum, pitch and voicing."""
    return torch.cat([_log_mel(codec, wav), PITCH_WEIGHT * _pitch(codec, wav)], -1)


def _log_mel(codec: Codec, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames bands"]:
    """The logarithms of all bands at all fine frames of a frame."""
    assert isinstance(codec.decoder, HarmonicDecoder)
    config, bands = codec.decoder.config, codec.decoder.bands
    width = round(WINDOW_S * config.sample_rate_hz)
    filters = mel_filters(config.sample_rate_hz, width, bands).to(wav.device)
    amplitude = torch.fft.rfft(windowed_frames(wav, width, config.hop_fine)).abs() @ filters / (width / 4)
    return torch.log(amplitude + FLOOR).unflatten(1, (-1, config.upsample)).flatten(2)


def _pitch(codec: Codec, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames numbers"]:
    """Octaves above 150 Hz where voiced, and voicing, at the decoder's steps of the pitch."""
    assert isinstance(codec.decoder, HarmonicDecoder)
    steps = codec.decoder.config.pitch_steps
    found = track_pitch(wav, codec.hop // steps, codec.config.sample_rate_hz)
    numbers = torch.stack([(found.log2_hz - math.log2(150)) * found.voicing, found.voicing], dim=-1)
    return numbers.float().unflatten(1, (-1, steps)).flatten(2)
