"""The numbers behind the figures, where they are known."""

import csv
import io

import numpy as np
import pytest
import torch

from q2d2.analyze import distortion
from q2d2.analyze.dependence import Baseline, shuffled
from q2d2.figures import measuring
from q2d2.grid import RectangularGrid, RhombicGrid

GRIDS = (RhombicGrid((7, 7)), RectangularGrid((5, 5)))


@pytest.fixture(scope="module")
def independent():
    """Pairs whose channels have nothing in common, uniform in the box."""
    half = np.array([grid.half_width for grid in GRIDS])
    z = (np.random.default_rng(0).uniform(-1, 1, (3000, 2, 2)) * half).astype(np.float32)
    indices = [grid.nearest(torch.from_numpy(z[:, pair])).indices.numpy() for pair, grid in enumerate(GRIDS)]
    return measuring.dependences(z, np.stack(indices, 1), GRIDS, Baseline(surrogates=20, surrogate=shuffled))


def test_on_independent_channels_all_that_there_is_is_the_grid(independent):
    rhombic, rectangular = independent
    assert rhombic.uniform_bits == pytest.approx(0.95, abs=0.005) and abs(rectangular.uniform_bits) < 1e-9
    for pair in independent:
        assert abs(pair.before.bits) < 0.05
        assert pair.after.bits == pytest.approx(pair.uniform_bits, abs=0.02)
        assert pair.after.baseline_bits == pytest.approx(pair.uniform_bits, abs=0.02)
        assert abs(pair.given_coset.bits) < 0.02


def test_a_line_for_each_pair(independent):
    lines = list(csv.DictReader(io.StringIO(measuring.dependence_csv(independent))))
    assert [line["pair"] for line in lines] == ["1", "2"] and {line["frames"] for line in lines} == {"3000"}
    for line, pair in zip(lines, independent, strict=True):
        assert line["grid"] == str(pair.grid) and int(line["points"]) == pair.grid.num_points
        assert float(line["before_bits"]) == pytest.approx(pair.before.bits, abs=1e-5)
        assert float(line["given_coset_p_value"]) == pytest.approx(pair.given_coset.p_value, abs=1e-5)


def test_curves_have_every_tiling_and_the_cubic_lattice_gains_nothing_over_itself():
    [found] = measuring.curves({"uniform": distortion.uniform(2000)}, bits=(2.0, 3.0))
    assert set(found.tilings) == {"rhombic", "hexagonal", "regular_hexagonal", "bcc", "fcc"}
    assert found.gains_db(found.cubic) == pytest.approx([0.0] * len(found.cubic))
    for points in found.tilings.values():
        assert len(points) == 2 and not np.isnan(found.gains_db(points)).any()  # within what it is compared with
    table = list(csv.DictReader(io.StringIO(measuring.rate_distortion_csv([found]))))
    assert len(table) == len(found.cubic) + 10
    [four] = [line for line in table if (line["tiling"], line["levels"]) == ("cubic", "4 x 4")]
    # of uniform samples, spacing over the box's width is 1 / levels
    assert float(four["snr_db"]) == pytest.approx(20 * np.log10(4), abs=0.1)
