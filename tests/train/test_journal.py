"""The journal of a run: nothing that only tells of a training may stop it, or bury what else was said."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest

from q2d2.train import journal
from q2d2.train.journal import Journal


class BrokenWriter:
    """A TensorBoard writer that fails at everything it is asked."""

    def __init__(self, folder: str) -> None:
        pass

    def __getattr__(self, name: str):
        raise AttributeError(f"module 'numpy' has no attribute {name}")


def unmade(folder: str) -> None:
    raise TypeError("Descriptors cannot be created directly.\nIf this call came from a _pb2.py file, ...")


@pytest.mark.parametrize("writer", [unmade, BrokenWriter])
def test_a_training_goes_on_without_curves(tmp_path, monkeypatch, capsys, writer):
    tensorboard = ModuleType("torch.utils.tensorboard")
    tensorboard.SummaryWriter = writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", tensorboard)
    told = Journal(tmp_path, seconds=1.0, sample_rate_hz=24_000)
    for step in (1, 2):
        told.passed(0.0)
        told.report(step, step / 2, {"log_mel": 0.5})
    told.hear(2, {"0/original": np.zeros(2400, np.float32)})
    told.close()
    lines = [json.loads(line) for line in (tmp_path / journal.LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert capsys.readouterr().out.count("no TensorBoard curves") == 1


def test_the_bar_is_drawn_once_a_minute_where_nobody_watches(tmp_path, monkeypatch, capsys):
    told = Journal(tmp_path, seconds=1.0, sample_rate_hz=24_000)
    began = told.bar.start_t
    for step in range(1, 601):  # one a second, by the bar's clock
        monkeypatch.setattr(told.bar, "_time", lambda step=step: began + step)
        told.passed(0.0)
        told.report(step, step / 600, {"log_mel": 0.5})
    told.close()
    drawn = capsys.readouterr().err.count("training")
    assert 10 <= drawn <= 13
