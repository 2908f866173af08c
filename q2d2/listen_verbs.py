"""The verb `listen`: the demo page and the listening test. A sub-verb is a dataclass, as the verbs are.

No `from __future__ import annotations` here: tyro reads the types.
"""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, UseAppendAction, arg, subcommand

from q2d2.console import UsageError, counted, say
from q2d2.listen.address import Address
from q2d2.study_verbs import Create, Import, StudyFolder, part
from q2d2.verbs import Device, Model, Switch, Verb, _load

if TYPE_CHECKING:
    from q2d2.listen.store import Store
    from q2d2.listen.study import Study

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
        demo = part("demo")
        app = demo.create_app(_load(self.model, self.device), hosts=self.address.hosts)
        part("serving").serve(app, self.address, lambda base: say(f"the demo is at {base}/ (Ctrl-C ends it)"))
        return 0


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
        rating = part("rating")
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
        rating = part("rating")
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

            part("serving").serve(rating.create_app(self.study, store, self.address.hosts), self.address, ready)
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
        export = part("store.export")
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
                part("webmushra").write_results(study, rows, self.out)
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
        report, export = part("report"), part("store.export")
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


def _open(folder: Path, database: str | None) -> "tuple[Study, Store]":
    """A study, and the ratings of it."""
    studies = part("study")
    study = studies.load(folder)
    store: Store = part("store").open_store(database or studies.database_url(folder))
    try:
        store.bind(study.study_id)
    except ValueError:
        store.close()
        raise
    return study, store
