"""Which listeners' ratings count: the post-screening of ITU-R BS.1534-3, for MUSHRA.

A listener who often does not find the hidden reference, or often takes a dull anchor for the original, is left out
with all ratings. CMOS, AB and ABX have no such rule: there, nobody is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from q2d2.console import counted
from q2d2.listen.protocols import REFERENCE
from q2d2.listen.study import Study

MIDDLE_ANCHOR = "anchor70"
HIGH = 90  # what the reference should not be below, nor the middle anchor above
MOST_PERCENT = 15  # of the trials; exactly so many are allowed
DULL_PERCENT = 25  # of the listeners; if more rate a trial's middle anchor high, it is hardly duller than the original


class Excluded(NamedTuple):
    """A listener who is left out."""

    rater: int
    reason: str  # with counts


class Screened(NamedTuple):
    """What is left, and how it came about."""

    kept: pd.DataFrame  # rows as they were
    excluded: tuple[Excluded, ...]
    rule: str  # in a sentence


def screen(study: Study, frame: pd.DataFrame) -> Screened:
    """Leave out the listeners who fail the rule of the study's protocol."""
    if study.protocol_name != "mushra":
        return Screened(frame, (), f"{study.protocol_name.upper()} has no rule for leaving out listeners")
    anchor = frame[frame["condition"] == MIDDLE_ANCHOR]
    excused = _hardly_dull(anchor)
    excluded = []
    for rater, own in frame.groupby("rater"):
        if reasons := _reasons(own, excused):
            excluded.append(Excluded(int(rater), "; ".join(reasons)))
    kept = frame[~frame["rater"].isin([one.rater for one in excluded])]
    rule = (
        "After BS.1534-3, a listener is left out who rates the hidden reference below "
        f"{HIGH} in more than {MOST_PERCENT} % of the trials"
    )
    if len(anchor):
        rule += (
            f", or the anchor of 7 kHz above {HIGH} in more than {MOST_PERCENT} % of those where at most "
            f"{DULL_PERCENT} % of all listeners do"
        )
    return Screened(kept, tuple(excluded), rule)


def keep_all(frame: pd.DataFrame) -> Screened:
    """No screening, by the wish of whoever asks for the report."""
    return Screened(frame, (), "Nobody is left out: screening was switched off")


def _hardly_dull(anchor: pd.DataFrame) -> list[int]:
    """The trials whose middle anchor many rate high: there, nobody is to blame for it."""
    high = (anchor["score"] > HIGH).groupby(anchor["trial"]).mean()
    return list(high.index[100 * high > DULL_PERCENT])


def _reasons(own: pd.DataFrame, excused: list[int]) -> list[str]:
    """Why this listener's ratings do not count; empty if they do."""
    found = []
    reference = own.loc[own["condition"] == REFERENCE, "score"]
    anchor = own.loc[(own["condition"] == MIDDLE_ANCHOR) & ~own["trial"].isin(excused), "score"]
    for bad, total, what in (
        (int((reference < HIGH).sum()), len(reference), f"rated the hidden reference below {HIGH}"),
        (int((anchor > HIGH).sum()), len(anchor), f"rated the anchor of 7 kHz above {HIGH}"),
    ):
        if 100 * bad > MOST_PERCENT * total:
            found.append(f"{what} in {bad} of {counted(total, 'trial')}")
    return found
