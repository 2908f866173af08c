"""The figures of the paper, of this model, evaluation and benchmark: one call writes all of them.

`make_figures(FiguresConfig(out=...))` reads what other verbs have written, measures what they have not, and draws. One
file draws one figure, from numbers; nothing here needs matplotlib before something is drawn.
"""

from q2d2.figures.config import FiguresConfig, Made
from q2d2.figures.run import make_figures

__all__ = ["FiguresConfig", "Made", "make_figures"]
