"""The runner: kills change nothing, finished models stay, failures are told, and what differs is not mixed."""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from programs import Program, start
from safetensors import safe_open

from q2d2 import checkpoint, presets
from q2d2.ablation import AblateConfig, ablate, run
from q2d2.ablation.cell import finish
from q2d2.ablation.config import Cell
from q2d2.ablation.measure import METRICS, measure, read_clips, require_packages
from q2d2.ablation.rows import read
from q2d2.audio import AudioError
from q2d2.codec import Codec
from q2d2.console import one_line
from q2d2.evaluate.metrics import MissingExtraError, Original
from q2d2.train import state

try:
    require_packages()
except MissingExtraError as error:
    pytest.skip(str(error), allow_module_level=True)

STEPS = 4


@pytest.fixture
def dev(tmp_path: Path, audio_file, speech_like) -> Path:
    for seed in range(2):
        audio_file(speech_like(1.0, seed=seed), name=f"dev/{seed}.wav")
    return tmp_path / "dev"


PLAN = AblateConfig(
    data=Path("corpus"),
    validate=Path("dev"),
    out=Path("out"),
    presets=("base-rhombic",),
    seeds=(0,),
    steps=2,
    miniature=True,
    discriminators="none",
    batch=1,
    seconds=0.3,
    device="cpu",
)


@pytest.fixture
def config(packed_corpus: Path, dev: Path, tmp_path: Path) -> AblateConfig:
    return replace(PLAN, data=packed_corpus, validate=dev, out=tmp_path / "out")


@pytest.fixture
def made_before(dev: Path, tmp_path: Path) -> AblateConfig:
    """An ablation whose folder knows how its models are made; there is nothing to train on."""
    config = replace(PLAN, data=tmp_path / "corpus", validate=dev, out=tmp_path / "out")
    config.data.mkdir()
    config.out.mkdir()
    run._keep_conditions(config)
    return config


@pytest.fixture
def here(monkeypatch) -> list[Cell]:
    """Cells are made in this process, where imports cost nothing; the list of those that were."""
    made: list[Cell] = []

    def in_this_process(work: Callable[[Cell], None], items: list[Cell], jobs: int) -> Iterator:
        for cell in items:
            made.append(cell)
            try:
                work(cell)
            except Exception as error:
                yield cell, one_line(error)
            else:
                yield cell, None

    monkeypatch.setattr(run, "in_processes", in_this_process)
    return made


def a_codec(name: str) -> Codec:
    return Codec(presets.find(name)).eval()


def _files(config: AblateConfig) -> dict[str, bytes]:
    """What must not depend on kills: the rows, each model's own and all together, and the tables.

    A kill in the middle of a write leaves a file that has no name yet but a hidden one, which nothing reads.
    """
    files = [*(config.out / "cells").iterdir(), *(config.out / name for name in ("rows.csv", "table.md", "table.tex"))]
    return {file.name: file.read_bytes() for file in files if not file.name.startswith(".")}


def _step_of(folder: Path) -> int:
    if not (folder / state.STATE).is_file():
        return -1
    with safe_open(folder / state.STATE, "pt") as file:
        return int(file.metadata()["step"])


def _started(config: AblateConfig, folder: Path) -> Program:
    command = ["ablate", "--data", config.data, "--validate", config.validate, "--out", config.out, "--miniature"]
    command += ["--presets", *config.presets, "--seeds", *config.seeds, "--steps", config.steps]
    command += ["--discriminators", "none", "--batch", config.batch, "--seconds", config.seconds, "--device", "cpu"]
    return start(folder, *command, "--save-steps", 1, "--jobs", 2)


def _kill_when(program: Program, reached: Callable[[], bool], patience_s: float = 240.0) -> bool:
    """SIGKILL at this point, to the runner alone; whether it was still running."""
    end = time.monotonic() + patience_s
    while program.runs and not reached():
        assert time.monotonic() < end
        time.sleep(0.005)
    return program.kill()


