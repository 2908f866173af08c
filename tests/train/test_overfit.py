"""A minute of speech and some hundred steps: losses fall, tokens come into use, and no rate is left behind."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import make_speech_like

import q2d2
from q2d2 import audio
from q2d2.codec import Codec
from q2d2.demo import CLIP
from q2d2.presets import TINY
from q2d2.train.config import TrainConfig
from q2d2.train.run import train


def used(codec: Codec, wav: np.ndarray) -> float:
    """Share of all pairs' points that this signal uses."""
    indices = codec.encode(wav, 24_000).indices
    counts = [len(np.unique(column)) for column in indices.numpy().T]
    return sum(counts) / sum(codec.quantizer.points)


@pytest.fixture(scope="module")
def minute(tmp_path_factory) -> Path:
    """The shipped clip, and as much speech-like sound as is lacking to a minute."""
    folder = tmp_path_factory.mktemp("minute")
    samples, rate_hz = audio.read(CLIP)
    clip = audio.resample(audio.to_mono(samples), rate_hz, 24_000)
    soundfile.write(folder / "clip.wav", clip, 24_000)
    rest = 60 - len(clip) / 24_000
    for number in range(4):
        soundfile.write(folder / f"made-{number}.wav", make_speech_like(rest / 4, seed=number), 24_000)
    return folder


@pytest.mark.usefixtures("unchecked")
def test_overfit(minute: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    wav = np.concatenate([audio.to_mono(audio.read(file)[0]) for file in audio.list_audio(minute)])
    before = used(Codec(TINY).eval(), wav)
    config = TrainConfig(
        data=minute,
        validate=minute,
        out=tmp_path,
        preset="tiny",
        steps=200,
        batch=3,
        seconds=0.6,
        learning_rate=5e-3,
        warmup_steps=10,
        average=0.97,
        augment="none",
        linear_start="none",
        adversarial_from=0.75,
        adversarial_warmup_steps=10,
        log_every=20,
        precision="float32",
    )
    codec = q2d2.load(train(config))
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "log_mel" in row]
    assert "light_adversarial" not in steps[0]
    assert {"light_adversarial", "light_discriminator"} <= set(steps[-1])
    assert list((tmp_path / "tensorboard").iterdir())
    first, last = rows[0], rows[-1]
    for name, most in (("log_mel", 0.6), ("root_mel", 0.7), ("pitch", 0.8)):
        assert steps[-1][name] < most * steps[0][name], name
    assert steps[-1]["light_discriminator"] < 2  # it tells the two apart, if only just
    for rate in codec.config.rates:
        assert last[f"validation/{rate}/log_mel"] < 0.7 * first[f"validation/{rate}/log_mel"], rate
    worst, best = (f(last[f"validation/{rate}/log_mel"] for rate in codec.config.rates) for f in (max, min))
    assert worst < 1.3 * best
    assert used(codec, wav) > max(0.5, 1.2 * before)
    assert len(codec.decompress(codec.compress(wav[:5000], 24_000))) == 5000
