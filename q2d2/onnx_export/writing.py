"""Codec -> encoder.onnx, decoder.onnx and q2d2.json in a folder: all three, and right, or none."""

from __future__ import annotations

import copy
import json
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import onnx
import torch

from q2d2.atomic import replacing
from q2d2.codec import Codec
from q2d2.decoder import HarmonicDecoder
from q2d2.encoder import SpectralEncoder
from q2d2.onnx_export.checking import Agreement, check
from q2d2.onnx_export.decoder import DecoderGraph
from q2d2.onnx_export.encoder import EncoderGraph
from q2d2.onnx_export.graphs import OPSET, to_onnx
from q2d2.onnx_export.weights import pack, rounded_to_bytes
from q2d2.quantizer import Q2D2

ENCODER, DECODER, DESCRIPTION = "encoder.onnx", "decoder.onnx", "q2d2.json"


class ExportError(ValueError):
    """A codec that cannot be exported, or a folder that it cannot be exported to."""


class Exported(NamedTuple):
    """What `export` has written."""

    encoder_bytes: int
    decoder_bytes: int
    agreement: Agreement | None  # None: there was no onnxruntime to compare with


def export(codec: Codec, out: Path, int8: bool = False, overwrite: bool = False) -> Exported:
    """Write the graphs of `codec`, which stays as it is. ExportError, and no new files, where something is wrong."""
    encoder, quantizer, decoder = codec.encoder, codec.quantizer, codec.decoder
    fits = isinstance(encoder, SpectralEncoder) and isinstance(quantizer, Q2D2) and isinstance(decoder, HarmonicDecoder)
    if not fits:
        raise ExportError(
            f"{codec.config.name}: cannot be exported; only codecs of the kind of `speech` can, with a spectral "
            "encoder, a Q2D2 quantizer and a harmonic decoder"
        )
    paths = [out / name for name in (ENCODER, DECODER, DESCRIPTION)]
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise ExportError(f"{there[0]}: exists already; --overwrite replaces it")
    original = copy.deepcopy(codec).cpu().eval()
    reference = rounded_to_bytes(original) if int8 else original
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as files:
            temporary = [files.enter_context(replacing(path)) for path in paths]
            for path, graph in zip(temporary, _graphs(reference, int8), strict=False):
                path.write_bytes(graph.SerializeToString())
            temporary[2].write_text(json.dumps(description(codec, int8), indent=1) + "\n")
            agreement = check(reference, temporary[0], temporary[1])
            return Exported(temporary[0].stat().st_size, temporary[1].stat().st_size, agreement)
    finally:
        if is_new and not any(out.iterdir()):
            out.rmdir()


def description(codec: Codec, int8: bool) -> dict[str, object]:
    """What a program must know about the graphs that is not in them."""
    return {
        "model": codec.config.name,
        "weights": codec.weights,
        "precision": "int8" if int8 else "float",
        "opset": OPSET,
        "sample_rate_hz": codec.config.sample_rate_hz,
        "hop": codec.hop,
        "points": list(codec.quantizer.points),
        "rates": codec.rates,
    }


def _graphs(codec: Codec, int8: bool) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The encoder's and the decoder's graph."""
    mine = copy.deepcopy(codec)
    pack(mine, int8)
    assert isinstance(mine.encoder, SpectralEncoder)
    assert isinstance(mine.quantizer, Q2D2) and isinstance(mine.decoder, HarmonicDecoder)
    batch, pairs = torch.export.Dim("batch"), mine.quantizer.num_pairs
    # the shortest that the exporter believes in; the graph works from 1 sample and 1 frame on
    samples, frames = torch.export.Dim("samples", min=mine.hop + 1), torch.export.Dim("frames")
    encoder = to_onnx(
        EncoderGraph(mine.encoder, mine.quantizer),
        {"wav": torch.zeros(2, 3 * mine.hop + 1)},
        {"wav": {0: batch, 1: samples}},
        ["indices"],
    )
    decoder = to_onnx(
        DecoderGraph(mine.quantizer, mine.decoder, mine.silence),
        {"indices": torch.zeros(2, 3, pairs, dtype=torch.int64), "num_pairs": torch.full((2,), pairs)},
        {"indices": {0: batch, 1: frames}, "num_pairs": {0: batch}},
        ["wav"],
    )
    return encoder, decoder
