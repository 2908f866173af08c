"""A training step makes every tensor on the device it runs on, and reads none of its values.

The device is PyTorch's `meta`: shapes without numbers, so that no GPU is needed and nothing takes long. What a GPU
refuses, tensors of two devices in one operation, `OneDevice` refuses; reading a value of `meta` PyTorch itself does.
"""

import functools
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from training_runs import a_config

from q2d2 import presets
from q2d2.codec import Codec
from q2d2.train import objective
from q2d2.train.data import Crops, Speech, open_speech
from q2d2.train.recipes import row_samples
from q2d2.train.trainer import Trainer

META = torch.device("meta")
COPIES = {"aten::_to_copy", "aten::copy_"}


class TwoDevicesError(RuntimeError):
    """Tensors of two devices in one operation."""


class OneDevice(TorchDispatchMode):
    """Every operation is on one device, but for copies and for single numbers of the host."""

    def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        name, given = func._schema.name, [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if len({x.device for x in given if x.ndim or x.device == META}) > 1 and name not in COPIES:
            raise TwoDevicesError(name)
        if name.startswith("aten::_fused_"):  # the update of an optimiser, which PyTorch has not for every device
            return None
        return func(*args, **(kwargs or {}))


class OnMeta(Fabric):
    """Fabric of one process on `meta`."""

    def __init__(self) -> None:
        super().__init__(strategy=SingleDeviceStrategy(META, CPUAccelerator()))

    def to_device(self, obj: Any) -> Any:
        return obj  # it is there, and Fabric's own check knows real devices only


class Autocast(torch.autocast):
    """Of the CPU, for `meta` has none."""

    def __init__(self, device_type: str, *args: Any, **options: Any) -> None:
        super().__init__("cpu", *args, **options)


@pytest.fixture(autouse=True)
def on_meta(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`meta` as PyTorch treats a GPU; and nothing cached, neither by other tests nor for them."""
    monkeypatch.setattr(torch, "autocast", Autocast)
    for name in ("is_autocast_enabled", "get_autocast_dtype"):
        monkeypatch.setattr(torch, name, functools.partial(_of_the_cpu, getattr(torch, name)))
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: ["meta"])
    _forget()
    yield
    _forget()


def _of_the_cpu(function: Any, device_type: str) -> Any:
    return function("cpu")


def _forget() -> None:
    for cached in gc.get_objects():
        if type(cached) is functools._lru_cache_wrapper and cached.__module__.startswith("q2d2"):
            cached.cache_clear()


def prepared(corpus: Path, preset: str) -> tuple[Trainer, Speech]:
    trainer = Trainer(Codec(presets.find(preset)), a_config(corpus, corpus / "run", preset=preset), OnMeta())
    recipe, codec = trainer.recipe, trainer.codec
    samples, rate_hz = row_samples(recipe, codec.config, codec.hop), codec.config.sample_rate_hz
    crops = Crops(samples, rate_hz, trainer.config.seed, recipe.augment, META)
    return trainer, open_speech(corpus, crops, recipe.drawing, batch=recipe.batch)


def step(trainer: Trainer, speech: Speech) -> None:
    with OneDevice():
        trainer.train_step(speech.made(speech.raw_at(trainer.step)), 0.5)


@pytest.mark.parametrize("preset", ["tiny", "tiny-paper-1k"])
def test_a_step_stays_on_its_device(packed_corpus: Path, preset: str):
    """Rows, codec, losses, discriminators, gradients, optimisers and average."""
    trainer, speech = prepared(packed_corpus, preset)
    step(trainer, speech)
    for player in trainer.players.values():
        assert {x.device for x in (*player.module.state_dict().values(), *trainer.averaged.parameters())} == {META}
        assert all(p.grad is not None and p.grad.device == META for p in player.module.parameters() if p.requires_grad)


@pytest.mark.parametrize("factory", ["arange", "hann_window"])
def test_a_tensor_made_on_the_host_is_found(packed_corpus: Path, factory: str, monkeypatch: pytest.MonkeyPatch):
    """As if one of ours had been called without its device."""
    trainer, speech = prepared(packed_corpus, "tiny")
    make = getattr(torch, factory)
    monkeypatch.setattr(torch, factory, lambda *args, device=None, **options: make(*args, **options))
    with pytest.raises(TwoDevicesError):
        step(trainer, speech)


def test_a_buffer_left_on_the_host_is_found(packed_corpus: Path):
    trainer, speech = prepared(packed_corpus, "tiny")
    trainer.codec.decoder.spread = torch.zeros_like(trainer.codec.decoder.spread, device="cpu")
    with pytest.raises(TwoDevicesError):
        step(trainer, speech)


def test_a_value_that_is_read_is_found(packed_corpus: Path, monkeypatch: pytest.MonkeyPatch):
    trainer, speech = prepared(packed_corpus, "tiny")
    pitch_loss = objective.pitch_loss
    monkeypatch.setattr(objective, "pitch_loss", lambda pitch, target: pitch_loss(pitch, target) * float(pitch.max()))
    with pytest.raises(RuntimeError, match="meta"):
        step(trainer, speech)
