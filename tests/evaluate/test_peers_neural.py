"""Other projects' networks. Their weights are random here and lie where the packages keep the real ones: what is tested
is that those are found and loaded, what goes in and comes out, and the sizes."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch

from q2d2.evaluate.metrics import MissingExtraError
from q2d2.evaluate.peers import Clip, PeerError, peer
from q2d2.evaluate.peers import dac as dac_peer
from q2d2.evaluate.peers import encodec as encodec_peer
from q2d2.evaluate.peers import snac as snac_peer
from q2d2.evaluate.peers.network import quiet
from q2d2.evaluate.peers.neural import random_network

RATE_HZ = 24_000
PACKAGES = {"encodec": encodec_peer.NEEDS, "dac": dac_peer.NEEDS, "snac": snac_peer.NEEDS}
DAC_FILE = "weights_24khz_8kbps_0.0.4.pth"
# of the published shapes, but thin
DAC = {"encoder_dim": 2, "decoder_dim": 32, "encoder_rates": [2, 4, 5, 8], "decoder_rates": [8, 5, 4, 2]}
DAC |= {"n_codebooks": 32, "sample_rate": RATE_HZ, "quantizer_dropout": 0.5}
SNAC = {"encoder_dim": 4, "decoder_dim": 32, "encoder_rates": [2, 4, 8, 8], "decoder_rates": [8, 8, 4, 2]}
SNAC |= {"vq_strides": [4, 2, 1], "attn_window_size": None, "sampling_rate": RATE_HZ}


def installed(name: str) -> pytest.MarkDecorator:
    missing = PACKAGES[name].missing()
    return pytest.mark.skipif(missing is not None, reason=str(missing))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, with empty caches."""
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    torch.manual_seed(0)
    return tmp_path


def save(saved: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(saved, path)


def pretrained_encodec(home: Path) -> torch.nn.Module:
    module = random_network("encodec").module
    for name, weight in module.named_parameters():
        if "bias" in name:  # which drown the signal in a random encoder, so that all codes were the same
            torch.nn.init.zeros_(weight)
    for layer in module.quantizer.vq.layers:
        layer._codebook.embed.normal_(std=1e-3)
    save(module.state_dict(), home / "torch" / "hub" / "checkpoints" / "encodec_24khz-d7cc33bc.th")
    return module


def pretrained_dac(home: Path) -> torch.nn.Module:
    package = dac_peer.load_package()
    with quiet():
        module = package.DAC(**DAC).eval()
    saved = {"state_dict": module.state_dict(), "metadata": {"kwargs": {**DAC, "of_a_later_version": 1}}}
    save(saved, home / ".cache" / "descript" / "dac" / DAC_FILE)
    return module


def pretrained_snac(home: Path) -> torch.nn.Module:
    package = snac_peer.load_package()
    with quiet():
        module = package.SNAC(**SNAC).eval()
    repository = home / "hub" / "models--hubertsiuzdak--snac_24khz"
    save(module.state_dict(), repository / "snapshots" / "0123abcd" / "pytorch_model.bin")
    (repository / "snapshots" / "0123abcd" / "config.json").write_text(json.dumps(SNAC))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd")
    return module


def test_peers_by_name() -> None:
    names = ("encodec-1.5", "encodec-24", "dac-16", "dac-24", "dac-44", "dac-24x4", "dac-16x12", "snac-24")
    assert [peer(name).name for name in names] == list(names)
    for name in ("encodec-2", "encodec-", "dac-48", "dac-24x0", "dac-16x13", "dac-24x", "dac-x4", "snac-44", "snac"):
        with pytest.raises(PeerError, match=rf"there is no peer '{name}': give opus-KBPS .*; FILE\.py:CLASS"):
            peer(name)
    with pytest.raises(PeerError, match="no network 'opus': give encodec, dac, snac"):
        random_network("opus")


@pytest.mark.parametrize(("package", "name"), [("encodec", "encodec-6"), ("dac", "dac-24"), ("snac", "snac-24")])
def test_a_missing_package_is_named_with_its_command(package: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.import_module("sys").modules, package, None)  # "cannot be imported"
    command = "pip install --no-deps" if package == "dac" else r"pip install 'q2d2\[peers\]'"
    message = rf"{package}.* not installed: {command}"
    missing = peer(name).missing()
    assert missing is not None
    with pytest.raises(MissingExtraError, match=message) as raised:
        random_network(package)
    assert str(raised.value) == missing


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("encodec-6", "/encodec_24khz-d7cc33bc.th as ~/torch/hub/checkpoints/", marks=installed("encodec")),
        pytest.param("dac-24x4", f"/weights_24khz.pth as ~/.cache/descript/dac/{DAC_FILE}", marks=installed("dac")),
        pytest.param("snac-24", "not in ~/hub: hf download hubertsiuzdak/snac_24khz", marks=installed("snac")),
    ],
)
def test_missing_weights_are_named_with_their_place(name: str, message: str) -> None:
    assert message in str(peer(name).missing())


