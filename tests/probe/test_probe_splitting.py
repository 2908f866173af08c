"""The laws of the splits, and scikit-learn's own draws."""

from __future__ import annotations

import numpy as np
import pytest

from q2d2.probe import splitting
from q2d2.probe.splitting import Split

KEYS = ["b", "b", "a", "c", "a", "d", "d", "d", "c"]


def all_of(split: Split) -> list[int]:
    return np.concatenate(split[1:]).tolist()


@pytest.mark.parametrize(
    "splits",
    [
        splitting.at_random(101, test=0.2, val=0.2),
        splitting.tenths(101),
        splitting.official(["train", "test", "val", "train", "test"]),
        splitting.official_test(["train"] * 7 + ["test"] * 3, val=0.2),
        splitting.leave_one_out(KEYS, val=0.2),
        splitting.rotate(KEYS),
    ],
)
def test_every_clip_is_in_exactly_one_place(splits: list[Split]) -> None:
    for split in splits:
        assert sorted(all_of(split)) == list(range(len(all_of(split))))
        assert len(split.train) and len(split.test)


@pytest.mark.parametrize("splits", [splitting.leave_one_out(KEYS, val=0.2), splitting.rotate(KEYS)])
def test_each_key_tests_once_and_is_then_nowhere_else(splits: list[Split]) -> None:
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(len(KEYS)))
    for split in splits:
        assert {KEYS[i] for i in split.test} == {split.name}
        assert split.name not in {KEYS[i] for i in [*split.train, *split.val]}


def test_the_key_after_the_tested_one_is_held_out() -> None:
    found = [(split.name, {KEYS[i] for i in split.val}) for split in splitting.rotate(KEYS)]
    assert found == [("b", {"a"}), ("a", {"c"}), ("c", {"d"}), ("d", {"b"})]


@pytest.mark.parametrize("count", [10, 99, 1440])
def test_random_splits_are_those_of_scikit_learn(count: int) -> None:
    draw = pytest.importorskip("sklearn.model_selection").train_test_split
    rest, test = draw(np.arange(count), test_size=0.2, random_state=42)
    train, val = draw(rest, test_size=0.2, random_state=42)
    (split,) = splitting.at_random(count, test=0.2, val=0.2)
    # as sets: scikit-learn gives the training part in the order of the permutation, too
    assert [sorted(part) for part in split[1:]] == [sorted(part) for part in (train, val, test)]
    train, fifth = draw(np.arange(count), test_size=0.2, random_state=42)
    test, val = draw(fifth, test_size=0.5, random_state=42)
    (split,) = splitting.tenths(count)
    assert [sorted(part) for part in split[1:]] == [sorted(part) for part in (train, val, test)]


def test_groups_are_whole_and_even() -> None:
    keys = [f"speaker {i % 13}" for i in range(200)]
    folds = splitting.grouped(keys, 5)
    assert len({(key, fold) for key, fold in zip(keys, folds, strict=True)}) == 13
    sizes = np.unique([fold for _, fold in dict(zip(keys, folds, strict=True)).items()], return_counts=True)[1]
    assert sorted(sizes) == [2, 2, 3, 3, 3]
    assert folds == splitting.grouped(keys, 5)


def test_too_few_keys() -> None:
    with pytest.raises(ValueError, match="needs 2 folds or speakers, there is only anna"):
        splitting.leave_one_out(["anna", "anna"], val=0.0)
    with pytest.raises(ValueError, match="needs 3 folds or speakers, there is only anna, ben"):
        splitting.rotate(["anna", "ben"])
