"""The four speech sets of ARCH, which are those of the paper's Table 7."""

from __future__ import annotations

import json
from pathlib import Path

from q2d2.probe.labelled import Clip, LabelledSet, ProbeError, by_part, by_speaker, existing, some
from q2d2.probe.splitting import at_random, leave_one_out, official, rotate

_RAVDESS = "RAVDESS (Audio_Speech_Actors_01-24)"
_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")  # RAVDESS 01 to 08
_SLURP = "SLURP (slurp_real, and the lists of its repository)"
_SUBSETS = {"train": "train", "devel": "val", "test": "test"}
_EMOVO = "EMOVO"
_AUDIO_MNIST = "AudioMNIST"
# AudioMNIST's own five folds of twelve speakers each
_FOLDS = (
    (12, 47, 59, 15, 27, 41, 4, 11, 21, 31, 44, 50),
    (26, 52, 60, 18, 32, 42, 5, 13, 22, 33, 45, 51),
    (28, 56, 7, 19, 35, 1, 6, 16, 23, 34, 46, 53),
    (36, 57, 9, 24, 37, 2, 8, 17, 29, 39, 48, 54),
    (43, 58, 14, 25, 38, 3, 10, 20, 30, 40, 49, 55),
)


def read_ravdess(folder: Path) -> list[Clip]:
    """`Actor_01/03-01-05-02-01-02-01.wav`: sound, speech, angry, strong, sentence 1, second time, actor 1.

    Songs (second number 02) are left out; a copy of the set within the set, as it is passed around, counts once.
    """
    clips: dict[str, Clip] = {}
    for path in sorted(folder.rglob("03-01-*.wav")):
        codes = path.stem.split("-")
        if len(codes) != 7 or not codes[2].isdigit() or not 1 <= int(codes[2]) <= len(_EMOTIONS):
            raise ProbeError(f"{path}: is not named as the clips of {_RAVDESS} are; remove it")
        clips.setdefault(path.name, Clip(path, (_EMOTIONS[int(codes[2]) - 1],), speaker=codes[6]))
    return some([clips[name] for name in sorted(clips)], folder, _RAVDESS, "Actor_*/03-01-*.wav")


def read_slurp(folder: Path) -> list[Clip]:
    """`train.jsonl`, `devel.jsonl`, `test.jsonl`: a sentence a line with its intent and its recordings."""
    audio = existing(folder, _SLURP, "slurp_real", "audio/slurp_real")
    clips = []
    for name, part in _SUBSETS.items():
        table = existing(folder, _SLURP, f"{name}.jsonl", f"dataset/slurp/{name}.jsonl")
        for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
            try:
                row = json.loads(line)
                clips += [Clip(audio / take["file"], (row["intent"],), part=part) for take in row["recordings"]]
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ProbeError(f"{table}, line {number}: is no sentence with intent and recordings") from error
    return some(clips, folder, _SLURP, "recordings in its lists")


def read_emovo(folder: Path) -> list[Clip]:
    """`f1/dis-f1-b1.wav`: emotion, speaker, sentence; three women and three men."""
    root = existing(folder, _EMOVO, "f1", "EMOVO/f1").parent
    clips = [
        Clip(path, (path.name.split("-")[0],), speaker=speaker)
        for speaker in ("f1", "f2", "f3", "m1", "m2", "m3")
        for path in sorted(existing(root, _EMOVO, speaker).glob("*.wav"))
    ]
    return some(clips, folder, _EMOVO, "f1/*.wav to m3/*.wav")


def read_audio_mnist(folder: Path) -> list[Clip]:
    """`data/01/7_01_42.wav`: digit, speaker, take."""
    fold = {speaker: str(number) for number, speakers in enumerate(_FOLDS, 1) for speaker in speakers}
    clips = []
    for path in sorted(existing(folder, _AUDIO_MNIST, "data").glob("*/*.wav")):
        digit, _, speaker = path.stem.rpartition("_")[0].partition("_")
        if not speaker.isdigit() or int(speaker) not in fold:
            raise ProbeError(f"{path}: is not named as the clips of {_AUDIO_MNIST} are; remove it")
        clips.append(Clip(path, (digit,), speaker=speaker, part=fold[int(speaker)]))
    clips.sort(key=lambda clip: clip.part)  # stable: the folds in their order
    return some(clips, folder, _AUDIO_MNIST, "data/*/*.wav")


RAVDESS = LabelledSet(
    name="ravdess",
    title=_RAVDESS,
    task="8 emotions, acted, English",
    max_s=5.0,
    read=read_ravdess,
    splits=lambda clips: at_random(len(clips), test=0.2, val=0.2),
    protocol="a random fifth tests, a fifth of the rest is held out: each actor is on both sides",
)
SLURP = LabelledSet(
    name="slurp",
    title=_SLURP,
    task="intent of a spoken command, English",
    max_s=10.0,
    read=read_slurp,
    splits=lambda clips: official(by_part(clips)),
    protocol="official train, devel, test",
)
EMOVO = LabelledSet(
    name="emovo",
    title=_EMOVO,
    task="7 emotions, acted, Italian",
    max_s=5.0,
    read=read_emovo,
    splits=lambda clips: leave_one_out(by_speaker(clips), val=0.1),
    protocol="each speaker tests once, a random tenth of the others is held out",
)
AUDIO_MNIST = LabelledSet(
    name="audiomnist",
    title=_AUDIO_MNIST,
    task="10 spoken digits, English",
    max_s=5.0,
    read=read_audio_mnist,
    splits=lambda clips: rotate(by_part(clips)),
    protocol="5 folds of 12 speakers: each tests once while the next is held out",
)
