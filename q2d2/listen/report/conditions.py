"""The conditions of a study in the order of every table and plot, and what they are called there."""

from __future__ import annotations

from q2d2.listen.protocols import ANCHORS, REFERENCE
from q2d2.listen.study import Study


def ordered(study: Study) -> list[str]:
    """Those that occur in its trials: the reference, the systems in the study's order, the anchors."""
    heard = {condition for trial in study.trials for condition in trial.stimuli}
    return [name for name in dict.fromkeys((REFERENCE, *study.systems, *ANCHORS)) if name in heard]


def shown(condition: str) -> str:
    """GT (ground truth) for the reference, as in the paper; anchors with what is left of the band."""
    if condition == REFERENCE:
        return "GT"
    if condition in ANCHORS:
        return f"anchor {ANCHORS[condition] / 1000:g} kHz"
    return condition
