"""A budget of minutes is kept, by every preset.

These measure time: `conftest.py` puts them where nothing else uses more than one core.
"""

import time
from pathlib import Path

import pytest
import torch
from training_runs import a_config, rows

import q2d2
from q2d2 import presets
from q2d2.train.run import train


def test_minutes_are_kept(packed_corpus: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    train(a_config(packed_corpus, tmp_path / "run", steps=None, minutes=0.1, validate=packed_corpus), start)
    assert 2 < time.monotonic() - start < 9
    told = rows(tmp_path / "run")
    assert "validation/7k/log_mel" in told[-1]


# those of the table "base" are networks and quantizers that are among the others
@pytest.mark.parametrize("name", [name for name in presets.PRESETS if name not in presets.TABLES["base"]])
def test_every_preset_in_miniature_ends_on_time_with_a_model(packed_corpus: Path, tmp_path: Path, name: str) -> None:
    """By its own recipe, but for the discriminators, which are too large for here and tested on their own."""
    preset = name if name == "tiny" else f"tiny-{name}"
    config = a_config(
        packed_corpus, tmp_path, preset=preset, discriminators="none", steps=None, minutes=0.05, log_every=1
    )
    begun = time.monotonic()
    codec = q2d2.load(train(config, begun))
    assert time.monotonic() - begun < 60 * 0.05 + 2  # the slack is for other work on the machine
    assert codec.config == presets.find(preset)
    assert rows(tmp_path)[-1]["step"] >= 1
    if codec.quantizer.num_pairs:
        wav = 0.1 * torch.randn(5000)
        assert len(codec.decode(codec.encode(wav, 24_000))) == 5000
