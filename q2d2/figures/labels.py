"""Names beside the points of a plot, where they cover neither each other nor the points. Geometry and text only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox, BboxBase

from q2d2.figures.style import SMALL, settle
from q2d2.plotting import INK


class Named(NamedTuple):
    """A point of a plot."""

    name: str
    x: float
    y: float
    radius: float  # of its marker, in points
    low: float  # of its interval along y
    high: float


# Where a name may stand: direction from the point, and which end of the text is there. The freest place is taken, of
# equals the first.
_SIDES = (
    (1.0, 0.0, "left", "center"),
    (-1.0, 0.0, "right", "center"),
    (0.0, 1.0, "center", "bottom"),
    (0.0, -1.0, "center", "top"),
    (0.7, 0.7, "left", "bottom"),
    (0.7, -0.7, "left", "top"),
    (-0.7, 0.7, "right", "bottom"),
    (-0.7, -0.7, "right", "top"),
)


def name_points(figure: Figure, panels: Sequence[tuple[Axes, Sequence[Named]]]) -> None:
    """Write the names of each panel's points, when all else is in its place."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    settle(figure)  # from here on the points' places on the page are known
    for axes, points in panels:
        frame = axes.get_window_extent(renderer)
        taken = [*_along_lines(axes), *(box for point in points for box in _boxes(axes, point, figure.dpi / 72))]
        for point in points:
            choice = []
            for side in _SIDES:
                text = _beside(axes, point, side)
                box = text.get_window_extent(renderer)
                outside = box.width * box.height - _shared(box, frame)
                choice.append((sum(_shared(box, other) for other in taken) + outside, text, box))
            best = min(choice, key=lambda one: one[0])
            for one in choice:
                if one is not best:
                    one[1].remove()
            taken.append(best[2])


def _beside(axes: Axes, point: Named, side: tuple[float, float, str, str]) -> Annotation:
    right, up, horizontal, vertical = side
    away = point.radius + 3
    text = axes.annotate(
        point.name,
        (point.x, point.y),
        (right * away, up * away),
        textcoords="offset points",
        ha=horizontal,
        va=vertical,
        color=INK,
        fontsize=SMALL,
        in_layout=False,
    )
    text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    return text


def _boxes(axes: Axes, point: Named, pixel: float) -> list[Bbox]:
    """What a marker covers, and its interval."""
    x, y = axes.transData.transform((point.x, point.y))
    (_, low), (_, high) = axes.transData.transform([(point.x, point.low), (point.x, point.high)])
    radius = point.radius * pixel
    return [_around(x, y, radius, radius), _around(x, (low + high) / 2, 2 * pixel, (high - low) / 2)]


def _along_lines(axes: Axes) -> list[Bbox]:
    """Small boxes along all lines of a panel."""
    boxes = []
    for line in axes.get_lines():
        if line.get_linestyle() == "None":
            continue
        corners = line.get_transform().transform(line.get_xydata())
        for start, end in pairwise(corners):
            for x, y in np.linspace(start, end, max(2, int(np.abs(end - start).max() / 6))):
                boxes.append(_around(x, y, 3.0, 2.0))
    return boxes


def _around(x: float, y: float, half_width: float, half_height: float) -> Bbox:
    return Bbox.from_extents(x - half_width, y - half_height, x + half_width, y + half_height)


def _shared(one: BboxBase, other: BboxBase) -> float:
    """The area that two boxes have in common."""
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else both.width * both.height
