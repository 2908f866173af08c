"""Voronoi cells of points in a box: what a quantizer rounds to each point. Geometry only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def voronoi_cells(
    points: Float[np.ndarray, "points 2"], half_width: tuple[float, float]
) -> list[Float[np.ndarray, "corners 2"]]:
    """The part of the box that is nearest to each point: the box, cut by the bisectors between it and the others.

    The box reaches from -half_width to half_width. Corners run around each cell, which is convex; a point whose cell
    lies outside the box has an empty one.
    """
    x, y = half_width
    cells = []
    for point in points:
        cell = np.array([(-x, -y), (x, -y), (x, y), (-x, y)], float)
        distances = np.sqrt(((points - point) ** 2).sum(-1))
        for other in np.argsort(distances, kind="stable")[1:]:
            # a bisector lies half as far away as the other point, and cuts nothing beyond the farthest corner
            if not len(cell) or distances[other] >= 2 * np.sqrt(((cell - point) ** 2).sum(-1).max()):
                break
            cell = _cut(cell, points[other] - point, float((points[other] ** 2 - point**2).sum() / 2))
        cells.append(cell)
    return cells


def _cut(polygon: Float[np.ndarray, "corners 2"], normal: np.ndarray, limit: float) -> Float[np.ndarray, "kept 2"]:
    """The part of a convex polygon where normal . x <= limit."""
    side = polygon @ normal - limit
    kept = []
    for a, b, beyond_a, beyond_b in zip(polygon, np.roll(polygon, -1, 0), side, np.roll(side, -1), strict=True):
        if beyond_a <= 0:
            kept.append(a)
        if (beyond_a < 0 < beyond_b) or (beyond_b < 0 < beyond_a):
            kept.append(a + (b - a) * beyond_a / (beyond_a - beyond_b))
    return np.array(kept).reshape(-1, 2)
