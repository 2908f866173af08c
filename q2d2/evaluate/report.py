"""The report of an evaluation: what was scored, what is wrong with it, the tables, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from q2d2 import tabular
from q2d2.analyze import utilization
from q2d2.evaluate.metrics import GROUPED, Metric
from q2d2.evaluate.rows import Row
from q2d2.evaluate.tables import rates_table, scores_table, tokens_table
from q2d2.tabular import Table


class Report(NamedTuple):
    """What there is to say."""

    what: str  # was scored
    rows: Sequence[Row]
    metrics: Sequence[Metric]
    missing: Mapping[str, str]  # by the name of a metric: what it lacks
    counts: Sequence[Int64[np.ndarray, " _"]]  # of each pair's points
    errors: Sequence[str]


def markdown(report: Report) -> str:
    """Everything, footnotes of each table below it."""
    return "\n".join(
        [
            f"{report.what}: {_extent(report.rows)}. Means over clips with 95 % intervals (bootstrap over clips).",
            "",
            *(f"**ERROR** {error}\n" for error in report.errors),
            *_sections(report, tabular.markdown),
            *(f"- {metric.scores[0].heading}: {metric.definition}" for metric in report.metrics),
            "",
        ]
    )


def latex(report: Report) -> str:
    """The tables alone, each after a comment that names it."""
    lines = [f"% {report.what}: {_extent(report.rows)}. Means over clips with 95 % bootstrap intervals."]
    return "\n".join([*lines, *_sections(report, tabular.latex, mark="% ")])


def _extent(rows: Sequence[Row]) -> str:
    first = [row for row in rows if row.system == rows[0].system]
    return f"{len(first)} clips, {sum(row.duration_s for row in first):.0f} s"


def _sections(report: Report, written: Callable[[Table], str], mark: str = "") -> list[str]:
    """The tables, each under its title."""
    found = [("Rates, and the delay of what was decoded (a peer's is compensated, clip by clip):", rates_table(report.rows))]
    for title, group in GROUPED.items():
        metrics = [metric for metric in group if metric in report.metrics]
        if metrics:
            found.append((f"{title}:", scores_table(report.rows, metrics, report.missing)))
    frames = int(report.counts[0].sum())
    uses = [utilization.use(column) for column in report.counts]
    found.append((f"Use of the points of each pair over {frames} frames:", tokens_table(uses)))
    return [part for title, table in found for part in (mark + title, "", written(table), "")]
