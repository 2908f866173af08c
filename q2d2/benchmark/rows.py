"""What was measured, a row for each codec, setting and round -> CSV, and one line for all rounds of a setting.

RTF is seconds of compute per second of audio, at the codec's own sample rate. (The paper's Table 13 is that of encoding
and decoding together.) What could not be measured has empty cells, and a note that says why.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from q2d2.benchmark.measure import Description, Measured, Setting


class Row(NamedTuple):
    """A codec in a setting, in one round."""

    system: str
    setting: Setting | None  # None: in none of them
    round: int
    measured: Measured | None  # None: see `note`
    note: str = ""


class Line(NamedTuple):
    """A codec in a setting, over all rounds: medians but for `best_rtf`, the least, and `peak_mib`, the most."""

    system: str
    setting: Setting
    encode_rtf: float
    decode_rtf: float
    rtf: float  # of both
    best_rtf: float
    first_s: float
    heard_s: float
    peak_mib: float
    ratio: float | None  # of `rtf` to the reference's, as clips; both of the same round, then the median


def lines(rows: Sequence[Row], reference: str) -> list[Line]:
    """One for each codec and setting that was measured, in the order of the rows."""
    groups: dict[tuple[str, Setting], dict[int, Measured]] = {}
    for row in rows:
        if row.setting is not None and row.measured is not None:
            groups.setdefault((row.system, row.setting), {})[row.round] = row.measured
    found = []
    for (system, setting), measured in groups.items():
        beside = groups.get((reference, setting._replace(way="clip")), {})
        ratios = [
            _line(system, setting, [of]).rtf / _line(reference, setting, [beside[at]]).rtf
            for at, of in measured.items()
            if at in beside
        ]
        line = _line(system, setting, list(measured.values()))
        found.append(line._replace(ratio=median(ratios) if ratios else None))
    return found


def _line(system: str, setting: Setting, measured: Sequence[Measured]) -> Line:
    audio_s = measured[0].audio_s
    passes = [one for of in measured for one in of.passes]
    return Line(
        system,
        setting,
        encode_rtf=median(one.encode_s for one in passes) / audio_s,
        decode_rtf=median(one.decode_s for one in passes) / audio_s,
        rtf=median(one.both_s for one in passes) / audio_s,
        best_rtf=min(one.both_s for one in passes) / audio_s,
        first_s=median(one.first_s for one in passes),
        heard_s=median(one.heard_s for one in passes),
        peak_mib=max(of.peak_mib for of in measured),
        ratio=None,
    )


def varying(settings: Iterable[Setting]) -> list[str]:
    """Which of device, threads and batch are not the same everywhere."""
    found = list(settings)
    return [name for name in ("device", "threads", "batch") if len({getattr(setting, name) for setting in found}) > 1]


def rows_csv(rows: Sequence[Row]) -> str:
    """A line for each row: medians over its passes, and the best of them."""
    measures = ["passes", "encode_rtf", "decode_rtf", "rtf", "best_rtf", "first_s", "heard_s", "start_mib", "peak_mib"]
    table: list[list[object]] = [["system", *Setting._fields, "round", *measures, "note"]]
    for row in rows:
        setting = row.setting or [""] * len(Setting._fields)
        if row.setting is None or row.measured is None:
            table.append([row.system, *setting, row.round, *[""] * len(measures), row.note])
            continue
        line = _line(row.system, row.setting, [row.measured])
        numbers = (line.encode_rtf, line.decode_rtf, line.rtf, line.best_rtf, line.first_s, line.heard_s)
        texts = [f"{number:.6g}" for number in (*numbers, row.measured.start_mib, row.measured.peak_mib)]
        table.append([row.system, *setting, row.round, len(row.measured.passes), *texts, row.note])
    return _csv(table)


def systems_csv(described: Mapping[str, Description | str]) -> str:
    """A line for each codec: what does not depend on the setting, or why there is nothing."""
    stages = ("encoder", "quantizer", "decoder")
    counts = [f"{stage}_{what}" for what in ("parameters", "macs_per_s") for stage in stages]
    table: list[list[object]] = [["system", "sample_rate_hz", *counts, "window_s", "delay_ms", "note"]]
    for name, found in described.items():
        if isinstance(found, str):
            table.append([name, *[""] * (len(counts) + 3), found])
            continue
        numbers = (*found.parameters, *found.macs_per_s, found.window_s, found.delay_ms)
        texts = ["" if number is None else f"{number:.9g}" for number in numbers]
        table.append([name, found.sample_rate_hz, *texts, ""])
    return _csv(table)


def _csv(table: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue()
