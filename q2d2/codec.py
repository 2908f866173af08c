"""wav -> latent -> indices -> features -> wav: composes encoder, quantizer and decoder, and knows their rates.

A codec whose encoder and decoder are local in time works in windows: `WINDOW` frames at a time with the context their
receptive fields need. A long file, a stream and a batch of unequal clips are then all the same thing, a list of
windows, and give the same indices and the same waveform. Beyond its ends a signal is silent: the encoder sees zeros
there, the decoder the indices of silence. A codec that is not local (the paper's) sees each clip whole, one at a time.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, overload

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from pydantic import Discriminator
from torch import Tensor, nn

from q2d2 import bitstream
from q2d2.audio import resample, resampled_length, to_mono
from q2d2.baselines import FSQ, RVQ, VQ, FSQConfig, Identity, IdentityConfig, RVQConfig, VQConfig
from q2d2.decoder import Decoded, Decoder, HarmonicDecoder, HarmonicDecoderConfig
from q2d2.encoder import Encoder, SpectralEncoder, SpectralEncoderConfig
from q2d2.quantizer import Q2D2, Q2D2Config, Quantized, Quantizer
from q2d2.seanet import SEANetConfig, SEANetEncoder
from q2d2.vocos import VocosConfig, VocosDecoder

WINDOW = 1536  # frames per window: half a minute of `speech`, a multiple of the decoder's blocks
BATCH_FRAMES = 4 * WINDOW  # frames per pass through the networks, context aside: bounds memory

EncoderConfig = Annotated[SpectralEncoderConfig | SEANetConfig, Discriminator("kind")]
QuantizerConfig = Annotated[Q2D2Config | FSQConfig | VQConfig | RVQConfig | IdentityConfig, Discriminator("kind")]
DecoderConfig = Annotated[HarmonicDecoderConfig | VocosConfig, Discriminator("kind")]
Samples = np.ndarray | Tensor


@dataclass(frozen=True)
class CodecConfig:
    """A codec as data. `rates` names prefixes of the quantizer's pairs, lowest first; the last is the default."""

    name: str
    encoder: EncoderConfig
    quantizer: QuantizerConfig
    decoder: DecoderConfig
    rates: dict[str, int] = field(default_factory=dict)
    sample_rate_hz: int = 24000


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


class _Span(NamedTuple):
    """Frames `start` to `stop` of clip number `clip`: one row of work."""

    clip: int
    start: int
    stop: int


