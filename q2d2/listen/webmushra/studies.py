"""A study out of one that was made for webMUSHRA: its YAML configuration, and the audio that this names.

Pages of type `mushra` become a MUSHRA study. On a `paired_comparison` page webMUSHRA plays the reference, and asks
which of A and B equals it, for one stimulus after the other: that is ABX. All other pages are left out. A configuration
may come from a stranger: it is read as data, up to a size, and names files below one folder only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from q2d2.console import UsageError, counted
from q2d2.listen.protocols import ANCHORS, PROTOCOLS, ProtocolName
from q2d2.listen.stimuli.building import Blueprint, Created, Page, build, highest_rate_hz
from q2d2.listen.stimuli.lining_up import Timing
from q2d2.listen.stimuli.matching import Item
from q2d2.listen.stimuli.preparing import Preparation
from q2d2.listen.stimuli.trials import check_systems, trials
from q2d2.opening import FileError

MOST_BYTES = 2**20
MOST_PAGES = 10_000  # and groups of pages; aliases can make a small file into a list without end

_PROTOCOLS: dict[str, ProtocolName] = {"mushra": "mushra", "paired_comparison": "abx"}
_ANCHOR_FIELDS = dict(zip(ANCHORS, ("createAnchor35", "createAnchor70"), strict=True))
_NOTHING = ("", "~", "null", "false")
_DEEPEST = 50  # nested lists and mappings
_SHOWN = 10  # of the pages that are left out


class _Entry(NamedTuple):
    """A page of a configuration."""

    name: str
    kind: str
    fields: dict[str, Any]


def import_study(
    config: Path,
    out: Path,
    root: Path | None = None,
    *,
    training: int = 0,
    timing: Timing = "check",
    keep_levels: bool = True,
) -> Created:
    """Make a study in the new folder `out`; what cannot be made leaves nothing behind.

    Paths in the configuration begin at `root`, which is webMUSHRA's own folder; None: the one above the
    configuration's, since webMUSHRA keeps these in configs/. The first `training` pages are also practised on. Levels
    stay as they are, unlike in `create`: whoever made the files for webMUSHRA, which plays them as they are, has set
    them.

    FileError for a configuration that cannot be read, names files outside of `root` or has no pages, or two kinds of
    pages, to import; AudioError for files that are damaged or do not line up with their reference.
    """
    loaded = _loaded(config)
    chosen, notes = _chosen(config, list(_entries(config, loaded["pages"])))
    protocol = _PROTOCOLS[chosen[0].kind]
    pages = _pages(config, chosen, protocol, Path(os.path.abspath(root or Path(os.path.abspath(config)).parent.parent)))
    if not 0 <= training <= len(pages):
        raise UsageError(f"of {counted(len(pages), 'page')}, {training} cannot be for training")
    title = _text(loaded.get("testname")) or PROTOCOLS[protocol].title
    blueprint = Blueprint(title, protocol, tuple(pages[0].item.systems), pages, pages[:training])
    rate_hz = highest_rate_hz(page.item.reference for page in pages)
    made = build(out, blueprint, Preparation(rate_hz, timing, keep_levels))
    return Created(made.study, notes + made.notes)


def _loaded(config: Path) -> dict[str, Any]:
    """The configuration as lists and dicts of texts: nothing becomes a number, a date or an object of any kind."""
    try:
        with config.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise FileError(f"{config}: cannot be read ({error.strerror})") from error
    if len(text) > MOST_BYTES:
        raise FileError(f"{config}: is larger than {MOST_BYTES // 2**20} MiB; a configuration of webMUSHRA is not")
    try:
        loaded = None if _is_deep(text) else yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # all three may come of an escape sequence
        raise FileError(f"{config}: is not YAML that can be read ({' '.join(str(error).split())})") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("pages"), list):
        raise FileError(f"{config}: has no list of pages, so it is no configuration of webMUSHRA")
    return loaded


def _is_deep(text: bytes) -> bool:
    """Whether lists are nested as nobody does; the time that PyYAML needs grows with the square of it."""
    depth = 0
    for event in yaml.parse(text, yaml.BaseLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            return True
    return False


def _entries(config: Path, pages: list[Any]) -> Iterator[_Entry]:
    """All pages in their order. A list among them is a group of pages, in random order if its first is "random"."""
    groups = [iter(pages)]
    end = object()
    met = 0
    while groups:
        page = next(groups[-1], end)
        if page is end:
            groups.pop()
            continue
        met += 1
        if met > MOST_PAGES:
            raise FileError(f"{config}: has more than {MOST_PAGES} pages")
        if isinstance(page, list):
            groups.append(iter(page))
        elif isinstance(page, dict):
            if "<<" in page:
                raise FileError(f"{config}: has merge keys (<<), which are not read; write out what they stand for")
            kind = _text(page.get("type")) or "no type"
            yield _Entry(_text(page.get("id")) or _text(page.get("name")) or f"number {met}", kind, page)
        elif page != "random":
            raise FileError(f"{config}: has {_text(page)[:60]!r} where a page should be")


def _chosen(config: Path, entries: list[_Entry]) -> tuple[list[_Entry], list[str]]:
    """The pages that are imported, all of one kind, and notes about the others."""
    chosen = [entry for entry in entries if entry.kind in _PROTOCOLS]
    if len({entry.kind for entry in chosen}) > 1:
        raise FileError(f"{config}: has pages of both types, {' and '.join(_PROTOCOLS)}; split it into two files")
    others = [f"{entry.name} ({entry.kind})" for entry in entries if entry.kind not in _PROTOCOLS]
    shown = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else "")
    if not chosen:
        raise FileError(f"{config}: has no pages of type {' or '.join(_PROTOCOLS)}, only {shown or 'none at all'}")
    notes = [f"{config}: these pages are left out: {shown}"] if others else []
    unforced = [entry.name for entry in chosen if _text(entry.fields.get("unforced")) not in _NOTHING]
    if unforced and chosen[0].kind == "paired_comparison":
        notes.append(f"{config}: page {unforced[0]!r} lets listeners leave it open; here they guess")
    return chosen, notes


def _pages(config: Path, entries: list[_Entry], protocol: ProtocolName, root: Path) -> tuple[Page, ...]:
    """All of them, with names of their own and the same systems."""
    pages: dict[str, Page] = {}
    for entry in entries:
        if entry.name in pages:
            raise FileError(f"{config}: two pages have the id {entry.name!r}; rename one")
        pages[entry.name] = _page(f"{config}: page {entry.name!r}", entry, protocol, root)
        first, others = pages[entries[0].name].item.systems, pages[entry.name].item.systems
        if set(first) != set(others):
            raise FileError(
                f"{config}: page {entry.name!r} has the stimuli {', '.join(others)}, the first has {', '.join(first)}; "
                "a study has the same on all pages"
            )
    return tuple(pages.values())


def _page(where: str, entry: _Entry, protocol: ProtocolName, root: Path) -> Page:
    """A page with its files; `where` begins messages."""
    stimuli = entry.fields.get("stimuli")
    if not isinstance(stimuli, dict) or not stimuli:
        raise FileError(f"{where}: has no stimuli")
    reference = _below(where, root, entry.fields.get("reference"))
    systems: dict[str, Path] = {}
    for condition, path in stimuli.items():
        name = _text(condition)
        if name in systems:
            raise FileError(f"{where}: has two stimuli called {name!r}")
        systems[name] = _below(where, root, path)
    anchors = tuple(anchor for anchor, field in _ANCHOR_FIELDS.items() if _is_true(entry.fields.get(field)))
    try:
        check_systems(tuple(systems))
        return Page(Item(entry.name, reference, systems), trials(protocol, tuple(systems), anchors, None))
    except UsageError as error:
        raise FileError(f"{where}: {error}") from error


def _below(where: str, root: Path, path: object) -> Path:
    """The file that a configuration names; FileError for one that is not there, or not below `root`."""
    if not isinstance(path, str) or not path:
        raise FileError(f"{where}: names no file where the reference or a stimulus should be")
    file = root / path
    if ".." in file.parts or not file.is_relative_to(root):
        raise FileError(f"{where}: the file {path!r} is not below {root}")
    if not os.path.isfile(file):  # Path's own fails for names that no file can have
        raise FileError(f"{where}: there is no file {file}; --root says where its paths begin")
    return file


def _text(value: object) -> str:
    """A name or a title on one line, "" for what is none; never a list, which could be huge once it is written out."""
    return " ".join(value.encode(errors="replace").decode().split()) if isinstance(value, str) else ""


def _is_true(value: object) -> bool:
    return _text(value).lower() in ("true", "yes", "on")
