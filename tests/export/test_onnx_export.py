"""Graphs under onnxruntime against the codec they were made of: same indices, same waveform, for any shape."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_codecs import NOT_LOCAL, distances_to_edges, make_codec

from q2d2 import checkpoint
from q2d2.cli import main
from q2d2.codec import Codec, Codes
from q2d2.config import CodecConfig
from q2d2.decoder import HarmonicDecoderConfig
from q2d2.encoder import SpectralEncoderConfig
from q2d2.grid import RectangularGrid, RegularHexagonalGrid, RhombicGrid
from q2d2.quantizer import Q2D2Config
from q2d2.refinement import Refinement

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

RATE_HZ = 24000


class Graphs:
    """Two sessions, called like functions."""

    def __init__(self, folder: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.sessions = [ort.InferenceSession(folder / f"{name}.onnx", options) for name in ("encoder", "decoder")]

    def encode(self, wav: np.ndarray) -> np.ndarray:
        return self.sessions[0].run(None, {"wav": wav})[0]

    def decode(self, indices: np.ndarray, num_pairs: list[int]) -> np.ndarray:
        return self.sessions[1].run(None, {"indices": indices, "num_pairs": np.array(num_pairs)})[0]


@pytest.fixture(scope="module")
def codec(small_codec: Codec) -> Codec:
    return small_codec


@pytest.fixture(scope="module")
def run(graphs: Path) -> Graphs:
    return Graphs(graphs)


def clip(samples: int, seed: int = 0) -> np.ndarray:
    """Noise whose level and colour change, float32."""
    random = np.random.default_rng(seed)
    noise = np.convolve(random.standard_normal(samples + 63), random.standard_normal(64) / 8, "valid")
    return (noise * 0.2 * np.abs(np.sin(np.arange(samples) / 3000))).astype(np.float32)


def whole_frames(codec: Codec, indices: np.ndarray) -> np.ndarray:
    """What the codec decodes, all samples of the last frame too."""
    codes = Codes(torch.from_numpy(indices), len(indices) * codec.hop, codec.config.sample_rate_hz)
    return codec.decode(codes)


def assert_encodes_as(codec: Codec, found: np.ndarray, wav: np.ndarray) -> None:
    wanted = codec.encode(wav, codec.config.sample_rate_hz)
    assert found.shape == wanted.indices.shape
    assert (found != wanted.indices.numpy()).any(1).mean() <= 1e-3
    ties = distances_to_edges(codec, wav, wanted, replace(wanted, indices=torch.from_numpy(found)))
    assert all(distance < 1e-4 for distance in ties)


@pytest.mark.parametrize("samples", [1, 449, 450, 451, 899, 24000, 30 * RATE_HZ + 7])
def test_encoder_gives_the_indices_of_the_codec(codec: Codec, run: Graphs, samples: int) -> None:
    wav = clip(samples)
    assert_encodes_as(codec, run.encode(wav[None])[0], wav)


@pytest.mark.parametrize("frames", [1, 2, 31, 32, 33, 1600])
def test_decoder_gives_the_waveform_of_the_codec(codec: Codec, run: Graphs, frames: int) -> None:
    random = np.random.default_rng(frames)
    indices = random.integers(0, codec.quantizer.points, (frames, codec.quantizer.num_pairs))
    for pairs in codec.config.rates.values():
        (wav,) = run.decode(indices[None], [pairs])
        wanted = whole_frames(codec, indices[:, :pairs])
        assert wav.shape == wanted.shape
        assert np.abs(wav - wanted).max() < 1e-4


def test_a_batch_is_its_rows(codec: Codec, run: Graphs) -> None:
    wavs = np.stack([clip(7001, seed) for seed in range(3)])
    indices = run.encode(wavs)
    for row, wav in zip(indices, wavs, strict=True):
        assert (run.encode(wav[None])[0] == row).all()
    decoded = run.decode(indices, [3, 18, 9])
    for row, one, pairs in zip(decoded, indices, [3, 18, 9], strict=True):
        np.testing.assert_allclose(row, run.decode(one[None], [pairs])[0], atol=1e-5)


def test_columns_beyond_the_rate_are_ignored(codec: Codec, run: Graphs) -> None:
    indices = run.encode(clip(9000)[None])
    other = indices.copy()
    other[:, :, 3:] = 10**6
    assert (run.decode(other, [3]) == run.decode(indices, [3])).all()
    assert (run.decode(indices, [9]) != run.decode(indices, [3])).any()


@pytest.mark.parametrize(("pair", "index"), [(0, 85), (0, 144), (5, 145), (5, -1), (17, 145), (17, 10**9)])
def test_an_index_outside_its_grid_is_not_decoded_as_another(run: Graphs, pair: int, index: int) -> None:
    indices = run.encode(clip(9000)[None])
    indices[0, 4, pair] = index
    assert np.isnan(run.decode(indices, [18])).any()


def test_description_and_graphs_say_what_a_program_needs(codec: Codec, graphs: Path) -> None:
    said = json.loads((graphs / "q2d2.json").read_text())
    assert said["rates"] == codec.config.rates and said["points"] == list(codec.quantizer.points)
    assert (said["sample_rate_hz"], said["hop"], said["weights"]) == (RATE_HZ, codec.hop, codec.weights)
    for name, inputs in (("encoder", ["wav"]), ("decoder", ["indices", "num_pairs"])):
        model = onnx.load(graphs / f"{name}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert [value.name for value in model.graph.input] == inputs
        assert {domain.domain for domain in model.opset_import} == {""}  # standard operators only
        assert model.opset_import[0].version == said["opset"]
        assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
        text = str(model.graph)
        assert "COMPLEX" not in text and "/" + "home" not in text and ".py" not in text


# What `speech` is not: causal, at 16 kHz, windows that are no multiples of the hop, other and refined grids, no bypass.
ODD = CodecConfig(
    name="odd",
    encoder=SpectralEncoderConfig(
        dim=16, fine_dim=8, fine_layers=1, layers=1, feature_hop=160, stride=2, sample_rate_hz=16000, causal=True
    ),
    quantizer=Q2D2Config(
        dim=16,
        grids=(
            *(RegularHexagonalGrid((6, 9)), RhombicGrid((7, 7), midpoints="full"), RhombicGrid((5, 4))),
            *(Refinement(2, RectangularGrid((3, 2))), Refinement(3, RhombicGrid((3, 3)))),
        ),
    ),
    decoder=HarmonicDecoderConfig(
        features=16, dim=16, layers=1, fine_dim=8, fine_layers=1, num_pairs=5, pitch_dim=8, pitch_steps=2, upsample=4,
        hop_fine=80, n_fft=240, sample_rate_hz=16000, causal=True,
    ),
    sample_rate_hz=16000,
)  # fmt: skip


def test_command_line_exports_int8_of_an_odd_codec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save(make_codec(ODD), tmp_path / "model")
    out = tmp_path / "graphs"
    arguments = ["export", "onnx", str(out), "--model", str(tmp_path / "model"), "--int8"]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "in 377 of 377 frames" in shown.err and len(shown.err.splitlines()) == 2
    assert sorted(path.name for path in out.iterdir()) == ["decoder.onnx", "encoder.onnx", "q2d2.json"]

    from q2d2.onnx_export.weights import rounded_to_bytes

    codec, run = checkpoint.load(tmp_path / "model"), Graphs(out)
    rounded = rounded_to_bytes(codec)
    wav = clip(30_000)
    (indices,) = run.encode(wav[None])
    assert_encodes_as(rounded, indices, wav)
    assert (indices != codec.encode(wav, ODD.sample_rate_hz).indices.numpy()).any()  # else nothing was rounded
    (decoded,) = run.decode(indices[None], [5])
    assert np.abs(decoded - whole_frames(rounded, indices)).max() < 1e-4

    before = (out / "encoder.onnx").read_bytes()
    assert main(arguments) == 1
    assert "exists already; --overwrite replaces it" in capsys.readouterr().err
    assert (out / "encoder.onnx").read_bytes() == before


def test_other_codecs_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save(make_codec(NOT_LOCAL), tmp_path / "model")
    assert main(["export", "onnx", str(tmp_path / "graphs"), "--model", str(tmp_path / "model")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "not-local: cannot be exported" in line and "speech" in line
    assert not (tmp_path / "graphs").exists()


def test_graphs_that_disagree_leave_nothing_behind(
    codec: Codec, graphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from q2d2.onnx_export import checking, export, writing

    other = make_codec(codec.config)
    torch.nn.init.normal_(other.encoder.norm.weight)
    stale = tuple(onnx.load(graphs / name) for name in ("encoder.onnx", "decoder.onnx"))
    monkeypatch.setattr(writing, "_graphs", lambda *_: stale)
    with pytest.raises(checking.DisagreementError, match="frames have other indices"):
        export(other, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert export(codec, tmp_path / "new").agreement is not None  # and the codec they are of passes
