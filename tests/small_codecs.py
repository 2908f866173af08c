"""Small untrained codecs for the tests of everything that runs one, and what "the same codes" means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from q2d2.codec import Codec, CodecConfig, Codes
from q2d2.grid import RectangularGrid, RhombicGrid
from q2d2.presets import SPEECH_LIVE, TINY
from q2d2.quantizer import Q2D2, Q2D2Config
from q2d2.refinement import Refinement
from q2d2.seanet import SEANetConfig
from q2d2.vocos import VocosConfig

# The tokens and rates of `speech-live`, the networks of `tiny`.
LIVE_TOKENS = replace(
    TINY,
    quantizer=Q2D2Config(dim=16, grids=SPEECH_LIVE.quantizer.grids),
    decoder=replace(TINY.decoder, num_pairs=18),
    rates=SPEECH_LIVE.rates,
)
# The paths of `speech`: pairs that refine pairs, unequal grids, a high-pass.
REFINED = replace(
    TINY,
    name="refined",
    encoder=replace(TINY.encoder, high_pass_hz=30.0, bypass=12),
    quantizer=Q2D2Config(
        dim=16,
        grids=(
            *(RhombicGrid((5, 4)), RectangularGrid((4, 3))),
            *(Refinement(0, RectangularGrid((3, 3))), RectangularGrid((2, 2)), Refinement(1, RhombicGrid((3, 2)))),
            *(Refinement(2, RectangularGrid((2, 2))), RhombicGrid((2, 2))),
        ),
    ),
    decoder=replace(TINY.decoder, num_pairs=7),
    rates={"1k": 2, "3k": 5, "7k": 7},
)
# What `paper-1k` is, in miniature: an LSTM in the encoder, attention and norms over all frames in the decoder.
NOT_LOCAL = CodecConfig(
    name="not-local",
    encoder=SEANetConfig(dim=16, width=4, strides=(3, 5, 5, 6), lstm_layers=1),
    quantizer=Q2D2Config(dim=16, grids=(RhombicGrid((7, 7)),) * 3),
    decoder=VocosConfig(dim=16, width=32, inner=32, layers=1, hop=450),
)


def make_codec(config: CodecConfig = TINY) -> Codec:
    """An untrained codec, always the same, whose indices spread over the whole grid."""
    torch.manual_seed(0)
    codec = Codec(config).eval()
    if isinstance(codec.quantizer, Q2D2):
        torch.nn.init.normal_(codec.quantizer.project_in.weight, std=1.5 / config.encoder.dim**0.5)
    if not codec.is_local:  # an untrained SEANet gives nearly the same latent for everything
        wav = 0.3 * torch.randn(1, 100 * codec.hop)
        with torch.no_grad():
            latent = codec.encoder(wav)
            last = codec.encoder.last[-1].conv
            last.bias.sub_(latent.mean((0, 1))).div_(latent.std((0, 1)))
            last.parametrizations.weight.original0.div_(latent.std((0, 1)).view(-1, 1, 1))
    codec.measure_silence()
    return codec


@torch.inference_mode()
def distances_to_edges(codec: Codec, wav: np.ndarray, one: Codes, other: Codes) -> list[float]:
    """For each index that differs, how far the encoder's output lies from the border of the two cells.

    In units of the grid's spacing. The codec is local, the signal mono at its own rate. Left out is what refines a pair
    that differs: it refines another cell.
    """
    hop, (before, after) = codec.hop, codec.encoder.context
    around = np.pad(wav, (before * hop, (after + 1) * hop))
    found = []
    differ = (one.indices != other.indices).numpy()
    for frame, pair in np.argwhere(differ):
        if (refined := codec.quantizer.refines[pair]) is not None and differ[frame, refined]:
            continue
        seen = torch.from_numpy(around[frame * hop :][: (before + 1 + after) * hop])
        z = codec.quantizer.project(codec.encoder(seen.unsqueeze(0)))
        at = codec.quantizer.coordinates(z)[0, before, pair].double().numpy()
        grid = codec.quantizer.grids[pair]
        p, q = (grid.points[codes.indices[frame, pair]] for codes in (one, other))
        found.append(float(abs((p - q) @ (p + q - 2 * at)) / (2 * np.linalg.norm(p - q))))
    return found


def assert_same_codes(codec: Codec, wav: np.ndarray, one: Codes, other: Codes) -> int:
    """Equal lengths and equal indices, but where float rounding decides between two cells; how many those are."""
    assert (one.num_samples, one.sample_rate_hz) == (other.num_samples, other.sample_rate_hz)
    assert one.indices.shape == other.indices.shape
    ties = distances_to_edges(codec, wav, one, other)
    assert all(distance < 1e-5 for distance in ties), f"{len(ties)} indices differ, by up to {max(ties)} from an edge"
    return len(ties)
