"""wav -> latent -> indices -> features -> wav: composes encoder, quantizer and decoder, and knows their rates.

Clips go through in batches of windows (`clips`), streams and files of any length piece by piece (`streams`), and both
give the same indices and the same waveform as the whole at once. A codec that is not local in time (the paper's) sees
each clip whole and cannot stream.
"""

from __future__ import annotations

import io
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple, SupportsIndex, overload

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from q2d2 import bitstream
from q2d2.clips import decode_clips, encode_clips
from q2d2.config import CodecConfig, Parts, build
from q2d2.decoder import Decoded, HarmonicDecoder
from q2d2.encoder import SpectralEncoder
from q2d2.indices import check_indices
from q2d2.quantizer import Quantized
from q2d2.releases import describe, who_reads, who_reads_prior
from q2d2.resampling import check_rate, resample, resampled_length
from q2d2.signals import Samples, mono
from q2d2.streams import StreamingDecoder, StreamingEncoder

UNSAVED = "0" * 16  # instead of a hash: weights that are no file's, and are not checked


@dataclass(frozen=True)
class Codes:
    """One clip as indices; decodes to exactly `num_samples` samples at `sample_rate_hz`."""

    indices: Int64[Tensor, "frames pairs"]
    num_samples: int  # of the original, at its own rate
    sample_rate_hz: int  # of the original


class CodecOutput(NamedTuple):
    """One training pass, stage by stage."""

    latent: Float[Tensor, "batch frames dim"]
    quantized: Quantized
    decoded: Decoded


