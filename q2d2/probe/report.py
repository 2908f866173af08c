"""Rows of a probe -> Markdown: what was asked of what, a table of means, and what to think of it. Knows no audio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from q2d2.codec import Codec
from q2d2.probe.embed import Representation
from q2d2.probe.labelled import LabelledSet
from q2d2.tabular import DASH, Table, markdown

HEADINGS = {"accuracy": "accuracy", "macro_f1": "macro F1", "map_macro": "mAP", "map_weighted": "mAP, weighted"}
NAMED = 5  # unusable clips; all of them are in unusable.csv


class Row(NamedTuple):
    """One trained probe, tested."""

    representation: str
    split: str
    seed: int | None  # None: nothing was trained
    train_clips: int
    test_clips: int
    scores: Mapping[str, float]


class Mean(NamedTuple):
    """A score of one representation."""

    value: float  # mean over splits and seeds
    over_splits: float | None  # standard deviation of the splits' means; None if there is one split
    over_seeds: float | None  # standard deviation of the seeds' means; None if there is one seed


def mean(rows: Sequence[Row], name: str) -> Mean:
    """The mean of a score, every split and every seed counting the same, and how far either moves it."""
    table = np.array([[row.scores[name] for row in rows if row.split == split] for split in _splits(rows)])
    splits, seeds = table.shape
    return Mean(
        float(table.mean()),
        float(table.mean(axis=1).std(ddof=1)) if splits > 1 else None,
        float(table.mean(axis=0).std(ddof=1)) if seeds > 1 else None,
    )


def report(
    chosen: LabelledSet,
    codec: Codec,
    max_s: float,
    epochs: int,
    kinds: Sequence[Representation],
    labels: Sequence[str],
    spanned: Mapping[str, int],
    rows: Sequence[Row],
    unusable: Mapping[str, str],
) -> str:
    """Markdown; `spanned` is the number of dimensions that the vectors of each representation span."""
    own = [row for row in rows if row.representation == "chance"]
    lines = [
        f"{chosen.title}: {chosen.task} ({len(labels)} labels). {codec.config.name}, weights {codec.weights}. "
        f"{len(own)} {'split' if len(own) == 1 else 'splits'} ({chosen.protocol}), "
        f"{min(row.train_clips for row in own)} clips or more to train, {sum(row.test_clips for row in own)} tested "
        f"in all. Mean over {max_s:g} s, shorter clips filled up with silence; one linear layer, {epochs} epochs.",
        "",
        _table(kinds, spanned, rows),
        "",
        "± is the standard deviation over the splits, and over the seeds; dimensions are those that the vectors span, "
        "which of a code is at most the number of its channels; chance says what is most frequent in training.",
        "",
    ]
    if unusable:
        lines += [f"**{len(unusable)} clips could not be used** (all of them are in unusable.csv), such as:", ""]
        lines += [f"- {why}" for why in list(unusable.values())[:NAMED]] + [""]
    return "\n".join(lines)


def _table(kinds: Sequence[Representation], spanned: Mapping[str, int], rows: Sequence[Row]) -> str:
    names = list(rows[0].scores)
    headings = [text for name in names for text in (HEADINGS[name], "± splits", "± seeds")]
    lines = []
    for kind in kinds:
        own = [row for row in rows if row.representation == kind.name]
        kbps = DASH if kind.bitrate_bps is None else f"{kind.bitrate_bps / 1000:.2f}"
        cells = [cell for name in names for cell in _cells(mean(own, name))]
        lines.append([kind.name, kbps, str(spanned[kind.name]), *cells])
    chance = [mean([row for row in rows if row.representation == "chance"], name) for name in names]
    lines.append(["chance", DASH, DASH, *(cell for one in chance for cell in _cells(one))])
    return markdown(Table(["representation", "kbps", "dimensions", *headings], lines))


def _cells(one: Mean) -> list[str]:
    return [f"{one.value:.3f}", *(DASH if spread is None else f"{spread:.3f}" for spread in one[1:])]


def _splits(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.split for row in rows))
