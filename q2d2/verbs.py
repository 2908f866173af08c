"""The verbs of the command line: what can be said to each, and the function it calls.

A verb is a dataclass, from which tyro makes options and help, with a `run` that returns the exit status. Nothing heavy
is imported before `run`, so help comes at once. No `from __future__ import annotations` here: tyro reads the types.
"""

import os
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from q2d2.console import UsageError, say

if TYPE_CHECKING:
    import torch

    import q2d2.codec
    import q2d2.folders

Rate = Annotated[str | None, arg(metavar="1k|3k|7k", help_behavior_hint="(default: the highest)")]
Model = Annotated[str | None, arg(metavar="MODEL", help_behavior_hint="(default: speech)")]
Device = Annotated[str | None, arg(metavar="cpu|cuda", help_behavior_hint="(default: a GPU if there is one)")]
Switch = Annotated[bool, arg(help_behavior_hint="")]


class Verb(ABC):
    """A parsed command."""

    @abstractmethod
    def run(self) -> int:
        """Do it; returns the exit status."""


@dataclass(frozen=True)
class Encode(Verb):
    """Compress audio (wav, flac, ogg, mp3; any sample rate, channels and length) to a .q2d2 file.

    Of a folder, every audio file in it. A WAV that comes through a pipe is encoded as it comes. Examples:

    q2d2 encode talk.mp3 talk.q2d2 --rate 3k

    ffmpeg -i MICROPHONE -f wav - | q2d2 encode - - --model speech-live | q2d2 decode - - | ffplay -
    """

    source: Annotated[Positional[str], arg(metavar="IN")]
    """an audio file, a folder, or - for standard input"""
    target: Annotated[Positional[str], arg(metavar="OUT")]
    """the .q2d2 file, the folder for them, or - for standard output"""
    rate: Rate = None
    """one of the model's rates, or a number of pairs"""
    model: Model = None
    """speech, speech-live, a model folder or a hub id"""
    device: Device = None
    """where to compute"""
    chunk: Annotated[
        int | None, arg(metavar="FRAMES", help_behavior_hint="(default: 512, or 16 from one pipe into another)")
    ] = None
    """frames that are written together: with fewer a listener hears sooner, and the file has more bits"""
    constant_rate: Switch = False
    """every index at log2(points) bits, whatever is said: a bit rate that is known beforehand, and larger files"""
    overwrite: Switch = False
    """replace targets that exist"""

    def run(self) -> int:
        from q2d2 import files, folders, opening

        if self.chunk is not None and not 1 <= self.chunk <= 2048:
            raise UsageError(f"--chunk {self.chunk}: give 1 to 2048 frames")
        codec = _load(self.model, self.device)
        rate = int(self.rate) if self.rate is not None and self.rate.isdigit() else self.rate
        try:
            codec.num_pairs(rate)
        except ValueError as error:
            raise UsageError(str(error)) from error
        if os.path.isdir(self.source):
            result = folders.encode_folder(
                codec, Path(self.source), Path(self.target), rate, self.overwrite, self.chunk, self.constant_rate
            )
            return _report(result, self.target)
        made = files.encode_file(codec, self.source, self.target, rate, self.overwrite, self.chunk, self.constant_rate)
        name = "standard output" if self.target == opening.PIPE else self.target
        say(f"{name}: {made.duration_s:.2f} s in {made.num_bytes} bytes, {made.bitrate_bps:.0f} bit/s")
        return 0


