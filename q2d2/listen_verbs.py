"""The verb `listen`: the demo page and the listening test. A sub-verb is a dataclass, as the verbs are.

No `from __future__ import annotations` here: tyro reads the types.
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, UseAppendAction, arg, subcommand

from q2d2.console import UsageError, counted, say
from q2d2.listen.address import Address
from q2d2.verbs import Device, Model, Switch, Verb, _load

if TYPE_CHECKING:
    from q2d2.listen.creating import Created
    from q2d2.listen.stimuli.lining_up import Timing
    from q2d2.listen.store import Store
    from q2d2.listen.study import Study

StudyFolder = Annotated[Positional[Path], arg(metavar="STUDY")]
Database = Annotated[str | None, arg(metavar="URL", help_behavior_hint="(default: ratings.db in the study's folder)")]


@dataclass(frozen=True)
class Demo(Verb):
    """A page to hear the codec on your own voice: drop a file or record, and switch between original and decoded.

    The microphone needs https, but not at localhost. Example:

    q2d2 listen demo
    """

    model: Model = None
    """speech, speech-live, a model folder or a hub id"""
    device: Device = None
    """where to compute"""
    address: Annotated[Address, OmitArgPrefixes] = Address()

    def run(self) -> int:
        self.address.check()
        demo = _part("demo")
        app = demo.create_app(_load(self.model, self.device), hosts=self.address.hosts)
        _part("serving").serve(app, self.address, lambda base: say(f"the demo is at {base}/ (Ctrl-C ends it)"))
        return 0


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
        made = _part("creating").create(
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
        made = _part("webmushra").import_study(
            self.config,
            self.out,
            self.root,
            training=self.training,
            timing=_timing(self.align, self.trust_timing),
            keep_levels=not self.match_levels,
        )
        return _made(made, self.out)


@dataclass(frozen=True)
class Invite(Verb):
    """Print a personal link for each new listener, or with no number and no names those of all listeners. Example:

    q2d2 listen invite study --raters 20 --url https://listen.example.org
    """

    study: StudyFolder
    """a study"""
    raters: Annotated[int, arg(metavar="N")] = 0
    """so many new listeners without names"""
    names: Annotated[tuple[tuple[str, ...], ...], UseAppendAction, arg(metavar="NAME ...")] = ()
    """new listeners with names, which only links and exports show"""
    url: Annotated[str, arg(metavar="URL")] = "http://127.0.0.1:8000"
    """what the links begin with: how q2d2 listen serve is reached"""
    database: Database = None
    """where ratings are kept, as SQLAlchemy writes it"""

    def run(self) -> int:
        if self.raters < 0:
            raise UsageError(f"--raters {self.raters}: give a number of listeners")
        Address(url=self.url).check()
        rating = _part("rating")
        _, store = _open(self.study, self.database)
        with store:
            new = [*chain(*self.names), *[None] * self.raters]
            for rater in store.invite(new) if new else store.raters():
                name = rater.name or f"listener {rater.number}"
                print(f"{name}\t{rating.link(self.study, rater.number, self.url)}")
        return 0


@dataclass(frozen=True)
class Serve(Verb):
    """Serve a study to its listeners, who come by personal link; every rating is stored at once. Example:

    q2d2 listen serve study
    """

    study: StudyFolder
    """a study"""
    database: Database = None
    """where ratings are kept, as SQLAlchemy writes it"""
    address: Annotated[Address, OmitArgPrefixes] = Address()

    def run(self) -> int:
        self.address.check()
        rating = _part("rating")
        study, store = _open(self.study, self.database)
        with store:
            raters = store.raters()

            def ready(base_url: str) -> None:
                if not raters:
                    say(f"nobody is invited yet: q2d2 listen invite {self.study} --raters 10 --url {base_url}")
                finished = sum(rater.finished_at is not None for rater in raters)
                trials = (
                    f"{counted(len(study.trials), 'trial')}, {counted(len(raters), 'listener')}, {finished} finished"
                )
                say(f"{study.title}: {trials}; at {base_url}/ (Ctrl-C ends it)")

            _part("serving").serve(rating.create_app(self.study, store, self.address.hosts), self.address, ready)
        return 0


@dataclass(frozen=True)
class Export(Verb):
    """Write the ratings as CSV, as Parquet, or as the files that webMUSHRA writes, by the name of the target. Example:

    q2d2 listen export study ratings.csv
    """

    study: StudyFolder
    """a study"""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """a .csv or .parquet file, or a folder for webMUSHRA's"""
    unfinished: Switch = False
    """also of trials that were begun and not handed in"""
    database: Database = None
    """where ratings are kept, as SQLAlchemy writes it"""

    def run(self) -> int:
        export = _part("store.export")
        if self.unfinished and not self.out.suffix:
            raise UsageError("webMUSHRA's files hold what was handed in: leave --unfinished out, or give a .csv file")
        study, store = _open(self.study, self.database)
        with store:
            rows = export.frame(study, store, not self.unfinished)
        match self.out.suffix.lower():
            case ".csv":
                export.write_csv(rows, self.out)
            case ".parquet":
                export.write_parquet(rows, self.out)
            case "":
                _part("webmushra").write_results(study, rows, self.out)
            case suffix:
                raise UsageError(f"{self.out}: no {suffix}, but .csv, .parquet, or a folder for webMUSHRA's files")
        say(f"{self.out}: {counted(len(rows), 'rating')} of {counted(rows['rater'].nunique(), 'listener')}")
        return 0


