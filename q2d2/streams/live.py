"""Samples in pieces -> indices in pieces, and back: one speaker's stream, at any sample rate, of exact length.

What comes out in all is what `Codec.encode` and `Codec.decode` give for the whole: the same indices, save where float
rounding decides between two cells, and the same waveform within 1e-4.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32, Int64, Integer
from torch import Tensor

from q2d2.decoder import HarmonicDecoder
from q2d2.encoder import SpectralEncoder
from q2d2.indices import check_indices
from q2d2.quantizer import Quantizer
from q2d2.resampling import Resampler, resampled_length
from q2d2.signals import Samples, mono
from q2d2.streams.decoding import DecoderStream
from q2d2.streams.encoding import EncoderStream

LONGEST = 512  # frames that pass through the networks at a time, however many are pushed: bounds memory


Self = TypeVar("Self", bound="_Stream")


class _Stream:
    """What both directions share: a stream ends once, and says so to those who go on."""

    def __init__(self) -> None:
        self._ended = False

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended = True

    def _check_open(self) -> None:
        if self._ended:
            raise ValueError("the stream has ended: begin another one")


class StreamingEncoder(_Stream):
    """`push` samples, get the indices that have become known; `flush` gives the last ones. Made by `Codec.streaming`.

    `num_samples` counts what was pushed, at `sample_rate_hz`: `Codes` and `.q2d2` files need it at the end.
    """

    def __init__(
        self,
        encoder: SpectralEncoder,
        quantizer: Quantizer,
        num_pairs: int,
        codec_rate_hz: int,
        sample_rate_hz: int,
        evaluating: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        super().__init__()
        self.num_samples = 0
        self._evaluating = evaluating  # while indices are found: codebooks that are learnt must not move
        self._quantizer, self._num_pairs = quantizer, num_pairs
        self._hop, self._after = encoder.hop, encoder.reach_samples.after
        self._device = encoder.merge.weight.device
        self._resampler = Resampler(sample_rate_hz, codec_rate_hz)
        self._stream = EncoderStream(encoder)
        self._received = self._sent = 0  # samples at the codec's rate, and frames
        self._silent = encoder.context.before  # frames of silence that go first, for the stages to fill with
        self._encoded(np.zeros(self._silent * self._hop, np.float32))

    def push(self, samples: Samples) -> Int64[Tensor, "frames pairs"]:
        """[samples] or [channels samples], as many as there are, of what `Codec.encode` takes; else ValueError."""
        self._check_open()
        if 0 in samples.shape:
            return self._nothing()
        block = mono(samples, "the block")
        self.num_samples += len(block)
        return self._signal(self._resampler.push(block))

    def flush(self) -> Int64[Tensor, "frames pairs"]:
        """The remaining frames; nothing can be pushed after it."""
        self._check_open()
        self._ended = True
        rest = self._signal(self._resampler.flush())
        frames = -(-self._received // self._hop)
        if frames == self._sent:
            return rest
        silence = np.zeros(frames * self._hop - self._received + self._after, np.float32)
        return torch.cat([rest, self._encoded(silence)[: frames - self._sent]])

    def _signal(self, samples: Float32[np.ndarray, " samples"]) -> Int64[Tensor, "frames pairs"]:
        self._received += len(samples)
        indices = self._encoded(samples)
        self._sent += len(indices)
        return indices

    @torch.inference_mode()
    def _encoded(self, samples: Float32[np.ndarray, " samples"]) -> Int64[Tensor, "frames pairs"]:
        found = [self._nothing()]
        for piece in torch.from_numpy(samples).to(self._device).split(LONGEST * self._hop):
            latent = self._stream.push(piece.unsqueeze(0)) if len(piece) else None
            if latent is not None:
                with self._evaluating():
                    found.append(self._quantizer(latent).indices[0, :, : self._num_pairs].cpu())
        indices = torch.cat(found)
        silent = min(self._silent, len(indices))
        self._silent -= silent
        return indices[silent:]

    def _nothing(self) -> Int64[Tensor, "frames pairs"]:
        return torch.zeros(0, self._num_pairs, dtype=torch.int64)


class StreamingDecoder(_Stream):
    """`push` indices, get the samples that have become known; `flush` gives the last ones.

    Made by `Codec.streaming_decoder`.
    """

    def __init__(
        self,
        decoder: HarmonicDecoder,
        quantizer: Quantizer,
        silence: Int64[Tensor, " pairs"],
        codec_rate_hz: int,
        sample_rate_hz: int,
        past: Int64[Tensor, "lead pairs"] | None = None,
        start_frame: int = 0,
    ) -> None:
        super().__init__()
        self._quantizer, self._silence, self._after = quantizer, silence, decoder.context.after
        self._rates = codec_rate_hz, sample_rate_hz
        self._hop = decoder.hop
        self._resampler = Resampler(codec_rate_hz, sample_rate_hz)
        lead = decoder.context.lead
        pairs = torch.tensor([len(silence)], device=silence.device)
        self._stream = DecoderStream(decoder, pairs, start_frame - lead)
        self._frames = self._sent = self._resampled = 0  # frames pushed; samples at the codec's rate, and at the other
        self._lead = lead * self._hop  # samples of what goes first, for the stages to fill with
        before = silence.expand(lead, -1) if past is None else past.to(silence.device)
        self._held = self._decoded(before)  # known, but perhaps beyond the end

    def push(self, indices: Integer[Tensor | np.ndarray, "frames pairs"]) -> Float32[np.ndarray, " samples"]:
        """Any number of frames of this stream's rate; ValueError for indices that it cannot have."""
        self._check_open()
        array = indices.numpy(force=True) if isinstance(indices, Tensor) else indices
        pairs = len(self._silence)
        if array.ndim != 2 or array.shape[1] != pairs:
            raise ValueError(f"the indices have the shape {array.shape}: this stream takes [frames, {pairs}]")
        check_indices(array, self._quantizer.points[:pairs])
        if not len(array):
            return np.zeros(0, np.float32)
        found = torch.from_numpy(array.astype(np.int64)).to(self._silence.device)
        self._frames += len(found)
        known = np.concatenate([self._held, self._decoded(found)])
        # where in its last frame the signal ends is told by `flush`
        sure = max(0, (self._frames - 1) * self._hop - self._sent)
        self._held = known[sure:].copy()
        return self._out(known[:sure])

    def flush(self, num_samples: int | None = None) -> Float32[np.ndarray, " samples"]:
        """The rest, so that there are `num_samples` in all (default: as many as the frames make).

        ValueError if so many samples are not what so many frames stand for.
        """
        self._check_open()
        codec_rate_hz, sample_rate_hz = self._rates
        length = self._frames * self._hop
        if num_samples is not None:
            length = resampled_length(num_samples, sample_rate_hz, codec_rate_hz)
            if -(-length // self._hop) != self._frames:
                raise ValueError(f"{num_samples} samples at {sample_rate_hz} Hz are not {self._frames} frames")
        self._ended = True
        known = np.concatenate([self._held, self._decoded(self._silence.expand(self._after, -1))])
        rest = [self._out(known[: length - self._sent]), self._resampler.flush()]
        return np.concatenate(rest)[: None if num_samples is None else num_samples - self._resampled + len(rest[0])]

    def _out(self, samples: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, " resampled"]:
        self._sent += len(samples)
        out = self._resampler.push(samples)
        self._resampled += len(out)
        return out

    @torch.inference_mode()
    def _decoded(self, indices: Int64[Tensor, "frames pairs"]) -> Float32[np.ndarray, " samples"]:
        found = [np.zeros(0, np.float32)]
        for piece in indices.split(LONGEST):
            wav = self._stream.push(self._quantizer.indices_to_features(piece.unsqueeze(0)))
            if wav is not None:
                found.append(wav[0].cpu().numpy())
        samples = np.concatenate(found)
        leading = min(self._lead, len(samples))
        self._lead -= leading
        return samples[leading:]
