"""Results as CSV, for other programs: summary.csv and tests.csv. A number that does not exist is an empty cell."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from q2d2.listen.report.results import Results
from q2d2.listen.report.statistics import Interval
from q2d2.tabular import no_formula

_STUDY = ("study", "protocol")
_SUMMARY = (
    *("condition", "against", "ratings", "raters", "mean", "ratings_low", "ratings_high", "raters_low", "raters_high"),
    *("lower_quartile", "median", "upper_quartile", "for_condition", "for_neither", "for_against", "identified"),
)
_TESTS = (
    *("first", "second", "ratings", "raters", "effect", "ratings_low", "ratings_high", "raters_low", "raters_high"),
    *("p_ratings", "p_ratings_holm", "p_raters", "p_raters_holm"),
)


def summary_csv(results: Sequence[Results]) -> str:
    """A line for each condition; AB and ABX: for each pair, with counts of answers."""
    return _csv((*_STUDY, *_SUMMARY), (line for result in results for line in _summary(result)))


def comparisons_csv(results: Sequence[Results]) -> str:
    """A line for each comparison: p before and after Holm's correction, over ratings and over listeners."""
    return _csv((*_STUDY, *_TESTS), (line for result in results for line in _comparisons(result)))


def _summary(result: Results) -> Iterable[dict[str, object]]:
    study = {"study": result.study.title, "protocol": result.study.protocol_name}
    for one in result.estimates:
        yield {
            **study,
            "condition": one.condition,
            "against": result.study.baseline,
            "ratings": one.ratings,
            "raters": one.raters,
            "mean": one.mean,
            **_ends("ratings_", one.over_ratings),
            **_ends("raters_", one.over_raters),
            "lower_quartile": one.lower_quartile,
            "median": one.median,
            "upper_quartile": one.upper_quartile,
        }
    for tally in result.tallies:
        counts = {score: tally.counts.get(score, 0) for score in (-1.0, 0.0, 1.0)}
        if result.study.protocol_name == "abx":
            answers = {"identified": counts[1.0]}
        else:
            answers = {"for_condition": counts[1.0], "for_neither": counts[0.0], "for_against": counts[-1.0]}
        yield {
            **study,
            "condition": tally.second,
            "against": tally.first,
            "ratings": sum(counts.values()),
            "raters": tally.raters,
            **answers,
        }


def _comparisons(result: Results) -> Iterable[dict[str, object]]:
    for one in result.comparisons:
        yield {
            "study": result.study.title,
            "protocol": result.study.protocol_name,
            "first": one.first,
            "second": one.second,
            "ratings": one.ratings,
            "raters": one.raters,
            "effect": one.effect,
            **_ends("ratings_", one.by_ratings),
            **_ends("raters_", one.by_raters),
            "p_ratings": one.over_ratings.p_value,
            "p_ratings_holm": one.over_ratings.corrected,
            "p_raters": one.over_raters.p_value,
            "p_raters_holm": one.over_raters.corrected,
        }


def _ends(prefix: str, interval: Interval | None) -> dict[str, float]:
    return {} if interval is None else {f"{prefix}low": interval.low, f"{prefix}high": interval.high}


def _csv(columns: Sequence[str], lines: Iterable[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: no_formula(value) for name, value in line.items()} for line in lines)
    return text.getvalue()
