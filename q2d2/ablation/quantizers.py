"""What a quantizer is, in a few words for a table: "3 x rhombic 7x7", "FSQ 9 9 9 9", "VQ 4096"."""

from __future__ import annotations

from dataclasses import fields
from itertools import groupby
from typing import Any

from q2d2.baselines import FSQConfig, IdentityConfig, RVQConfig, VQConfig
from q2d2.config import QuantizerConfig
from q2d2.grid import Grid
from q2d2.refinement import Refinement

MOST_RUNS = 4  # of equal grids that a cell of a table has room for


def described(config: QuantizerConfig) -> str:
    """Kind, tilings and levels, and the settings that are not the usual ones."""
    match config:
        case FSQConfig():
            return f"FSQ {' '.join(map(str, config.levels))}"
        case VQConfig():
            return f"VQ {config.codebook_size}"
        case RVQConfig():
            return f"RVQ {config.stages} x {config.codebook_size}"
        case IdentityConfig():
            return "none"
    own = [grid for grid in config.grids if not isinstance(grid, Refinement)]
    points = [grid.num_points for grid in own]
    runs = [f"{len(list(run))} x {_grid(grid)}" for grid, run in groupby(own)]
    if len(runs) > MOST_RUNS:
        runs = [f"{len(own)} grids of {max(points)} to {min(points)} points"]
    if refining := len(config.grids) - len(own):
        runs.append(f"{refining} refinements")
    return ", ".join([*runs, *_unusual(config.variant)])


def _grid(grid: Grid) -> str:
    name = getattr(grid, "tiling").replace("_", " ")  # noqa: B009 - every leaf has one
    return " ".join([name, "x".join(map(str, grid.levels)), *_unusual(grid)])


def _unusual(config: Any) -> list[str]:
    """The settings of a dataclass that differ from their defaults; what has no default is no setting."""
    settings = [(field, getattr(config, field.name)) for field in fields(config) if field.name != "levels"]
    return [f"{field.name.replace('_', ' ')} {value}" for field, value in settings if value != field.default]
