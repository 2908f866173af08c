"""The sub-verbs of `listen` that make a study: out of folders of audio, or out of one for webMUSHRA.

No `from __future__ import annotations` here: tyro reads the types.
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from q2d2.console import UsageError, counted, say
from q2d2.verbs import Switch, Verb

if TYPE_CHECKING:
    from q2d2.listen.creating import Created
    from q2d2.listen.stimuli.lining_up import Timing

StudyFolder = Annotated[Positional[Path], arg(metavar="STUDY")]


def part(name: str) -> Any:
    """A module of `q2d2.listen`, or an ImportError that says what brings it."""
    try:
        return importlib.import_module(f"q2d2.listen.{name}")
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed: pip install 'q2d2[listen]' brings it") from error


@dataclass(frozen=True)
class Create(Verb):
    """Make a study out of folders of audio that hold the same file names: a reference, and each system's version.

    mushra: ITU-R BS.1534 with a hidden reference and a low-pass anchor; cmos-q, cmos-p: quality or prosody against a
    baseline, from -3 to 3; ab: preference; abx: whether a difference is heard. Files have to line up. Example:

    q2d2 listen create study --reference clips --system 1k=decoded-1k 3k=decoded-3k --protocol mushra
    """

    out: StudyFolder
    """the folder for the study"""
    reference: Annotated[Path, arg(metavar="DIR")]
    """the originals"""
    system: Annotated[tuple[tuple[str, ...], ...], UseAppendAction, arg(metavar="NAME=DIR ...")]
    """a name for the report and a folder, for each system"""
    protocol: Literal["mushra", "cmos-q", "cmos-p", "ab", "abx"] = "mushra"
    """what listeners are asked"""
    title: Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="(default: the protocol's)")] = None
    """what listeners see as the study's name"""
    baseline: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: the first system)")] = None
    """with what a CMOS study compares"""
    mid_anchor: Switch = False
    """a 7 kHz anchor beside that of 3.5 kHz"""
    no_anchor: Switch = False
    """none at all, unlike BS.1534: for speech of 8 kHz, which has nothing above them"""
    items: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """at most so many recordings, drawn by the seed"""
    training: Annotated[int, arg(metavar="N")] = 1
    """recordings to practise on"""
    align: Switch = False
    """shift files that lag their reference, instead of refusing them"""
    trust_timing: Switch = False
    """neither refuse nor shift what seems to lag, or to be another recording"""
    keep_levels: Switch = False
    """leave loudness as it is, instead of matching it to the reference's"""
    seed: int = 0
    """of the draw of recordings"""

    def run(self) -> int:
        if self.no_anchor and self.mid_anchor:
            raise UsageError("--no-anchor and --mid-anchor contradict each other; leave one of them out")
        made = part("creating").create(
            self.out,
            self.reference,
            _systems(chain(*self.system)),
            self.protocol,
            title=self.title,
            baseline=self.baseline,
            anchors=() if self.no_anchor else ("anchor35", "anchor70") if self.mid_anchor else ("anchor35",),
            training=self.training,
            timing=_timing(self.align, self.trust_timing),
            keep_levels=self.keep_levels,
            seed=self.seed,
            items=self.items,
        )
        return _made(made, self.out)


@dataclass(frozen=True)
class Import(Verb):
    """Make a study out of one for webMUSHRA: its pages of the types mushra or paired_comparison. Example:

    q2d2 listen import webMUSHRA/configs/test.yaml study
    """

    config: Annotated[Positional[Path], arg(metavar="YAML")]
    """webMUSHRA's configuration of a test"""
    out: StudyFolder
    """the folder for the study"""
    root: Annotated[
        Path | None, arg(metavar="DIR", help_behavior_hint="(default: the folder above that of the configuration)")
    ] = None
    """where the paths in it begin: webMUSHRA's own folder"""
    training: Annotated[int, arg(metavar="N")] = 0
    """pages to practise on, which are rated as well"""
    align: Switch = False
    """shift files that lag their reference, instead of refusing them"""
    trust_timing: Switch = False
    """neither refuse nor shift what seems to lag, or to be another recording"""
    match_levels: Switch = False
    """bring every sound to its reference's loudness, instead of leaving levels as they are"""

    def run(self) -> int:
        made = part("webmushra").import_study(
            self.config,
            self.out,
            self.root,
            training=self.training,
            timing=_timing(self.align, self.trust_timing),
            keep_levels=not self.match_levels,
        )
        return _made(made, self.out)


def _systems(given: Iterable[str]) -> dict[str, Path]:
    """NAME=DIR, each once."""
    systems: dict[str, Path] = {}
    for text in given:
        name, equals, folder = text.partition("=")
        if not name or not equals or not folder:
            raise UsageError(f"--system {text}: give NAME=DIR")
        if name in systems:
            raise UsageError(f"--system {text}: there is a {name} already")
        systems[name] = Path(folder)
    return systems


def _timing(align: bool, trust: bool) -> "Timing":
    if align and trust:
        raise UsageError("--align and --trust-timing contradict each other; leave one of them out")
    return "align" if align else "trust" if trust else "check"


def _made(made: "Created", out: Path) -> int:
    for note in made.notes:
        say(note)
    trials = (
        f"{counted(len(made.study.trials), 'trial')} of {made.study.protocol_name}, {', '.join(made.study.systems)}"
    )
    say(f"{out}: {trials}; next: q2d2 listen invite {out} --raters 10")
    return 0
