"""The benchmarks run, at a size at which their numbers mean nothing."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_codecs import make_codec

from q2d2.checkpoint import PRIOR, load, save
from q2d2.train.prior import PriorNetwork

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
Run = Callable[..., list[str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`main` of one, here, where everything is imported: the lines that it prints.

    `settings` is the class of its arguments, if it takes them together.
    """

    def here(name: str | Path, settings: str | None = None, **arguments: object) -> list[str]:
        path = (BENCHMARKS / name).with_suffix(".py")
        spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        if settings is None:
            module.main(**arguments)
        else:
            module.main(getattr(module, settings)(**arguments))
        return capsys.readouterr().out.splitlines()

    return here


def test_coding_by_a_prior_prints_a_line_a_rate(run: Run, audio_file, tmp_path: Path, speech_like):
    codec = make_codec()
    save(codec, tmp_path / "model")
    codec = load(tmp_path / "model")
    (tmp_path / "model" / PRIOR).write_bytes(PriorNetwork(codec.quantizer.points, (0, 2), 4).rounded(codec).data)
    clip = audio_file(speech_like(1.0))
    lines = run("coding", clip=clip, model=str(tmp_path / "model"), repeats=1)
    assert [line.split()[0] for line in lines[2:]] == list(codec.rates)
    assert all(line.count(" x") == 5 for line in lines[2:])

    runs = BENCHMARKS.parent / "runs"
    lines = run(runs / "file_bits", model=str(tmp_path / "model"), dev=clip.parent)
    assert [line.split()[0] for line in lines[1:4]] == list(codec.rates)
    for line in lines[1:4]:
        raw, payload, file, old = (float(number) for number in line.split()[2:6])
        assert payload < file < old and payload <= 1.1 * raw
    assert sum("within" in line for line in lines) <= len(lines) == 6 + 2 * len(codec.rates) + codec.quantizer.num_pairs


def test_quantizer_benchmark_prints_its_table(run: Run):
    lines = run("quantizer", tokens=(200,), repeats=2)
    assert [line.split()[1] for line in lines[2:6]] == ["Q2D2", "FSQ", "flat", "unsqueezed"]
    assert len(lines) == 8


def test_streams_benchmark_prints_its_tables(run: Run):
    lines = run("streams", preset="tiny", streams=3, rounds=1)
    assert lines[0].startswith("delay 231.2 ms") and lines[-1].startswith("3 streams there and back: ")
    assert [line.split()[1] for line in lines[4:10]] == ["1", "2", "5", "10", "50", "500"]


def test_long_files_benchmark_finds_the_part_in_the_whole(run: Run, tmp_path: Path):
    save(make_codec(), tmp_path)
    lines = run("long_files", hours=(0.01,), model=str(tmp_path))
    assert [line.split("|")[2].strip() for line in lines[2:5]] == ["encode", "decode", "10 s of it"]
    assert float(lines[5].split("|")[-2]) < 1e-4


def test_corpora_benchmark_loses_nothing(run: Run):
    lines = run("corpora", clips=40, jobs=1, compared=5)
    assert any("40 ids, 40 different, in the order of the folder: True" in line for line in lines)
    assert any(line.startswith("0 of ") for line in lines)


def test_training_benchmark_compares_choices(run: Run):
    lines = run(
        "training", "Arguments", preset="tiny", threads=(1,), steps=5, rounds=1, choices=("", "reconstruction alone")
    )
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in lines[2:]]
    assert [row[2] for row in cells] == ["this", "reconstruction alone"]
    assert cells[0][4] == "1.00" and all(float(row[3]) > 0 for row in cells)


def test_gpu_readiness_finds_no_wait_and_no_tensor_on_the_wrong_device(run: Run):
    lines = run("gpu_readiness", "Arguments", presets=("tiny",), sets=("light",), rows=2, seconds=0.45)
    assert lines[-1].startswith("nothing is counted") or lines[-1].endswith("waits 0, mismatches 0")


def test_listeners_benchmark_loses_nothing(run: Run):
    lines = run("listeners", raters=3, seconds=4.0, think_s=0.1, items=5, kills=1)
    assert any(line.startswith("errors: 0; ") for line in lines)
    assert any(line.startswith("confirmed ratings and pages lost: 0 of ") for line in lines)
