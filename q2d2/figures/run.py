"""The entry: checks that there is something to draw with, before anything is read."""

from __future__ import annotations

from q2d2.evaluate.metrics.base import package
from q2d2.figures.config import FiguresConfig, Made


def make_figures(config: FiguresConfig) -> Made:
    """Draw all that the config has the inputs for.

    MissingExtraError without matplotlib or scipy. OSError or ValueError for inputs that are not there, or are something
    else, and for a model without grids where its latents are to be drawn.
    """
    for name in ("matplotlib", "scipy"):
        package(name)
    from q2d2.figures.drawing import draw

    return draw(config)
