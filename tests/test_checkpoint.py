"""Model folders: what is saved comes back, whole or not at all, and what is broken is named."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_speech_like
from safetensors.torch import load_file, save_file
from small_codecs import NOT_LOCAL, make_codec

import q2d2
from q2d2 import checkpoint
from q2d2.atomic import write_whole
from q2d2.baselines import RVQConfig
from q2d2.checkpoint import CONFIG, WEIGHTS, ModelError, load, read_tensors, save, write_tensors
from q2d2.codec import UNSAVED, Codec

RATE_HZ = 24_000


@pytest.fixture
def folder(tmp_path) -> Path:
    save(make_codec(), tmp_path / "model")
    return tmp_path / "model"


def edit(folder: Path, **changes: object) -> None:
    """Change fields of the config by dotted names, `encoder__layers=2`."""
    path = folder / CONFIG
    config = json.loads(path.read_text())
    for name, value in changes.items():
        *parents, last = name.split("__")
        part = config
        for parent in parents:
            part = part[parent]
        part[last] = value
    path.write_text(json.dumps(config))


# -- there and back ----------------------------------------------------------------------------------------------------


def test_a_loaded_codec_is_the_saved_one_with_rounded_weights(folder):
    codec = make_codec()
    loaded, again = load(folder), load(str(folder))
    assert loaded.config == codec.config and not loaded.training
    assert loaded.weights == again.weights != UNSAVED and codec.weights == UNSAVED
    for name, value in codec.state_dict().items():
        stored = loaded.state_dict()[name]
        assert stored.dtype == value.dtype
        if value.is_floating_point():
            assert torch.equal(stored, value.half().float())
    wav = make_speech_like(1.0)
    codes = loaded.encode(wav, RATE_HZ)
    assert torch.equal(codes.indices, again.encode(wav, RATE_HZ).indices)
    assert np.array_equal(loaded.decode(codes), again.decode(codes))
    assert np.abs(codec.decode(codes) - loaded.decode(codes)).max() < 0.05  # rounding is not heard


def test_saving_what_was_loaded_changes_nothing(folder, tmp_path):
    save(load(folder), tmp_path / "second")
    for name in (CONFIG, WEIGHTS):
        assert (folder / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert load(tmp_path / "second").weights == load(folder).weights


def test_saving_leaves_the_codec_as_it_is(tmp_path):
    codec = make_codec().train()
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    save(codec, tmp_path)
    assert codec.training and codec.weights == UNSAVED
    assert all(torch.equal(value, before[name]) for name, value in codec.state_dict().items())


def test_silence_is_measured_with_the_weights_that_are_stored(tmp_path):
    codec = make_codec()
    codec.silence.zero_()
    save(codec, tmp_path)
    loaded = load(tmp_path)
    stored = loaded.silence.clone()
    loaded.measure_silence()
    assert torch.equal(loaded.silence, stored) and stored.any()


@pytest.mark.parametrize("quantizer", [NOT_LOCAL.quantizer, RVQConfig(dim=16, codebook_size=8, stages=2)])
def test_codecs_with_codebooks_and_lstms_come_back(tmp_path, quantizer):
    codec = make_codec(replace(NOT_LOCAL, quantizer=quantizer))
    save(codec, tmp_path)
    wav = make_speech_like(0.7)
    loaded = load(tmp_path)
    assert np.array_equal(
        load(tmp_path).decompress(loaded.compress(wav, RATE_HZ)), loaded.decode(loaded.encode(wav, RATE_HZ))
    )


def test_weights_are_float16_on_disk_and_nothing_else_is_there(folder):
    stored = load_file(folder / WEIGHTS)
    assert {value.dtype for name, value in stored.items() if name != "silence"} == {torch.float16}
    assert stored["silence"].dtype == torch.int64
    assert sorted(os.listdir(folder)) == [CONFIG, WEIGHTS]
    assert (folder / WEIGHTS).stat().st_size < 2 * 30_000 + 20_000


def test_what_float16_cannot_hold_stays_float32(tmp_path):
    codec = make_codec()
    with torch.no_grad():
        codec.decoder.head.bias[0] = 1e5
    save(codec, tmp_path)
    assert load(tmp_path).decoder.head.bias[0] == 1e5


def test_files_name_the_weights_they_need(folder, tmp_path):
    codec = load(folder)
    data = codec.compress(make_speech_like(0.5), RATE_HZ)
    assert bytes.fromhex(codec.weights) in data
    stored = load_file(folder / WEIGHTS)
    stored["encoder.embed.bias"][0] += 1
    save_file(stored, folder / WEIGHTS)
    with pytest.raises(ValueError, match="load the version of the model that wrote it"):
        load(folder).decompress(data)


def test_one_changed_byte_changes_the_hash(folder):
    before = load(folder).weights
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-100] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    assert load(folder).weights != before and len(before) == 16


def test_the_names_at_the_top_of_the_package():
    assert q2d2.load is load and q2d2.save is save


# -- whole or not at all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["replace", "fsync"])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, where):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, where, fail)
    with pytest.raises(OSError, match="no space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_failing_tensors_leave_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_tensors(path, {"a": torch.ones(3)}, {"step": "1"})

    def fail(tensors: object, where: Path, metadata: object) -> None:
        Path(where).write_bytes(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(OSError, match="no space left"):
        write_tensors(path, {"a": torch.zeros(3)}, {})
    tensors, metadata = read_tensors(path)
    assert torch.equal(tensors["a"], torch.ones(3)) and metadata == {"step": "1"}
    assert os.listdir(tmp_path) == ["file"]


def test_tensors_of_any_layout_come_back(tmp_path):
    tensors = {"transposed": torch.arange(6).view(2, 3).T, "scalar": torch.tensor(2.5), "none": torch.zeros(0)}
    write_tensors(tmp_path / "file", tensors, {})
    back, _ = read_tensors(tmp_path / "file")
    assert all(torch.equal(back[name], value) for name, value in tensors.items())


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of posix")
def test_files_may_be_read_by_whoever_the_umask_lets(folder, tmp_path):
    (tmp_path / "plain").touch()
    usual = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in (CONFIG, WEIGHTS)] == [usual, usual]


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"model: holds no model, {name} is missing"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder__layerz": 3}, "encoder.spectral.layerz: Unexpected keyword argument"),
        ({"encoder__layers": "3"}, "encoder.spectral.layers: Input should be a valid integer"),
        ({"encoder__kernel": 4}, "kernel must be odd"),
        ({"encoder__kind": "other"}, "encoder: Input tag 'other'"),
        ({"encoder": {}}, "encoder: Unable to extract tag"),
        (
            {"quantizer__grids": [{"tiling": "rhombic", "levels": [1, 7]}]},
            "grids.0.grid.rhombic: .* at least 2",
        ),
        ({"quantizer__grids": [{"of": 0, "grid": {"tiling": "squares"}}]}, r"grids.0.refinement.grid: Input tag 'sq"),
        ({"decoder__features": 8}, "differ in width: 16, 16, 8"),
        ({"rates": {"1k": 9}}, "the rate 1k has 9 pairs, the quantizer 4"),
    ],
)
def test_a_broken_config_is_named_with_the_field(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(ModelError, match=message) as error:
        load(folder)
    assert str(error.value).startswith(str(folder / CONFIG)) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}', "\ufeff{}"])
def test_what_is_no_config_is_named(folder, text):
    (folder / CONFIG).write_text(text)
    with pytest.raises(ModelError, match=CONFIG):
        load(folder)


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_broken_weights_are_named(folder, length):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:length])
    with pytest.raises(ModelError, match=f"{WEIGHTS}: is not a readable safetensors file"):
        load(folder)


def test_weights_of_another_model_are_named(folder):
    edit(folder, encoder__layers=2)
    with pytest.raises(ModelError, match=rf"{WEIGHTS}: does not fit {CONFIG}: Missing key.*encoder\.blocks\.1"):
        load(folder)
    edit(folder, encoder__layers=1, encoder__fine_dim=4)
    with pytest.raises(ModelError, match=f"{WEIGHTS}: does not fit {CONFIG}: size mismatch"):
        load(folder)


# -- names of models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "./model", "../model", "~/no-such-model", "", "/no/such"])
def test_what_can_be_no_hub_id_is_a_folder_that_is_not_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="no such folder; give one, a shipped model .* or a hub id|holds no model"):
        load(name)


def test_a_hub_id_is_fetched_without_anything_but_a_models_files(folder, monkeypatch):
    asked = {}

    def fetch(name: str, allow_patterns: list[str]) -> str:
        asked[name] = allow_patterns
        return str(folder)

    monkeypatch.setattr(checkpoint, "snapshot_download", fetch)
    assert load("someone/speech").weights == load(folder).weights
    assert asked == {"someone/speech": [CONFIG, WEIGHTS, checkpoint.PRIOR]}


@pytest.mark.parametrize("error", [OSError("no route to host"), ValueError("bad name"), RuntimeError("xet")])
def test_without_the_hub_the_error_says_what_to_do(monkeypatch, error):
    def fail(*_: object, **__: object) -> str:
        raise error

    monkeypatch.setattr(checkpoint, "snapshot_download", fail)
    with pytest.raises(ModelError, match="someone/speech: is no local folder, and the hub did not give it") as raised:
        load("someone/speech")
    assert "download config.json, model.safetensors and, if there is one, prior.safetensors by hand" in str(
        raised.value
    )


def test_a_codec_cannot_be_loaded_from_what_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    with pytest.raises(ModelError, match="speech: holds no model"):
        load()


def test_fresh_codecs_are_not_taken_for_saved_ones():
    assert Codec(make_codec().config).weights == UNSAVED