class Codec(nn.Module):
    """Speech to indices and back, at one of several rates.

    `encode` and `decode` take one clip or a list; `compress` and `decompress` are the same with `.q2d2` bytes between.
    `to_bytes` and `from_bytes` turn codes into such bytes and back.
    `encode_blocks` and `decode_blocks` do it for signals of any length in bounded memory.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.quantizer, self.decoder = build(config)
        self.weights = UNSAVED  # first 16 hex digits of the weight file's SHA-256: for the headers of `.q2d2` files
        self.prior: bitstream.Prior | None = None  # what files of these weights are coded with
        # what lies beyond the ends of a signal, see `measure_silence`
        self.silence: Tensor
        self.register_buffer("silence", torch.zeros(self.quantizer.num_pairs, dtype=torch.int64))

    @property
    def hop(self) -> int:
        """Samples per frame at the codec's own rate."""
        return self.encoder.hop

    @property
    def frame_rate_hz(self) -> float:
        return self.config.sample_rate_hz / self.hop

    @property
    def _parts(self) -> Parts:
        return Parts(self.encoder, self.quantizer, self.decoder)

    @property
    def is_local(self) -> bool:
        """Whether windows with context give exactly what the whole signal gives."""
        return self.encoder.context is not None and self.decoder.context is not None

    @property
    def rates(self) -> dict[str, int]:
        """Rates by name, and their pairs; one under the codec's own name where the preset names none."""
        return dict(self.config.rates) or {self.config.name: self.quantizer.num_pairs}

    def num_pairs(self, rate: str | int | None = None) -> int:
        """Pairs of a rate, given by name, as a number of pairs, or not at all (the default rate)."""
        total = self.quantizer.num_pairs
        if rate is None:
            return list(self.config.rates.values())[-1] if self.config.rates else total
        pairs = self.config.rates.get(rate) if isinstance(rate, str) else rate
        if pairs is None or not 1 <= pairs <= total:
            choices = [*self.config.rates, f"a number of pairs from 1 to {total}"]
            raise ValueError(f"{self.config.name} has no rate {rate!r}: give {' or '.join(choices)}")
        return pairs

    def bitrate_bps(self, rate: str | int | None = None) -> float:
        """Bits per second of the indices at log2(points), as at a constant rate; by a prior they take fewer."""
        points = self.quantizer.points[: self.num_pairs(rate)]
        return self.frame_rate_hz * sum(math.log2(n) for n in points)

    def forward(
        self,
        wav: Float[Tensor, "batch samples"],
        num_pairs: Int64[Tensor, " batch"],
        start_frame: Int64[Tensor, " batch"] | None = None,
    ) -> CodecOutput:
        """All stages, with gradients: for training, on whole frames."""
        latent = self.encoder(wav)
        quantized = self.quantizer(latent, num_pairs=num_pairs)
        return CodecOutput(latent, quantized, self.decoder(quantized.features, num_pairs, start_frame))

    @torch.no_grad()
    def measure_silence(self) -> None:
        """Set the buffer `silence` to the indices of digital silence; call it when the weights have changed."""
        before, after = self.encoder.context or (0, 0)
        quiet = torch.zeros(1, (before + 1 + after) * self.hop, device=self.silence.device)
        with self._evaluating():
            self.silence.copy_(self.quantizer(self.encoder(quiet)).indices[0, before])

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Evaluation mode for a while: with training's dropout and moving codebooks, codes would be no codes."""
        modes = [(module, module.training) for module in self.modules() if module.training]
        self.eval()
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    # -- clips ---------------------------------------------------------------------------------------------------------

    @overload
    def encode(self, wav: Samples, sample_rate_hz: SupportsIndex, rate: str | int | None = None) -> Codes: ...
    @overload
    def encode(
        self, wav: Sequence[Samples], sample_rate_hz: SupportsIndex, rate: str | int | None = None
    ) -> list[Codes]: ...
    def encode(
        self, wav: Samples | Sequence[Samples], sample_rate_hz: SupportsIndex, rate: str | int | None = None
    ) -> Codes | list[Codes]:
        """Encode one clip, [samples] or [channels samples], or a list of clips of any lengths.

        Any sample rate from 1 kHz; channels are averaged; 16- and 32-bit integers count as PCM; floats beyond full
        scale (1) are taken as they are. ValueError for an empty clip, NaN, infinity, and floats beyond `LOUDEST`.
        """
        pairs, from_hz = self.num_pairs(rate), operator.index(sample_rate_hz)
        clips = [wav] if isinstance(wav, np.ndarray | Tensor) else list(wav)
        whole = [mono(clip, f"clip {i}" if len(clips) > 1 else "the clip") for i, clip in enumerate(clips)]
        signals = [resample(clip, from_hz, self.config.sample_rate_hz) for clip in whole]
        with self._evaluating():
            parts = encode_clips(self._parts, signals, self.silence.device)
        codes = [
            Codes(torch.from_numpy(indices[:, :pairs]), len(clip), from_hz)
            for indices, clip in zip(parts, whole, strict=True)
        ]
        return codes[0] if isinstance(wav, np.ndarray | Tensor) else codes

    @overload
    def decode(self, codes: Codes) -> Float32[np.ndarray, " samples"]: ...
    @overload
    def decode(self, codes: Sequence[Codes]) -> list[Float32[np.ndarray, " samples"]]: ...
    def decode(self, codes: Codes | Sequence[Codes]) -> Any:
        """Decode one clip or a list, each to exactly its original length and sample rate: mono float32."""
        clips = [codes] if isinstance(codes, Codes) else list(codes)
        for clip in clips:
            self._check(clip)
        with self._evaluating():
            parts = decode_clips(self._parts, [clip.indices.numpy(force=True) for clip in clips], self.silence)
        wavs = [
            resample(
                wav[: resampled_length(clip.num_samples, clip.sample_rate_hz, self.config.sample_rate_hz)],
                self.config.sample_rate_hz,
                clip.sample_rate_hz,
                clip.num_samples,
            )
            for wav, clip in zip(parts, clips, strict=True)
        ]
        return wavs[0] if isinstance(codes, Codes) else wavs

    def compress(
        self,
        wav: Samples,
        sample_rate_hz: SupportsIndex,
        rate: str | int | None = None,
        constant_rate: bool = False,
    ) -> bytes:
        """One clip -> the bytes of a `.q2d2` file. `constant_rate`: as `writer` has it."""
        return self.to_bytes(self.encode(wav, sample_rate_hz, rate), constant_rate)

    def decompress(self, data: bytes) -> Float32[np.ndarray, " samples"]:
        """The bytes of a `.q2d2` file -> mono float32 at the original sample rate."""
        return self.decode(self.from_bytes(data))

    # -- files ---------------------------------------------------------------------------------------------------------

    def to_bytes(self, codes: Codes, constant_rate: bool = False) -> bytes:
        """Codes -> the bytes of a `.q2d2` file. `constant_rate`: as `writer` has it."""
        file = io.BytesIO()
        writer = self.writer(file, codes.sample_rate_hz, codes.indices.shape[1], constant_rate=constant_rate)
        writer.write(codes.indices.numpy(force=True))
        writer.close(codes.num_samples)
        return file.getvalue()

    def from_bytes(self, data: bytes) -> Codes:
        """The bytes of a `.q2d2` file that this codec can decode -> codes."""
        reader = self.reader(io.BytesIO(data))
        indices = np.concatenate([chunk for _, chunk in reader] or [np.zeros((0, len(reader.header.points)), np.int64)])
        if not len(indices):
            raise ValueError("the file holds no frames")
        samples = reader.header.num_samples
        assert samples is not None  # a complete file states it, and a reader that got here has read a complete one
        return Codes(torch.from_numpy(indices), samples, reader.header.sample_rate_hz)

    def writer(
        self,
        file: bitstream.WritableFile,
        sample_rate_hz: SupportsIndex,
        rate: str | int | None = None,
        chunk_frames: int = bitstream.DEFAULT_CHUNK_FRAMES,
        constant_rate: bool = False,
    ) -> bitstream.Writer:
        """Frames of this codec into a `.q2d2` file, by its prior where it has one.

        `constant_rate`: every frame takes log2(points) bits, though there is a prior, and whatever is said.
        """
        prior = None if constant_rate else self.prior
        return bitstream.Writer(file, self.header(sample_rate_hz, rate), chunk_frames, prior)

    def reader(self, file: bitstream.ReadableFile, on_damage: Literal["raise", "skip"] = "raise") -> bitstream.Reader:
        """The frames of a `.q2d2` file. ValueError if this codec cannot decode them."""
        try:
            reader = bitstream.Reader(file, on_damage, () if self.prior is None else (self.prior,))
        except bitstream.UnknownPriorError as error:
            who = who_reads_prior(error.prior) or str(error)
            own = "without a prior" if self.prior is None else f"with the prior {self.prior.id}"
            raise ValueError(f"{who}; this is {describe(self.config.name, self.weights)}, {own}") from error
        self.check_header(reader.header)
        return reader

    def header(self, sample_rate_hz: SupportsIndex, rate: str | int | None = None) -> bitstream.Header:
        """The header of a file that this codec writes at this rate."""
        if self.prior is not None:
            return bitstream.Header.by_prior(self.prior, self.num_pairs(rate), operator.index(sample_rate_hz))
        return bitstream.Header(
            model=self.config.name,
            weights=self.weights,
            sample_rate_hz=operator.index(sample_rate_hz),
            codec_rate_hz=self.config.sample_rate_hz,
            hop=self.hop,
            points=self.quantizer.points[: self.num_pairs(rate)],
        )

    def check_header(self, header: bitstream.Header) -> None:
        """ValueError if this codec cannot decode such a file."""
        same_frames = (header.codec_rate_hz, header.hop) == (self.config.sample_rate_hz, self.hop)
        fits = same_frames and header.points == self.quantizer.points[: len(header.points)]
        same_weights = header.weights == self.weights
        if fits and (same_weights or UNSAVED in (header.weights, self.weights)):
            return
        who = None if same_weights else who_reads(header.weights)
        if who is not None:
            raise ValueError(f"{who}; this is {describe(self.config.name, self.weights)}")
        if not fits:
            raise ValueError(f"the file was written by another codec ({header.model}): load that one to decode it")
        raise ValueError(
            f"the file was written with the weights {header.weights} of {header.model}, but those loaded are "
            f"{self.weights}: load the version of the model that wrote it"
        )

    # -- signals of any length -----------------------------------------------------------------------------------------

    def encode_blocks(
        self, blocks: Iterable[Float32[np.ndarray, " _"]], rate: str | int | None = None
    ) -> Iterator[Int64[np.ndarray, "_ _pairs"]]:
        """Mono blocks of any sizes at the codec's own rate -> indices, block after block; bounded memory if local."""
        if not self.is_local:
            if parts := [block.copy() for block in blocks if len(block)]:
                yield self.encode(np.concatenate(parts), self.config.sample_rate_hz, rate).indices.numpy()
            return
        with self.streaming(rate) as stream:
            for block in blocks:
                if len(indices := stream.push(block)):
                    yield indices.numpy()
            if len(indices := stream.flush()):
                yield indices.numpy()

    def decode_blocks(self, chunks: Iterable[Int64[np.ndarray, "_ _pairs"]]) -> Iterator[Float32[np.ndarray, " _"]]:
        """Chunks of indices of any sizes -> mono samples at the codec's own rate; bounded memory if local."""
        checked = (self._checked_indices(chunk).copy() for chunk in chunks if len(chunk))
        first = next(checked, None)
        if first is None:
            return
        if not self.is_local:
            whole = torch.from_numpy(np.concatenate([first, *checked]))
            yield self.decode(Codes(whole, len(whole) * self.hop, self.config.sample_rate_hz))
            return
        with self.streaming_decoder(first.shape[1]) as stream:
            for chunk in chain([first], checked):
                if len(wav := stream.push(chunk)):
                    yield wav
            yield stream.flush()

    # -- live ----------------------------------------------------------------------------------------------------------

    def streaming(self, rate: str | int | None = None, sample_rate_hz: SupportsIndex | None = None) -> StreamingEncoder:
        """A stream of samples at this rate (default: the codec's) -> indices; ValueError if the codec is not local."""
        encoder = self.encoder
        self._check_streams()
        assert isinstance(encoder, SpectralEncoder)
        own_hz = self.config.sample_rate_hz
        outer_hz = own_hz if sample_rate_hz is None else operator.index(sample_rate_hz)
        pairs = self.num_pairs(rate)
        evaluating = self._evaluating if self.training else nullcontext  # which takes a third of a millisecond
        return StreamingEncoder(encoder, self.quantizer, pairs, own_hz, outer_hz, evaluating)

    def streaming_decoder(
        self,
        rate: str | int | None = None,
        sample_rate_hz: SupportsIndex | None = None,
        past: Int64[Tensor, "lead pairs"] | None = None,
        start_frame: int = 0,
    ) -> StreamingDecoder:
        """A stream of indices -> samples at this rate (default: the codec's); ValueError if the codec is not local.

        In the middle of a signal: `start_frame`, a multiple of `excitation.BLOCK`, is the first frame that is pushed,
        and `past` the `decoder.context.lead` frames before it.
        """
        decoder = self.decoder
        self._check_streams()
        assert isinstance(decoder, HarmonicDecoder)
        own_hz = self.config.sample_rate_hz
        outer_hz = own_hz if sample_rate_hz is None else operator.index(sample_rate_hz)
        silence = self.silence[: self.num_pairs(rate)]
        return StreamingDecoder(decoder, self.quantizer, silence, own_hz, outer_hz, past, start_frame)

    @property
    def latency_s(self) -> float | None:
        """From a sample's going in to its coming out of two streams at the codec's own rate, were both infinitely fast.

        The rest of its frame, and what encoder and decoder must know after it. None: the whole signal.
        """
        encoder, decoder = self.encoder, self.decoder
        if not isinstance(encoder, SpectralEncoder) or not isinstance(decoder, HarmonicDecoder):
            return None
        # the decoder keeps the newest frame, in which the signal may turn out to end
        samples = self.hop + encoder.reach_samples.after + max(self.hop, decoder.look_ahead_samples)
        return samples / self.config.sample_rate_hz

    def _check_streams(self) -> None:
        if not self.is_local:
            raise ValueError(
                f"{self.config.name} sees the whole signal at once and cannot stream: speech and speech-live can"
            )

    # -- checks --------------------------------------------------------------------------------------------------------

    def _check(self, codes: Codes) -> None:
        """ValueError unless these codes are some of this codec's, of a clip of the stated length."""
        check_rate(codes.sample_rate_hz)
        frames = len(self._checked_indices(codes.indices.numpy(force=True)))
        wanted = -(-resampled_length(codes.num_samples, codes.sample_rate_hz, self.config.sample_rate_hz) // self.hop)
        if frames != wanted or not frames:
            raise ValueError(
                f"{codes.num_samples} samples at {codes.sample_rate_hz} Hz are {wanted} frames, the codes have {frames}"
            )

    def _checked_indices(self, indices: Int64[np.ndarray, "frames pairs"]) -> Int64[np.ndarray, "frames pairs"]:
        pairs = indices.shape[1]
        if not 1 <= pairs <= self.quantizer.num_pairs:
            raise ValueError(f"the codes have {pairs} pairs, {self.config.name} has {self.quantizer.num_pairs}")
        check_indices(indices, self.quantizer.points[:pairs])
        return indices
