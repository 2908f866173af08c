"""Tables against what Markdown and LaTeX should say."""

from q2d2.tabular import Cell, Table, absent, footnotes, latex, markdown

TABLE = Table(
    ["system", "a_b, %"],
    [["one & two", Cell("1.0", "why")], ["$\\x$", absent("not here")], ["three", absent("why")]],
)


def test_markdown_numbers_its_footnotes_and_shares_them() -> None:
    assert markdown(TABLE).splitlines() == [
        "| system | a_b, % |",
        "| --- | ---: |",
        "| one & two | 1.0[^1] |",
        "| $\\x$ | –[^2] |",
        "| three | –[^1] |",
        "",
        "[^1]: why",
        "[^2]: not here",
    ]


def test_latex_escapes_what_means_something_to_it() -> None:
    lines = latex(TABLE).splitlines()
    assert lines[:3] == [r"\begin{tabular}{lr}", r"\toprule", r"system & a\_b, \% \\"]
    assert lines[4:7] == [
        r"one \& two & 1.0\textsuperscript{1} \\",
        r"\$\textbackslash{}x\$ & --\textsuperscript{2} \\",
        r"three & --\textsuperscript{1} \\",
    ]
    assert lines[-1] == r"\par\noindent{\footnotesize\textsuperscript{2}not here}"


def test_a_file_of_several_tables_numbers_its_footnotes_throughout() -> None:
    notes = ["of an earlier table"]
    assert markdown(TABLE, notes).splitlines()[2:] == [
        "| one & two | 1.0[^2] |",
        "| $\\x$ | –[^3] |",
        "| three | –[^2] |",
    ]
    assert footnotes(notes).splitlines()[1:] == ["[^2]: why", "[^3]: not here"]
