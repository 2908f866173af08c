"""wav in pieces [batch samples] -> latent in pieces [batch frames dim]: `SpectralEncoder`, stage by stage."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from q2d2.encoder import SpectralEncoder
from q2d2.layers import Reach
from q2d2.streams.stages import Stage, Together, block_stages, through

NOTHING = Reach(0, 0)


class EncoderStream:
    """The frames of a signal as they become known, from the first piece on, before which it was silent.

    A frame comes out once `encoder.reach_samples.after` samples after its last one have gone in.
    """

    def __init__(self, encoder: SpectralEncoder) -> None:
        self._encoder = encoder
        config = encoder.config
        self._features = Stage(encoder.features.inner, encoder.features.reach, encoder.features.hop)
        self._fine = block_stages(encoder.fine)
        self._merge = Stage(lambda fine: encoder.merge(encoder.per_frame(fine)), NOTHING, config.stride)
        self._blocks = block_stages(encoder.blocks)
        self._around = Stage(encoder.spectral_frames, NOTHING, config.stride)
        self._both = Together()

    def push(self, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames dim"] | None:
        encoder = self._encoder
        features = self._features.push(wav)
        fine = through(self._fine, None if features is None else encoder.embed(features))
        latent = through([self._merge, *self._blocks], fine)
        if encoder.bypass is None:
            return None if latent is None else encoder.norm(latent)
        both = self._both.push(latent, self._around.push(features))
        return None if both is None else encoder.norm(both[0]) + encoder.bypass(both[1])
