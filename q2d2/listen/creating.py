"""A study out of folders of audio: a reference, and every system's version of the same recordings.

Which recordings are heard follows from the seed; what the files are called, and in which order a listener hears them,
is random and a secret of the study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from q2d2.console import UsageError, counted
from q2d2.listen.protocols import PROTOCOLS, ProtocolName
from q2d2.listen.stimuli.building import Blueprint, Created, Page, build, highest_rate_hz
from q2d2.listen.stimuli.lining_up import Timing
from q2d2.listen.stimuli.matching import matched
from q2d2.listen.stimuli.preparing import Preparation
from q2d2.listen.stimuli.trials import baseline_of, check_systems, trials

__all__ = ["Created", "create"]

_ITEMS_PER_TRAINED = 3  # more than so many, and none of them is both practised on and rated


def create(
    out: Path,
    reference: Path,
    systems: Mapping[str, Path],
    protocol: ProtocolName,
    *,
    title: str | None = None,
    baseline: str | None = None,
    anchors: Sequence[str] = ("anchor35",),
    training: int = 1,
    timing: Timing = "check",
    keep_levels: bool = False,
    seed: int = 0,
    items: int | None = None,
) -> Created:
    """Make a study in the new folder `out`; what cannot be made leaves nothing behind.

    Files of the same name below `reference` and each folder of `systems` belong together. Listeners hear `items` of
    them (None: all), drawn by the seed, and practise on `training`, which are not rated if there are enough. All is
    brought to the references' highest sample rate. `title` None is the protocol's; `baseline` is for CMOS (None: the
    first system), `anchors` are for MUSHRA.

    UsageError for what makes no study, FileError for files that are not there, AudioError for those that are damaged
    or do not line up with their reference.
    """
    names = tuple(systems)
    check_systems(names)
    baseline = baseline_of(protocol, names, baseline)
    conditions = trials(protocol, names, anchors, baseline)
    found = matched(reference, systems)
    pages = [Page(item, conditions) for item in found.items]
    rated, practised, notes = _drawn(pages, items, training, seed)
    rate_hz = highest_rate_hz(page.item.reference for page in (*rated, *practised))
    blueprint = Blueprint(title or PROTOCOLS[protocol].title, protocol, names, tuple(rated), tuple(practised), baseline)
    made = build(out, blueprint, Preparation(rate_hz, timing, keep_levels))
    return Created(made.study, found.notes + notes + made.notes)


def _drawn(
    pages: Sequence[Page], items: int | None, training: int, seed: int
) -> tuple[list[Page], list[Page], list[str]]:
    """Which pages are rated, which are practised on, and a note if these overlap."""
    if items is not None and items < 1:
        raise UsageError(f"{items} items make no study; give 1 or more")
    order = np.random.default_rng(seed).permutation(len(pages))[:items]
    if not 0 <= training <= len(order):
        raise UsageError(f"of {counted(len(order), 'item')}, {training} cannot be for training")
    practised, rated, notes = order[:training], order[training:], []
    if len(order) <= _ITEMS_PER_TRAINED * training:
        rated = order
        all_items = counted(len(order), "item")
        notes.append(f"the study has {all_items} in all, so what listeners practise on is rated as well")
    return [pages[place] for place in sorted(rated)], [pages[place] for place in sorted(practised)], notes
