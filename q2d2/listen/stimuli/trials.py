"""Which conditions meet in one trial, by protocol, and what a condition may be called. Knows nothing of audio."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations

from q2d2.console import UsageError, counted
from q2d2.listen.protocols import ANCHORS, REFERENCE, ProtocolName

MOST_STIMULI = 12  # in one trial, the hidden reference and the anchors among them: BS.1534-3

_NAME = re.compile(r"[A-Za-z0-9 ._+-]{1,40}")


def check_systems(systems: Sequence[str]) -> None:
    """UsageError for a name that would not do in tables and links, or that means something else already."""
    for name in systems:
        if not _NAME.fullmatch(name) or name != name.strip():
            raise UsageError(f"a system cannot be called {name!r}: 1 to 40 letters, digits, spaces and . _ - + will do")
        if name.lower() in (REFERENCE, *ANCHORS):
            raise UsageError(f"a system cannot be called {name!r}, which every study has of its own; rename it")


def _check_mushra(systems: Sequence[str], anchors: Sequence[str]) -> None:
    """UsageError for anchors that there are none of, and for more stimuli than a MUSHRA trial may have."""
    for anchor in anchors:
        if anchor not in ANCHORS:
            raise UsageError(f"there is no anchor {anchor!r}: give {' or '.join(ANCHORS)}")
    number = len(systems) + 1 + len(anchors)
    if number > MOST_STIMULI:
        raise UsageError(
            f"a MUSHRA trial has at most {MOST_STIMULI} stimuli (ITU-R BS.1534-3), not {number} "
            f"with the hidden reference and {counted(len(anchors), 'anchor')}; leave systems out"
        )


def baseline_of(protocol: ProtocolName, systems: Sequence[str], baseline: str | None) -> str | None:
    """What all others are compared with: in a CMOS study the first system unless another is named, else none."""
    if not protocol.startswith("cmos"):
        if baseline is not None:
            raise UsageError(f"{protocol} compares with no baseline; cmos-q and cmos-p do")
        return None
    if baseline is not None and baseline not in (*systems, REFERENCE):
        raise UsageError(f"the baseline {baseline!r} is none of {', '.join((*systems, REFERENCE))}")
    return systems[0] if baseline is None else baseline


def trials(
    protocol: ProtocolName, systems: Sequence[str], anchors: Sequence[str], baseline: str | None
) -> tuple[tuple[str, ...], ...]:
    """The trials of one item, each as its conditions, in the study's order. UsageError where there would be none."""
    if not systems:
        raise UsageError("a study needs a system to listen to")
    if protocol == "mushra":
        _check_mushra(systems, anchors)
        return ((*systems, REFERENCE, *anchors),)
    if protocol == "abx":
        return tuple((REFERENCE, system) for system in systems)
    if protocol == "ab":
        if len(systems) < 2:
            raise UsageError("ab compares systems with each other: give two or more")
        return tuple(combinations(systems, 2))
    assert baseline is not None  # as CMOS has one: `baseline_of`
    return tuple((baseline, other) for other in (*systems, REFERENCE) if other != baseline)
