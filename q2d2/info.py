"""What a `.q2d2` file or a model is, as rows of (label, text). Knows no terminal."""

from __future__ import annotations

import io
import math
import os
from itertools import chain, groupby

import numpy as np
from jaxtyping import Float64

from q2d2 import bitstream, checkpoint, presets
from q2d2.codec import Codec
from q2d2.files import FileError, damage_line, named
from q2d2.opening import open_source
from q2d2.releases import RELEASES, describe

Rows = list[tuple[str, str]]
_IN_A_LINE = 8


def file_rows(source: str | os.PathLike[str], codec: Codec | None = None) -> tuple[Rows, list[str]]:
    """A `.q2d2` file, all of it read and checked, and a line on each damage; FileError if its header is no good.

    codec: the one that wrote it, if that is none in the package.
    """
    with open_source(source, seekable=True) as (file, name), named(name):
        begin = file.tell()
        reader = _opened(file, codec)
        prior = reader.prior
        sizes, coded = [], np.zeros(len(reader.header.points))
        for chunk in reader.chunks():
            sizes.append((len(chunk.indices), chunk.num_bytes, chunk.by_prior))
            by_prior = prior.bits(chunk.indices) if prior is not None and chunk.by_prior else None
            coded += len(chunk.indices) * np.log2(reader.header.points) if by_prior is None else by_prior
        num_bytes = file.seek(0, io.SEEK_END) - begin
    header = reader.header
    frame_rate_hz = header.codec_rate_hz / header.hop
    whole = sum(frames for frames, _, _ in sizes)
    num_frames = whole if reader.num_frames is None else reader.num_frames
    samples = header.num_samples if reader.num_frames is not None else None
    duration_s = num_frames / frame_rate_hz if samples is None else samples / header.sample_rate_hz
    length = "" if samples is None else f" ({samples} samples at {header.sample_rate_hz} Hz)"
    bitrate = f"{8 * num_bytes / duration_s:.0f} bit/s" if duration_s else "-"
    raw = np.log2(header.points)
    rows = [
        ("file", name),
        ("model", describe(header.model, header.weights)),
        ("rate", _rate_name(header)),
        ("duration", f"{duration_s:.3f} s{length}"),
        ("size", f"{num_bytes} bytes, {bitrate}"),
        ("tokens", f"{len(raw)} pairs, {raw.sum():.2f} bits a frame, {frame_rate_hz * raw.sum():.0f} bit/s"),
        ("points", _points(header.points)),
        ("frames", f"{num_frames}, {frame_rate_hz:.2f} a second"),
        ("chunks", f"{len(sizes)}{'' if reader.damage else ', all of them whole'}"),
    ]
    if sizes:
        worst = max(8 * size * frame_rate_hz / frames for frames, size, _ in sizes)
        mean = sum(8 * size for _, size, _ in sizes) * frame_rate_hz / whole
        rows.append(("chunk rate", f"{mean:.0f} bit/s on average, {worst:.0f} in the worst"))
        rows += [("prior", "none")] if prior is None else _prior_rows(prior, sizes, coded / whole, raw)
    return rows, [damage_line(damage, name, frame_rate_hz) for damage in reader.damage]


def _opened(file: bitstream.ReadableFile, codec: Codec | None) -> bitstream.Reader:
    own = () if codec is None or codec.prior is None else (codec.prior,)
    try:
        return bitstream.Reader(file, "skip", chain(own, checkpoint.shipped_priors()))
    except bitstream.UnknownPriorError as error:
        raise FileError(f"{error}, with --model") from error


def _prior_rows(
    prior: bitstream.Prior,
    sizes: list[tuple[int, int, bool]],
    coded: Float64[np.ndarray, " codebooks"],
    raw: Float64[np.ndarray, " codebooks"],
) -> Rows:
    """What the prior saves, in all and by codebook."""
    used = sum(by_prior for _, _, by_prior in sizes)
    saved = f"{coded.sum():.2f} bits a frame for {raw.sum():.2f}"
    saved += f", {1 - coded.sum() / raw.sum():.1%} less" if raw.sum() else ""
    rows = [("prior", f"{prior.id}, used in {used} of {len(sizes)} chunks: {saved}")]
    for first in range(0, len(raw), _IN_A_LINE):
        part = slice(first, first + _IN_A_LINE)
        numbers = "  ".join(f"{bits:.2f}/{of:.2f}" for bits, of in zip(coded[part], raw[part], strict=True))
        rows.append(("bits by pair" if not first else "", numbers))
    return rows


def model_rows(codec: Codec) -> Rows:
    """A model: size, rates, and how far it looks around a frame."""
    parts = {"encoder": codec.encoder, "quantizer": codec.quantizer, "decoder": codec.decoder}
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    listed = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    rows = [
        ("model", describe(codec.config.name, codec.weights)),
        ("parameters", f"{sum(sizes.values()):,} ({listed})"),
        ("audio", f"{codec.config.sample_rate_hz} Hz, mono inside; any sample rate and number of channels outside"),
        ("frames", f"{codec.frame_rate_hz:.2f} a second, {codec.hop} samples each"),
        ("points", _points(codec.quantizer.points)),
    ]
    for name, pairs in (codec.config.rates or {"(only)": codec.quantizer.num_pairs}).items():
        bits = sum(math.log2(size) for size in codec.quantizer.points[:pairs])
        rows.append((f"rate {name}", f"{codec.bitrate_bps(pairs):.0f} bit/s: {pairs} pairs, {bits:.2f} bits a frame"))
    rows.append(
        ("prior", "none: files cost what their indices do" if codec.prior is None else _prior_size(codec.prior))
    )
    return rows + _reach_rows(codec)


def _prior_size(prior: bitstream.Prior) -> str:
    return f"{prior.id}, {len(prior.data):,} bytes, {len(prior.starts)} groups of pairs"


def _reach_rows(codec: Codec) -> Rows:
    """How far encoder and decoder look beyond a frame, and the delay of a stream through both."""
    around, beyond, latency_s = codec.encoder.context, codec.decoder.context, codec.latency_s
    if around is None or beyond is None or latency_s is None:
        return [("reach", "the whole signal: it cannot stream, and files are encoded and decoded in one piece")]
    frame_ms = 1000 / codec.frame_rate_hz
    return [
        (
            "encoder sees",
            f"{around.before * frame_ms:.0f} ms before a frame, {around.after * frame_ms:.0f} ms after it",
        ),
        ("decoder sees", f"{beyond.lead * frame_ms:.0f} ms before a frame, {beyond.after * frame_ms:.0f} ms after it"),
        ("delay", f"{1000 * latency_s:.1f} ms at least, from sound in to sound out"),
    ]


def _points(points: tuple[int, ...]) -> str:
    """(85, 85, 145) -> "2 x 85, 1 x 145"."""
    return ", ".join(f"{len(list(run))} x {size}" for size, run in groupby(points))


def _rate_name(header: bitstream.Header) -> str:
    release = RELEASES.get(header.weights)
    is_old = release is not None and release.package is not None  # its rates may have been others
    preset = None if is_old else presets.PRESETS.get(header.model)
    names = [] if preset is None else [name for name, pairs in preset.rates.items() if pairs == len(header.points)]
    return names[0] if names else f"{len(header.points)} pairs"