@dataclass(frozen=True)
class Decode(Verb):
    """Turn a .q2d2 file back into audio of the original's length and sample rate.

    Of a folder, every .q2d2 file in it. What comes through a pipe is decoded as it comes. Examples:

    q2d2 decode talk.q2d2 talk.wav

    q2d2 decode talk.q2d2 part.wav --start 3600 --duration 10
    """

    source: Annotated[Positional[str], arg(metavar="IN")]
    """a .q2d2 file, a folder, or - for standard input"""
    target: Annotated[Positional[str], arg(metavar="OUT")]
    """a .wav, .flac or .ogg file, the folder for .wav files, or - for WAV on standard output"""
    start: Annotated[float, arg(metavar="SECONDS", help_behavior_hint="(default: the beginning)")] = 0.0
    """where to begin; what lies before is not read"""
    duration: Annotated[float | None, arg(metavar="SECONDS", help_behavior_hint="(default: to the end)")] = None
    """how much to decode"""
    skip_damaged: Switch = False
    """put silence where a damaged file has lost something, and say so, instead of refusing it"""
    model: Annotated[
        str | None, arg(metavar="MODEL", help_behavior_hint="(default: the shipped one that wrote it)")
    ] = None
    """speech, speech-live, a model folder or a hub id"""
    device: Device = None
    """where to compute"""
    overwrite: Switch = False
    """replace targets that exist"""

    def run(self) -> int:
        from q2d2 import files, folders

        codec = _load(self.model or self._shipped_model(), self.device)
        on_damage: Literal["raise", "skip"] = "skip" if self.skip_damaged else "raise"
        is_part = self.start != 0 or self.duration is not None
        if is_part and (os.path.isdir(self.source) or self.skip_damaged):
            raise UsageError("--start and --duration are for one file, and for undamaged ones")
        if os.path.isdir(self.source):
            result = folders.decode_folder(codec, Path(self.source), Path(self.target), on_damage, self.overwrite)
            return _report(result, self.target)
        try:
            notes = files.decode_file(
                codec, self.source, self.target, on_damage, self.overwrite, self.start, self.duration
            )
        except files.DamagedError as error:
            if self.skip_damaged:
                raise
            what = "--skip-damaged without --start and --duration" if is_part else "--skip-damaged"
            raise files.DamagedError(f"{error}; {what} decodes what is left") from error
        for note in notes:
            say(note)
        return 0

    def _shipped_model(self) -> str | None:
        """The one of the shipped models that wrote the file, where that can be told beforehand."""
        from q2d2 import checkpoint, files

        name = files.model_of(self.source)
        return name if name in checkpoint.shipped() else None


@dataclass(frozen=True)
class Info(Verb):
    """Say what a .q2d2 file holds, and check all of it; or what a model is. Example:

    q2d2 info talk.q2d2
    """

    source: Annotated[
        Positional[str | None], arg(metavar="[IN]", help_behavior_hint="(default: the shipped model)")
    ] = None
    """a .q2d2 file, - for standard input, a model folder or a hub id"""
    model: Annotated[
        str | None, arg(metavar="MODEL", help_behavior_hint="(default: the shipped one that wrote it)")
    ] = None
    """whose prior a file is coded with"""

    def run(self) -> int:
        from q2d2 import info, opening

        source = self.source
        if source is not None and (source == opening.PIPE or source.endswith(opening.SUFFIX) or os.path.isfile(source)):
            rows, damage = info.file_rows(source, None if self.model is None else _load(self.model, "cpu"))
        else:
            rows, damage = info.model_rows(_load(source, "cpu")), []
        for label, text in rows:
            print(f"{label:<13} {text}")
        for line in damage:
            say(line)
        return 1 if damage else 0


@dataclass(frozen=True)
class Demo(Verb):
    """Encode and decode a clip at every rate: audio files, a picture, and a table of sizes, quality and speed.

    Needs matplotlib for the picture, pesq and pystoi for quality; goes on without them. Example:

    q2d2 demo talk.wav --out demo
    """

    clip: Annotated[
        Positional[str | None], arg(metavar="[CLIP]", help_behavior_hint="(default: the clip in the package)")
    ] = None
    """an audio file, of which the first half minute is used"""
    out: Annotated[Path, arg(metavar="DIR")] = Path("demo")
    """the folder for what it writes"""
    model: Model = None
    """speech, speech-live, a model folder or a hub id"""
    device: Device = None
    """where to compute"""
    overwrite: Switch = False
    """replace the files of an earlier demo"""

    def run(self) -> int:
        from q2d2 import demo

        result = demo.run(_load(self.model, self.device), self.clip, self.out, self.overwrite)
        print(demo.table(result))
        for note in result.notes:
            say(note)
        return 0


