"""Right answers and a probe's -> accuracy, F1, average precision. Knows arrays only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64


def accuracy(right: Int64[np.ndarray, " clips"], said: Int64[np.ndarray, " clips"]) -> float:
    """Share of the clips whose label was said."""
    return float((right == said).mean())


def macro_f1(right: Int64[np.ndarray, " clips"], said: Int64[np.ndarray, " clips"]) -> float:
    """Mean over the labels that are right or said somewhere of 2 hits / (times right + times said)."""
    labels = np.union1d(right, said)
    hits = np.array([((right == label) & (said == label)).sum() for label in labels])
    times = np.array([(right == label).sum() + (said == label).sum() for label in labels])
    return float((2 * hits / times).mean())


def average_precisions(
    right: Bool[np.ndarray, "clips labels"], scores: Float[np.ndarray, "clips labels"]
) -> Float[np.ndarray, " labels"]:
    """Per label the sum over thresholds of (gain in recall) * precision; NaN where no clip has the label.

    Not interpolated, and clips of equal score pass a threshold together, as in scikit-learn.
    """
    found = np.full(right.shape[1], np.nan)
    for label in np.flatnonzero(right.any(axis=0)):
        order = np.argsort(-scores[:, label], kind="stable")
        hits = np.cumsum(right[order, label])
        last = np.append(np.flatnonzero(np.diff(scores[order, label])), len(order) - 1)  # of each run of equal scores
        recall, precision = hits[last] / hits[-1], hits[last] / (last + 1)
        found[label] = (np.diff(recall, prepend=0.0) * precision).sum()
    return found


def mean_average_precision(
    right: Bool[np.ndarray, "clips labels"], scores: Float[np.ndarray, "clips labels"]
) -> tuple[float, float]:
    """(macro, weighted by the number of clips): means of `average_precisions` over the labels that occur."""
    each, count = average_precisions(right, scores), right.sum(axis=0)
    there = count > 0
    if not there.any():
        raise ValueError("no clip of the test has a label")
    return float(each[there].mean()), float(np.average(each[there], weights=count[there]))
