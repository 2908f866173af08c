"""All figures from one call, with a tiny model: what is written, and what is left out and said."""

import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from conftest import make_speech_like
from matplotlib.figure import Figure
from small_codecs import TINY, make_codec

from q2d2 import plotting
from q2d2.baselines import FSQConfig
from q2d2.benchmark.measure import Measured, Pass, Setting
from q2d2.benchmark.rows import Row as SpeedRow
from q2d2.benchmark.rows import rows_csv as speed_csv
from q2d2.checkpoint import save
from q2d2.evaluate.metrics.base import MissingExtraError
from q2d2.evaluate.rows import Row, rows_csv, tokens_csv
from q2d2.figures import FiguresConfig, drawing, make_figures, measuring, style
from q2d2.grid import BCCGrid
from q2d2.quantizer import Q2D2Config


@pytest.fixture
def quick(monkeypatch):
    """Less of everything that is only measured more exactly."""
    monkeypatch.setattr(drawing, "FRAMES", 100)
    monkeypatch.setattr(measuring, "curves", partial(measuring.curves, bits=(2.0,)))
    monkeypatch.setattr(plotting, "DPI", 30)
    monkeypatch.setattr(style, "pdf", lambda figure: b"%PDF")
    monkeypatch.setattr(drawing, "grids_figure", lambda: Figure((1, 1)))  # has its own tests
    monkeypatch.setattr(measuring, "BASELINE", replace(measuring.BASELINE, surrogates=3))


def folder_of(config, tmp_path):
    save(make_codec(config), tmp_path / "model")
    return str(tmp_path / "model")


def test_everything(quick, tmp_path, audio_file):
    for number in range(3):
        audio_file(make_speech_like(0.5, seed=number), name=f"data/{number}.wav")
    points = make_codec().quantizer.points
    (tmp_path / "scores").mkdir()
    scores = {"pesq_wb": 2.0, "stoi": 0.9}
    rows = [
        Row("a", system, 1.0, 24_000, size, size, None, 0.0, scores) for system, size in (("tiny", 99), ("x", None))
    ]
    (tmp_path / "scores" / "rows.csv").write_text(rows_csv(rows))
    (tmp_path / "scores" / "tokens.csv").write_text(tokens_csv([np.arange(size) for size in points[:3]]))
    (tmp_path / "speed").mkdir()
    measured = Measured(1.0, (Pass(0.1, 0.2, 0.3, 1.0),), 90.0, 100.0)
    speed = [SpeedRow("tiny", Setting("cpu", 1, 1, "clip", float(s)), 1, measured) for s in (1, 10)]
    (tmp_path / "speed" / "rows.csv").write_text(speed_csv(speed))
    config = FiguresConfig(
        tmp_path / "out" / "figures",
        folder_of(TINY, tmp_path),
        tmp_path / "data",
        tmp_path / "scores",
        tmp_path / "speed",
        clips=2,
    )
    made = make_figures(config)
    names = ("grids", "quality", "speed", "tokens", "dependence", "rate_distortion")
    tables = {"dependence.csv", "rate_distortion.csv"}
    assert {path.name for path in made.paths} == {
        f"{name}.{suffix}" for name in names for suffix in ("png", "pdf")
    } | tables
    assert set(config.out.iterdir()) == set(made.paths)
    assert made.notes == ["x is not in the quality figure: its size is not known"]
    assert "latents of tiny, 2 clips" in (config.out / "rate_distortion.csv").read_text()
    assert len((config.out / "dependence.csv").read_text().splitlines()) == 1 + 4


def test_nothing_but_the_folder(quick, tmp_path):
    made = make_figures(FiguresConfig(tmp_path))
    assert {path.stem for path in made.paths} == {"grids", "rate_distortion"}
    said = "\n".join(made.notes)
    for option in (
        "--scores brings it",
        "--speed brings it",
        "--scores or --data brings them",
        "no dependence: --data",
    ):
        assert option in said
    assert "no latents in rate_distortion" in said and len(made.notes) == 5


def test_tokens_of_the_clips_where_there_is_no_evaluation(quick, tmp_path, audio_file):
    audio_file(make_speech_like(0.5), name="data/0.wav")
    made = make_figures(FiguresConfig(tmp_path / "out", folder_of(TINY, tmp_path), tmp_path / "data"))
    assert {path.stem for path in made.paths} == {"grids", "tokens", "dependence", "rate_distortion"}


def test_grids_of_space_have_no_pairs(quick, tmp_path, audio_file):
    audio_file(make_speech_like(0.5), name="data/0.wav")
    config = replace(TINY, quantizer=Q2D2Config(dim=16, grids=(BCCGrid((3, 3, 3)),) * 4))
    made = make_figures(FiguresConfig(tmp_path / "out", folder_of(config, tmp_path), tmp_path / "data"))
    assert {path.stem for path in made.paths} == {"grids", "rate_distortion"}
    assert sum("the plane" in note for note in made.notes) == 2


def test_a_model_without_grids_is_refused(quick, tmp_path, audio_file):
    audio_file(make_speech_like(0.5), name="data/0.wav")
    config = replace(TINY, quantizer=FSQConfig(dim=16, levels=(5,) * 4))
    with pytest.raises(ValueError, match="not Q2D2"):
        make_figures(FiguresConfig(tmp_path / "out", folder_of(config, tmp_path), tmp_path / "data"))


def test_tokens_of_another_model_are_refused(quick, tmp_path):
    (tmp_path / "rows.csv").write_text(rows_csv([Row("a", "x", 1.0, 24_000, 9, 9, None, 0.0, {"stoi": 0.9})]))
    (tmp_path / "tokens.csv").write_text(tokens_csv([np.arange(3)]))
    with pytest.raises(ValueError, match=r"tokens.csv: is of another model than tiny; give --model"):
        make_figures(FiguresConfig(tmp_path / "out", folder_of(TINY, tmp_path), scores=tmp_path))


@pytest.mark.parametrize("wrong", [{"clips": 0}, {"seed": -1}])
def test_options_that_make_no_sense(wrong, tmp_path):
    with pytest.raises(ValueError, match="clips|seed"):
        FiguresConfig(tmp_path, **wrong)


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"matplotlib is not installed: pip install 'q2d2\[evaluate\]'"):
        make_figures(FiguresConfig(tmp_path))
