"""A whole step as one CUDA graph: thousands of kernels that the GPU starts by itself. For one GPU, behind `--graph`.

Every shape and every place in memory is the same in each replay, so inputs are copied to where the capture read them.
A step with discriminators and one without are two graphs. Data-dependent code (learned codebooks) and collectives
cannot be captured.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from q2d2.train.step import Outcome, Turn, Update

WARM_UP = 3  # steps that run as they are before one is captured: caches, optimiser states and libraries begin there


class _Graph(NamedTuple):
    graph: torch.cuda.CUDAGraph
    inputs: list[Tensor]  # what a replay reads
    outcome: Outcome  # what it writes


class Captured:
    """`Update`, called in the same way."""

    def __init__(self, update: Update) -> None:
        self._update = update
        self.judged_samples = update.judged_samples
        self._runs = {True: 0, False: 0}
        self._graphs: dict[bool, _Graph] = {}
        self._stream = torch.cuda.Stream()

    def __call__(self, wav: Float[Tensor, "batch samples"], turn: Turn, plays: bool) -> Outcome:
        self._runs[plays] += 1
        if self._runs[plays] <= WARM_UP:
            return self._beside(wav, turn, plays)
        if plays not in self._graphs:
            self._graphs[plays] = self._capture(wav, turn, plays)
        graph, inputs, (names, values, finite) = self._graphs[plays]
        for place, value in zip(inputs, (wav, *turn), strict=True):
            place.copy_(value)
        graph.replay()
        return Outcome(names, values.clone(), finite.clone())

    def _beside(self, wav: Tensor, turn: Turn, plays: bool) -> Outcome:
        """On a stream of its own, as a capture is."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            outcome = self._update(wav, turn, plays)
        torch.cuda.current_stream().wait_stream(self._stream)
        return outcome

    def _capture(self, wav: Tensor, turn: Turn, plays: bool) -> _Graph:
        """Records a step and runs nothing."""
        inputs = [value.clone() for value in (wav, *turn)]
        graph = torch.cuda.CUDAGraph()
        # the thread that prepares batches may ask the driver for memory meanwhile
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            outcome = self._update(inputs[0], Turn(*inputs[1:]), plays)
        return _Graph(graph, inputs, outcome)
