"""Discriminators: networks that tell recordings from decoded speech, and whose inner maps a codec learns to match.

Three families. `MultiPeriod` folds the waveform at prime periods (HiFi-GAN, arXiv:2010.05646, section 2.3);
`MultiResolution` looks at magnitude spectrograms (UnivNet, arXiv:2106.07889); `BandedMultiResolution` at complex ones,
each band of frequencies with weights of its own (DAC, arXiv:2306.06546, section 3.4). `DacSet` is the first and the
last together. The defaults have the shapes of WavTokenizer's sets, parameter for parameter; `LIGHT_MPD` and `LIGHT_MRD`
are the sets for training beside a small codec on a CPU or a share of a GPU hour, `MIDDLE_MRD` for a GPU alone.

Spectra are float32 whatever the autocast dtype, convolutions run in it. Images carry channels-last strides from the
first on, and the convolutions hand that layout on. Knows nothing of losses (see `adversarial`) or of optimisers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, pad
from torch.nn.utils.parametrizations import weight_norm

from q2d2.spectral import centred_stfts, magnitudes, ones

SLOPE = 0.1  # of the leaky ReLUs


class Judgement(NamedTuple):
    """What one sub-discriminator makes of a batch of waveforms."""

    features: list[Tensor]  # each [batch channels height width]; the maps to match, first to last, without the logits
    logits: Tensor  # [batch 1 height width]; towards 1 (or beyond) where the waveform seems recorded


class Discriminator(nn.Module, ABC):
    """[batch samples] -> one judgement per sub-discriminator."""

    @abstractmethod
    def forward(self, wav: Float[Tensor, "batch samples"]) -> list[Judgement]: ...


def _at_least(wav: Float[Tensor, "batch samples"], samples: int) -> Float[Tensor, "batch longer"]:
    """Zeros behind a signal too short to be reflected at its ends."""
    return wav if wav.shape[1] >= samples else pad(wav, (0, samples - wav.shape[1]))


def _image(rows: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch 1 height width"]:
    """One channel, with strides that are unmistakably channels-last: `unsqueeze(1)` would leave that open."""
    return rows.contiguous().unsqueeze(-1).permute(0, 3, 1, 2)


def _spectrum(wav: Float[Tensor, "batch samples"], n_fft: int, hop: int) -> Complex[Tensor, "batch frames bins"]:
    """Short-time Fourier transform: rectangular window, frame t centred on sample t * hop, the ends reflected."""
    whole = _at_least(wav.float(), n_fft // 2 + 1)
    (spectrum,) = centred_stfts(whole, [ones(n_fft, wav.device)], [hop], pad_mode="reflect")
    return spectrum


class _Kernels:
    """The weights of all convolutions of a module: normed, in the dtype and layout that these take.

    Convolutions of one shape are normed together. One by one, this took more launches on a GPU than the convolutions.
    """

    def __init__(self, module: nn.Module) -> None:
        convolutions: list[Any] = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
        alike: dict[torch.Size, list[Any]] = defaultdict(list)
        for conv in convolutions:
            alike[conv.parametrizations.weight.original1.shape].append(conv)
        ordered = [conv for same in alike.values() for conv in same]
        device = ordered[0].bias.device
        autocast = torch.is_autocast_enabled(device.type)
        self.dtype = torch.get_autocast_dtype(device.type) if autocast else ordered[0].bias.dtype
        sizes = [conv.out_channels for conv in ordered]
        biases = torch.cat([conv.bias for conv in ordered]).to(self.dtype).split(sizes)
        lengths = torch.cat([conv.parametrizations.weight.original0 for conv in ordered])
        lengths_of_shapes = lengths.split([len(same) * shape[0] for shape, same in alike.items()])
        # cuDNN would make each of them so; a CPU without bfloat16 instructions refuses it in its backward pass
        layout = torch.channels_last if device.type == "cuda" else torch.preserve_format
        weights: list[Tensor] = []
        for same, length in zip(alike.values(), lengths_of_shapes, strict=True):
            directions = torch.cat([conv.parametrizations.weight.original1 for conv in same])
            normed = torch._weight_norm(directions, length, 0)
            weights += normed.to(self.dtype, memory_format=layout).chunk(len(same))
        self._of = dict(zip(ordered, zip(weights, biases, strict=True), strict=True))

    def convolve(
        self, conv: nn.Conv2d, x: Float[Tensor, "batch inputs height width"]
    ) -> Float[Tensor, "batch outputs out_height out_width"]:
        """What `conv(x)` gives.

        Kernels one column wide run over the transposed image: its rows are long where those of `x` may be only two
        wide, which some CPU kernels take ten times as long for.
        """
        weight, bias = self._of[conv]
        (down, across), (above, beside) = conv.stride, conv.padding  # type: ignore[str-unpack]
        if conv.kernel_size[1] == 1:
            return conv2d(x.mT, weight.mT, bias, (across, down), (beside, above)).mT  # type: ignore[arg-type]
        return conv2d(x, weight, bias, (down, across), (above, beside))  # type: ignore[arg-type]


class _Stack(nn.Module):
    """[batch channels height width] -> the maps after each of a row of weight-normed convolutions with leaky ReLU."""

    def __init__(self, convolutions: Iterable[nn.Conv2d]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(weight_norm(conv) for conv in convolutions)

    def forward(self, image: Float[Tensor, "batch channels height width"], kernels: _Kernels) -> list[Tensor]:
        maps = [image]
        for conv in self.convolutions:
            maps.append(leaky_relu(kernels.convolve(conv, maps[-1]), SLOPE))  # type: ignore[arg-type]
        return maps[1:]


class _Verdict(nn.Module):
    """The last map -> logits: a convolution to one channel, plus the map's inner product with an embedding, if any.

    The reference has one embedding per "bandwidth", a leftover that tells nothing apart. Only the first is used here;
    the others are there so that its weights fit.
    """

    def __init__(self, channels: int, kernel: tuple[int, int], conditions: int) -> None:
        super().__init__()
        height, width = kernel
        self.convolution = weight_norm(nn.Conv2d(channels, 1, kernel, padding=(height // 2, width // 2)))
        self.conditions = nn.Parameter(torch.zeros(conditions, channels)) if conditions else None

    def forward(
        self, x: Float[Tensor, "batch channels height width"], kernels: _Kernels
    ) -> Float[Tensor, "batch 1 height width"]:
        logits = kernels.convolve(self.convolution, x)
        if self.conditions is None:
            return logits
        return logits + conv2d(x, self.conditions[0].reshape(1, -1, 1, 1))


@dataclass(frozen=True)
class MultiPeriodConfig:
    widths: tuple[int, ...] = (32, 128, 512, 1024, 1024)  # channels; every convolution but the last strides by 3
    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    conditions: int = 4  # rows of the embedding, 0 for none
    first_map: bool = False  # whether the first convolution's map is among the features
    full_period_padding: bool = False  # whether a whole number of periods is padded by one more


class MultiPeriod(Discriminator):
    """[batch samples] -> one judgement per period p, of the waveform folded to an image [samples/p, p].

    Convolutions run along the columns only: each sees one phase of the period.
    """

    def __init__(self, config: MultiPeriodConfig) -> None:
        super().__init__()
        self.members = nn.ModuleList(_Period(config, period) for period in config.periods)

    def forward(self, wav: Float[Tensor, "batch samples"]) -> list[Judgement]:
        kernels = _Kernels(self)
        return [member(wav, kernels) for member in self.members]


class _Period(nn.Module):
    """[batch samples] -> the judgement of one period."""

    def __init__(self, config: MultiPeriodConfig, period: int) -> None:
        super().__init__()
        self.period = period
        self.full_period_padding = config.full_period_padding
        self.skipped = 0 if config.first_map else 1
        strides = [3] * (len(config.widths) - 1) + [1]
        self.stack = _Stack(
            nn.Conv2d(inputs, outputs, (5, 1), (stride, 1), padding=(2, 0))
            for (inputs, outputs), stride in zip(pairwise((1, *config.widths)), strides, strict=True)
        )
        self.verdict = _Verdict(config.widths[-1], (3, 1), config.conditions)

    def forward(self, wav: Float[Tensor, "batch samples"], kernels: _Kernels) -> Judgement:
        maps = self.stack(self.fold(wav), kernels)
        return Judgement(maps[self.skipped :], self.verdict(maps[-1], kernels))

    def fold(self, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch 1 rows period"]:
        """Reflects the end up to a multiple of the period and cuts there; in memory each phase is a row."""
        whole = _at_least(wav, self.period + 1)
        missing = self.period - whole.shape[1] % self.period
        if missing < self.period or self.full_period_padding:
            whole = pad(whole, (0, missing), mode="reflect")
        return _image(whole.unflatten(1, (-1, self.period)).mT).mT


@dataclass(frozen=True)
class MultiResolutionConfig:
    n_ffts: tuple[int, ...] = (1024, 2048, 512)  # a quarter of which is the hop
    channels: int = 64
    conditions: int = 4  # rows of the embedding, 0 for none


class MultiResolution(Discriminator):
    """[batch samples] -> one judgement per STFT size, of the magnitudes as an image [bins, frames]."""

    def __init__(self, config: MultiResolutionConfig) -> None:
        super().__init__()
        self.members = nn.ModuleList(_Magnitudes(config, n_fft) for n_fft in config.n_ffts)

    def forward(self, wav: Float[Tensor, "batch samples"]) -> list[Judgement]:
        kernels = _Kernels(self)
        return [member(wav, kernels) for member in self.members]


class _Magnitudes(nn.Module):
    """[batch samples] -> the judgement of the magnitudes of one STFT size."""

    def __init__(self, config: MultiResolutionConfig, n_fft: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        wide = config.channels
        self.stack = _Stack(
            [
                nn.Conv2d(1, wide, (7, 5), (2, 2), padding=(3, 2)),
                nn.Conv2d(wide, wide, (5, 3), (2, 1), padding=(2, 1)),
                nn.Conv2d(wide, wide, (5, 3), (2, 2), padding=(2, 1)),
                nn.Conv2d(wide, wide, 3, (2, 1), padding=1),
                nn.Conv2d(wide, wide, 3, (2, 2), padding=1),
            ]
        )
        self.verdict = _Verdict(wide, (3, 3), config.conditions)

    def forward(self, wav: Float[Tensor, "batch samples"], kernels: _Kernels) -> Judgement:
        spectrum = _spectrum(wav, self.n_fft, self.n_fft // 4)
        maps = self.stack(_image(magnitudes(spectrum).mT), kernels)
        return Judgement(maps, self.verdict(maps[-1], kernels))


@dataclass(frozen=True)
class BandedMultiResolutionConfig:
    n_ffts: tuple[int, ...] = (2048, 1024, 512)
    channels: int = 32
    edges: tuple[float, ...] = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # of the bands, as shares of the n_fft / 2 + 1 bins
    overlap: int = 4  # hops per window


class BandedMultiResolution(Discriminator):
    """[batch samples] -> one judgement per STFT size, of real and imaginary parts as images [frames, bins of a band].

    Each band has its own convolutions; one last convolution runs over all bands side by side.
    """

    def __init__(self, config: BandedMultiResolutionConfig) -> None:
        super().__init__()
        self.members = nn.ModuleList(_Bands(config, n_fft) for n_fft in config.n_ffts)

    def forward(self, wav: Float[Tensor, "batch samples"]) -> list[Judgement]:
        kernels = _Kernels(self)
        return [member(wav, kernels) for member in self.members]


class _Bands(nn.Module):
    """[batch samples] -> the judgement of the complex spectrum of one STFT size."""

    def __init__(self, config: BandedMultiResolutionConfig, n_fft: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop = n_fft // config.overlap
        self.edges = [
            int(share * (n_fft // 2 + 1)) for share in config.edges
        ]  # the first bin of each band, and the end
        self.stacks = nn.ModuleList(_Stack(self._convolutions(config.channels)) for _ in config.edges[1:])
        self.verdict = _Verdict(config.channels, (3, 3), conditions=0)

    @staticmethod
    def _convolutions(wide: int) -> list[nn.Conv2d]:
        return [
            nn.Conv2d(2, wide, (3, 9), padding=(1, 4)),
            *(nn.Conv2d(wide, wide, (3, 9), (1, 2), padding=(1, 4)) for _ in range(3)),
            nn.Conv2d(wide, wide, 3, padding=1),
        ]

    def forward(self, wav: Float[Tensor, "batch samples"], kernels: _Kernels) -> Judgement:
        image = torch.view_as_real(_spectrum(wav, self.n_fft, self.hop)).permute(0, 3, 1, 2)
        widths = [high - low for low, high in pairwise(self.edges)]
        images = image.to(kernels.dtype).split(widths, dim=-1)
        bands = [stack(image, kernels) for stack, image in zip(self.stacks, images, strict=True)]
        side_by_side = torch.cat([maps[-1] for maps in bands], dim=-1)
        return Judgement([feature for maps in bands for feature in maps], self.verdict(side_by_side, kernels))


DAC_MPD = MultiPeriodConfig(conditions=0, first_map=True, full_period_padding=True)
DAC_MRD = BandedMultiResolutionConfig()
# Forward and backward of 12 rows of 1.35 s, bfloat16 on one EPYC core: 107 ms and 73 ms, with another job beside it.
LIGHT_MPD = MultiPeriodConfig(widths=(8, 16, 32, 64, 128), periods=(2, 5, 11), conditions=0)
LIGHT_MRD = BandedMultiResolutionConfig(n_ffts=(1024,), channels=8, overlap=2)


# For a GPU: with LIGHT_MPD and one pass over both sides 4.4 GFLOP a step and row of 0.675 s, the light sets take 1.1.
MIDDLE_MRD = BandedMultiResolutionConfig(n_ffts=(2048, 512), channels=16, overlap=2)


class DacSet(Discriminator):
    """[batch samples] -> the judgements of all periods, then of all STFT sizes; blind to offset and to level."""

    def __init__(
        self,
        periods: MultiPeriodConfig = DAC_MPD,
        resolutions: BandedMultiResolutionConfig = DAC_MRD,
        floor: float = 1e-9,
    ) -> None:
        super().__init__()
        self.floor = floor
        self.periods = MultiPeriod(periods)
        self.resolutions = BandedMultiResolution(resolutions)

    def forward(self, wav: Float[Tensor, "batch samples"]) -> list[Judgement]:
        level = self.level(wav)
        return [*self.periods(level), *self.resolutions(level)]

    def level(self, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
        """No mean, and a peak of 0.8; less where the peak is not far above `floor`.

        The gradient to the wav grows as it is amplified. With the reference's floor of 1e-9 a silent row outweighs
        all others by a factor of a thousand.
        """
        centred = wav - wav.mean(dim=1, keepdim=True)
        return 0.8 * centred / (centred.abs().amax(dim=1, keepdim=True) + self.floor)
