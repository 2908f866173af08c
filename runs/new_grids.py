"""Trained weights onto other grids: `python runs/new_grids.py OLD PRESET CORPUS OUT`.

The networks of OLD stay as they are; the quantizer is fitted anew, in closed form. Its channels are the linear
predictors, from OLD's latent, of a frame's log-mel spectrum, pitch and voicing and of what OLD's decoder was given
(reduced-rank regression), and its output projection takes the codes of every rate to what OLD's decoder knows (ridge
regression). OUT is a model to train on from. `speech` version 4 began with an earlier form of this (docs/log.md,
2026-11-28).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from q2d2 import checkpoint, presets
from q2d2.codec import Codec
from q2d2.decoder import HarmonicDecoder
from q2d2.quantizer import Q2D2
from q2d2.train import linear_start
from q2d2.train.data import Crops, open_speech
from q2d2.train.recipes import SPEECH, row_samples


@torch.no_grad()
def main(old: str, preset: str, corpus: Path, out: Path, /, batches: int = 40) -> None:
    """Fit each of the two maps on so many batches of the corpus."""
    torch.manual_seed(0)
    before, codec = checkpoint.load(old), Codec(presets.find(preset)).eval()
    quantizer, decoder = codec.quantizer, codec.decoder
    assert isinstance(quantizer, Q2D2)
    assert isinstance(decoder, HarmonicDecoder)
    into, back = quantizer.project_in, quantizer.project_out
    assert isinstance(into, nn.Linear)
    assert isinstance(back, nn.Linear)
    for name, value in before.state_dict().items():
        if name.startswith(("encoder.", "decoder.")) and not name.startswith("decoder.rate."):
            ours = codec.get_parameter(name)
            if name == "encoder.bypass.up.weight":  # a way of higher rank begins as the old one
                ours.zero_()
            ours[tuple(map(slice, value.shape))] = value
    decoder.rate.weight.copy_(_rates(before, codec))

    crops = Crops(row_samples(SPEECH, codec.config, codec.hop), codec.config.sample_rate_hz, 0, None)
    speech = open_speech(corpus, crops, SPEECH.drawing, batch=SPEECH.batch)
    told, given = linear_start.Regression(), linear_start.Regression()
    scale = torch.zeros(())
    for step in range(batches):
        wav = speech.batch_at(step).wav
        target = linear_start.targets(codec, wav)
        known = _unquantized(before, wav) @ decoder.embed.weight.T
        if step == 0:  # as much weight on the one as on the other
            scale = (target.var((0, 1)).sum() / known.var((0, 1)).sum()).sqrt()
        told.add(codec.encoder(wav), torch.cat([target, scale * known], -1))
    directions, variance = told.directions()
    first = directions[: quantizer.channels] / (linear_start.SPREAD * variance[: quantizer.channels].sqrt())[:, None]
    into.weight.copy_(first)
    into.bias.copy_(-first @ told.mean)

    for step in range(batches, 2 * batches):
        wav = speech.batch_at(step).wav
        known = _unquantized(before, wav)
        codes = quantizer.indices_to_codes(quantizer(codec.encoder(wav)).indices)
        for count in codec.config.rates.values():
            heard = torch.where(torch.arange(quantizer.num_pairs)[:, None] < count, codes, 0.0)
            given.add(heard.flatten(-2), known)
    matrix, constant = given.solve()
    back.weight.copy_(matrix)
    back.bias.copy_(constant)
    checkpoint.save(codec, out)


def _unquantized(codec: Codec, wav: Tensor) -> Tensor:
    """What the decoder would be given if channels had no grid: a better target than their points (docs/log.md)."""
    quantizer = codec.quantizer
    assert isinstance(quantizer, Q2D2)
    if len(quantizer.stages) > 1:
        raise ValueError("OLD has refinements: what its decoder would be given without a grid is not defined")
    width = torch.tensor(np.array([np.divide(grid.half_width, grid.extent) for grid in quantizer.grids]))
    return quantizer.project_out((quantizer.project(codec.encoder(wav)) * width).flatten(-2).float())


def _rates(before: Codec, codec: Codec) -> Tensor:
    """What the old decoder is told of its rate, at rates of the same names and between them."""
    assert isinstance(before.decoder, HarmonicDecoder)
    rates = {name: count for name, count in codec.config.rates.items() if name in before.config.rates}
    ours = [0, *rates.values()]
    theirs = [0, *(before.config.rates[name] for name in rates)]
    at = torch.from_numpy(np.interp(np.arange(codec.quantizer.num_pairs + 1), ours, theirs)).float()
    table, low = before.decoder.rate.weight, at.floor().long()
    return torch.lerp(table[low], table[(low + 1).clamp(max=len(table) - 1)], (at - low)[:, None])


if __name__ == "__main__":
    tyro.cli(main)
