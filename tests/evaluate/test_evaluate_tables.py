"""Tables against hand-made rows, intervals against their coverage."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from q2d2.evaluate.metrics import METRICS
from q2d2.evaluate.rows import Row, read_rows, rows_csv
from q2d2.evaluate.run import misaligned
from q2d2.evaluate.tables import bootstrap_interval, rates_table, scores_table
from q2d2.tabular import markdown

SCORES = ("pesq_wb", "pesq_nb", "stoi")
CLASSIC = [metric for metric in METRICS if metric.name in SCORES]


def row(system: str, value: float | None, **changes: object) -> Row:
    made = Row("a.wav", system, 2.0, 24_000, 300, 250, 10, 0.0, dict.fromkeys(SCORES, value))
    return replace(made, **changes)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("q2d2.evaluate.tables.RESAMPLES", 400)
    rng = np.random.default_rng(1)
    trials = [bootstrap_interval(rng.normal(3.0, 0.5, size=40), seed) for seed in range(300)]
    covered = np.mean([low <= 3.0 <= high for low, high in trials])
    assert 0.90 <= covered <= 0.98
    # against the normal theory: 2 * 1.96 * 0.5 / sqrt(40)
    assert np.mean([high - low for low, high in trials]) == pytest.approx(0.310, rel=0.06)


def test_the_tables_give_means_intervals_and_the_rate_of_the_whole_set() -> None:
    long = {"duration_s": 8.0, "file_bytes": 700, "payload_bytes": 500, "delay_ms": 2.0, "index_bits": 7000.0}
    rows = [row("ours", 1.0, index_bits=3000.0), row("ours", 3.0, **long)]
    # 1000 bytes in 10 s are 0.8 kbps, 750 are 0.6, 10,000 bits are 1.0
    assert markdown(rates_table(rows)).splitlines()[2] == "| ours | 0.80 | 0.60 | 1.00 | 2.0 | +1.0 | 2 |"
    line = markdown(scores_table(rows, CLASSIC, {})).splitlines()[2]
    assert line == "| ours | 2.00 [1.00, 3.00] | 2.00 [1.00, 3.00] | 2.000 [1.000, 3.000] |"


def test_what_is_undefined_is_a_footnote_and_not_in_the_mean() -> None:
    rows = [row("ours", 2.0), row("ours", None, clip="quiet.wav", note="STOI: the original is silent")]
    gone = row("gone", None, file_bytes=None, payload_bytes=None, tokens=None, delay_ms=None, note="install it")
    lines = markdown(scores_table([*rows, gone], CLASSIC, {"stoi": "pystoi not installed"})).splitlines()
    assert lines[2] == "| ours | 2.00[^1] | 2.00[^1] | –[^2] |"
    assert lines[3] == "| gone | –[^3] | –[^3] | –[^2] |"
    assert lines[5:] == [
        "[^1]: undefined for 1 of 2 clips, such as quiet.wav (STOI: the original is silent); not in the mean",
        "[^2]: pystoi not installed",
        "[^3]: install it",
    ]
    lines = markdown(rates_table([*rows, gone])).splitlines()
    assert lines[2] == "| ours | 1.20 | 1.00 | –[^1] | 5.0 | +0.0 | 2 |"
    assert lines[3] == f"| gone |{' –[^2] |' * 5} 0 |"
    assert lines[5:] == ["[^1]: its payload is its tokens, without entropy coding", "[^2]: install it"]


def test_csv_has_an_empty_cell_for_what_is_not_there() -> None:
    rows = [row("ours", 0.5, clip='a "b", c.wav'), row("gone", None, file_bytes=None, delay_ms=None)]
    text = rows_csv(rows)
    first, second = csv.DictReader(io.StringIO(text))
    assert first["clip"] == 'a "b", c.wav' and float(first["stoi"]) == 0.5
    assert {second[name] for name in ("file_bytes", "delay_ms", *SCORES)} == {""}
    assert read_rows(text) == rows
    with pytest.raises(ValueError, match="not the rows of an evaluation"):
        read_rows("clip,system\na,b\n")


@pytest.mark.parametrize(("delay_ms", "wrong"), [(0.0, False), (1.0, False), (5.0, True), (-5.0, True)])
def test_five_milliseconds_are_an_error(delay_ms: float, wrong: bool) -> None:
    rows = [row("ours", 1.0, delay_ms=ms) for ms in (delay_ms, None)] + [row("other", 1.0, delay_ms=90.0)]
    assert bool(misaligned("ours", rows)) == wrong
