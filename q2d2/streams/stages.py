"""What streams are made of: a stage that keeps the steps it will need again, and signals that wait for each other.

Tensors are [batch steps ...]; None stands for "nothing yet". Nothing that was handed over or kept is changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from q2d2.layers import ConvNeXtBlock, Reach

Inner = Callable[[Tensor], Tensor]


class Stage:
    """Pieces of a signal -> pieces of what `inner` makes of it, each as soon as the steps that it depends on are there.

    `inner` takes `hop` steps for each of its own, with `reach` steps around them, and pads nothing; zeros come before
    the first piece. What is kept is less than `reach` and a hop, however long the pieces are.
    """

    def __init__(self, inner: Inner, reach: Reach, hop: int = 1) -> None:
        self._inner, self._reach, self._hop = inner, reach, hop
        self._held: Tensor | None = None

    def push(self, piece: Tensor | None) -> Tensor | None:
        if piece is None:
            return None
        before, after = self._reach
        if self._held is None:
            self._held = piece.new_zeros(len(piece), before, *piece.shape[2:])
        joined = torch.cat([self._held, piece], dim=1)
        count = (joined.shape[1] - before - after) // self._hop
        if count < 1:
            self._held = joined
            return None
        self._held = joined[:, count * self._hop :].clone()  # not a view, which would keep all of it
        return self._inner(joined[:, : before + count * self._hop + after])


def block_stages(blocks: nn.Sequential) -> list[Stage]:
    """A stage for each of these ConvNeXt blocks."""
    stages = []
    for block in blocks:
        assert isinstance(block, ConvNeXtBlock)
        stages.append(Stage(block.inner, block.reach))
    return stages


def through(stages: Sequence[Stage], piece: Tensor | None) -> Tensor | None:
    """A piece through one stage after the other."""
    for stage in stages:
        piece = stage.push(piece)
    return piece


class Together:
    """Signals that come at different times -> the steps that all of them have reached."""

    def __init__(self) -> None:
        self._held: list[Tensor | None] = []

    def push(self, *pieces: Tensor | None) -> list[Tensor] | None:
        self._held = [
            _joined(held, piece) for held, piece in zip(self._held or [None] * len(pieces), pieces, strict=True)
        ]
        there = [held for held in self._held if held is not None]
        count = min(held.shape[1] for held in there) if len(there) == len(pieces) else 0
        if count == 0:
            return None
        self._held = [held[:, count:].clone() for held in there]
        return [held[:, :count] for held in there]


def _joined(held: Tensor | None, piece: Tensor | None) -> Tensor | None:
    if held is None or piece is None:
        return piece if held is None else held
    return torch.cat([held, piece], dim=1)
