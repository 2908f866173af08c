"""Studies out of folders: what is heard, what files tell, and what is left behind when it fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from q2d2 import audio
from q2d2.audio import AudioError
from q2d2.console import UsageError
from q2d2.listen.creating import create
from q2d2.listen.planning import plan
from q2d2.listen.protocols import ProtocolName
from q2d2.listen.study import Study, Trial, audio_path, key, load
from q2d2.opening import FileError

RATE_HZ = 16_000
SAMPLES = 8000


def noise(seed: int, samples: int = SAMPLES) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


def write(path: Path, samples: np.ndarray, sample_rate_hz: int = RATE_HZ) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, samples.astype(np.float32), sample_rate_hz)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Five recordings, one in a sub-folder, and two systems: one writes FLAC, the other is quiet and a little long."""
    for number, name in enumerate(["a", "b", "c", "d", "deep/e"]):
        original = noise(number)
        write(tmp_path / f"ref/{name}.wav", original)
        write(tmp_path / f"one/{name}.flac", original + 0.1 * noise(100 + number))
        write(tmp_path / f"two/{name}.wav", 0.3 * np.pad(original + 0.5 * noise(200 + number), (0, 80)))
    return tmp_path


def make(folder: Path, protocol: ProtocolName = "mushra", out: str = "study", **settings: object) -> Study:
    systems = {"one": folder / "one", "two": folder / "two"}
    return create(folder / out, folder / "ref", systems, protocol, **settings).study


def heard(study: Study) -> list[tuple[str, tuple[str, ...]]]:
    return [(trial.item, tuple(trial.stimuli)) for trial in study.trials]


def sound(folder: Path, file: str) -> np.ndarray:
    return audio.read(audio_path(folder, file))[0][:, 0]


def files(trial: Trial) -> list[str]:
    return [*trial.stimuli.values(), *([trial.reference] if trial.reference else [])]


CONDITIONS: dict[ProtocolName, list[tuple[str, ...]]] = {
    "mushra": [("one", "two", "reference", "anchor35")],
    "cmos-q": [("one", "two"), ("one", "reference")],
    "cmos-p": [("one", "two"), ("one", "reference")],
    "ab": [("one", "two")],
    "abx": [("reference", "one"), ("reference", "two")],
}


@pytest.mark.parametrize("protocol", CONDITIONS)
def test_a_study_of_every_protocol(folders: Path, protocol: ProtocolName) -> None:
    study = make(folders, protocol, title="Which?")
    folder = folders / "study"
    assert load(folder) == study
    assert (study.title, study.protocol_name, study.systems) == ("Which?", protocol, ("one", "two"))
    assert study.baseline == ("one" if protocol.startswith("cmos") else None)
    assert len(key(folder)) == 64 and (folder / "key").stat().st_mode & 0o777 == 0o600
    practised = {trial.item for trial in study.training}
    assert len(practised) == 1
    rated = [item for item in ["a", "b", "c", "d", "deep/e"] if item not in practised]
    assert heard(study) == [(item, conditions) for item in rated for conditions in CONDITIONS[protocol]]
    assert [tuple(trial.stimuli) for trial in study.training] == CONDITIONS[protocol]
    assert {page.trial for page in plan(study, 1)} == set(range(len(study.trials)))

    names = [name for trial in (*study.trials, *study.training) for name in files(trial)]
    paths = list((folder / "audio").iterdir())
    assert sorted(names) == sorted(path.name for path in paths)  # every name once, and nothing else
    assert all(re.fullmatch(r"[0-9a-f]{16}\.wav", name) for name in names)
    assert len({(path.stat().st_size, path.stat().st_mtime_ns) for path in paths}) == 1
    assert all(len(sound(folder, name)) == SAMPLES for name in names)
    if protocol == "mushra":
        for trial in study.trials:
            hidden, openly = trial.stimuli["reference"], trial.reference
            assert openly and hidden != openly
            assert audio_path(folder, hidden).read_bytes() == audio_path(folder, openly).read_bytes()
    else:
        assert all(trial.reference is None for trial in study.trials)
    assert sorted(path.name for path in folders.iterdir()) == ["one", "ref", "study", "two"]


