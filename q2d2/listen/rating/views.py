"""A trial as its template sees it: letters and scales, and nothing that tells what is behind them."""

from __future__ import annotations

from typing import NamedTuple

from q2d2.listen.protocols import Protocol
from q2d2.listen.rating.progress import Sheet
from q2d2.listen.study import Study


class Range(NamedTuple):
    """A named part of a scale."""

    label: str
    lowest: float
    highest: float


def ranges(protocol: Protocol) -> list[Range]:
    """The named marks of a scale with the borders on both sides of each."""
    marks = protocol.scale
    around = zip(marks, marks[1:], marks[2:], strict=False)
    return [Range(mark.label, low.value, high.value) for low, mark, high in around if mark.label]


def sheet_view(study: Study, sheet: Sheet, given: dict[str, float]) -> dict[str, object]:
    """The names that rating_sheet.html uses."""
    protocol = study.protocol
    return {
        "protocol": protocol,
        "label": sheet.label,
        "number": int(sheet.label.lstrip("t")),
        "sounds": sheet.sounds,
        "letters": list(sheet.letters),
        "given": given,
        "ranges": ranges(protocol) if protocol.kind == "multiple" else [],
        "middle": (protocol.lowest + protocol.highest) / 2,
    }