@dataclass(frozen=True)
class Report(Verb):
    """What listeners said: screening, means with intervals, tests, the paper's tables and plots. Example:

    q2d2 listen report study --out report

    q2d2 listen report study-quality study-prosody --out report --describe systems.csv
    """

    studies: Annotated[Positional[tuple[Path, ...]], arg(metavar="STUDY ...")]
    """one study or more; CMOS-Q and CMOS-P share a table"""
    out: Annotated[Path, arg(metavar="DIR")] = Path("report")
    """the folder for report.md, tables.tex, CSV files and plots"""
    describe: Annotated[Path | None, arg(metavar="CSV", help_behavior_hint="(default: no such columns)")] = None
    """columns name,kbps,nq,tokens_per_second of the systems, for the tables"""
    no_screening: Switch = False
    """keep listeners whom BS.1534 would exclude"""
    database: Database = None
    """where ratings are kept, as SQLAlchemy writes it; for one study"""

    def run(self) -> int:
        if not self.studies:
            raise UsageError("give a study")
        if self.database is not None and len(self.studies) > 1:
            raise UsageError("--database is for one study")
        report, export = _part("report"), _part("store.export")
        rated = []
        for folder in self.studies:
            study, store = _open(folder, self.database)
            with store:
                rated.append(report.Rated(str(folder), study, export.frame(study, store)))
        describe = None if self.describe is None else report.read_descriptions(self.describe)
        report.report(rated, self.out, screening=not self.no_screening, describe=describe, progress=say)
        say(f"{self.out / 'report.md'}: written, with its tables and plots")
        return 0


@dataclass(frozen=True)
class Listen(Verb):
    """Hear the codec on your own voice, and have listeners rate it: MUSHRA, CMOS, AB and ABX tests. Example:

    q2d2 listen demo
    """

    verb: Annotated[
        Annotated[Demo, subcommand("demo")]
        | Annotated[Create, subcommand("create")]
        | Annotated[Import, subcommand("import")]
        | Annotated[Invite, subcommand("invite")]
        | Annotated[Serve, subcommand("serve")]
        | Annotated[Export, subcommand("export")]
        | Annotated[Report, subcommand("report")],
        OmitArgPrefixes,
        OmitSubcommandPrefixes,
    ]

    def run(self) -> int:
        return self.verb.run()


def _part(name: str) -> Any:
    """A module of `q2d2.listen`, or an ImportError that says what brings it."""
    try:
        return importlib.import_module(f"q2d2.listen.{name}")
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed: pip install 'q2d2[listen]' brings it") from error


def _open(folder: Path, database: str | None) -> "tuple[Study, Store]":
    """A study, and the ratings of it."""
    studies = _part("study")
    study = studies.load(folder)
    store: Store = _part("store").open_store(database or studies.database_url(folder))
    try:
        store.bind(study.study_id)
    except ValueError:
        store.close()
        raise
    return study, store


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
