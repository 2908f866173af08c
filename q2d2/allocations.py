"""How codecs of several rates spend the bits of a frame, as data: the grid of every pair, the lowest rate's first.

Written short: `R13x9` is a rhombic grid of 13 x 9 levels, `S` a rectangular one (square cells), `H` a regular hexagonal
one; `S3x3>0` refines pair 0, and `12*S2x2` stands for twelve pairs. `runs/allocation.py` finds such lists.
"""

from __future__ import annotations

import re

from q2d2.grid import RectangularGrid, RegularHexagonalGrid, RhombicGrid
from q2d2.refinement import AnyPair, Refinement

Grids = tuple[AnyPair, ...]

LETTERS = {"R": RhombicGrid, "S": RectangularGrid, "H": RegularHexagonalGrid}
PAIR = re.compile(r"(?:(\d+)\*)?([RSH])(\d+)x(\d+)(?:>(\d+))?")


def parse(text: str) -> Grids:
    """The grids of a list in this notation; the pairs of `n*...>p` refine p, p + 1 and so on. ValueError for others."""
    found: list[AnyPair] = []
    for word in text.split():
        match = PAIR.fullmatch(word)
        if match is None:
            raise ValueError(f"{word!r} is no pair: write R13x9, S3x3>0 or 12*S2x2")
        count, letter, first, second, refined = match.groups()
        grid = LETTERS[letter]((int(first), int(second)))
        for i in range(int(count or 1)):
            found.append(grid if refined is None else Refinement(int(refined) + i, grid))
    return tuple(found)


# `speech-live`, and `speech` up to its third version: 19.2, 62 and 127 bits a frame, most of them for precision
EQUAL = parse("3*R7x7 15*R9x9")

# As many bits, with levels that fall along the pairs; made by hand
GRADED = parse("R9x7 R5x5 R3x3 S3x3") + parse("3*R5x5 5*R3x3 4*S2x2") + parse("10*R3x3 14*S2x2")

# As many bits, and higher rates refine what the lower ones have coarsely
REFINED = (
    parse("R13x8 S5x5 R3x2 2*S2x2")
    + parse("5*S3x3>0 S4x4 R3x3 3*S3x3 5*S2x2")
    + parse("R2x2>5 S3x2>6 S3x3>7 2*S2x2>8 S3x2>10 2*S3x3>11 2*S2x2>13 S3x3>15 S3x2>16 3*S2x2>17 3*S3x3 R2x2 8*S2x2")
)

# `speech`: what files of 1.03, 3.3 and 6.8 kbps were expected to hold once coded: 27, 75 and 144 bits before
CODED = (
    parse("R13x9 S8x6 S6x5 S4x3 S3x3 S2x2")
    + parse("2*S3x3>0 S2x2>2 S2x3>3 S3x2>4 S3x3>5 S6x6 S6x5 3*S4x4 3*S3x3")
    + parse("S2x2>6 12*S2x2>8 2*H4x5 H4x4 S4x3 H3x4 2*S3x3 S3x2 R2x2 6*S2x2")
)
