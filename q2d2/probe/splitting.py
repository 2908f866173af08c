"""Who trains, who is held out, who tests: splits by key (a fold, a speaker, a subset) or by chance. Knows numbers only.

The random ones draw as scikit-learn's `train_test_split` does with the same seed, so that a set whose order is given
(by its table) is split as in the reference. What the reference finds by globbing has no order there, and its splits
cannot be had again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

SEED = 42  # of ARCH's random splits


class Split(NamedTuple):
    """Numbers of clips; none is in two of them.

    `val` is what the protocol holds out to choose an epoch by. The reference does not get to choose (its best weights
    are the last ones under another name), so nothing is chosen here either: those clips are just not trained on.
    """

    name: str
    train: Int64[np.ndarray, " _"]
    val: Int64[np.ndarray, " _"]
    test: Int64[np.ndarray, " _"]


def draw(numbers: Int64[np.ndarray, " _"], share: float) -> tuple[Int64[np.ndarray, " _"], Int64[np.ndarray, " _"]]:
    """(the rest, a random share of them, rounded up)."""
    count = int(np.ceil(share * len(numbers)))
    # the legacy generator: its numbers are those of the reference
    order = np.random.RandomState(SEED).permutation(len(numbers))
    return numbers[order[count:]], numbers[order[:count]]


def at_random(count: int, test: float, val: float) -> list[Split]:
    """One split: a share tests, and of what is left a share is held out."""
    rest, tested = draw(np.arange(count), test)
    trained, held_out = draw(rest, val)
    return [Split("random", trained, held_out, tested)]


def tenths(count: int) -> list[Split]:
    """One split: a fifth is drawn, of which a half tests and a half is held out."""
    trained, fifth = draw(np.arange(count), 0.2)
    tested, held_out = draw(fifth, 0.5)
    return [Split("random", trained, held_out, tested)]


def official(parts: Sequence[str]) -> list[Split]:
    """The subsets as they are named: train, val, test."""
    return [Split("official", _where(parts, "train"), _where(parts, "val"), _where(parts, "test"))]


def official_test(parts: Sequence[str], val: float) -> list[Split]:
    """The subsets train and test, a share of the first held out."""
    trained, held_out = draw(_where(parts, "train"), val)
    return [Split("official", trained, held_out, _where(parts, "test"))]


def leave_one_out(keys: Sequence[str], val: float) -> list[Split]:
    """Each key (fold, speaker) tests once; a random share of the others is held out, the rest trains."""
    order = _order(keys, 2)
    splits = []
    for key in order:
        others = np.concatenate([_where(keys, other) for other in order if other != key])
        splits.append(Split(key, *draw(others, val), _where(keys, key)))
    return splits


def rotate(keys: Sequence[str]) -> list[Split]:
    """Each key tests once while the next one is held out; the others train."""
    order = _order(keys, 3)
    splits = []
    for key, following in zip(order, [*order[1:], order[0]], strict=True):
        trained = np.flatnonzero([one not in (key, following) for one in keys])
        splits.append(Split(key, trained, _where(keys, following), _where(keys, key)))
    return splits


def grouped(keys: Sequence[str], folds: int) -> list[str]:
    """For each key its fold: keys are dealt out at random, as evenly as their number allows."""
    names = sorted(set(keys))
    order = np.random.RandomState(SEED).permutation(len(names))
    fold = {names[number]: str(place % folds + 1) for place, number in enumerate(order.tolist())}
    return [fold[key] for key in keys]


def _order(keys: Sequence[str], least: int) -> list[str]:
    """The keys in the order of their first clips; ValueError if there are too few to train and to test."""
    order = list(dict.fromkeys(keys))
    if len(order) < least:
        raise ValueError(f"a split needs {least} folds or speakers, there is only {', '.join(order) or 'none'}")
    return order


def _where(keys: Sequence[str], key: str) -> Int64[np.ndarray, " _"]:
    return np.flatnonzero([one == key for one in keys])
