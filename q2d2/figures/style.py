"""How the figures of this package look, with the colours of `plotting`: tilings, letters, and how one is saved."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from q2d2.atomic import write_whole
from q2d2.plotting import BLUE, FAINT, GREEN, INK, ORANGE, PALE, PURPLE, SKY, VERMILION, png

SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, "#7a6a4f")
TITLE, LABEL, SMALL = 12, 10.5, 9  # points


class Look(NamedTuple):
    """A tiling in a legend."""

    name: str
    colour: str
    marker: str


TILINGS = {
    "rectangular": Look("cubic (FSQ)", INK, "s"),
    "rhombic": Look("rhombic", BLUE, "D"),
    "hexagonal": Look("hexagonal (paper)", SKY, "o"),
    "regular_hexagonal": Look("hexagonal (A2)", VERMILION, "H"),
    "bcc": Look("BCC (3-D)", GREEN, "^"),
    "fcc": Look("FCC (3-D)", PURPLE, "v"),
}


def dress(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Titles, letters and a faint grid."""
    axes.set_title(title, color=INK, fontsize=TITLE, loc="left")
    axes.set_xlabel(x, color=INK, fontsize=LABEL)
    axes.set_ylabel(y, color=INK, fontsize=LABEL)
    axes.tick_params(which="both", colors=INK, labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)


def caption(figure: Figure, *paragraphs: str) -> None:
    """What one has to know to read the figure, below it."""
    width = round(15.5 * figure.get_figwidth())  # letters of that size in a line
    text = "\n".join(textwrap.fill(paragraph, width) for paragraph in paragraphs)
    figure.supxlabel(text, color=INK, fontsize=SMALL, x=0.01, ha="left")


def settle(figure: Figure) -> None:
    """Lay out once and for all: each drawing would move things a little, and a PNG differ from its PDF."""
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def pdf(figure: Figure) -> bytes:
    """With TrueType letters, as journals ask, and without the date: equal figures are equal files."""
    data = io.BytesIO()
    with rc_context({"pdf.fonttype": 42}):
        figure.savefig(data, format="pdf", metadata={"CreationDate": None})
    return data.getvalue()


def save(figure: Figure, path: Path) -> list[Path]:
    """NAME.png and NAME.pdf; `path` has no suffix."""
    settle(figure)
    paths = []
    for suffix, drawn in ((".png", png), (".pdf", pdf)):
        paths.append(path.with_name(path.name + suffix))
        write_whole(paths[-1], drawn(figure))
    return paths
