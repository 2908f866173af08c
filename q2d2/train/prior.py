"""Indices of much speech -> the `Prior` that files of a model are coded with: the network in floats, trained, rounded.

What the exact arithmetic of `bitstream.prior` does, in floats and on whole sequences; when the loss is low the weights
are rounded to its integers. A sequence is a chunk, and begins with nothing seen. A step codes all its rows at one rate,
because codebooks that a lower rate lacks must not be missed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int16, Int64
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import trange

from q2d2.bitstream import Prior
from q2d2.bitstream.prior import PLACES, VALUE_PLACES, follow_rows
from q2d2.codec import Codec
from q2d2.train.data import Crops, Prefetcher, open_speech
from q2d2.train.drawing import BySource

FRAMES_BACK, DECAYS, WIDTH = 2, (2, 4), 2  # what of the past is looked at, and values an index: docs/log.md, 2026-11-28
FRAMES, ROWS = 512, 8  # of a step
HELD_OUT = 20  # every so many crops are not trained on
CROP_S = 20.0
NAMED_RATES = 0.9  # share of the steps at one of the model's rates; the others at any number of codebooks
WARMUP_STEPS, DECAY_FROM = 30, 0.3


@dataclass(frozen=True)
class FitConfig:
    """What a prior is fitted on, and how large it is."""

    data: Path  # a packed corpus, a folder of audio or a manifest
    hours: float = 6.0  # of speech, drawn at random
    steps: int = 3000  # of 8 x 512 frames
    hidden: int = 192  # units: more save a little more, and take longer to code
    learning_rate: float = 4e-3
    source_weights: dict[str, float] = field(default_factory=dict)  # how often; default 1 + log10(speakers)
    seed: int = 0

    def __post_init__(self) -> None:
        if not all(0 < value < math.inf for value in (self.hours, self.steps, self.hidden, self.learning_rate)):
            raise ValueError("hours, steps, hidden and learning_rate must be positive")


class Saving(NamedTuple):
    """Bits a frame of a rate, on crops that were not trained on, of the same recordings."""

    rate: str
    codebooks: int
    raw_bits: float  # log2(points)
    coded_bits: float

    @property
    def share(self) -> float:
        """Saved of log2(points)."""
        return 1 - self.coded_bits / self.raw_bits if self.raw_bits else 0.0

    def __str__(self) -> str:
        bits = f"{self.coded_bits:.2f} bits a frame for {self.raw_bits:.2f}, {self.share:.1%} less"
        return f"rate {self.rate}: {bits} (on crops that were not trained on)"


def fit(codec: Codec, config: FitConfig) -> tuple[Prior, list[Saving]]:
    """The prior of a codec, and what it saves. Shows progress on a terminal.

    ValueError if there is nothing to code, or nothing saved; FloatingPointError where the loss goes astray; PriorError
    where the network became too large for whole numbers.
    """
    if max(codec.quantizer.points) < 2:
        raise ValueError(f"{codec.config.name} has no codebook of two points or more: there is nothing to code")
    torch.manual_seed(config.seed)
    spoken = list(draw_indices(codec, config))
    held_out = spoken[::HELD_OUT]
    trained_on = [indices for i, indices in enumerate(spoken) if i % HELD_OUT]
    network = PriorNetwork(codec.quantizer.points, groups(codec), config.hidden)
    _train(network, trained_on, list(codec.rates.values()), config)
    prior = network.rounded(codec)
    savings = []
    for rate, codebooks in codec.rates.items():
        coded = sum(prior.bits(indices[:FRAMES, :codebooks]).sum() for indices in held_out)
        frames = sum(len(indices[:FRAMES]) for indices in held_out)
        savings.append(Saving(rate, codebooks, math.fsum(map(math.log2, prior.points[:codebooks])), coded / frames))
    if worthless := [saving.rate for saving in savings if saving.share <= 0]:
        raise ValueError(
            f"the prior saves nothing at {', '.join(worthless)} on crops that were not trained on: give it more hours, "
            f"fewer steps or fewer hidden units"
        )
    return prior, savings


def groups(codec: Codec) -> tuple[int, ...]:
    """The first codebook of every group: four alone, then ever more together; of every higher rate, thirds."""
    rates = sorted({*codec.rates.values(), codec.quantizer.num_pairs})
    starts = [start for start in (0, 1, 2, 3, 4, 6, 10, 18, 34) if start < rates[0]]
    for first, stop in pairwise(rates):
        starts += sorted({first + part * (stop - first) // 3 for part in range(3)})
    return tuple(starts)


def draw_indices(codec: Codec, config: FitConfig) -> Iterator[Int64[np.ndarray, "frames codebooks"]]:
    """Crops of `CROP_S` of the data as the codec's indices, `hours` of them."""
    samples = math.ceil(CROP_S * codec.frame_rate_hz) * codec.hop
    crops = Crops(samples, codec.config.sample_rate_hz, config.seed)
    speech = open_speech(config.data, crops, BySource(config.source_weights), batch=ROWS)
    steps = math.ceil(3600 * config.hours / (ROWS * CROP_S))
    with Prefetcher(speech, 0) as batches:
        for _, batch in zip(trange(steps, desc="encoding", disable=None), batches, strict=False):
            for codes in codec.encode(list(batch.wav), codec.config.sample_rate_hz, codec.quantizer.num_pairs):
                yield codes.indices.numpy()