def test_sounds_are_where_their_names_say(folders: Path) -> None:
    study = make(folders, keep_levels=True, training=0)
    for trial in study.trials:
        original = audio.read(folders / f"ref/{trial.item}.wav")[0][:, 0]
        one = audio.read(folders / f"one/{trial.item}.flac")[0][:, 0]
        two = audio.read(folders / f"two/{trial.item}.wav")[0][:SAMPLES, 0]
        for condition, expected in (("reference", original), ("one", one), ("two", two)):
            np.testing.assert_array_equal(sound(folders / "study", trial.stimuli[condition]), expected)
        anchor = sound(folders / "study", trial.stimuli["anchor35"])
        spectrum = np.abs(np.fft.rfft(np.hanning(SAMPLES) * anchor))
        frequency_hz = np.fft.rfftfreq(SAMPLES, 1 / RATE_HZ)
        above, below = spectrum[frequency_hz > 4100].mean(), spectrum[frequency_hz < 3400].mean()
        assert above < 0.01 * below  # 16 bits: their rounding is what remains


def test_levels_become_equal_unless_kept(folders: Path) -> None:
    study = make(folders)
    for trial in study.trials:
        levels = {condition: sound(folders / "study", name).std() for condition, name in trial.stimuli.items()}
        assert levels["two"] == pytest.approx(levels["reference"], rel=0.02)  # white noises, so RMS says it as well


def test_a_loud_item_is_lowered_as_a_whole(folders: Path) -> None:
    click = noise(0)
    click[4000] = 0.99
    write(folders / "ref/a.wav", click)
    write(folders / "one/a.flac", click)
    trial = next(trial for trial in make(folders, training=0).trials if trial.item == "a")
    sounds = {name: sound(folders / "study", file) for name, file in trial.stimuli.items()}
    assert max(np.abs(wav).max() for wav in sounds.values()) == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    np.testing.assert_allclose(sounds["reference"], click * (sounds["reference"][4000] / 0.99), atol=1e-4)
    assert sounds["reference"].std() == pytest.approx(sounds["two"].std(), rel=0.1)


def test_the_seed_decides_what_is_heard_and_not_what_it_is_called(folders: Path) -> None:
    one, again = (make(folders, out=out, items=4, seed=3) for out in ("first", "second"))
    assert heard(one) == heard(again)
    assert [trial.item for trial in one.training] == [trial.item for trial in again.training]
    assert one.study_id != again.study_id and key(folders / "first") != key(folders / "second")
    assert not set(map(str, one.trials[0].stimuli.values())) & set(map(str, again.trials[0].stimuli.values()))
    drawn = {tuple(item for item, _ in heard(make(folders, out=f"s{seed}", items=2, seed=seed))) for seed in range(4)}
    assert len(drawn) > 1 and all(len(items) == 2 and list(items) == sorted(items) for items in drawn)


def test_the_order_of_names_says_nothing(folders: Path) -> None:
    orders = []
    for number in range(3):
        study = make(folders, out=f"study{number}", training=0, keep_levels=True)
        orders += [tuple(sorted(trial.stimuli, key=lambda name: trial.stimuli[name])) for trial in study.trials]
    assert len(set(orders)) > 4  # 15 trials, 24 orders: so few by chance once in ten million


@pytest.mark.parametrize(("items", "training", "rated"), [(4, 1, 3), (3, 1, 3), (5, 2, 5), (5, 0, 5)])
def test_training_items_are_rated_only_if_there_are_few(folders: Path, items: int, training: int, rated: int) -> None:
    systems = {"one": folders / "one"}
    made = create(folders / "study", folders / "ref", systems, "abx", items=items, training=training)
    heard_in_test, practised = ({trial.item for trial in part} for part in (made.study.trials, made.study.training))
    assert (len(heard_in_test), len(practised)) == (rated, training)
    overlap = bool(practised & heard_in_test)
    assert overlap == (rated == items and training > 0)
    assert any("rated as well" in note for note in made.notes) == overlap
    assert not set(sum(map(files, made.study.trials), [])) & set(sum(map(files, made.study.training), []))


def test_rates_meet_at_the_references_highest(folders: Path) -> None:
    write(folders / "ref/a.wav", audio.resample(noise(0), RATE_HZ, 12_000), 12_000)
    write(folders / "one/a.flac", audio.resample(noise(0), RATE_HZ, 48_000), 48_000)
    study = make(folders, training=0)
    assert study.sample_rate_hz == RATE_HZ
    assert {len(sound(folders / "study", name)) for trial in study.trials for name in files(trial)} == {SAMPLES}


