"""What a `.q2d2` file or a model is, as rows of (label, text). Knows no terminal."""

from __future__ import annotations

import io
import math
import os
from itertools import groupby

from q2d2 import bitstream, presets
from q2d2.codec import Codec
from q2d2.files import damage_line, named
from q2d2.opening import open_source
from q2d2.releases import RELEASES, describe

Rows = list[tuple[str, str]]


def file_rows(source: str | os.PathLike[str]) -> tuple[Rows, list[str]]:
    """A `.q2d2` file, all of it read and checked, and a line on each damage; FileError if its header is no good."""
    with open_source(source, seekable=True) as (file, name), named(name):
        reader = bitstream.Reader(file, on_damage="skip")
        lengths = [len(indices) for _, indices in reader]
        num_bytes = file.seek(0, io.SEEK_END)
    header = reader.header
    frame_rate_hz = header.codec_rate_hz / header.hop
    num_frames = sum(lengths) if reader.num_frames is None else reader.num_frames
    samples = header.num_samples if reader.num_frames is not None else None
    duration_s = num_frames / frame_rate_hz if samples is None else samples / header.sample_rate_hz
    length = "" if samples is None else f" ({samples} samples at {header.sample_rate_hz} Hz)"
    bitrate = f"{8 * num_bytes / duration_s:.0f} bit/s" if duration_s else "-"
    pairs, bits = len(header.points), sum(math.log2(size) for size in header.points)
    rows = [
        ("file", name),
        ("model", describe(header.model, header.weights)),
        ("rate", _rate_name(header)),
        ("duration", f"{duration_s:.3f} s{length}"),
        ("size", f"{num_bytes} bytes, {bitrate}"),
        ("tokens", f"{pairs} pairs, {bits:.2f} bits a frame, {frame_rate_hz * bits:.0f} bit/s"),
        ("points", _points(header.points)),
        ("frames", f"{num_frames}, {frame_rate_hz:.2f} a second"),
        ("chunks", f"{len(lengths)}{'' if reader.damage else ', all of them whole'}"),
    ]
    return rows, [damage_line(damage, name, frame_rate_hz) for damage in reader.damage]


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
    return rows + _reach_rows(codec)


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
