"""scripts/prepare_libritts, on archives of a few empty files."""

import subprocess
import tarfile
from pathlib import Path

import pytest

from q2d2.corpus import find_utterances

SCRIPT = Path(__file__).parent.parent / "scripts" / "prepare_libritts"
SPEAKERS = {"train-clean-100": "103", "train-clean-360": "26", "train-other-500": "25", "dev-clean": "84"}


def prepare(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "my downloads"
    folder.mkdir()
    for split, speaker in SPEAKERS.items():
        wav = tmp_path / "original" / split
        wav.parent.mkdir(exist_ok=True)
        wav.write_bytes(b"RIFF")
        with tarfile.open(folder / f"{split}.tar.gz", "w:gz") as archive:
            for number in (1, 0):
                name = f"LibriTTS/{split}/{speaker}/1240/{speaker}_1240_000000_00000{number}"
                archive.add(wav, f"{name}.wav")
                archive.add(wav, f"{name}.normalized.txt")
    return folder


def test_archives_become_folders_and_lists(downloads, tmp_path):
    out = tmp_path / "libri tts"
    done = prepare(downloads, out)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}/train.txt: 6 files\n{out}/dev.txt: 2 files\n"
    assert (out / "dev.txt").read_text().splitlines() == [
        f"LibriTTS/dev-clean/84/1240/84_1240_000000_00000{number}.wav" for number in (0, 1)
    ]
    utterances = find_utterances(out / "train.txt")
    assert [u.speaker for u in utterances] == ["103", "103", "26", "26", "25", "25"]
    assert {u.source for u in utterances} == {"libritts"} and all(u.path.is_file() for u in utterances)


def test_again_does_nothing_twice_and_adds_what_is_new(downloads, tmp_path):
    later = (downloads / "train-other-500.tar.gz").rename(tmp_path / "later.tar.gz")
    first = prepare(downloads, tmp_path / "out")
    assert first.returncode == 0 and "train-other-500.tar.gz is not there: train.txt goes without it" in first.stderr
    assert len((tmp_path / "out" / "train.txt").read_text().splitlines()) == 4
    later.rename(downloads / "train-other-500.tar.gz")
    (downloads / "train-clean-100.tar.gz").write_bytes(b"not looked at any more")
    second = prepare(downloads, tmp_path / "out")
    assert second.returncode == 0, second.stderr
    assert second.stderr == f"checking and unpacking {downloads}/train-other-500.tar.gz\n"
    assert len((tmp_path / "out" / "train.txt").read_text().splitlines()) == 6
    third = prepare(downloads, tmp_path / "out")
    assert (third.returncode, third.stderr, third.stdout) == (0, "", second.stdout)


def test_what_is_wrong_is_one_line(downloads, tmp_path):
    archive = downloads / "train-clean-360.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-20])
    failed = prepare(downloads, tmp_path / "out")
    assert failed.returncode == 1
    assert failed.stderr.endswith(f"prepare_libritts: {archive}: is cut short or damaged; download it again\n")
    assert not (tmp_path / "out" / "train.txt").exists()
    for arguments, reason in (
        ((), "give the folder of the archives"),
        ((tmp_path / "no", tmp_path / "out"), "no: there is no such folder"),
        ((tmp_path / "original", tmp_path / "empty"), "holds none of train-clean-100.tar.gz"),
    ):
        failed = prepare(*arguments)
        assert failed.returncode == 1 and reason in failed.stderr.splitlines()[-1]