class PriorNetwork(nn.Module):
    """Indices of chunks [batch, frames, codebooks] -> what each costs, in bits."""

    def __init__(self, points: Sequence[int], starts: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.points, self.starts = tuple(points), tuple(starts)
        every, codebooks, inputs = sum(points), len(points), FRAMES_BACK + len(DECAYS)
        self.value = nn.Parameter(0.5 * torch.randn(every, WIDTH))
        self.past = nn.Parameter(torch.randn(inputs, codebooks * WIDTH, hidden) / math.sqrt(inputs * codebooks * WIDTH))
        self.by_rate = nn.Parameter(torch.zeros(codebooks, hidden))
        self.by_group = nn.Parameter(0.2 * torch.rand(len(starts), hidden))
        self.mix = nn.Parameter(0.03 * torch.randn(every, hidden))
        self.output = nn.Parameter(0.02 * torch.randn(every, hidden))
        self.bias = nn.Parameter(torch.zeros(every))
        sizes = zip(follow_rows(points), points, strict=True)
        self.follow = nn.ParameterList([nn.Parameter(torch.zeros(size)) for size in sizes])
        self.offsets: Tensor
        self.register_buffer("offsets", torch.tensor([0, *points]).cumsum(0), persistent=False)

    def forward(self, indices: Int64[Tensor, "batch frames codebooks"]) -> Float[Tensor, "batch frames codebooks"]:
        codebooks = indices.shape[-1]
        rows = indices + self.offsets[:codebooks]
        hidden = self._before(rows) + self.by_rate[:codebooks].sum(0)
        last = _later(indices + 1)
        starts = [start for start in self.starts if start < codebooks]
        costs = []
        for number, (first, stop) in enumerate(pairwise([*starts, codebooks])):
            own = slice(int(self.offsets[first]), int(self.offsets[stop]))
            logits = F.linear(F.relu(hidden + self.by_group[number]), self.output[own], self.bias[own])
            for codebook, of_one in enumerate(logits.split(self.points[first:stop], -1), first):
                follow = self.follow[codebook]
                scores = of_one + follow[last[..., codebook].clamp(max=len(follow) - 1)]
                cost = F.cross_entropy(scores.flatten(0, 1), indices[..., codebook].flatten(), reduction="none")
                costs.append(cost.view(indices.shape[:2]) / math.log(2))
            added = F.embedding_bag(rows[..., first:stop].flatten(0, 1), self.mix, mode="sum")
            hidden = hidden + added.view_as(hidden)
        return torch.stack(costs, -1)

    def _before(self, rows: Int64[Tensor, "batch frames codebooks"]) -> Float[Tensor, "batch frames hidden"]:
        values = self.value[rows].flatten(2)
        seen = [_later(values)]
        for _ in range(FRAMES_BACK - 1):
            seen.append(_later(seen[-1]))
        age = torch.arange(values.shape[1], device=values.device)
        age = age[:, None] - age
        for decay in DECAYS:
            new = 2.0**-decay
            weights = torch.where(age >= 0, new * (1 - new) ** age.clamp(min=0), 0.0)
            seen.append(_later(torch.einsum("ts,bsc->btc", weights, values)))
        past = self.past[:, : values.shape[-1]].flatten(0, 1)
        return torch.cat(seen, -1) @ past

    @torch.no_grad()
    def rounded(self, codec: Codec) -> Prior:
        """The network in whole numbers."""
        octaves = 1 / math.log(2)
        follow = torch.cat([table.flatten() for table in self.follow])
        return Prior(
            model=codec.config.name,
            weights=codec.weights,
            codec_rate_hz=codec.config.sample_rate_hz,
            hop=codec.hop,
            points=self.points,
            starts=self.starts,
            frames_back=FRAMES_BACK,
            decays=DECAYS,
            value=_whole(self.value, VALUE_PLACES),
            past=_whole(self.past, PLACES),
            by_rate=_whole(self.by_rate, PLACES),
            by_group=_whole(self.by_group, PLACES),
            mix=_whole(self.mix, PLACES),
            output=_whole(octaves * self.output, PLACES),
            bias=_whole(octaves * self.bias, PLACES).astype(np.int32),
            follow=_whole(octaves * follow, PLACES),
        )


def _later(values: Tensor) -> Tensor:
    """What was there a frame before, and zeros before the first."""
    return torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1]], 1)


def _whole(values: Tensor, places: int) -> Int16[np.ndarray, "*shape"]:
    return (values * 2**places).round().clamp(-(2**15) + 1, 2**15 - 1).numpy().astype(np.int16)


def _train(
    network: PriorNetwork,
    spoken: Sequence[Int64[np.ndarray, "frames codebooks"]],
    rates: Sequence[int],
    config: FitConfig,
) -> None:
    rng = np.random.default_rng(config.seed)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, betas=(0.9, 0.99))
    raw = np.log2(network.points).cumsum()
    frames = min(FRAMES, min(map(len, spoken)))
    progress = trange(config.steps, desc="fitting", disable=None)
    for step in progress:
        fall = (config.steps - step) / (config.steps * (1 - DECAY_FROM))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, (step + 1) / WARMUP_STEPS, fall)
        named = rng.random() < NAMED_RATES
        codebooks = int(rng.choice(rates)) if named else int(rng.integers(1, len(raw) + 1))
        rows = []
        for number in rng.integers(0, len(spoken), ROWS):
            start = rng.integers(0, len(spoken[number]) - frames + 1)
            rows.append(spoken[number][start : start + frames, :codebooks])
        bits = network(torch.from_numpy(np.stack(rows))).sum(-1).mean()
        if not torch.isfinite(bits):
            raise FloatingPointError(f"the loss is {bits.item()} after {step} steps: give a lower --learning-rate")
        optimizer.zero_grad()
        # a rate of few bits counts for more than its bits: what is saved is looked at in percent
        (bits / math.sqrt(raw[codebooks - 1] + 1)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        if step % 20 == 0:
            progress.set_postfix_str(
                f"{codebooks} codebooks: {bits.item():.2f} of {raw[codebooks - 1]:.2f} bits a frame"
            )
