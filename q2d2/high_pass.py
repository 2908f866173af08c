"""wav [batch samples] -> [batch samples - reach]: a second-order Butterworth high-pass without delay.

A microphone's constant offset is not heard, and yet it changes what an encoder sees. A recursive filter would remember
the whole past, and its rounding. This one has a finite reach: it subtracts a low-pass, whose impulse response is the
rest of the Butterworth's, cut off where it has decayed. As that response is smooth, the means of short blocks are
enough to compute it: 0.14 % of the multiply-accumulates of the encoder of `speech`.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

LONGEST_BLOCK = 10  # samples; longer ones are hardly faster, and alias more
# The step response exp(-t) (cos t - sin t) is 0 here for the third time: what is cut off there adds up to nothing.
END = 9 / 4 * math.pi


class HighPass(nn.Module):
    """wav [batch samples] -> [batch inner_samples]: the first `reach` samples are missing, none is delayed.

    Signals are whole steps of `step` samples; those that begin whole steps apart are filtered alike, up to the rounding
    of a product of matrices. A sample depends on none after its block, that is on 9 samples ahead at most. Zeros up to
    a block's end stay zeros, wherever they are.
    """

    def __init__(self, cutoff_hz: float, sample_rate_hz: int, step: int) -> None:
        super().__init__()
        self.block = math.gcd(LONGEST_BLOCK, step)
        self.per_step = step // self.block
        self.decay = math.sqrt(2) * math.pi * cutoff_hz / sample_rate_hz  # t of one sample
        count = round(END / (self.decay * self.block))
        t = self.decay * self.block * torch.arange(count + 1, dtype=torch.float64)
        step_response = torch.exp(-t) * (torch.cos(t) - torch.sin(t))
        taps = step_response[:-1] - step_response[1:]  # what each block adds to the low-pass where a block ends
        taps = (taps / taps.sum()).flip(0)
        # [blocks seen, ends]: from the steps before and a step itself to where the blocks of the step begin and end
        self.steps = 1 + -(-(count + 1) // self.per_step)
        self.reach = (self.steps - 1) * step
        to_ends = torch.zeros(self.steps * self.per_step, self.per_step + 1, dtype=torch.float64)
        for end in range(self.per_step + 1):
            last = (self.steps - 1) * self.per_step + end
            to_ends[last - count : last, end] = taps
        share = (torch.arange(self.block, dtype=torch.float64) + 0.5) / self.block  # of the block, at a sample
        self.register_buffer("to_ends", to_ends.float(), persistent=False)
        self.register_buffer("share", share.float(), persistent=False)

    def forward(self, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch inner_samples"]:
        blocks = wav.unflatten(1, (-1, self.per_step, self.block))
        inner, share = blocks[:, self.steps - 1 :], self.get_buffer("share")
        means = blocks.mean(-1)
        seen = torch.cat([means[:, step : step + inner.shape[1]] for step in range(self.steps)], dim=-1)
        ends = torch.matmul(seen, self.get_buffer("to_ends")).unsqueeze(-1)
        # From one end to the next the low-pass moves in a straight line, but for its answer to the block's own samples:
        # as that begins with a jump, of 2 * decay, it follows the sum of those that have been.
        line = ends[:, :, :-1] + (ends[:, :, 1:] - ends[:, :, :-1]) * share
        sums = inner.cumsum(-1)
        newest = 2 * self.decay * (sums - 0.5 * inner - share * sums[..., -1:])
        # Zeros follow where a signal ends. If it had an offset, the filter's answer to them would be a click.
        sizes = inner.abs()
        so_far = sizes.cumsum(-1)
        goes_on = so_far[..., -1:] - so_far + sizes > 0
        return torch.where(goes_on, inner - line - newest, 0.0).flatten(1)