@installed("encodec")
def test_encodec_is_what_its_package_makes_of_a_clip(home: Path, speech_like) -> None:
    module = pretrained_encodec(home)
    system = peer("encodec-3")
    assert system.missing() is None
    wav = speech_like(0.51)
    coded = system.code(Clip("a.flac", wav, RATE_HZ))
    module.set_target_bandwidth(3.0)
    module.name = "encodec_24khz"
    one = torch.from_numpy(wav)
    with torch.inference_mode():
        assert np.array_equal(coded.samples, module(one[None, None])[0, 0].numpy())
    assert coded.file_bytes == len(importlib.import_module("encodec.compress").compress(module, one[None]))
    assert coded.payload_bytes == math.ceil(4 * math.ceil(len(wav) / 320) * 10 / 8)
    assert coded.indices is not None and coded.indices.shape == (39, 4) and len(np.unique(coded.indices)) > 10


@installed("dac")
@pytest.mark.parametrize(("name", "codebooks"), [("dac-24", 32), ("dac-24x4", 4)])
def test_dac_is_what_its_package_makes_of_a_clip(name: str, codebooks: int, home: Path, speech_like) -> None:
    module = pretrained_dac(home)
    system = peer(name)
    assert system.missing() is None
    wav = speech_like(0.51)
    coded = system.code(Clip("a.flac", wav, RATE_HZ))
    with torch.inference_mode():
        direct = module(torch.from_numpy(wav)[None, None], RATE_HZ, codebooks)
    np.testing.assert_allclose(coded.samples, direct["audio"][0, 0].numpy(), atol=1e-6)
    assert coded.indices is not None and np.array_equal(coded.indices.T, direct["codes"][0].numpy())
    assert coded.file_bytes == coded.payload_bytes == math.ceil(codebooks * 39 * 10 / 8)


@installed("snac")
def test_snac_is_what_its_package_makes_of_a_clip_and_the_same_every_time(home: Path, speech_like) -> None:
    module = pretrained_snac(home)
    system = peer("snac-24")
    assert system.missing() is None
    clip = Clip("a.flac", speech_like(1.0), RATE_HZ)
    first = system.code(clip)
    before = torch.random.get_rng_state()
    again = system.code(clip)
    assert np.array_equal(first.samples, again.samples) and len(first.samples) == len(clip.wav)
    assert torch.equal(before, torch.random.get_rng_state())
    with torch.inference_mode():
        codes = module.encode(torch.from_numpy(clip.wav)[None, None])
        torch.manual_seed(0)
        assert np.array_equal(first.samples, module.decode(codes)[0, 0, : len(clip.wav)].numpy())
    tokens = 12 * (1 + 2 + 4)  # it goes in steps of 2048 samples
    assert first.indices is not None and first.indices.shape == (tokens, 1)
    assert first.file_bytes == first.payload_bytes == tokens * 12 // 8


@installed("dac")
def test_a_clip_of_another_rate_is_coded_at_that_of_the_network(home: Path, speech_like) -> None:
    pretrained_dac(home)
    coded = peer("dac-24x1").code(Clip("a.flac", speech_like(0.5, 16_000), 16_000))
    assert coded.sample_rate_hz == RATE_HZ and 12_000 - 16 <= len(coded.samples) <= 12_000
    assert coded.payload_bytes == math.ceil(38 * 10 / 8)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=installed(n.split("-")[0]), id=n) for n in ("encodec-6", "dac-24", "snac-24")],
)
def test_weights_that_are_damaged_or_another_networks_are_refused(name: str, home: Path, speech_like) -> None:
    family = name.split("-")[0]
    {"encodec": pretrained_encodec, "dac": pretrained_dac, "snac": pretrained_snac}[family](home)
    (path,) = (p for p in home.rglob("*") if p.suffix in (".th", ".pth", ".bin"))
    clip = Clip("a.flac", speech_like(0.1), RATE_HZ)
    for data in (path.read_bytes()[:1000], b""):
        path.write_bytes(data)
        with pytest.raises(PeerError, match=rf"{path.name}: is not its weights \(.*\); replace it"):
            peer(name).code(clip)
    torch.save({"state_dict": {"other": torch.zeros(1)}, "metadata": {"kwargs": {}}}, path)
    with pytest.raises(PeerError, match=rf"{path.name}: is not its weights \(RuntimeError: .*\); replace it"):
        peer(name).code(clip)


# Millions of weights and kbit/s as published: of EnCodec's and SNAC's model cards and of the DAC 24 kHz checkpoint.
@pytest.mark.parametrize(
    ("name", "millions", "kbps"),
    [
        pytest.param("encodec", 14.9, 6.0, marks=installed("encodec")),
        pytest.param("dac", 74.7, 24.0, marks=installed("dac")),
        pytest.param("snac", 19.8, 0.98, marks=installed("snac")),
    ],
)
def test_a_random_network_has_the_published_shape(name: str, millions: float, kbps: float) -> None:
    network = random_network(name)
    assert round(sum(weight.numel() for weight in network.module.parameters()) / 1e6, 1) == millions
    assert network.sample_rate_hz == RATE_HZ and not network.module.training
    wav = 0.1 * torch.randn(2, 2 * 2048)
    with torch.inference_mode():
        codes = network.encode(wav)
        decoded = network.decode(codes)
    assert decoded.shape[0] == 2 and abs(decoded.shape[1] - wav.shape[1]) <= 320
    frames = sum(level.shape[1] for level in codes)
    assert all(level.shape[0] == 2 for level in codes)
    expected = kbps * wav.shape[1] / RATE_HZ * 1000
    assert frames * network.bits == pytest.approx(expected, abs=network.bits * len(codes))