@pytest.mark.usefixtures("unchecked")
def test_kills_at_random_points_change_no_row(config: AblateConfig, here: list[Cell], tmp_path: Path) -> None:
    """One model follows averages of its codes, the other has dropout; both are taken up in the middle."""
    config = replace(config, presets=("base-vq", "paper-1k"), steps=STEPS)
    whole = ablate(replace(config, out=tmp_path / "whole"))
    assert not whole.errors
    assert len(here) == len(whole.rows) == 2

    runs = [config.run_of(cell) for cell in config.cells]
    step = random.Random(time.time_ns()).randrange(1, STEPS)
    assert _kill_when(_started(config, tmp_path), lambda: max(map(_step_of, runs)) >= step)
    _kill_when(_started(config, tmp_path), lambda: any(config.result_of(cell).is_file() for cell in config.cells))
    last = _started(config, tmp_path)
    assert last.wait() == 0, last.said.read_text()
    assert last.printed.read_text().strip() == whole.report.strip()
    assert _files(config) == _files(replace(config, out=tmp_path / "whole")), f"killed at step {step}"


def test_a_model_that_is_older_than_its_state_is_not_scored(config: AblateConfig, tmp_path: Path) -> None:
    """A run may be killed between the two writes of its last save."""
    (cell,) = config.cells
    finish(config, cell)
    before = config.result_of(cell).read_bytes()
    other = replace(config, out=tmp_path / "other", seeds=(1,))
    finish(other, other.cells[0])
    for model in (config.run_of(cell) / state.MODEL, other.run_of(other.cells[0]) / state.MODEL):
        assert (model / checkpoint.WEIGHTS).is_file()
    shutil.rmtree(config.run_of(cell) / state.MODEL)
    shutil.copytree(other.run_of(other.cells[0]) / state.MODEL, config.run_of(cell) / state.MODEL)
    config.result_of(cell).unlink()
    finish(config, cell)
    assert config.result_of(cell).read_bytes() == before


def test_finished_models_stay_and_others_may_come(config: AblateConfig, here: list[Cell]) -> None:
    ablate(config)
    before = {file: file.stat().st_mtime_ns for file in (config.out / "cells").iterdir()}
    assert len(before) == 1
    more = replace(config, presets=("base-rhombic", "base-fsq"), seeds=(1, 0), jobs=1)
    found = ablate(more)
    assert here == [Cell("tiny-base-rhombic", 0), *(cell for cell in more.cells if cell.name not in str(before))]
    assert len(here) == 4
    assert all(file.stat().st_mtime_ns == time_ns for file, time_ns in before.items())
    # in the order of presets and seeds, whatever the order in which they were asked for or made
    assert [(row.preset, row.seed) for row in found.rows] == [
        (f"tiny-base-{name}", seed) for name in ("rhombic", "fsq") for seed in (0, 1)
    ]
    # what is asked for is a part of what is there: nothing is made, and everything is shown
    assert ablate(config) == found
    assert len(here) == 4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps": 3}, "steps 2, now 3"),
        ({"steps": None, "minutes": 1.0}, "minutes None, now 1.0; steps 2, now None"),
        ({"batch": 2}, "batch 1, now 2"),
        ({"threads": 2}, "threads 1, now 2"),
        ({"discriminators": "recipe"}, "discriminators 'none', now 'recipe'"),
    ],
)
def test_models_made_otherwise_are_not_mixed(made_before, here: list[Cell], change: dict, told: str) -> None:
    with pytest.raises(ValueError, match=rf"config\.json: the models there were made with {told}; give these, or"):
        ablate(replace(made_before, **change))
    assert not here


def test_other_data_is_told(made_before: AblateConfig, here: list[Cell], tmp_path: Path, monkeypatch) -> None:
    other = tmp_path / "corpus-2"
    other.mkdir()
    with pytest.raises(ValueError, match=r"data '.*corpus', now '.*corpus-2'"):
        ablate(replace(made_before, data=other))
    # the same folder by another name
    monkeypatch.chdir(tmp_path)
    run._keep_conditions(replace(made_before, data=Path("corpus")))
    (made_before.out / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="is not the config of an ablation"):
        ablate(made_before)
    assert not here


def test_a_model_that_fails_is_told_and_the_others_go_on(config: AblateConfig, here: list[Cell]) -> None:
    config = replace(config, presets=("base-rhombic", "base-fsq"))
    broken, fine = config.cells
    config.run_of(broken).mkdir(parents=True)
    (config.run_of(broken) / state.STATE).write_bytes(b"not a state")
    found = ablate(config)
    (error,) = found.errors
    assert error.startswith("tiny-base-rhombic.seed-0: ")
    assert "is not a readable safetensors file" in error
    assert "Traceback" in (config.run_of(broken) / "messages.txt").read_text()
    assert [row.preset for row in found.rows] == ["tiny-base-fsq"]
    assert "tiny-base-fsq" in found.report
    # mended, it is all that is left to do
    (config.run_of(broken) / state.STATE).unlink()
    found = ablate(config)
    assert here == [broken, fine, broken]
    assert not found.errors
    assert [row.preset for row in found.rows] == ["tiny-base-rhombic", "tiny-base-fsq"]


