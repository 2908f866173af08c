"""What can be measured: a preset, a model or another project's network, by name -> a codec that is ready to run.

A name travels to the process that measures, and is opened there. All of them take samples in the CPU's memory and give
samples in the CPU's memory, wherever they compute: what a user waits for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from q2d2 import checkpoint, presets
from q2d2.benchmark.config import BenchmarkConfig
from q2d2.clips import WINDOW
from q2d2.codec import Codec, Codes


class Subject(NamedTuple):
    """A codec, ready to run."""

    module: nn.Module  # with the parts `encoder` and `decoder`
    sample_rate_hz: int
    encode: Callable[[Float32[Tensor, "batch samples"]], Any]  # -> codes
    decode: Callable[[Any], Any]  # codes -> samples
    codec: Codec | None  # the module, if it is one of ours

    @property
    def window_s(self) -> float | None:
        """What a long clip is cut into; None if it cannot be."""
        if self.codec is None or not self.codec.is_local:
            return None
        return WINDOW / self.codec.frame_rate_hz

    @property
    def delay_ms(self) -> float | None:
        """`Codec.latency_s`: infinite if a codec must hear the whole clip; None if it does not say."""
        if self.codec is None:
            return None
        return math.inf if self.codec.latency_s is None else 1000 * self.codec.latency_s


@runtime_checkable
class System(Protocol):
    """The name of something that can be measured."""

    @property
    def name(self) -> str: ...

    def open(self, device: torch.device) -> Subject:
        """Build it. ImportError if a package is missing, ValueError if there is no such thing."""
        ...


@dataclass(frozen=True)
class Preset:
    """A configuration with random weights."""

    name: str

    def open(self, device: torch.device) -> Subject:
        torch.manual_seed(0)
        return _ours(Codec(presets.find(self.name)), device)


@dataclass(frozen=True)
class Model:
    """A folder or a hub id; at its highest rate."""

    name: str

    def open(self, device: torch.device) -> Subject:
        return _ours(checkpoint.load(self.name), device)


@dataclass(frozen=True)
class Peer:
    """Another project's network with random weights."""

    name: str

    def open(self, device: torch.device) -> Subject:
        from q2d2.evaluate.peers.neural import random_network

        torch.manual_seed(0)
        network = random_network(self.name)
        module = _ready(network.module, device)
        return Subject(
            module,
            network.sample_rate_hz,
            lambda wav: network.encode(wav.to(device)),
            lambda codes: network.decode(codes).cpu(),
            None,
        )


def systems(config: BenchmarkConfig) -> list[System]:
    """What the config names. ValueError for a peer that nobody knows; that it is not installed shows later."""
    if config.peers:  # their modules would otherwise be part of the memory of every process that measures
        from q2d2.evaluate.peers.neural import NETWORKS

        if unknown := [name for name in config.peers if name not in NETWORKS]:
            raise ValueError(f"there is no peer {', '.join(unknown)}: give some of {', '.join(NETWORKS)}")
    return [*map(Preset, config.presets), *map(Model, config.models), *map(Peer, config.peers)]


def _ready(module: nn.Module, device: torch.device) -> nn.Module:
    """Where it is to run, and not to be trained: the counter of operators stumbles over parameters that are."""
    return module.to(device).eval().requires_grad_(False)


def _ours(codec: Codec, device: torch.device) -> Subject:
    _ready(codec, device)
    encode = partial(_encode, codec)
    return Subject(codec, codec.config.sample_rate_hz, encode, codec.decode, codec)


def _encode(codec: Codec, wav: Float32[Tensor, "batch samples"]) -> list[Codes]:
    return codec.encode(list(wav), codec.config.sample_rate_hz)
