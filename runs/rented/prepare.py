"""What a training on a rented GPU takes along, in a folder that git ignores: `python prepare.py CORPUS DEV [OUT]`.

`wheels/` are the packages that the machine lacks, `corpus-1/` and `corpus-2/` the halves of a small corpus, each with
an index of its own, and `validate/` the beginnings of ten clips of the development set. Sources of many speakers come
byte for byte; of single voices a random part comes, at 24 kbit/s. The tracked tree, the wheels and a half fit into what
the machine takes at a time.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from q2d2 import audio

Part = dict[str, Any]  # one of an index

ROOT, INDEX = Path(__file__).parents[2], "index.json"
MIB = 2**20
# what `q2d2 train` imports beyond torch, numpy, pytorch-lightning, safetensors, huggingface-hub, tqdm and jaxtyping
WHEELS = (
    "pydantic annotated-types typing-inspection typing-extensions constriction soundfile cffi pycparser soxr tyro "
    "docstring-parser typeguard"
)
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
VOICES = ("festvox_ru", "flemishguy", "kathleen", "kerstin", "nathalie")
BITRATE_BPS = 24_000
PART_S, GAP_S = 300.0, 0.1
CLIPS, CLIP_S = 10, 3.0  # for validation; the trainer listens to no more of a clip


def fetch_wheels(out: Path, python: str) -> None:
    """The packages at the versions of constraints.txt, for the machine's Python."""
    out.mkdir(parents=True)
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python, *platforms]
    command += ["-c", str(ROOT / "constraints.txt"), "-d", str(out)]
    subprocess.run([*command, *WHEELS.split()], check=True)
    (pydantic,) = out.glob("pydantic-*.whl")
    with zipfile.ZipFile(pydantic) as wheel:  # it goes with one version of its core only
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        needs = [line.removeprefix("Requires-Dist: ") for line in wheel.read(name).decode().splitlines()]
    subprocess.run([*command, *(need for need in needs if need.startswith("pydantic-core=="))], check=True)


def cut_clips(folder: Path, out: Path) -> None:
    """The beginnings of some clips, spread over the sorted list."""
    out.mkdir(parents=True)
    files = audio.list_audio(folder)
    for number in np.linspace(0, len(files) - 1, min(CLIPS, len(files))).round().astype(int):
        samples, rate_hz = audio.read(files[number])
        beginning = samples[: int(CLIP_S * rate_hz)]
        soundfile.write(out / f"{files[number].stem}.flac", beginning, rate_hz, subtype="PCM_16")


