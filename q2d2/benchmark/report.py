"""What a benchmark has found -> Markdown and LaTeX: speed by setting, size by codec, and what the columns mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from q2d2 import tabular
from q2d2.benchmark.config import BenchmarkConfig
from q2d2.benchmark.measure import COUNTED_S, Description
from q2d2.benchmark.rows import Line, Row, varying
from q2d2.tabular import Cell, Table, absent

UNSTATED = "its package does not say; as it is called here, nothing is out before the whole clip is in"


class Facts(NamedTuple):
    """What there is to say."""

    where: str  # it was measured
    config: BenchmarkConfig
    rows: Sequence[Row]
    lines: Sequence[Line]
    described: Mapping[str, Description | str]

    @property
    def reference(self) -> str:
        return self.config.reference or self.config.systems[0]

    @property
    def shown(self) -> list[str]:
        """Which settings need a column."""
        return varying(row.setting for row in self.rows if row.setting is not None)


def markdown(facts: Facts) -> str:
    """Everything."""
    notes: list[str] = []
    return "\n".join(
        [
            f"{_extent(facts)}.",
            "",
            tabular.markdown(speed_table(facts), notes),
            "",
            f"Size, work for each second of audio (in a clip of {COUNTED_S:g} s), and delay:",
            "",
            tabular.markdown(size_table(facts.described), notes),
            "",
            *([tabular.footnotes(notes), ""] if notes else []),
            *(f"- {line}" for line in _definitions(facts)),
            "",
        ]
    )


def latex(facts: Facts) -> str:
    """The tables, and as comments what they are."""
    titles = (_extent(facts), f"Size, work for each second of audio (in a clip of {COUNTED_S:g} s), and delay")
    tables = (speed_table(facts), size_table(facts.described))
    parts = [f"% {title}\n{tabular.latex(table)}\n" for title, table in zip(titles, tables, strict=True)]
    return "\n".join([*parts, *(f"% {line}" for line in _definitions(facts)), ""])


def speed_table(facts: Facts) -> Table:
    """A line for each codec and setting, those without numbers last; settings that never change are left out."""
    columns: list[tuple[str, Callable[[Line], Cell | str]]] = [
        ("codec", lambda line: line.system),
        ("way", lambda line: line.setting.way),
        *((name, lambda line, name=name: str(getattr(line.setting, name))) for name in facts.shown),
        ("audio, s", lambda line: f"{line.setting.duration_s:g}"),
        ("encode, ×", lambda line: _digits(1 / line.encode_rtf)),
        ("decode, ×", lambda line: _digits(1 / line.decode_rtf)),
        ("both, ×", lambda line: _digits(1 / line.rtf)),
        ("best, ×", lambda line: _digits(1 / line.best_rtf)),
        ("RTF", lambda line: _digits(line.rtf)),
        (f"time / {facts.reference}", _ratio),
        ("first out, ms", lambda line: _digits(1000 * line.first_s)),
        ("after, s", lambda line: f"{line.heard_s:.1f}"),
        ("peak, MiB", lambda line: f"{line.peak_mib:.0f}"),
    ]
    table = [[text(line) for _, text in columns] for line in facts.lines]
    for row in facts.rows:
        if row.measured is None:
            known = {"codec": row.system}
            if row.setting is not None:
                known |= {"audio, s": f"{row.setting.duration_s:g}"}
                known |= {name: str(getattr(row.setting, name)) for name in ("way", *facts.shown)}
            table.append([known.get(heading, absent(row.note)) for heading, _ in columns])
    return Table([heading for heading, _ in columns], table)


def size_table(described: Mapping[str, Description | str]) -> Table:
    """A line for each codec: sample rate, parameters, multiply-accumulates, delay."""
    stages = ("encoder", "quantizer", "decoder")
    headings = ["codec", "Hz", *(f"{stage}, M" for stage in stages), "all, M"]
    headings += [*(f"{stage}, GMAC/s" for stage in stages), "all, GMAC/s", "delay, ms"]
    table: list[list[Cell | str]] = []
    for name, found in described.items():
        if isinstance(found, str):
            table.append([name, *[absent(found)] * (len(headings) - 1)])
            continue
        millions = [f"{count / 1e6:.2f}" for count in (*found.parameters, found.parameters.all)]
        work = [f"{count / 1e9:.3f}" for count in (*found.macs_per_s, found.macs_per_s.all)]
        table.append([name, str(found.sample_rate_hz), *millions, *work, _delay(found.delay_ms)])
    return Table(headings, table)


def _extent(facts: Facts) -> str:
    config = facts.config
    same = {
        "device": config.devices[0],
        "threads": f"threads: {config.threads[0]}",
        "batch": f"batch {config.batches[0]}",
    }
    fixed = [text for name, text in same.items() if name not in facts.shown]
    rounds = "1 round" if config.repeats == 1 else f"medians over {config.repeats} rounds, the codecs in turn"
    return "; ".join([facts.where, *([", ".join(fixed)] if fixed else []), rounds])


def _definitions(facts: Facts) -> list[str]:
    return [
        "RTF: seconds of compute per second of audio, encoding and decoding together, durations at the codec's own "
        "sample rate; ×: its inverse, times real time; best: the fastest pass. Weights are random but for model "
        "folders.",
        f"time / {facts.reference}: RTF over that of {facts.reference} (as clips) in the same round and setting.",
        "first out: compute until the first decoded samples are there, and after how many seconds of audio that is: of "
        "a clip, all of it; a stream comes a second at a time. Both are of signals that wait on disk.",
        "delay: what must have been heard before a sample can be known, however fast the machine: a frame, and what "
        "its encoder and decoder see after it.",
        "peak: of the whole process, Python and PyTorch included; on a GPU, of what PyTorch allocates there.",
        "GMAC/s: 10^9 multiply-accumulates (convolutions, matrix products, LSTM, attention) per second of audio; not "
        "FFTs and element-wise operations. What attends to a whole clip does more in longer ones.",
        "M: millions of parameters; codebooks that are moving averages are none.",
    ]


def _ratio(line: Line) -> Cell | str:
    return absent("the reference has no such row") if line.ratio is None else _digits(line.ratio)


def _delay(delay_ms: float | None) -> Cell | str:
    if delay_ms is None:
        return absent(UNSTATED)
    return "the clip" if delay_ms == math.inf else f"{delay_ms:.0f}"


def _digits(value: float) -> str:
    """Three significant ones, and no exponent."""
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else "0"
