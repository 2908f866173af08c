"""A budget of minutes is kept, and every preset trains.

Some measure time: `conftest.py` puts them where nothing else uses more than one core.
"""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_runs import a_config, rows

import q2d2
from q2d2 import presets
from q2d2.train.run import train


# those of the table "base" are networks and quantizers that are among the others
@pytest.mark.parametrize("name", [name for name in presets.PRESETS if name not in presets.TABLES["base"]])
def test_every_preset_in_miniature_trains(packed_corpus: Path, tmp_path: Path, name: str) -> None:
    """By its own recipe, but for the discriminators, which are too large for here and tested on their own."""
    preset = name if name == "tiny" else f"tiny-{name}"
    codec = q2d2.load(train(a_config(packed_corpus, tmp_path, preset=preset, discriminators="none", steps=1)))
    assert codec.config == presets.find(preset)
    if codec.quantizer.num_pairs:
        wav = 0.1 * torch.randn(5000)
        assert len(codec.decode(codec.encode(wav, 24_000))) == 5000


# a network of each kind, and quantizers that do more in training than round
@pytest.mark.parametrize("name", ["tiny", "tiny-paper-1k", "tiny-rvq-75", "tiny-fsq-9"])
def test_training_ends_on_time_with_a_model(packed_corpus: Path, tmp_path: Path, name: str) -> None:
    config = a_config(packed_corpus, tmp_path, preset=name, discriminators="none", steps=None, minutes=0.06)
    begun = time.monotonic()
    codec = q2d2.load(train(replace(config, log_every=1), begun))
    assert time.monotonic() - begun < 60 * 0.06 + 2  # the slack is for other work on the machine
    assert codec.config == presets.find(name)
    assert rows(tmp_path)[-1]["step"] >= 1


def test_minutes_are_kept(packed_corpus: Path, tmp_path: Path) -> None:
    train(a_config(packed_corpus, tmp_path / "first", steps=1, validate=packed_corpus))  # imports, which take seconds
    start = time.monotonic()
    train(a_config(packed_corpus, tmp_path / "run", steps=None, minutes=0.1, validate=packed_corpus), start)
    assert 2 < time.monotonic() - start < 9
    told = rows(tmp_path / "run")
    assert "validation/7k/log_mel" in told[-1]
