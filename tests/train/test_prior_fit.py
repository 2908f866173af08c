"""Fitting a prior: the network in floats is the one in whole numbers, and learns what there is to learn."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_codecs import LIVE_TOKENS, TINY, make_codec

from q2d2 import checkpoint, cli
from q2d2.codec import UNSAVED
from q2d2.presets import PRESETS
from q2d2.train.prior import FRAMES, FitConfig, PriorNetwork, _train, fit, groups


@pytest.mark.parametrize("codebooks", [1, 2, 3, 4])
def test_the_rounded_network_costs_what_the_floats_say(codebooks):
    codec = make_codec(TINY)
    torch.manual_seed(1)
    network = PriorNetwork(codec.quantizer.points, (0, 1, 2), 24)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    indices = np.random.default_rng(0).integers(0, codec.quantizer.points[:codebooks], (60, codebooks))
    with torch.no_grad():
        floats = network(torch.from_numpy(indices)[None])[0].sum(0).numpy()
    exact = network.rounded(codec).bits(indices)
    np.testing.assert_allclose(exact, floats, rtol=0.02)


def markov(points: tuple[int, ...], frames: int, seed: int) -> np.ndarray:
    """The first codebook stays with probability 3/4; the others follow from it, but for one frame in eight."""
    rng = np.random.default_rng(seed)
    indices = rng.integers(0, points, (frames, len(points)))
    for frame in range(1, frames):
        if rng.random() < 0.75:
            indices[frame, 0] = indices[frame - 1, 0]
        follows = rng.random(len(points) - 1) < 7 / 8
        indices[frame, 1:] = np.where(follows, indices[frame, 0] % np.array(points[1:]), indices[frame, 1:])
    return indices


def test_what_follows_from_what_is_learnt():
    points = (8, 4, 4)
    spoken = [markov(points, 600, seed) for seed in range(12)]
    torch.manual_seed(0)
    network = PriorNetwork(points, (0, 1), 24)
    config = FitConfig(Path("."), steps=250, learning_rate=1e-2)
    _train(network, spoken, [1, 3], config)
    codec = make_codec(replace(LIVE_TOKENS, rates={}))
    codec.quantizer.points = points
    prior, unheard = network.rounded(codec), markov(points, 8 * FRAMES, 99)
    found = prior.bits(unheard) / len(unheard)
    # what is random about them: a new first index in 7/32 of the frames, another follower in 3/32
    stays, new = 1 - 7 / 32, 7 / 32
    first = -stays * np.log2(stays) - new * np.log2(new / 7)
    right, wrong = 1 - 3 / 32, 3 / 32
    other = -right * np.log2(right) - wrong * np.log2(wrong / 3)
    assert found[0] == pytest.approx(first, rel=0.1)
    assert found[1:] == pytest.approx([other, other], rel=0.1)
    assert (prior.bits(unheard[:, :1]) / len(unheard))[0] == pytest.approx(first, rel=0.1)


@pytest.mark.parametrize("name", ["speech", "speech-live", "paper-1k", "tiny"])
def test_groups_divide_the_codebooks_and_begin_at_every_rate(name):
    codec = make_codec(PRESETS[name]) if name == "tiny" else checkpoint.Codec(PRESETS[name])
    starts = groups(codec)
    assert starts[0] == 0 and list(starts) == sorted(set(starts)) and starts[-1] < codec.quantizer.num_pairs
    assert set(codec.rates.values()) - {codec.quantizer.num_pairs} <= set(starts)
    assert len(starts) <= 13


@pytest.fixture
def model_folder(tmp_path):
    checkpoint.save(make_codec(TINY), tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def speech_folder(audio_file, speech_like, tmp_path):
    for seed in range(2):
        audio_file(speech_like(21.0, seed=seed), name=f"corpus/{seed}.wav")
    return tmp_path / "corpus"


def test_fit_says_what_it_saves_on_speech_held_out(model_folder, speech_folder):
    codec = checkpoint.load(model_folder)
    prior, savings = fit(codec, FitConfig(speech_folder, hours=0.04, steps=40, hidden=16))
    assert (prior.weights, prior.points, prior.hop) == (codec.weights, codec.quantizer.points, codec.hop)
    assert [rate.codebooks for rate in savings] == list(codec.rates.values())
    for rate in savings:
        assert rate.raw_bits == pytest.approx(codec.bitrate_bps(rate.codebooks) / codec.frame_rate_hz)
        assert 0.02 < rate.share < 0.9


def test_the_verb_writes_what_every_command_then_finds(model_folder, speech_folder, capsys, tmp_path):
    command = ["fit-prior", str(model_folder), "--data", str(speech_folder), "--hours", "0.04", "--steps", "25"]
    clip, before, after = speech_folder / "0.wav", tmp_path / "before.q2d2", tmp_path / "after.q2d2"
    encode = ["encode", str(clip), "--model", str(model_folder)]
    assert cli.main([*encode, str(before)]) == 0
    assert cli.main([*command, "--hidden", "16"]) == 0
    out = capsys.readouterr().out
    assert f"{model_folder / checkpoint.PRIOR}: " in out and "% less" in out
    assert cli.main([*encode, str(after)]) == 0
    assert after.stat().st_size < before.stat().st_size
    for file in (before, after):
        assert cli.main(["decode", str(file), str(file.with_suffix(".wav")), "--model", str(model_folder)]) == 0
        assert cli.main(["info", str(file), "--model", str(model_folder)]) == 0
    assert before.with_suffix(".wav").read_bytes() == after.with_suffix(".wav").read_bytes()
    assert "used in " in capsys.readouterr().out

    assert cli.main(command) == 2
    assert "exists already; --overwrite replaces it" in capsys.readouterr().err
    assert cli.main(["info", str(after)]) == 1
    assert "coded with the prior" in capsys.readouterr().err
    assert cli.main(["decode", str(after), str(tmp_path / "x.wav")]) == 1
    assert "which is not at hand: load the model whose prior it is; this is speech" in capsys.readouterr().err


def test_a_prior_stays_with_its_weights(model_folder, tmp_path, monkeypatch):
    codec = checkpoint.load(model_folder)
    prior = PriorNetwork(codec.quantizer.points, (0,), 4).rounded(codec)
    (model_folder / checkpoint.PRIOR).write_bytes(prior.data)
    assert checkpoint.load(model_folder).prior.id == prior.id
    checkpoint.save(codec, model_folder)  # what the end of a training does that was at its end before
    assert checkpoint.load(model_folder).prior.id == prior.id
    checkpoint.save(checkpoint.load(model_folder), tmp_path / "copy")
    assert checkpoint.load(tmp_path / "copy").prior.id == prior.id

    with torch.no_grad():
        next(codec.parameters()).add_(0.1)
    with monkeypatch.context() as full:
        full.setattr("q2d2.checkpoint.shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
        with pytest.raises(OSError, match="make room"):
            checkpoint.save(codec, model_folder)
    assert checkpoint.load(model_folder).prior.id == prior.id
    checkpoint.save(codec, model_folder)
    assert not (model_folder / checkpoint.PRIOR).exists() and checkpoint.load(model_folder).prior is None


@pytest.mark.parametrize("wrong", ["stale", "corrupt"])
def test_a_prior_that_does_not_fit_is_refused_and_fitted_again(wrong, model_folder, speech_folder, capsys):
    codec = checkpoint.load(model_folder)
    codec.weights = UNSAVED
    stale = PriorNetwork(codec.quantizer.points, (0,), 4).rounded(codec).data
    (model_folder / checkpoint.PRIOR).write_bytes(stale if wrong == "stale" else b"nonsense")
    assert cli.main(["info", str(model_folder)]) == 1
    said = capsys.readouterr().err
    assert ("fit it again with q2d2 fit-prior --overwrite" if wrong == "stale" else "is no prior") in said
    command = ["fit-prior", str(model_folder), "--data", str(speech_folder), "--hours", "0.04", "--steps", "25"]
    assert cli.main([*command, "--hidden", "8", "--overwrite"]) == 0
    assert cli.main(["info", str(model_folder)]) == 0
    assert f"prior         {checkpoint.load(model_folder).prior.id}, " in capsys.readouterr().out


def test_a_prior_that_saves_nothing_is_not_written(model_folder, speech_folder, monkeypatch, capsys):
    """What fitting left is the network as it began, which knows nothing."""
    monkeypatch.setattr("q2d2.train.prior._train", lambda *arguments: None)
    command = ["fit-prior", str(model_folder), "--data", str(speech_folder), "--hours", "0.01", "--steps", "1"]
    assert cli.main(command) == 1
    assert "the prior saves nothing at " in capsys.readouterr().err
    assert not (model_folder / checkpoint.PRIOR).exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": 0.0},
        {"steps": 0},
        {"hidden": -1},
        {"learning_rate": 0.0},
        {"hours": np.inf},
        {"learning_rate": np.nan},
    ],
)
def test_a_fit_of_nothing_is_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match="must be positive"):
        FitConfig(tmp_path, **wrong)
