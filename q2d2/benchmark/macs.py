"""How many multiply-accumulates and parameters a codec has, by stage.

Counted: convolutions, matrix products (distances to codes among them), LSTMs and attention. Not counted: FFTs, and what
is done to each element alone (activations, norms, bounds). PyTorch's counter watches operators go by. Two of those of a
CPU it does not know, and would leave out in silence: the LSTM and the fused attention. They are added here, and held to
formulas by tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from q2d2.benchmark.systems import Subject


class Parts(NamedTuple):
    """A number for each stage; what is neither encoder nor decoder is the quantizer."""

    encoder: float
    quantizer: float
    decoder: float

    @property
    def all(self) -> float:
        return float(sum(self))


Shape = Sequence[int]


def _lstm_flops(x: Shape, from_input: Shape, from_state: Shape, *_: Any, **__: Any) -> int:
    """One layer in one direction: x [steps batch inputs], weights [4 hidden, inputs] and [4 hidden, hidden]."""
    steps, batch, _inputs = x
    return 2 * steps * batch * (math.prod(from_input) + math.prod(from_state))


def _attention_flops(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """[... frames dim] each: every frame's product with every other, and the sum of values weighted by them."""
    *rows, frames, dim = query
    return 2 * math.prod(rows) * frames * key[-2] * (dim + value[-1])


_MORE = {
    torch.ops.aten.mkldnn_rnn_layer: _lstm_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
}


def counter() -> FlopCounterMode:
    """Counts FLOPs, two for each multiply-accumulate, on a CPU."""
    return FlopCounterMode(display=False, custom_mapping=_MORE)


class _Share:
    """What is counted while a module is at work."""

    def __init__(self, module: nn.Module, counting: FlopCounterMode) -> None:
        self.flops = 0
        self._counting = counting
        self._hooks = [module.register_forward_pre_hook(self._begin), module.register_forward_hook(self._end)]

    def _begin(self, *_: Any) -> None:
        self.flops -= self._counting.get_total_flops()

    def _end(self, *_: Any) -> None:
        self.flops += self._counting.get_total_flops()

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()


@torch.inference_mode()
def count_macs(subject: Subject, wav: Float32[Tensor, "batch samples"]) -> Parts:
    """Multiply-accumulates of encoding and decoding `wav`, whatever the codec adds around it included."""
    counting = counter()
    encoder, decoder = (_Share(subject.module.get_submodule(part), counting) for part in ("encoder", "decoder"))
    try:
        with counting:
            subject.decode(subject.encode(wav))
    finally:
        encoder.close()
        decoder.close()
    rest = counting.get_total_flops() - encoder.flops - decoder.flops
    return Parts(encoder.flops / 2, rest / 2, decoder.flops / 2)


def count_parameters(subject: Subject) -> Parts:
    """Parameters; codebooks that are moving averages and not trained by gradient are none."""

    def count(module: nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    encoder, decoder = (count(subject.module.get_submodule(part)) for part in ("encoder", "decoder"))
    return Parts(encoder, count(subject.module) - encoder - decoder, decoder)