def test_a_budget_in_minutes_counts_its_steps(config: AblateConfig) -> None:
    config = replace(config, steps=None, minutes=0.06)
    (cell,) = config.cells
    finish(config, cell)
    (row,) = read(config.result_of(cell))
    assert row.steps == _step_of(config.run_of(cell)) >= 1
    assert row.heard_s == pytest.approx(row.steps * 0.3)


def test_means_and_use_are_those_of_the_clips(dev: Path) -> None:
    torch.manual_seed(0)
    codec = a_codec("tiny")
    clips = read_clips(dev)
    found = measure(codec, clips, "3k")
    codes = [codec.encode(clip, 24_000, "3k") for clip in clips]
    for metric in METRICS:
        values = [metric.measure(Original(clip), codec.decode(code)) for clip, code in zip(clips, codes, strict=True)]
        for score in metric.scores:
            assert found.scores[score.name] == pytest.approx(np.mean([value[score.name] for value in values]))
    indices = np.concatenate([code.indices.numpy() for code in codes])
    assert [use.points for use in found.uses] == [85, 85, 145]
    for use, column in zip(found.uses, indices.T, strict=True):
        assert use.used_share == len(set(column.tolist())) / use.points
    assert not found.notes


def test_the_identity_is_scored_too(dev: Path) -> None:
    torch.manual_seed(0)
    codec = a_codec("tiny-base-identity")
    (clip, _) = read_clips(dev)
    found = measure(codec, [clip[:20_011]], None)
    with torch.no_grad():
        whole = torch.from_numpy(np.pad(clip[:20_011], (0, 450 * 45 - 20_011)))[None]
        latent = codec.encoder(whole)
        made = codec.decoder(latent, torch.zeros(1, dtype=torch.int64)).wav[0, :20_011].numpy()
    assert found.scores["stoi"] == METRICS[1].measure(Original(clip[:20_011]), made)["stoi"]
    assert found.uses == []


def test_scores_that_some_clips_lack_say_so(dev: Path) -> None:
    torch.manual_seed(0)
    clips = read_clips(dev)
    found = measure(a_codec("tiny"), [clips[0], np.zeros(24_000, np.float32)], "1k")
    alone = measure(a_codec("tiny"), clips[:1], "1k")
    assert found.scores["stoi"] is not None
    assert set(found.notes) >= {"pesq_wb", "stoi"}
    assert found.notes["stoi"] == "undefined for 1 of 2 clips (the original is silent)"
    assert not alone.notes


def test_a_grid_has_every_model_once_at_every_seed() -> None:
    grid = replace(PLAN, tables=("8", "12"), presets=("tiny-paper-1k", "speech"), seeds=(3, 1, 3), miniature=False)
    names = dict.fromkeys([*presets.TABLES["8"], *presets.TABLES["12"], "tiny-paper-1k", "speech"])
    assert grid.cells == [Cell(name, seed) for seed in (3, 1) for name in names]
    small = replace(grid, miniature=True)
    assert small.cells[0] == Cell("tiny-paper-1k", 3)
    assert len(small.cells) == len(grid.cells) - 2  # tiny-paper-1k and paper-1k are one


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"tables": ("7",)}, "no table 7: give some of 8, 9"),
        ({"presets": ("nonsense",)}, "no preset tiny-nonsense"),
        ({"presets": ()}, "nothing to compare"),
        ({"seeds": ()}, "nothing to compare"),
        ({"seeds": (-1,)}, "not negative"),
        ({"jobs": 0}, "at least 1"),
        ({"minutes": 1.0}, "one budget"),
        ({"steps": None}, "one budget"),
        ({"batch": 0}, "must be positive"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(wrong: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(PLAN, **wrong)


def test_a_folder_without_speech_is_refused_before_the_work(made_before: AblateConfig, here: list[Cell]) -> None:
    with pytest.raises(AudioError, match="holds no audio to score models on"):
        ablate(replace(made_before, validate=made_before.data))
    with pytest.raises(FileNotFoundError, match="nothing to train on"):
        ablate(replace(made_before, data=made_before.data / "missing"))
    assert not here
