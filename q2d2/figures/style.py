"""How all figures look: colours that colour-blind readers tell apart, sizes of letters, and how a figure is saved.

The colours are Okabe and Ito's; nothing is told by them alone, but by a marker or a name as well.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from q2d2.atomic import write_whole

DPI = 110
INK, PALE, FAINT = "#26323f", "#8b97a3", "#dfe4e9"
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#a8588c", "#e69f00", "#56b4e9"
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


def new_figure(width: float, height: float) -> Figure:
    """A white one, in inches; constrained layout keeps its parts from covering each other."""
    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")


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


def png(figure: Figure) -> bytes:
    """With a palette of 256 colours: a third of the bytes, and nobody sees it."""
    whole, small = io.BytesIO(), io.BytesIO()
    figure.savefig(whole, format="png")
    image = Image.open(whole).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(small, "PNG", optimize=True)
    return small.getvalue()


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
