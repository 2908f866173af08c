"""Scores against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from q2d2.probe import scores

metrics = pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_and_f1(seed: int) -> None:
    rng = np.random.default_rng(seed)
    right, said = rng.integers(0, 4, 40), rng.integers(1, 7, 40)  # some labels only right, some only said
    assert scores.accuracy(right, said) == pytest.approx(metrics.accuracy_score(right, said))
    assert scores.macro_f1(right, said) == pytest.approx(metrics.f1_score(right, said, average="macro"))


@pytest.mark.parametrize("levels", [3, 10**6])  # with and without ties
@pytest.mark.parametrize("seed", range(5))
def test_average_precision(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    right = rng.random((60, 5)) < [0.05, 0.2, 0.5, 0.9, 1.0]
    right[0] = True
    said = rng.integers(0, levels, (60, 5)) / levels
    macro, weighted = scores.mean_average_precision(right, said)
    assert macro == pytest.approx(metrics.average_precision_score(right, said, average="macro"))
    assert weighted == pytest.approx(metrics.average_precision_score(right, said, average="weighted"))


def test_scores_that_say_nothing_have_the_precision_of_chance() -> None:
    right = np.arange(10)[:, None] < [1, 4]
    assert scores.average_precisions(right, np.ones((10, 2))) == pytest.approx([0.1, 0.4])


def test_a_label_that_no_clip_has_is_left_out() -> None:
    right = np.array([[True, False], [False, False]])
    said = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert scores.average_precisions(right, said)[0] == 1
    assert np.isnan(scores.average_precisions(right, said)[1])
    assert scores.mean_average_precision(right, said) == (1, 1)
    with pytest.raises(ValueError, match="no clip of the test has a label"):
        scores.mean_average_precision(~right & False, said)
