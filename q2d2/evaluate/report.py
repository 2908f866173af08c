"""The report of an evaluation: what was scored, what is wrong with it, the tables, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from q2d2 import tabular
from q2d2.analyze.utilization import Joint
from q2d2.evaluate.metrics import GROUPED, Metric
from q2d2.evaluate.rows import Row
from q2d2.evaluate.tables import frames_table, pairs_table, rates_table, scores_table
from q2d2.tabular import Table

_TOKENS = (
    "- Bits used: the sum of the pairs' entropies (Miller-Madow corrected), what a frame takes if its indices tell "
    "nothing of each other. Unseen mass: the probability that the next frame's token is a new one (Good-Turing); where "
    "it is near 1, the share of tokens used is the size of the sample and nothing else."
)


class Report(NamedTuple):
    """What there is to say."""

    what: str  # was scored
    rows: Sequence[Row]
    metrics: Sequence[Metric]
    missing: Mapping[str, str]  # by the name of a metric: what it lacks
    tokens: Mapping[str, Joint]  # of the model at each of its rates, the highest last
    errors: Sequence[str]


def markdown(report: Report) -> str:
    """Everything, the footnotes of all tables together."""
    notes: list[str] = []
    return "\n".join(
        [
            f"{report.what}: {_extent(report.rows)}. Means over clips with 95 % intervals (bootstrap over clips).",
            "",
            *(f"**ERROR** {error}\n" for error in report.errors),
            *_sections(report, partial(tabular.markdown, document=notes)),
            *([tabular.footnotes(notes), ""] if notes else []),
            *(f"- {metric.scores[0].heading}: {metric.definition}" for metric in report.metrics),
            _TOKENS,
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
    rates = "Rates, and the delay of what was decoded (a peer's is compensated, clip by clip)"
    found = [(rates, rates_table(report.rows))]
    for title, group in GROUPED.items():
        if metrics := [metric for metric in group if metric in report.metrics]:
            found.append((title, scores_table(report.rows, metrics, report.missing)))
    *_, highest = report.tokens.values()
    over = f"over {highest.token.frames} frames"
    found.append((f"Whole frames as tokens, {over}, beside as many uniform random ones", frames_table(report.tokens)))
    found.append((f"Use of the points of each pair {over}", pairs_table(highest.pairs)))
    return [part for title, table in found for part in (f"{mark}{title}:", "", written(table), "")]
