"""A table of short texts with footnotes -> Markdown, or LaTeX (booktabs). Knows nothing of what it says.

A value that does not exist is a dash with a footnote that says why, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

DASH = "–"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "–": "--",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        **{character: "\\" + character for character in "&%$#_{}"},
    }
)


class Cell(NamedTuple):
    """What stands in one place of a table."""

    text: str
    note: str | None = None  # its footnote; equal notes share a number


class Table(NamedTuple):
    """Headings, and lines as long as they; the first column is text, the others are numbers."""

    headings: Sequence[str]
    lines: Sequence[Sequence[Cell | str]]


def absent(why: str) -> Cell:
    """A value that does not exist."""
    return Cell(DASH, why)


def markdown(table: Table, document: list[str] | None = None) -> str:
    """GitHub's tables, numbers to the right, footnotes below.

    Footnotes are numbered throughout a file: a file of several tables gives all of them the same list as `document`,
    which grows, and ends with its `footnotes`.
    """
    notes: list[str] = [] if document is None else document
    lines = [_texts(line, notes, lambda number: f"[^{number}]") for line in table.lines]
    rule = ["---", *["---:"] * (len(table.headings) - 1)]
    text = [f"| {' | '.join(cells)} |" for cells in (list(table.headings), rule, *lines)]
    if notes and document is None:
        text += ["", footnotes(notes)]
    return "\n".join(text)


def footnotes(document: Sequence[str]) -> str:
    """The footnotes of a Markdown file of several tables."""
    return "\n".join(f"[^{number}]: {note}" for number, note in enumerate(document, start=1))


def latex(table: Table) -> str:
    """A `tabular` with the rules of booktabs, footnotes as small lines below it."""
    notes: list[str] = []
    lines = [_texts(line, notes, lambda number: f"\\textsuperscript{{{number}}}", _escaped) for line in table.lines]
    body = [" & ".join(cells) + r" \\" for cells in lines]
    heading = " & ".join(map(_escaped, table.headings)) + r" \\"
    columns = "l" + "r" * (len(table.headings) - 1)
    text = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", heading, r"\midrule", *body, r"\bottomrule"]
    text.append(r"\end{tabular}")
    for number, note in enumerate(notes, start=1):
        text.append(rf"\par\noindent{{\footnotesize\textsuperscript{{{number}}}{_escaped(note)}}}")
    return "\n".join(text)


def no_formula(value: object) -> object:
    """For CSV files: a text that a spreadsheet would calculate gets an apostrophe before it; all else stays."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _texts(
    line: Sequence[Cell | str], notes: list[str], mark: Callable[[int], str], escaped: Callable[[str], str] = str
) -> list[str]:
    """The cells with their marks; `notes` grows by what is new."""
    texts = []
    for cell in (cell if isinstance(cell, Cell) else Cell(cell) for cell in line):
        if cell.note is not None and cell.note not in notes:
            notes.append(cell.note)
        texts.append(escaped(cell.text) + ("" if cell.note is None else mark(notes.index(cell.note) + 1)))
    return texts


def _escaped(text: str) -> str:
    return text.translate(_LATEX)
