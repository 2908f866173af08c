"""The numbers of the demo's pictures: envelopes, spectrograms, and the way of the tokens over their grids.

Numbers in, JSON-able values out; what they look like is decided in drawing.js. Knows nothing of files and servers.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from q2d2.cells import voronoi_cells
from q2d2.grid import Grid

COLUMNS, ROWS = 600, 192  # of a spectrogram, at most
ENVELOPE_COLUMNS = 1200
FLOOR_DB = -70.0
_WINDOW_S = 0.04


def envelope(wav: Float32[np.ndarray, " samples"]) -> dict[str, list[float]]:
    """Lowest and highest sample of each of at most `ENVELOPE_COLUMNS` steps."""
    edges = _edges(len(wav), ENVELOPE_COLUMNS)
    return {
        "low": np.minimum.reduceat(wav, edges).round(4).tolist(),
        "high": np.maximum.reduceat(wav, edges).round(4).tolist(),
    }


def power(wav: Float32[np.ndarray, " samples"], sample_rate_hz: int) -> Float64[np.ndarray, "rows columns"]:
    """The mean power in at most `ROWS` bands of equal width, low to high, and at most `COLUMNS` steps of time."""
    size = 2 ** round(math.log2(_WINDOW_S * sample_rate_hz))
    # a short clip gets many overlapping windows, a long one at least every second half
    hop = max(1, min(size // 2, len(wav) // COLUMNS))
    transform = ShortTimeFFT(hann(size, sym=False), hop, sample_rate_hz)
    padded = np.pad(wav, (0, max(0, size - len(wav))))
    steps = -(-len(wav) // hop)
    spectrum = np.abs(transform.stft(padded, p0=0, p1=steps)) ** 2
    return _means(_means(spectrum, ROWS).T, COLUMNS).T


def levels(spectrum: Float64[np.ndarray, "rows columns"], loudest: float) -> dict[str, str | int]:
    """A picture of bytes, row by row from the lowest: 0 is `FLOOR_DB` and less, 255 the power `loudest`."""
    decibels = 10 * np.log10(spectrum / max(loudest, 1e-12) + 1e-12)
    pixels = np.rint(255 * np.clip(1 - decibels / FLOOR_DB, 0, 1)).astype(np.uint8)
    rows, columns = pixels.shape
    return {"rows": rows, "columns": columns, "levels": base64.b64encode(pixels.tobytes()).decode()}


def path(grid: Grid, indices: Int64[np.ndarray, " frames"]) -> dict[str, Any]:
    """The cells of a grid in the plane, how often each was visited, and which one when."""
    half_width = (float(grid.half_width[0]), float(grid.half_width[1]))
    return {
        "half_width": half_width,
        "points": grid.points.round(4).tolist(),
        "cells": [cell.round(4).tolist() for cell in voronoi_cells(grid.points, half_width)],
        "visits": np.bincount(indices, minlength=grid.num_points).tolist(),
        "indices": indices.tolist(),
    }


def _edges(length: int, parts: int) -> Int64[np.ndarray, " _"]:
    """Where each of at most so many almost equal parts begins."""
    count = min(length, parts)
    return np.arange(count, dtype=np.int64) * length // count


def _means(values: Float[np.ndarray, "length others"], parts: int) -> Float[np.ndarray, "parts others"]:
    edges = _edges(len(values), parts)
    return np.add.reduceat(values, edges) / np.diff(edges, append=len(values))[:, None]
