"""A budget of minutes is kept, and every preset trains."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_runs import a_config, rows

import q2d2
from q2d2 import presets
from q2d2.train import budget, run
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


class Clock:
    """Time that passes only where the test says so: what else the machine does cannot break it."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def passes(self, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, seconds: float) -> None:
        """From now on `owner.name` takes this long."""
        work = getattr(owner, name)

        def slow(*args, **kwargs):
            self.now += seconds
            return work(*args, **kwargs)

        monkeypatch.setattr(owner, name, slow)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("step_s", "save_s", "measure_s"), [(2.0, 5.0, 3.0), (0.75, 0.125, 0.0)])
def test_minutes_are_kept(
    packed_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float, save_s: float, measure_s: float
) -> None:
    clock = Clock()
    for module in (budget, run):
        monkeypatch.setattr(module, "time", clock)
    clock.passes(monkeypatch, run, "_starting_point", 4.0)
    clock.passes(monkeypatch, run.Trainer, "train_step", step_s)
    clock.passes(monkeypatch, run.Trainer, "save", save_s)
    clock.passes(monkeypatch, run, "validate", measure_s)
    config = a_config(packed_corpus, tmp_path, discriminators="none", steps=None, minutes=0.5)
    train(replace(config, validate=packed_corpus if measure_s else None))
    took_s, ending_s = clock.now - 100.0, save_s + measure_s
    assert took_s <= 30
    assert took_s + step_s + 0.2 * ending_s + budget.MARGIN_S >= 30  # another step would not have fitted
    told = rows(tmp_path)
    assert told[-1]["step"] == round((took_s - 4.0 - 2 * ending_s) / step_s) > 0
    assert ("validation/7k/log_mel" in told[-1]) == bool(measure_s)


@pytest.mark.usefixtures("unchecked")
def test_a_session_that_resumes_has_what_is_left(
    packed_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    for module in (budget, run):
        monkeypatch.setattr(module, "time", clock)
    clock.passes(monkeypatch, run.Trainer, "train_step", 1.0)
    config = a_config(packed_corpus, tmp_path, discriminators="none", steps=None, minutes=0.2, log_every=1)
    train(config)
    spent_s = clock.now - 100.0
    train(replace(config, minutes=0.4))
    assert 24 - 1.0 - budget.MARGIN_S <= clock.now - 100.0 <= 24
    assert [row["step"] for row in rows(tmp_path) if "log_mel" in row] == list(range(1, round(clock.now - 100.0) + 1))
    assert spent_s <= 12
