"""Results -> tables: the paper's Tables 5 and 6, and what stands behind them. Knows no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from q2d2.listen.protocols import ANCHORS, REFERENCE
from q2d2.listen.report.comparisons import Comparison
from q2d2.listen.report.conditions import ordered, shown
from q2d2.listen.report.descriptions import Described
from q2d2.listen.report.results import Results
from q2d2.listen.report.statistics import Estimate, Interval
from q2d2.tabular import Cell, Table, absent

Descriptions = Mapping[str, Described] | None
BASELINE = "the baseline: every other was compared with it"


def table_5(results: Results, descriptions: Descriptions) -> Table:
    """MUSHRA: a line for each condition, mean ± half the 95 % interval of Student's t, as in the paper."""
    headings = ["Model", *_rate_headings(descriptions, tokens=True), "MUSHRA ↑"]
    lines: list[list[Cell | str]] = [
        [shown(one.condition), *_rates(one.condition, descriptions, tokens=True), _plus_minus(one)]
        for one in results.estimates
    ]
    return Table(headings, lines)


def table_6(results: Sequence[Results], descriptions: Descriptions) -> Table:
    """CMOS of quality and of prosody: a line for each condition of either study, the baseline with 0.00."""
    columns = sorted(results, key=lambda result: result.study.protocol_name, reverse=True)  # Q before P
    conditions = dict.fromkeys(name for result in columns for name in ordered(result.study))
    names = [name for name in conditions if name not in ANCHORS] + [name for name in conditions if name in ANCHORS]
    lines: list[list[Cell | str]] = [
        [shown(name), *_rates(name, descriptions, tokens=False), *(_compared(name, result) for result in columns)]
        for name in names
    ]
    return Table(["Model", *_rate_headings(descriptions, tokens=False), *_cmos_headings(columns)], lines)


def scores_table(results: Results) -> Table:
    """MUSHRA, CMOS: all that is known of each condition."""
    headings = ["Model", "ratings", "listeners", "mean", "95 %, ratings", "95 %, listeners", "median", "quartiles"]
    lines: list[list[Cell | str]] = []
    for one in results.estimates:
        over = [_interval(one.over_ratings, "a single rating"), _interval(one.over_raters, "a single listener")]
        middle = [f"{one.median:.1f}", f"{one.lower_quartile:.1f} to {one.upper_quartile:.1f}"]
        counts = [str(one.ratings), str(one.raters), f"{one.mean:.2f}"]
        lines.append([shown(one.condition), *counts, *over, *middle])
    return Table(headings, lines)


def answers_table(results: Results) -> Table:
    """AB, ABX: how often each answer was given, by pair."""
    if results.study.protocol_name == "abx":
        answers = {1.0: "identified", 0.0: "not identified"}
    else:
        answers = {-1.0: "for the first", 0.0: "no preference", 1.0: "for the second"}
    lines = []
    for one in results.tallies:
        counts = [str(one.counts.get(score, 0)) for score in answers]
        lines.append([_pair(one.first, one.second), str(one.raters), str(sum(one.counts.values())), *counts])
    return Table(["first, second", "listeners", "ratings", *answers.values()], lines)


def tests_table(results: Results) -> Table:
    """A line for each comparison: effect, and p after Holm's correction, over ratings and over listeners."""
    name = results.study.protocol_name
    is_share = name in ("ab", "abx")
    effect = {"ab": "share for the second", "abx": "share identified"}.get(name, "second - first")
    headings = ["first, second", "n", effect, "95 %, ratings", "p, ratings"]
    headings += ["listeners", "95 %, listeners", "p, listeners"]
    lines: list[list[Cell | str]] = []
    for one in results.comparisons:
        by_ratings = _interval(one.by_ratings, "nothing decided" if is_share else "a single rating")
        by_raters = _interval(one.by_raters, "nothing decided, or by a single listener")
        over_ratings, over_raters = _p(one.over_ratings.corrected), _p(one.over_raters.corrected)
        line: list[Cell | str] = [_pair(one.first, one.second), str(one.ratings), _effect(one, is_share)]
        lines.append([*line, by_ratings, over_ratings, str(one.raters), by_raters, over_raters])
    return Table(headings, lines)


def raters_table(results: Results) -> Table:
    """Every listener who submitted anything, by number: names are not for publication."""
    reasons = {one.rater: one.reason for one in results.screened.excluded}
    lines: list[list[Cell | str]] = []
    for rater, own in results.submitted.groupby("rater"):
        seconds = own.drop_duplicates("trial")["seconds"].dropna().to_numpy(dtype=np.float64)
        time = Cell(f"{np.median(seconds):.0f}") if len(seconds) else absent("not recorded")
        verdict = Cell("left out", reasons[rater]) if rater in reasons else Cell("counts")
        unheard = str(int((own["plays"] == 0).sum()))
        lines.append([str(rater), str(own["trial"].nunique()), str(len(own)), unheard, time, verdict])
    return Table(["listener", "trials", "ratings", "unheard", "median s per trial", "ratings count?"], lines)


def _rate_headings(descriptions: Descriptions, tokens: bool) -> list[str]:
    if descriptions is None:
        return []
    return ["Bandwidth ↓", "Nq ↓", *(["token/s ↓"] if tokens else [])]


def _rates(condition: str, descriptions: Descriptions, tokens: bool) -> list[Cell]:
    """What a system sends; dashes for what is no codec, or is not described."""
    if descriptions is None:
        return []
    if condition == REFERENCE or condition in ANCHORS:
        return [absent("no codec")] * (3 if tokens else 2)
    if condition not in descriptions:
        return [absent("not among the descriptions given")] * (3 if tokens else 2)
    one = descriptions[condition]
    found = [Cell(f"{one.bandwidth_kbps:g} kbps"), *map(_number, (one.codebooks, one.tokens_per_second))]
    return found if tokens else found[:2]


def _number(value: int | float | None) -> Cell:
    return absent("no tokens") if value is None else Cell(f"{value:g}")


def _cmos_headings(results: Sequence[Results]) -> list[str]:
    """CMOS-Q, CMOS-P; with the study's title where there are several of one kind."""
    kinds = [result.study.protocol_name for result in results]
    titled = [f", {result.study.title}" if kinds.count(result.study.protocol_name) > 1 else "" for result in results]
    return [f"{kind.upper()}{title} ↑" for kind, title in zip(kinds, titled, strict=True)]


def _compared(condition: str, result: Results) -> Cell:
    """A condition in one column of Table 6."""
    if condition == result.study.baseline:
        return Cell("0.00", BASELINE)
    found = [one for one in result.estimates if one.condition == condition]
    return _plus_minus(found[0]) if found else absent("not rated")


def _plus_minus(one: Estimate) -> Cell:
    if one.over_ratings is None:
        return Cell(f"{one.mean:.2f}", "a single rating, so no interval")
    return Cell(f"{one.mean:.2f}±{one.over_ratings.half_width:.2f}")


def _interval(interval: Interval | None, why: str) -> Cell:
    return absent(why) if interval is None else Cell(f"{interval.low:.2f} to {interval.high:.2f}")


def _effect(one: Comparison, is_share: bool) -> Cell:
    if one.effect is None:
        return absent("nobody had a preference")
    return Cell(f"{one.effect:.2f}" if is_share else f"{one.effect:+.2f}")


def _pair(first: str, second: str) -> str:
    return f"{shown(first)}, {shown(second)}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
