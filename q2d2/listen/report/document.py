"""The report as Markdown for readers, and its tables as LaTeX for a paper: what was asked, found, and not found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from q2d2 import tabular
from q2d2.console import counted
from q2d2.listen.report.conditions import ordered, shown
from q2d2.listen.report.results import Results
from q2d2.listen.report.tables import (
    Descriptions,
    answers_table,
    raters_table,
    scores_table,
    table_5,
    table_6,
    tests_table,
)
from q2d2.tabular import Table

CMOS = ("cmos-q", "cmos-p")
ENOUGH_RATERS = 20  # often so, as BS.1534-3 has it
SHORT_STUDY = 7  # trials; with fewer, one slip is more than screening allows
_TESTS = {
    "mushra": "Differences between systems (Wilcoxon's signed-rank test on what one listener gave two systems in one "
    "trial)",
    "cmos-q": "Differences from the baseline (Wilcoxon's signed-rank test of the scores against 0)",
    "cmos-p": "Differences from the baseline (Wilcoxon's signed-rank test of the scores against 0)",
    "ab": "Preferences, answers without one left aside (exact binomial test against a half)",
    "abx": "Identification above chance (exact binomial test, one-sided)",
}
_READING = (
    "95 %, ratings, and what stands after ±: Student's t over all ratings, as in BS.1534-1; of shares, Clopper and "
    "Pearson's. What the paper's ± is it does not say; this is the usual one. It takes ratings as independent, which "
    "those of one listener are not.",
    "95 %, listeners: Student's t over listeners. Where it is the wider one, go by it. Neither speaks of other "
    "recordings than these.",
    "p, ratings and p, listeners: of tests over ratings and over one mean for each listener, both after Holm's "
    "correction for all comparisons of the study. Below 0.05 is commonly called a difference; above it, that none was "
    "shown, which does not say that there is none. A two-sided test over five listeners cannot come below 0.05, nor, "
    "where there are several comparisons, one over a few more.",
    "Intervals of comparisons are not corrected for being several.",
)


def markdown(results: Sequence[Results], descriptions: Descriptions, plots: Mapping[int, str]) -> str:
    """Everything; `plots` has the file name of each study's picture by its place in `results`."""
    notes: list[str] = []
    parts = ["# Listening test" if len(results) == 1 else "# Listening tests", ""]
    for place, result in enumerate(results):
        study = result.study
        parts += [f"## {study.title} ({study.protocol_name.upper()})", "", *_extent(result)]
        parts += [f"![{study.title}, {study.protocol_name.upper()}]({plots[place]})", ""]
        for caption, table in _study_tables(result, descriptions):
            parts += [f"{caption}:", "", tabular.markdown(table, notes), ""]
    for caption, table in _cmos_tables(results, descriptions):
        parts += ["## Comparison mean opinion scores", "", f"{caption}:", "", tabular.markdown(table, notes), ""]
    parts += ["## How to read this", "", *(f"- {line}" for line in (*_READING, *_remarks(results))), ""]
    return "\n".join([*parts, *([tabular.footnotes(notes), ""] if notes else [])])


def latex(results: Sequence[Results], descriptions: Descriptions) -> str:
    """The tables that belong in a paper, each after a comment that names it; needs booktabs."""
    parts = []
    for result in results:
        parts += [(f"{result.study.title}. {caption}", table) for caption, table in _study_tables(result, descriptions)]
    parts += _cmos_tables(results, descriptions)
    comments = [" ".join(caption.split()) for caption, _ in parts]
    tables = [tabular.latex(table) for _, table in parts]
    return "\n".join(f"% {comment}\n{table}\n" for comment, table in zip(comments, tables, strict=True))


def _extent(result: Results) -> Iterator[str]:
    """What was asked of whom, and who is left out."""
    study, submitted = result.study, result.submitted
    done = submitted.groupby("rater")["trial"].nunique()
    names = ", ".join(shown(name) for name in ordered(study))
    yield (
        f"Asked was: {study.protocol.question} {counted(len(study.trials), 'trial')} at "
        f"{study.sample_rate_hz / 1000:g} kHz; conditions: {names}."
    )
    yield ""
    yield (
        f"{counted(len(done), 'listener')} submitted {counted(len(submitted), 'rating')}; "
        f"{int((done == len(study.trials)).sum())} went through all trials. {result.screened.rule}. Left out: "
        f"{len(result.screened.excluded)} of {len(done)}."
    )
    yield ""


def _study_tables(result: Results, descriptions: Descriptions) -> Iterator[tuple[str, Table]]:
    """Captions and tables of one study; Table 6 may be of two."""
    name = result.study.protocol_name
    if name == "mushra":
        low, high = result.study.protocol.lowest, result.study.protocol.highest
        caption = (
            f"MUSHRA scores, {low:g} to {high:g}, in the form of the paper's Table 5: mean ± half its 95 % interval"
        )
        yield caption, table_5(result, descriptions)
    if result.estimates:
        yield "Scores in detail", scores_table(result)
    if result.tallies:
        yield "Answers", answers_table(result)
    if result.comparisons:
        yield _TESTS[name], tests_table(result)
    yield "Listeners, whose names are in the export only", raters_table(result)


def _cmos_tables(results: Sequence[Results], descriptions: Descriptions) -> list[tuple[str, Table]]:
    """None or one."""
    found = [result for result in results if result.study.protocol_name in CMOS]
    caption = (
        "CMOS, -3 (much worse than the baseline) to 3 (much better), in the form of the paper's Table 6: mean ± half "
        "its 95 % interval"
    )
    return [(caption, table_6(found, descriptions))] if found else []


def _remarks(results: Sequence[Results]) -> Iterator[str]:
    """What limits these results in particular."""
    for result in results:
        study = result.study
        raters = result.screened.kept["rater"].nunique()
        name = f"{study.title} ({study.protocol_name.upper()})"
        if raters < ENOUGH_RATERS:
            panel = f"the panel is {counted(raters, 'listener')}, where BS.1534-3 finds {ENOUGH_RATERS} often enough"
            yield f"{name}: {panel}; another one may well say something else."
        done = result.submitted.groupby("rater")["trial"].nunique()
        if partial := int((done < len(study.trials)).sum()):
            yield f"{name}: {counted(partial, 'listener')} stopped early; what they submitted is in here."
        if unheard := int((result.screened.kept["plays"] == 0).sum()):
            yield f"{name}: {counted(unheard, 'rating')} of sounds that the listener had not played are in here."
        if study.protocol_name == "mushra" and len(study.trials) < SHORT_STUDY:
            trials = counted(len(study.trials), "trial")
            yield f"{name}: with {trials}, one slip is enough for screening to leave a listener out."
    if len(results) == 1:
        yield "This is one study: other recordings, listeners and headphones may give other results."
