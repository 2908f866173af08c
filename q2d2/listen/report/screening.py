"""Which listeners' ratings count: the post-screening of ITU-R BS.1534-3, for MUSHRA.

A listener who often does not find the hidden reference, or often takes a dull anchor for the original, is left out
with all ratings. CMOS, AB and ABX have no such rule: there, nobody is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from q2d2.listen.protocols import REFERENCE
from q2d2.listen.study import Study

MIDDLE_ANCHOR = "anchor70"
HIGH = 90  # what the reference should not be below, nor the middle anchor above
MOST_PERCENT = 15  # of the trials; exactly so many are allowed


class Excluded(NamedTuple):
    """A listener who is left out."""

    rater: int
    name: str | None
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
    excluded = []
    for rater, own in frame.groupby("rater"):
        names = own["rater_name"].dropna()
        if reasons := _reasons(own):
            excluded.append(Excluded(int(rater), str(names.iloc[0]) if len(names) else None, "; ".join(reasons)))
    kept = frame[~frame["rater"].isin([one.rater for one in excluded])]
    rule = (
        "After BS.1534-3, a listener is left out who rates the hidden reference below "
        f"{HIGH} in more than {MOST_PERCENT} % of the trials, or the anchor of 7 kHz above {HIGH} in as many"
    )
    return Screened(kept, tuple(excluded), rule)


def keep_all(frame: pd.DataFrame) -> Screened:
    """No screening, by the wish of whoever asks for the report."""
    return Screened(frame, (), "Nobody is left out: screening was switched off")


def _reasons(own: pd.DataFrame) -> list[str]:
    """Why this listener's ratings do not count; empty if they do."""
    found = []
    reference = own.loc[own["condition"] == REFERENCE, "score"]
    anchor = own.loc[own["condition"] == MIDDLE_ANCHOR, "score"]
    for bad, total, what in (
        (int((reference < HIGH).sum()), len(reference), f"rated the hidden reference below {HIGH}"),
        (int((anchor > HIGH).sum()), len(anchor), f"rated the anchor of 7 kHz above {HIGH}"),
    ):
        if 100 * bad > MOST_PERCENT * total:
            found.append(f"{what} in {bad} of {total} trials")
    return found