def train() -> type[Verb]:
    """The verb `train`: its options are the fields of TrainConfig, which is imported only when it is asked for."""
    started = time.monotonic()  # a budget in minutes includes the imports
    from q2d2.train.config import TrainConfig

    @dataclass(frozen=True)
    class Train(Verb):
        """Train a model within a budget of minutes or steps.

        The same command again goes on where it was interrupted; under torchrun it trains on many devices. Example:

        q2d2 train --preset speech --data corpus --minutes 60 --out run --validate dev
        """

        config: Annotated[TrainConfig, OmitArgPrefixes]

        def run(self) -> int:
            try:
                from q2d2.train.run import train as run_training
            except ModuleNotFoundError as error:
                raise ImportError(f"{error.name} is not installed: pip install 'q2d2[train]' brings it") from error

            _device(self.config.device)
            print(run_training(self.config, started))
            return 0

    return Train


def fit_prior() -> type[Verb]:
    """The verb `fit-prior`: its options are the fields of FitConfig, which is imported only when it is asked for."""
    try:
        from q2d2.train.prior import FitConfig
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed: pip install 'q2d2[train]' brings it") from error

    @dataclass(frozen=True)
    class FitPrior(Verb):
        """Learn how likely a model's tokens are after one another, so that its files take fewer bits.

        Writes prior.safetensors into the model's folder, where every command finds it: files from then on name it, and
        are read with it. Files written without a prior stay readable. Example:

        q2d2 fit-prior run/model --data corpus
        """

        model: Annotated[Positional[Path], arg(metavar="MODEL")]
        """a model folder"""
        config: Annotated[FitConfig, OmitArgPrefixes]
        overwrite: Switch = False
        """replace a prior that is there: files that name it can then no longer be read"""
        device: Device = None
        """where to encode"""

        def run(self) -> int:
            from q2d2 import checkpoint
            from q2d2.atomic import write_whole
            from q2d2.train.prior import fit

            target = self.model / checkpoint.PRIOR
            if target.is_dir():
                raise UsageError(f"{target}: is a folder; remove it")
            if target.exists() and not self.overwrite:
                raise UsageError(f"{target}: exists already; --overwrite replaces it")
            if not self.model.is_dir():
                raise UsageError(f"{self.model}: is no model folder; q2d2 train writes such")
            codec = checkpoint.load(self.model, with_prior=False)  # it may be of other weights, or damaged
            prior, savings = fit(codec.to(_device(self.device)), self.config)
            write_whole(target, prior.data)
            print(f"{target}: {len(prior.data):,} bytes, prior {prior.id}")
            for saving in savings:
                print(saving)
            return 0

    return FitPrior


def _load(model: str | None, device: str | None) -> "q2d2.codec.Codec":
    from q2d2 import checkpoint

    return checkpoint.load(model).to(_device(device))


def _device(name: str | None) -> "torch.device":
    """The named device, or a GPU if there is one; UsageError where that is not possible."""
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name}: cannot be used here; give cpu, or cuda on a machine with a GPU") from error
    return device


def _report(result: "q2d2.folders.FolderResult", target: str) -> int:
    """Say what became of a folder's files; the exit status."""
    for line in [*result.notes, *result.failed]:
        say(line)
    kept = f", {result.kept} were there already and stay (--overwrite replaces them)" if result.kept else ""
    failed = f", {len(result.failed)} failed" if result.failed else ""
    say(f"{target}: {result.done} {'file' if result.done == 1 else 'files'} written{kept}{failed}")
    return 1 if result.failed else 0