def thin(parts: Sequence[Part], folder: Path, out: Path, longest_s: float) -> list[Part]:
    """A random part of one voice, at a low bitrate, in parts of some minutes."""
    utterances = [(part["file"], spoken) for part in parts for spoken in part["utterances"]]
    random.Random(0).shuffle(utterances)
    source, rate_hz = parts[0]["source"], parts[0]["sample_rate_hz"]
    decoded = {part["file"]: audio.read_int16(folder / part["file"]) for part in parts}
    gap = np.zeros(round(GAP_S * rate_hz), np.int16)
    made: list[Part] = []
    pieces: list[np.ndarray] = []
    spokens: list[dict[str, Any]] = []
    written_s, position = 0.0, 0

    def write() -> None:
        file = f"{source}-thin-{len(made)}.opus"
        level = (256_000 - BITRATE_BPS) / 250_000  # libsndfile's scale: 0 is 256 kbit/s a channel, 1 is 6
        wav = np.concatenate(pieces)
        with soundfile.SoundFile(out / file, "w", rate_hz, 1, "OPUS", format="OGG", compression_level=level) as target:
            for block in np.array_split(wav, -(-len(wav) // 65_536)):  # at once, it overflows libsndfile's stack
                target.write(block)
        made.append({**parts[0], "file": file, "samples": len(wav), "utterances": spokens})

    for file, spoken in utterances:
        start, samples = spoken["start"], spoken["samples"]
        if written_s + (position + samples) / rate_hz > longest_s:
            break
        pieces += [decoded[file][start : start + samples], gap]
        spokens.append({**spoken, "start": position})
        position += samples + len(gap)
        if position > PART_S * rate_hz:
            write()
            written_s += position / rate_hz
            pieces, spokens, position = [], [], 0
    if spokens:
        write()
    return made


def halve(parts: Sequence[Part], files: Path, out: Path, first_has: int) -> None:
    """Each part into the smaller half, the large ones first; `first_has` bytes go with the first half."""
    sizes = {part["file"]: (files / part["file"]).stat().st_size for part in parts}
    halves: tuple[list[Part], list[Part]] = ([], [])
    weights = [first_has, 0]
    for part in sorted(parts, key=lambda part: -sizes[part["file"]]):
        half = weights.index(min(weights))
        halves[half].append(part)
        weights[half] += sizes[part["file"]]
    for number, half_parts in enumerate(halves, 1):
        folder = out / f"corpus-{number}"
        folder.mkdir()
        for part in half_parts:
            shutil.move(files / part["file"], folder / part["file"])
        (folder / INDEX).write_text(json.dumps(half_parts, separators=(",", ":")) + "\n")


def size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def tree_size() -> int:
    """Bytes of what git does not ignore, and a block of an archive for each file."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    return sum((ROOT / name).stat().st_size + 1024 for name in listed if name and (ROOT / name).is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a packed corpus")
    parser.add_argument("dev", type=Path, help="the development set")
    parser.add_argument("out", type=Path, nargs="?", default=ROOT / ".rented", help="a new folder; default: .rented")
    parser.add_argument("--voices", nargs="*", default=VOICES, help="sources of which a part is enough")
    parser.add_argument("--voice-minutes", type=float, default=20.0, help="at most so much of each of them")
    parser.add_argument("--python", default="3.12", help="the version on the machine")
    parser.add_argument("--call-mib", type=float, default=63.0, help="the most that goes to the machine at a time")
    parser.add_argument("--corpus-mib", type=float, default=59.0, help="the most of both halves")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True)
    (out / ".gitignore").write_text("*\n")
    fetch_wheels(out / "wheels", arguments.python)
    cut_clips(arguments.dev, out / "validate")
    wheels, clips, tree = size(out / "wheels"), size(out / "validate"), tree_size()
    room = min(arguments.corpus_mib * MIB, 2 * (arguments.call_mib * MIB - tree - wheels) - clips)

    index: list[Part] = json.loads((arguments.corpus / INDEX).read_bytes())
    whole = [part for part in index if part["source"] not in arguments.voices]
    files = out / "parts"
    files.mkdir()
    for part in whole:
        shutil.copyfile(arguments.corpus / part["file"], files / part["file"])
    voices = [name for name in dict.fromkeys(part["source"] for part in index) if name in arguments.voices]
    spare = room - size(files) - 0.8 * MIB  # the indices, and halves that are not quite alike
    voice_s = min(60 * arguments.voice_minutes, spare * 8 / (1.04 * BITRATE_BPS) / max(1, len(voices)))
    thinned = [
        part
        for name in voices
        for part in thin([part for part in index if part["source"] == name], arguments.corpus, files, voice_s)
    ]
    halve(whole + thinned, files, out, clips)
    files.rmdir()

    halves = [size(out / f"corpus-{number}") for number in (1, 2)]
    calls = [tree + wheels + halves[0] + clips, tree + wheels + halves[1]]
    hours = sum(part["samples"] / part["sample_rate_hz"] for part in whole + thinned) / 3600
    rows = {"tree": tree, "wheels": wheels, "validate": clips, "corpus-1": halves[0], "corpus-2": halves[1]}
    rows |= {"first call": calls[0], "second call": calls[1]}
    for name, count in rows.items():
        print(f"{name:12} {count / MIB:6.2f} MiB")
    print(f"{hours:.2f} hours of speech, {voice_s / 60:.1f} minutes at most of each single voice")
    if max(calls) > arguments.call_mib * MIB or sum(halves) > arguments.corpus_mib * MIB:
        sys.exit(f"{out}: too much for the machine; delete it and give fewer --voice-minutes")


if __name__ == "__main__":
    main()
