"""From passes to lines, CSV, tables and picture: the arithmetic, and what stands where there is no number."""

import csv
import io
import math
from pathlib import Path

import pytest

from q2d2.benchmark.config import BenchmarkConfig
from q2d2.benchmark.macs import Parts
from q2d2.benchmark.measure import Description, Measured, Pass, Setting
from q2d2.benchmark.report import Facts, latex, markdown
from q2d2.benchmark.rows import Row, lines, rows_csv, systems_csv

CLIP = Setting("cpu", threads=1, batch=2, way="clip", duration_s=5.0)
STREAM = CLIP._replace(way="stream", batch=1)


def measured(*both_s, audio_s=10.0, peak_mib=300.0):
    """Passes of which encoding is a quarter."""
    passes = tuple(Pass(seconds / 4, 3 * seconds / 4, float(seconds), audio_s) for seconds in both_s)
    return Measured(audio_s, passes, 250.0, peak_mib)


def test_rtf_is_compute_per_second_of_all_audio():
    [line] = lines([Row("a", CLIP, 1, measured(8, 4, 2)), Row("a", CLIP, 2, measured(6, 5, peak_mib=400.0))], "a")
    assert (line.encode_rtf, line.decode_rtf, line.rtf) == (0.125, 0.375, 0.5)  # of the five, 5 s are the median
    assert (line.best_rtf, line.first_s, line.peak_mib, line.ratio) == (0.2, 5, 400, 1)


def test_ratio_is_of_the_same_round():
    """The machine is three times slower in the second round and the ratio is the same; medians over all would not be.

    A stream is compared with the reference as a clip, and what has no reference beside it has no ratio.
    """
    clips = CLIP._replace(batch=1)
    rows = [
        Row("a", clips, 1, measured(1)),
        Row("b", clips, 1, measured(2)),
        Row("b", STREAM, 1, measured(4)),
        Row("a", clips, 2, measured(3)),
        Row("b", clips, 2, measured(6)),
        Row("b", clips, 3, measured(100)),  # the reference failed
        Row("b", CLIP, 3, measured(2)),
    ]
    ratios = {(line.system, line.setting): line.ratio for line in lines(rows, "a")}
    assert ratios == {("a", clips): 1, ("b", clips): 2, ("b", STREAM): 4, ("b", CLIP): None}


def _facts(**changes):
    config = BenchmarkConfig(out=Path(), presets=("tiny",), peers=("absent",), **changes)
    described = {
        "tiny": Description(24_000, Parts(1e6, 2e6, 3e6), Parts(1e9, 2e9, 3e9), 28.8, 262.5),
        "paper": Description(24_000, Parts(1e6, 2e6, 3e6), Parts(1e9, 2e9, 3e9), None, math.inf),
        "absent": "the package is not installed: pip install it",
    }
    rows = [
        Row("absent", None, 0, None, "the package is not installed: pip install it"),
        Row("tiny", CLIP, 1, measured(4)),
        Row("tiny", CLIP._replace(duration_s=99.0), 1, None, "its process died"),
    ]
    return Facts("a machine", config, rows, lines(rows, "tiny"), described)


def test_csv_has_empty_cells_where_nothing_was_measured():
    missing, found, died = csv.DictReader(io.StringIO(rows_csv(_facts().rows)))
    assert {name for name, text in missing.items() if text} == {"system", "round", "note"}
    assert {name for name, text in found.items() if not text} == {"note"}
    assert (found["rtf"], found["duration_s"], found["passes"]) == ("0.4", "5.0", "1")
    assert (died["duration_s"], died["rtf"], died["note"]) == ("99.0", "", "its process died")
    tiny, paper, absent = csv.DictReader(io.StringIO(systems_csv(_facts().described)))
    assert (tiny["decoder_macs_per_s"], tiny["delay_ms"], tiny["note"]) == ("3e+09", "262.5", "")
    assert (paper["window_s"], paper["delay_ms"]) == ("", "inf")
    assert {name for name, text in absent.items() if text} == {"system", "note"}


def test_tables_have_dashes_and_say_why():
    text = markdown(_facts())
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    speeds = {(line[0], line[2]): line for line in table[2:5]}
    assert speeds["tiny", "5"][3:9] == ["10.0", "3.33", "2.50", "2.50", "0.400", "1.00"]
    assert set(speeds["absent", "–[^1]"][1:]) == {"–[^1]"}
    assert set(speeds["tiny", "99"][3:]) == {"–[^2]"}
    assert "[^1]: the package is not installed: pip install it" in text and "[^2]: its process died" in text
    assert "threads: 1" in text and "| threads |" not in text  # what never changes is no column
    sizes = {line[0]: line for line in table[7:]}
    assert sizes["tiny"][1:] == ["24000", "1.00", "2.00", "3.00", "6.00", "1.000", "2.000", "3.000", "6.000", "262"]
    assert sizes["paper"][-1] == "the clip"
    assert set(sizes["absent"][1:]) == {"–[^1]"}
    assert latex(_facts()).count(r"\begin{tabular}") == 2


def test_what_varies_is_a_column():
    facts = _facts(threads=(1, 2))
    rows = [*facts.rows, Row("tiny", CLIP._replace(threads=2), 1, measured(2))]
    text = markdown(facts._replace(rows=rows, lines=lines(rows, "tiny")))
    assert "| codec | way | threads | audio, s |" in text and "threads: 1" not in text


def test_picture_shows_the_numbers():
    plot = pytest.importorskip("q2d2.benchmark.plot", reason="matplotlib is not installed", exc_type=ImportError)
    rows = [
        Row(system, CLIP._replace(duration_s=duration_s, way=way), 1, measured(seconds, peak_mib=100.0 * seconds))
        for system, way, seconds in (("a", "clip", 1), ("b", "clip", 9), ("b", "stream", 4))
        for duration_s in (10.0, 1.0)
    ]
    figure = plot.speed_figure(lines(rows, "a"))
    figure.canvas.draw()
    speed, memory = figure.axes
    for axes, heights in (
        (speed, {"a": 0.1, "b": 0.9, "b, stream": 0.4}),
        (memory, {"a": 100, "b": 900, "b, stream": 400}),
    ):
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        curves = {curve.get_label(): curve.get_xydata().tolist() for curve in axes.get_lines()}
        for label, height in heights.items():
            assert curves[label] == [[1, height], [10, height]]
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "b, stream", "real time"]
