"""Listeners who hear what we tell them to: frames of ratings with known qualities behind them, for every protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from q2d2.listen.planning import plan
from q2d2.listen.protocols import ANCHORS, REFERENCE, ProtocolName
from q2d2.listen.study import Study, Trial

MOMENT = pd.Timestamp("2026-05-04T12:00:00Z")
TYPES = {
    **dict.fromkeys(("study", "protocol", "rater_name", "item", "condition", "comment"), "string"),
    **dict.fromkeys(("rater", "trial", "position", "plays"), "int64"),
    **dict.fromkeys(("score", "seconds"), "float64"),
    **dict.fromkeys(("saved_at", "submitted_at"), "datetime64[us, UTC]"),
}
COLUMNS = (
    *("study", "protocol", "rater", "rater_name", "trial", "item", "condition", "score", "position", "plays"),
    *("seconds", "comment", "saved_at", "submitted_at"),
)


class Panel(NamedTuple):
    """How many listen, and how far they are from a machine; deviations in points of the scale."""

    raters: int = 12
    bias: float = 4.0  # of a listener, the same in every rating
    item: float = 4.0  # of an utterance, the same for every listener
    noise: float = 6.0
    careless: int = 0  # the last so many rate at random


def study_of(
    protocol: ProtocolName, systems: tuple[str, ...], items: int = 8, reference: bool = True, title: str = "Simulated"
) -> Study:
    """A study without sounds: MUSHRA with both anchors, CMOS against the first system, AB and ABX of all pairs."""
    others = (REFERENCE,) if reference else ()
    if protocol == "mushra":
        pages = [(*others, *systems, *(ANCHORS if reference else ()))]
    elif protocol in ("cmos-q", "cmos-p"):
        pages = [(systems[0], other) for other in (*others, *systems[1:])]
    else:
        pages = list(combinations((*others, *systems), 2))
    trials = [Trial(f"item-{n}", {c: f"{n}-{c}.wav" for c in page}) for n in range(items) for page in pages]
    baseline = systems[0] if protocol in ("cmos-q", "cmos-p") else None
    identity = f"{title}-{protocol}"
    return Study(title, protocol, systems, tuple(trials), (), 24_000, study_id=identity, baseline=baseline)


def ratings(study: Study, qualities: Mapping[str, float], panel: Panel, seed: int = 0) -> pd.DataFrame:
    """What the panel says of conditions with these qualities.

    MUSHRA: qualities are scores. CMOS: they are on its scale, and the baseline's is taken off. AB: the better is
    preferred where the noise lets it, and an advantage below 1 is none. ABX: the difference of qualities is the
    probability of hearing it; who does not hear it guesses.
    """
    rng = np.random.default_rng(seed)
    biases = rng.normal(0, panel.bias, panel.raters)
    items = {name: rng.normal(0, panel.item) for name in dict.fromkeys(trial.item for trial in study.trials)}
    rows = []
    for rater in range(1, panel.raters + 1):
        careless = rater > panel.raters - panel.careless
        for page in plan(study, rater):
            trial = study.trials[page.trial]
            rated = trial.stimuli if study.protocol.kind == "multiple" else list(trial.stimuli)[1:]
            for condition in rated:
                if careless:
                    score = _at_random(study, rng)
                elif study.protocol_name == "mushra":
                    shift = 0.0 if condition == REFERENCE else biases[rater - 1] + items[trial.item]
                    spread = 1.0 if condition == REFERENCE else panel.noise
                    score = float(np.clip(round(qualities[condition] + shift + rng.normal(0, spread)), 0, 100))
                else:
                    first = next(iter(trial.stimuli))
                    score = _compared(study, qualities[condition] - qualities[first], biases[rater - 1], panel, rng)
                rows.append((rater, page.trial, condition, score, page.order.index(condition) + 1))
    return frame_of(study, rows)


def frame_of(study: Study, rows: Iterable[tuple[int, int, str, float, int]]) -> pd.DataFrame:
    """(rater, trial, condition, score, position) -> the columns that the export of a database has."""
    filled = [
        (study.study_id, study.protocol_name, rater, f"listener {rater}", trial, study.trials[trial].item, condition)
        + (score, position, 3, 20.0 + rater, "", MOMENT, MOMENT)
        for rater, trial, condition, score, position in rows
    ]
    return pd.DataFrame(filled, columns=list(COLUMNS)).astype(TYPES)


def _compared(study: Study, advantage: float, bias: float, panel: Panel, rng: np.random.Generator) -> float:
    if study.protocol_name == "abx":
        return float(rng.random() < abs(advantage) or rng.random() < 0.5)
    heard = advantage + bias + rng.normal(0, panel.noise)
    if study.protocol_name == "ab":
        return float(np.sign(heard)) if abs(heard) >= 1 else 0.0
    return float(np.clip(round(heard), -3, 3))


def _at_random(study: Study, rng: np.random.Generator) -> float:
    if study.protocol_name == "mushra":
        return float(rng.integers(0, 101))
    return float(rng.choice([0, 1] if study.protocol_name == "abx" else [mark.value for mark in study.protocol.scale]))
