"""Whole benchmarks of the smallest codecs: what is measured in which order, what is written, and what goes wrong."""

import csv
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from q2d2.benchmark import BenchmarkConfig, benchmark
from q2d2.benchmark import run as running
from q2d2.benchmark.isolation import DiedError, isolated
from q2d2.benchmark.measure import Measured, Pass, Setting, describe
from q2d2.evaluate.metrics.base import MissingExtraError
from q2d2.evaluate.peers import neural


def _rows(out: Path) -> list[dict[str, str]]:
    with (out / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def inline(monkeypatch):
    """Everything in this process; `measure` is a stand-in, and the list that is returned says what it was asked for."""
    asked = []

    def call(work, *arguments):
        if work is describe:
            return work(*arguments)
        system, setting = arguments
        asked.append((system.name, setting.way, setting.duration_s))
        return Measured(setting.duration_s, (Pass(1.0, 1.0, 2.0, 1.0),), 100.0, 200.0)

    monkeypatch.setattr(running, "isolated", call)
    return asked


def test_a_benchmark_writes_rows_tables_and_a_picture(tmp_path):
    config = BenchmarkConfig(out=tmp_path / "speed", presets=("tiny",), durations_s=(1.0,), repeats=1)
    result = benchmark(config)
    [row], [line] = _rows(config.out), result.lines
    assert (row["system"], row["way"], row["duration_s"], row["passes"]) == ("tiny", "clip", "1.0", "10")
    encode, decode, both, best = (float(row[f"{what}rtf"]) for what in ("encode_", "decode_", "", "best_"))
    assert 0 < encode < both and 0 < decode < both and best <= both and row["note"] == ""
    assert 50 < float(row["start_mib"]) < float(row["peak_mib"]) < 4000
    assert (line.system, line.rtf) == ("tiny", pytest.approx(both, rel=1e-5))
    assert result.report == (config.out / "table.md").read_text().rstrip()
    assert (config.out / "table.tex").read_text().count(r"\end{tabular}") == 2
    assert (config.out / "systems.csv").read_text().startswith("system,sample_rate_hz,encoder_parameters")
    assert (config.out / "speed.png").exists() == (result.notes == [])


def test_rounds_go_over_everything_in_turn(tmp_path, inline):
    """Codecs in the same setting are neighbours; streams where a codec can and the clip is longer than a window."""
    benchmark(
        BenchmarkConfig(
            out=tmp_path, presets=("tiny", "tiny-paper-1k"), durations_s=(1.0, 30.0), batches=(1,), repeats=2
        )
    )
    once = [
        ("tiny", "clip", 1.0),
        ("tiny-paper-1k", "clip", 1.0),
        ("tiny", "clip", 30.0),
        ("tiny-paper-1k", "clip", 30.0),
        ("tiny", "stream", 30.0),
    ]
    assert inline == 2 * once
    assert [row["round"] for row in _rows(tmp_path)] == ["1"] * 5 + ["2"] * 5


def test_streams_are_single_and_a_gpu_has_no_threads():
    config = BenchmarkConfig(out=Path(), devices=("cpu", "cuda"), threads=(1, 2), batches=(1, 4), durations_s=(1.0,))
    found = running.settings(config)
    assert Setting("cpu", 2, 4, "clip", 1.0) in found and Setting("cuda", 1, 4, "clip", 1.0) in found
    assert {setting.batch for setting in found if setting.way == "stream"} == {1}
    assert {setting.threads for setting in found if setting.device == "cuda"} == {1}
    assert len(found) == (2 + 1) * (2 + 1)


def test_what_fails_is_a_row_that_says_so(tmp_path, inline, monkeypatch):
    """It is not tried again, and the others go on."""
    usual = running.isolated

    def sometimes(work, *arguments):
        if work is not describe and arguments[0].name == "tiny-paper-1k" and arguments[1].duration_s == 2.0:
            raise DiedError("its process died")
        return usual(work, *arguments)

    monkeypatch.setattr(running, "isolated", sometimes)
    config = BenchmarkConfig(out=tmp_path, presets=("tiny", "tiny-paper-1k"), durations_s=(1.0, 2.0), repeats=2)
    result = benchmark(config)
    failed = [row for row in _rows(tmp_path) if row["note"]]
    assert [(row["system"], row["duration_s"], row["rtf"]) for row in failed] == [("tiny-paper-1k", "2.0", "")]
    assert len(_rows(tmp_path)) == 4 + 3
    assert result.errors == ["tiny-paper-1k, clip of 2 s: its process died"]
    assert "| tiny-paper-1k | clip | 2 | –[^1] |" in result.report and "[^1]: its process died" in result.report


class _StandIn(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Conv1d(1, 4, 8, stride=8), nn.ConvTranspose1d(4, 1, 8, stride=8)


def _stand_in() -> neural.Network:
    module = _StandIn()
    return neural.Network(
        module=module,
        sample_rate_hz=16_000,
        encode=lambda wav: [module.encoder(wav[:, None]).round().long()],
        decode=lambda codes: module.decoder(codes[0].float())[:, 0],
        bits=8,
    )


def _absent() -> neural.Network:
    raise MissingExtraError("the package nowhere is not installed: pip install nowhere")


def test_peers_stand_beside_ours(tmp_path, inline, monkeypatch):
    """One that is there is measured at its own rate; one that is not has one row, and a dash in each table."""
    monkeypatch.setattr(neural, "NETWORKS", {"stand-in": _stand_in, "absent": _absent})
    config = BenchmarkConfig(
        out=tmp_path,
        presets=("tiny",),
        peers=("stand-in", "absent"),
        durations_s=(1.0,),
        repeats=1,
        reference="stand-in",
    )
    result = benchmark(config)
    assert inline == [("tiny", "clip", 1.0), ("stand-in", "clip", 1.0)]
    found = result.described["stand-in"]
    assert found.sample_rate_hz == 16_000 and found.macs_per_s == (2000 * 4 * 8, 0, 2000 * 4 * 8)
    assert found.window_s is None and found.delay_ms is None
    assert "the package nowhere is not installed: pip install nowhere" in result.report
    assert [row["system"] for row in _rows(tmp_path) if row["rtf"] == ""] == ["absent"]
    assert {line.system: line.ratio for line in result.lines} == {"tiny": 1, "stand-in": 1}
    assert "time / stand-in" in result.report and result.errors == []


def test_what_fails_while_it_is_counted_is_not_measured(tmp_path, inline, monkeypatch):
    def unlucky() -> neural.Network:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(neural, "NETWORKS", {"unlucky": unlucky})
    result = benchmark(BenchmarkConfig(out=tmp_path, presets=("tiny",), peers=("unlucky",), durations_s=(1.0,)))
    assert {name for name, _, _ in inline} == {"tiny"}
    assert result.errors == ["unlucky: out of memory"] and "[^1]: out of memory" in result.report


def test_nothing_measured_is_a_table_all_the_same(tmp_path, inline, monkeypatch):
    monkeypatch.setattr(neural, "NETWORKS", {"absent": _absent})
    result = benchmark(BenchmarkConfig(out=tmp_path, presets=(), peers=("absent",)))
    assert len(_rows(tmp_path)) == 1 and "| absent | –[^1] |" in result.report
    assert result.notes == ["no picture: nothing was measured"]


def test_an_interrupted_benchmark_leaves_its_rows(tmp_path, inline, monkeypatch):
    """And none of the tables of an earlier one, which would seem to be theirs."""
    usual = running.isolated
    (tmp_path / "table.md").write_text("of an earlier run")

    def until_the_third(work, *arguments):
        if len(inline) == 2:
            raise KeyboardInterrupt
        return usual(work, *arguments)

    monkeypatch.setattr(running, "isolated", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        benchmark(BenchmarkConfig(out=tmp_path, presets=("tiny",), durations_s=(1.0, 2.0, 3.0)))
    assert [row["duration_s"] for row in _rows(tmp_path)] == ["1.0", "2.0"]
    assert not (tmp_path / "table.md").exists()


def test_a_process_that_dies_is_an_error_here():
    with pytest.raises(DiedError, match="its process died"):
        isolated(os._exit, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"presets": ("speach",)}, "there is no preset speach"),
        ({"presets": ()}, "nothing to measure"),
        ({"presets": ("tiny", "tiny")}, "each codec can be measured once"),
        ({"presets": ("tiny",), "reference": "dac"}, "reference dac is not measured: give one of tiny"),
        ({"durations_s": (0.0,)}, "a clip must last some time"),
        ({"repeats": 0}, "must be at least 1"),
        ({"ways": ()}, "one device, number of threads, batch, duration and way"),
        ({"peers": ("mp3",)}, "there is no peer mp3: give some of encodec"),
        ({"devices": ("tpu",)}, "there is no device tpu"),
        ({"devices": ("meta",)}, "the device meta is not supported: give cpu or cuda"),
        ({"models": ("nowhere/at/all",), "presets": ()}, "nowhere/at/all: no such folder"),
    ],
)
def test_what_makes_no_sense_is_said_before_the_work(tmp_path, inline, options, message):
    with pytest.raises(ValueError, match=message):
        benchmark(BenchmarkConfig(out=tmp_path / "speed", **options))
    assert inline == [] and not (tmp_path / "speed").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said_before_the_work(tmp_path, inline):
    with pytest.raises(ValueError, match="the device cuda is not there"):
        benchmark(BenchmarkConfig(out=tmp_path, presets=("tiny",), devices=("cuda",)))
