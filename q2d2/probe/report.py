"""Rows of a probe -> Markdown: what was asked of what, a table of means, and what to think of it. Opens no audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from q2d2.probe.embed import Representation
from q2d2.probe.labelled import LabelledSet
from q2d2.tabular import DASH, Table, markdown

CHANCE = "chance"  # in place of a representation: what is most frequent in training, for every clip
HEADINGS = {"accuracy": "accuracy", "macro_f1": "macro F1", "map_macro": "mAP", "map_weighted": "mAP, weighted"}
NAMED = 5  # unusable clips; all of them are in unusable.csv


class Row(NamedTuple):
    """One probe, tested."""

    representation: str
    split: str
    seed: int | None  # None: nothing was trained
    train_clips: int
    test_clips: int
    scores: Mapping[str, float]


class Findings(NamedTuple):
    """What there is to say."""

    chosen: LabelledSet
    data: str  # the folder's name
    labels: Sequence[str]
    model: str  # and its weights
    max_s: float
    epochs: int
    kinds: Sequence[Representation]
    spanned: Mapping[str, int]  # in how many dimensions the vectors of each representation differ
    rows: Sequence[Row]
    unusable: Mapping[str, str]  # path -> what is wrong with it


class Mean(NamedTuple):
    """A score of one representation."""

    value: float  # every split and every seed counting the same
    over_splits: float | None  # standard deviation of the splits' means; None if there is one split
    over_seeds: float | None  # standard deviation of the seeds' means; None if there is one seed


def mean(rows: Sequence[Row], name: str) -> Mean:
    """The mean of a score over these rows, and how far splits and seeds move it."""
    splits = dict.fromkeys(row.split for row in rows)
    table = np.array([[row.scores[name] for row in rows if row.split == split] for split in splits])
    return Mean(float(table.mean()), _spread(table.mean(axis=1)), _spread(table.mean(axis=0)))


def report(found: Findings) -> str:
    """Markdown, with a line at its end."""
    own = [row for row in found.rows if row.representation == CHANCE]
    lines = [
        f"{found.chosen.name} ({found.data}): {found.chosen.task}; {len(found.labels)} labels. {found.model}. "
        f"{len(own)} {'split' if len(own) == 1 else 'splits'} ({found.chosen.protocol}), "
        f"{min(row.train_clips for row in own)} clips or more to train, {sum(row.test_clips for row in own)} tested. "
        f"Mean over {found.max_s:g} s, shorter clips filled up with silence; one linear layer, {found.epochs} epochs.",
        "",
        _table(found),
        "",
        "± is the standard deviation over the splits, and over the seeds; dimensions are those that the vectors span, "
        "which of a code is at most the number of its channels; chance says what is most frequent in training.",
        "",
    ]
    if found.unusable:
        lines += [f"**{len(found.unusable)} clips could not be used** (all of them are in unusable.csv), such as:", ""]
        lines += [*(f"- {why}" for why in list(found.unusable.values())[:NAMED]), ""]
    return "\n".join(lines)


def _table(found: Findings) -> str:
    names = list(found.rows[0].scores)
    headings = [text for name in names for text in (HEADINGS[name], "± splits", "± seeds")]
    bitrates = {kind.name: kind.bitrate_bps for kind in found.kinds}
    lines = []
    for name in [*bitrates, CHANCE]:
        rows = [row for row in found.rows if row.representation == name]
        bps = bitrates.get(name)
        kbps = DASH if bps is None else f"{bps / 1000:.2f}"
        cells = [cell for score in names for cell in _cells(mean(rows, score))]
        lines.append([name, kbps, str(found.spanned.get(name, DASH)), *cells])
    return markdown(Table(["representation", "kbps", "dimensions", *headings], lines))


def _cells(one: Mean) -> list[str]:
    return [DASH if value is None else f"{value:.3f}" for value in one]


def _spread(means: np.ndarray) -> float | None:
    return float(means.std(ddof=1)) if len(means) > 1 else None