def test_align_shifts_what_lags(folders: Path) -> None:
    late = np.pad(audio.read(folders / "two/a.wav")[0][:, 0], (480, 0))
    write(folders / "two/a.wav", late)
    with pytest.raises(AudioError, match=r"two/a\.wav: is 30 ms after its reference; --align"):
        make(folders)
    assert not (folders / "study").exists()
    systems = {name: folders / name for name in ("one", "two")}
    made = create(folders / "study", folders / "ref", systems, "mushra", timing="align", keep_levels=True, training=0)
    trial = next(trial for trial in made.study.trials if trial.item == "a")
    np.testing.assert_array_equal(sound(folders / "study", trial.stimuli["two"]), late[480:][:SAMPLES])
    assert any("a.wav" in note and "shifted" in note for note in made.notes)


def break_missing(folder: Path) -> None:
    (folder / "one/a.flac").unlink()


def break_damaged(folder: Path) -> None:
    path = folder / "one/d.flac"
    path.write_bytes(path.read_bytes()[:2000])


def break_not_audio(folder: Path) -> None:
    (folder / "two/b.wav").write_text("words")


def break_infinite(folder: Path) -> None:
    import soundfile

    soundfile.write(folder / "two/b.wav", np.where(np.arange(SAMPLES) == 9, np.inf, 0), RATE_HZ, subtype="FLOAT")


def break_long(folder: Path) -> None:
    write(folder / "two/b.wav", np.pad(noise(1), (0, 1600)))


def break_twice(folder: Path) -> None:
    write(folder / "ref/a.flac", noise(0))


def break_coded(folder: Path) -> None:
    for path in (folder / "two").rglob("*.wav"):
        path.rename(path.with_suffix(".q2d2"))


def break_empty(folder: Path) -> None:
    for path in (folder / "two").rglob("*.wav"):
        path.unlink()


def break_slow(folder: Path) -> None:
    for path in (folder / "ref").rglob("*.wav"):
        write(path, noise(0), 4000)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (break_missing, r"/one: has no audio for 1 of the 5 files .*\(a\)"),
        (break_damaged, r"one/d\.flac: "),
        (break_not_audio, r"two/b\.wav: is not audio"),
        (break_infinite, r"two/b\.wav: .* infinite"),
        (break_long, r"two/b\.wav: is 0\.600 s long, its reference 0\.500 s"),
        (break_twice, r"ref/a\.\w+: .* same name"),
        (break_coded, r"two: .*decode them first: q2d2 decode "),
        (break_empty, r"two: holds no audio"),
        (break_slow, r"ref/a\.wav: has 4000 Hz"),
    ],
)
def test_what_cannot_be_made_leaves_nothing_behind(folders: Path, damage: Callable[[Path], None], says: str) -> None:
    damage(folders)
    before = sorted(folders.rglob("*"))
    with pytest.raises((FileError, AudioError), match=says) as caught:
        make(folders)
    assert "\n" not in str(caught.value)
    assert sorted(folders.rglob("*")) == before


def test_an_interrupted_study_leaves_nothing_behind(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(folders.rglob("*"))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("q2d2.listen.stimuli.building.save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(folders)
    assert sorted(folders.rglob("*")) == before


def test_nothing_is_replaced(folders: Path) -> None:
    (folders / "study").mkdir()
    with pytest.raises(FileError, match="study: exists already"):
        make(folders)
    (folders / "link").symlink_to(folders / "nowhere")
    with pytest.raises(FileError, match="link: exists already"):
        make(folders, out="link")
    with pytest.raises(FileError, match="there is no folder"):
        make(folders, out="no/study")
    assert not list((folders / "study").iterdir())


def test_files_without_a_reference_are_noted(folders: Path) -> None:
    write(folders / "one/other.wav", noise(9))
    systems = {"one": folders / "one", "two": folders / "two"}
    made = create(folders / "study", folders / "ref", systems, "ab")
    assert any("one: 1 file without a reference" in note for note in made.notes)


@pytest.mark.parametrize(
    ("protocol", "settings"),
    [
        ("mushra", {"baseline": "one"}),
        ("cmos-q", {"baseline": "three"}),
        ("mushra", {"anchors": ("anchor99",)}),
        ("ab", {"items": 0}),
        ("ab", {"training": 6}),
        ("ab", {"training": -1}),
    ],
)
def test_commands_that_make_no_sense(folders: Path, protocol: ProtocolName, settings: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        make(folders, protocol, **settings)
    assert not (folders / "study").exists()
