"""features in pieces [batch frames dim] -> wav in pieces [batch samples]: `HarmonicDecoder`, stage by stage."""

from __future__ import annotations

import math
from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from q2d2 import excitation
from q2d2.decoder import HarmonicDecoder
from q2d2.layers import Reach
from q2d2.spectral import inner_frames, inner_overlap_add, synthesis_frames
from q2d2.streams.stages import Stage, Together, block_stages, through


class DecoderStream:
    """The samples of a signal as they become known, from absolute frame `start_frame` on, a multiple of `BLOCK`.

    A sample comes out once `decoder.look_ahead_samples` samples after it have gone in as features, or a fine frame
    later. The first `decoder.context.lead` frames are for the stages to fill with: their samples are not the signal's.
    """

    def __init__(self, decoder: HarmonicDecoder, num_pairs: Int64[Tensor, " batch"], start_frame: int) -> None:
        self._decoder, self._num_pairs = decoder, num_pairs
        config = decoder.config
        self._fine_frame = start_frame * config.upsample  # absolute: the noise depends on it
        self._pitch = [Stage(partial(decoder.pitch.inner, i), decoder.pitch.reach) for i in range(decoder.pitch.depth)]
        self._source = _Source(decoder)
        self._coarse = block_stages(decoder.blocks)
        self._fine = block_stages(decoder.fine)
        self._before_fine, self._after_fine = Together(), Together()
        overlap = config.n_fft // config.hop_fine - 1
        self._overlap = Stage(partial(inner_overlap_add, hop=config.hop_fine), Reach(overlap, 0))
        self._early = (config.n_fft - config.hop_fine) // 2  # samples that come out before the first frame's own

    def push(self, features: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch samples"] | None:
        decoder = self._decoder
        source = self._source.push(through(self._pitch, features.double()))
        x = through(self._coarse, decoder.conditioned(features, self._num_pairs))
        up = None if x is None else decoder.per_fine_frame(decoder.up(x))
        both = self._before_fine.push(up, source)
        fine = through(self._fine, None if both is None else both[0] + decoder.seen(both[1]))
        envelope = None if x is None else decoder.envelope(x)
        parts = [fine, source] if decoder.bypass is None else [fine, source, envelope]
        ready = self._after_fine.push(*parts)
        if ready is None:
            return None
        start = torch.full_like(self._num_pairs, self._fine_frame)
        spectrum = decoder.filtered(ready[0], ready[2] if len(ready) == 3 else None, ready[1], start)
        self._fine_frame += ready[0].shape[1]
        wav = self._overlap.push(synthesis_frames(spectrum, decoder.config.n_fft))
        assert wav is not None  # a stage that looks at nothing ahead answers at once
        early = min(self._early, wav.shape[1])
        self._early -= early
        return wav[:, early:]


class _Source:
    """log2 of the pitch [batch frames steps] -> STFT of the harmonic source [batch fine_frames bins], in pieces."""

    def __init__(self, decoder: HarmonicDecoder) -> None:
        config = decoder.config
        self._step = decoder.hop // config.pitch_steps
        self._phase = excitation.RunningPhase(self._step, excitation.BLOCK * decoder.hop, config.sample_rate_hz)
        self._both = Together()
        side = (config.n_fft - config.hop_fine) // 2
        reach = Reach(side, config.n_fft - config.hop_fine - side)
        scale = math.sqrt(config.n_fft)
        self._spectrum = Stage(
            lambda wave: torch.fft.rfft(inner_frames(wave, config.n_fft, config.hop_fine)) / scale,
            reach,
            config.hop_fine,
        )

    def push(self, log2_pitch: Tensor | None) -> Tensor | None:
        if log2_pitch is None:
            return None
        pitch_hz = torch.exp2(log2_pitch.flatten(1))
        both = self._both.push(self._phase.push(pitch_hz), pitch_hz.repeat_interleave(self._step, dim=-1))
        return None if both is None else self._spectrum.push(excitation.harmonics(*both).float())