class Codec(nn.Module):
    """Speech to indices and back, at one of several rates.

    `encode` and `decode` take one clip or a list; `compress` and `decompress` are the same with `.q2d2` bytes between.
    `encode_blocks` and `decode_blocks` do it for signals of any length in bounded memory.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder: Encoder = _encoder(config.encoder)
        self.quantizer: Quantizer = _quantizer(config.quantizer)
        self.decoder: Decoder = _decoder(config.decoder)
        self.weights = (
            ""  # first 16 hex digits of the weights' SHA-256; written to files, checked when they are decoded
        )
        if self.encoder.hop != self.decoder.hop:
            raise ValueError(f"encoder and decoder differ in hop: {self.encoder.hop} and {self.decoder.hop} samples")
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
    def is_local(self) -> bool:
        """Whether windows with context give exactly what the whole signal gives."""
        return self.encoder.context is not None and self.decoder.context is not None

    def num_pairs(self, rate: str | int | None = None) -> int:
        """Pairs of a rate, given by name, as a number of pairs, or not at all (the default rate)."""
        total = self.quantizer.num_pairs
        if rate is None:
            return list(self.config.rates.values())[-1] if self.config.rates else total
        pairs = self.config.rates.get(rate) if isinstance(rate, str) else rate
        if pairs is None or not 1 <= pairs <= total:
            names = ", ".join(self.config.rates)
            raise ValueError(f"{self.config.name} has no rate {rate!r}: give one of {names}, or 1 to {total} pairs")
        return pairs

    def bitrate_bps(self, rate: str | int | None = None) -> float:
        """Bits per second of the indices themselves: frames per second times the sum of log2(points)."""
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
        frames = 2 * (self.encoder.context or 0) + 1
        quiet = torch.zeros(1, frames * self.hop, device=self.silence.device)
        self.silence.copy_(self.quantizer(self.encoder(quiet)).indices[0, frames // 2])

    # -- clips ---------------------------------------------------------------------------------------------------------

    @overload
    def encode(self, wav: Samples, sample_rate_hz: int, rate: str | int | None = None) -> Codes: ...
    @overload
    def encode(self, wav: Sequence[Samples], sample_rate_hz: int, rate: str | int | None = None) -> list[Codes]: ...
    def encode(
        self, wav: Samples | Sequence[Samples], sample_rate_hz: int, rate: str | int | None = None
    ) -> Codes | list[Codes]:
        """Encode one clip, [samples] or [channels samples], or a list of clips of any lengths.

        Any sample rate from 1 kHz; channels are averaged; integers count as PCM. ValueError for an empty clip and for
        NaN or infinity.
        """
        pairs = self.num_pairs(rate)
        clips = [wav] if isinstance(wav, np.ndarray | Tensor) else list(wav)
        mono = [_mono(clip, f"clip {i}" if len(clips) > 1 else "the clip") for i, clip in enumerate(clips)]
        signals = [resample(clip, sample_rate_hz, self.config.sample_rate_hz) for clip in mono]
        parts = self._encode_spans(signals, self._spans([-(-len(s) // self.hop) for s in signals], self.is_local))
        codes = [
            Codes(torch.from_numpy(indices)[:, :pairs], len(clip), sample_rate_hz)
            for indices, clip in zip(parts, mono, strict=True)
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
        frames = [clip.indices.numpy(force=True) for clip in clips]
        parts = self._decode_spans(frames, self._spans([len(f) for f in frames], self.is_local))
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

    def compress(self, wav: Samples, sample_rate_hz: int, rate: str | int | None = None) -> bytes:
        """One clip -> the bytes of a `.q2d2` file."""
        codes = self.encode(wav, sample_rate_hz, rate)
        file = io.BytesIO()
        writer = bitstream.Writer(file, self.header(sample_rate_hz, rate))
        writer.write(codes.indices.numpy())
        writer.close(codes.num_samples)
        return file.getvalue()

    def decompress(self, data: bytes) -> Float32[np.ndarray, " samples"]:
        """The bytes of a `.q2d2` file -> mono float32 at the original sample rate."""
        reader = bitstream.Reader(io.BytesIO(data))
        self.check_header(reader.header)
        indices = np.concatenate([chunk for _, chunk in reader] or [np.zeros((0, len(reader.header.points)), np.int64)])
        if not len(indices):
            raise ValueError("the file holds no frames")
        samples = reader.header.num_samples
        assert samples is not None  # a complete file states it, and a reader that got here has read a complete one
        return self.decode(Codes(torch.from_numpy(indices), samples, reader.header.sample_rate_hz))

    def header(self, sample_rate_hz: int, rate: str | int | None = None) -> bitstream.Header:
        """The header of a file that this codec writes at this rate."""
        return bitstream.Header(
            model=self.config.name,
            weights=self.weights,
            sample_rate_hz=sample_rate_hz,
            codec_rate_hz=self.config.sample_rate_hz,
            hop=self.hop,
            points=self.quantizer.points[: self.num_pairs(rate)],
            num_samples=None,
        )

    def check_header(self, header: bitstream.Header) -> None:
        """ValueError if this codec cannot decode such a file."""
        mine = self.header(header.sample_rate_hz)
        if header.points != self.quantizer.points[: len(header.points)] or header.hop != mine.hop:
            raise ValueError(f"the file was written by another codec ({header.model}): load that one to decode it")
        if header.weights and mine.weights and header.weights != mine.weights:
            raise ValueError(
                f"the file was written with the weights {header.weights} of {header.model}, but those loaded are "
                f"{mine.weights}: load the version of the model that wrote it"
            )

    # -- signals of any length -----------------------------------------------------------------------------------------

    def encode_blocks(
        self, blocks: Iterable[Float32[np.ndarray, " block"]], rate: str | int | None = None
    ) -> Iterator[Int64[np.ndarray, "frames pairs"]]:
        """Mono blocks of any sizes at the codec's own rate -> indices, window after window; bounded memory if local."""
        pairs, context = self.num_pairs(rate), self.encoder.context
        held, first, done = (
            np.zeros(0, np.float32),
            0,
            0,
        )  # `held` begins at frame `first`; frames before `done` are out
        for block in blocks:
            held = np.concatenate([held, block])
            while context is not None and self.is_local and len(held) >= (done + WINDOW + context - first) * self.hop:
                span = _Span(0, done - first, done - first + WINDOW)
                yield self._encode_spans([held], [span])[0][:, :pairs]
                done += WINDOW
                held, first = held[(done - context - first) * self.hop :], done - context
        frames = first + -(-len(held) // self.hop)
        if frames > done:
            spans = [_Span(0, done - first, frames - first)]
            yield self._encode_spans([held], spans)[0][:, :pairs]

    def decode_blocks(
        self, chunks: Iterable[Int64[np.ndarray, "frames pairs"]]
    ) -> Iterator[Float32[np.ndarray, " samples"]]:
        """Chunks of indices of any sizes -> mono samples at the codec's own rate; bounded memory if local."""
        context = self.decoder.context
        held: np.ndarray | None = None
        first = done = 0
        for chunk in chunks:
            held = chunk if held is None else np.concatenate([held, chunk])
            while context is not None and self.is_local and first + len(held) >= done + WINDOW + context.after:
                yield self._decode_spans([held], [_Span(0, done - first, done - first + WINDOW)], first)[0]
                done += WINDOW
                keep = max(0, done - context.lead)
                held, first = held[keep - first :], keep
        if held is not None and first + len(held) > done:
            yield self._decode_spans([held], [_Span(0, done - first, len(held))], first)[0]

    # -- windows -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _spans(frames: Sequence[int], local: bool) -> list[_Span]:
        return [
            _Span(clip, start, min(start + WINDOW, count) if local else count)
            for clip, count in enumerate(frames)
            for start in (range(0, count, WINDOW) if local else [0])
        ]

    def _batches(self, spans: Sequence[_Span]) -> Iterator[list[_Span]]:
        """Spans of like lengths together, a bounded number of frames at a time; singly if the codec is not local."""
        batch: list[_Span] = []
        for span in sorted(spans, key=lambda s: s.stop - s.start, reverse=True):
            if batch and (not self.is_local or (len(batch) + 1) * (batch[0].stop - batch[0].start) > BATCH_FRAMES):
                yield batch
                batch = []
            batch.append(span)
        if batch:
            yield batch

    @torch.inference_mode()
    def _encode_spans(
        self, signals: Sequence[Float32[np.ndarray, " _"]], spans: Sequence[_Span]
    ) -> list[Int64[np.ndarray, "_ pairs"]]:
        """Indices (all pairs) of each signal's spans, joined per signal."""
        context, hop = self.encoder.context or 0, self.hop
        found: dict[_Span, np.ndarray] = {}
        for batch in self._batches(spans):
            longest = max(span.stop - span.start for span in batch)
            rows = np.zeros((len(batch), (longest + 2 * context) * hop), np.float32)
            for row, span in zip(rows, batch, strict=True):
                _copy_span(row, signals[span.clip], (span.start - context) * hop, (span.stop + context) * hop)
            latent = self.encoder(torch.from_numpy(rows).to(self.silence.device))
            indices = self.quantizer(latent).indices.cpu().numpy()
            for row, span in zip(indices, batch, strict=True):
                found[span] = row[context : context + span.stop - span.start]
        return _joined(found, len(signals))

    @torch.inference_mode()
    def _decode_spans(
        self, clips: Sequence[Int64[np.ndarray, "_ _pairs"]], spans: Sequence[_Span], first_frame: int = 0
    ) -> list[Float32[np.ndarray, " _"]]:
        """Samples of each clip's spans, joined per clip; the clips begin at the absolute frame `first_frame`."""
        lead, before, after = self.decoder.context or (0, 0, 0)
        found: dict[_Span, np.ndarray] = {}
        for batch in self._batches(spans):
            longest = max(span.stop - span.start for span in batch)
            # clips of different rates share a pass: what a row lacks is masked out of its features
            pairs = [clips[span.clip].shape[1] for span in batch]
            rows = self.silence.cpu().numpy()[: max(pairs)].repeat(len(batch) * (lead + longest + after))
            rows = rows.reshape(max(pairs), len(batch), -1).transpose(1, 2, 0).copy()
            for row, span, width in zip(rows, batch, pairs, strict=True):
                _copy_span(row[:, :width], clips[span.clip], span.start - lead, span.stop + after)
            device = self.silence.device
            features = torch.cat(
                [
                    self.quantizer.indices_to_features(torch.from_numpy(row[None, :, :width]).to(device))
                    for row, width in zip(rows, pairs, strict=True)
                ]
            )
            starts = torch.tensor([first_frame + span.start - lead for span in batch], device=device)
            decoded = self.decoder(features, torch.tensor(pairs, device=device), starts, skip=lead - before)
            for row, span in zip(decoded.wav.cpu().numpy(), batch, strict=True):
                found[span] = row[before * self.hop : (before + span.stop - span.start) * self.hop]
        return _joined(found, len(clips))

    def _check(self, codes: Codes) -> None:
        frames, pairs = codes.indices.shape
        wanted = -(-resampled_length(codes.num_samples, codes.sample_rate_hz, self.config.sample_rate_hz) // self.hop)
        if frames != wanted or not frames:
            raise ValueError(
                f"{codes.num_samples} samples at {codes.sample_rate_hz} Hz are {wanted} frames, the codes have {frames}"
            )
        if not 1 <= pairs <= self.quantizer.num_pairs:
            raise ValueError(f"the codes have {pairs} pairs, {self.config.name} has {self.quantizer.num_pairs}")
        points = torch.tensor(self.quantizer.points[:pairs], device=codes.indices.device)
        if bool(((codes.indices < 0) | (codes.indices >= points)).any()):
            raise ValueError(f"an index lies outside 0..points-1; the points per pair are {points.tolist()}")


def _copy_span(row: np.ndarray, whole: np.ndarray, start: int, stop: int) -> None:
    """Copy items start..stop of `whole` to the front of `row`, leaving out what lies beyond its ends."""
    low, high = max(0, start), min(len(whole), stop)
    row[low - start : high - start] = whole[low:high]


def _joined(found: dict[_Span, np.ndarray], clips: int) -> list[np.ndarray]:
    return [np.concatenate([found[span] for span in sorted(found) if span.clip == clip]) for clip in range(clips)]


def _mono(wav: Samples, name: str) -> Float32[np.ndarray, " samples"]:
    """[samples] or [channels samples] of floats or PCM integers -> mono float32; ValueError for what is not audio."""
    array = wav.numpy(force=True) if isinstance(wav, Tensor) else wav
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[0] > 64):
        raise ValueError(f"{name} has the shape {array.shape}: give [samples] or [channels, samples]")
    if array.size == 0:
        raise ValueError(f"{name} is empty")
    if array.dtype.kind == "i":
        array = array / np.float32(np.iinfo(array.dtype).max + 1.0)
    elif array.dtype.kind != "f":
        raise ValueError(f"{name} holds {array.dtype}: give floats within -1..1 or signed integers")
    mono = to_mono(np.ascontiguousarray(array.T, dtype=np.float32))
    if not np.isfinite(mono).all():
        raise ValueError(f"{name} holds NaN or infinity at sample {int(np.argmin(np.isfinite(mono)))}")
    return mono


def _encoder(config: EncoderConfig) -> Encoder:
    return SEANetEncoder(config) if isinstance(config, SEANetConfig) else SpectralEncoder(config)


def _decoder(config: DecoderConfig) -> Decoder:
    return VocosDecoder(config) if isinstance(config, VocosConfig) else HarmonicDecoder(config)


def _quantizer(config: QuantizerConfig) -> Quantizer:
    match config:
        case Q2D2Config():
            return Q2D2.from_config(config)
        case FSQConfig():
            return FSQ(config)
        case VQConfig():
            return VQ(config)
        case RVQConfig():
            return RVQ(config)
        case IdentityConfig():
            return Identity(config)
