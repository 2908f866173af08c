"""Studies from webMUSHRA's configurations: what becomes of its pages, and what a stranger's file cannot do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from q2d2 import audio
from q2d2.audio import AudioError
from q2d2.console import UsageError
from q2d2.listen.study import audio_path, load
from q2d2.listen.webmushra import import_study
from q2d2.opening import FileError

RATE_HZ = 16_000
AUDIO = "configs/resources"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """webMUSHRA's folder, with the sounds of two recordings."""
    folder = tmp_path / "webmushra" / AUDIO
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for item in ("p", "q"):
        wav = 0.1 * rng.standard_normal(8000)
        for number, name in enumerate(["ref", "c1", "c2"]):
            noisy = (0.5**number * (wav + 0.02 * number * rng.standard_normal(8000))).astype(np.float32)
            audio.write(folder / f"{item}_{name}.wav", noisy, RATE_HZ)
    return tmp_path / "webmushra"


def page(item: str, kind: str = "mushra", **fields: object) -> dict[str, object]:
    stimuli = {"C1": f"{AUDIO}/{item}_c1.wav", "C2": f"{AUDIO}/{item}_c2.wav"}
    files = {"reference": f"{AUDIO}/{item}_ref.wav", "stimuli": stimuli}
    return {"type": kind, "id": f"trial_{item}", "name": "A trial", "content": "<b>Listen</b>"} | files | fields


def config(root: Path, pages: object, **fields: object) -> Path:
    path = root / "configs" / "test.yaml"
    path.write_text(yaml.safe_dump({"testname": "A test", "testId": "test", "pages": pages} | fields))
    return path


def test_a_mushra_test(root: Path, tmp_path: Path) -> None:
    pages = [
        {"type": "generic", "id": "first", "name": "Welcome", "content": "Hello"},
        page("q", createAnchor35=True, createAnchor70=False),
        ["random", [page("p", createAnchor35=True, createAnchor70=False)], {"type": "likert_single_stimulus", "id": 7}],
        {"type": "finish", "name": "Thanks"},
    ]
    made = import_study(config(root, pages), tmp_path / "study")
    study = made.study
    assert load(tmp_path / "study") == study
    assert (study.title, study.protocol_name, study.systems) == ("A test", "mushra", ("C1", "C2"))
    assert [trial.item for trial in study.trials] == ["trial_q", "trial_p"] and not study.training
    for trial in study.trials:
        assert list(trial.stimuli) == ["C1", "C2", "reference", "anchor35"]
        item = trial.item.removeprefix("trial_")
        for condition, name in (("C1", "c1"), ("C2", "c2"), ("reference", "ref")):  # levels too are as they were
            old = audio.read(root / AUDIO / f"{item}_{name}.wav")[0]
            np.testing.assert_array_equal(audio.read(audio_path(tmp_path / "study", trial.stimuli[condition]))[0], old)
    assert len(made.notes) == 1
    assert "first (generic), 7 (likert_single_stimulus), Thanks (finish)" in made.notes[0]


def test_paired_comparisons_ask_which_one_the_reference_is(root: Path, tmp_path: Path) -> None:
    made = import_study(
        config(root, [page(item, "paired_comparison", unforced="I don't know") for item in "pq"]),
        tmp_path / "study",
        training=1,
    )
    study = made.study
    assert study.protocol_name == "abx"
    pairs = [(trial.item, tuple(trial.stimuli)) for trial in study.trials]
    assert pairs == [(f"trial_{item}", ("reference", name)) for item in "pq" for name in ("C1", "C2")]
    assert [trial.item for trial in study.training] == ["trial_p"] * 2
    assert len(made.notes) == 1 and "guess" in made.notes[0]


def test_levels_can_be_made_equal(root: Path, tmp_path: Path) -> None:
    study = import_study(config(root, [page("p")]), tmp_path / "study", keep_levels=False).study
    levels = [
        audio.read(audio_path(tmp_path / "study", study.trials[0].stimuli[name]))[0].std()
        for name in ("reference", "C2")
    ]
    assert levels[1] == pytest.approx(levels[0], rel=0.02)


def test_names_stay_as_they_are_written(root: Path, tmp_path: Path) -> None:
    stimuli = "".join(f"      {name}: {AUDIO}/p_c1.wav\n" for name in ("no", "1.10", "007", "2024-01-02"))
    path = root / "configs" / "test.yaml"
    text = f"- type: mushra\n    id: 0o1\n    reference: {AUDIO}/p_ref.wav\n    createAnchor35: False\n    stimuli:\n"
    path.write_text(f'testname: "a \\uD800"\npages:\n  {text}{stimuli}')
    study = import_study(path, tmp_path / "study").study
    assert study.systems == ("no", "1.10", "007", "2024-01-02")
    assert [(trial.item, len(trial.stimuli)) for trial in study.trials] == [("0o1", 5)]
    assert study.title == "a ?"


def test_paths_begin_at_the_root(root: Path, tmp_path: Path) -> None:
    path = config(root, [page("p", reference=str(root / AUDIO / "p_ref.wav"))])
    moved = tmp_path / "elsewhere" / "test.yaml"
    moved.parent.mkdir()
    path.rename(moved)
    with pytest.raises(FileError, match=r"there is no file .*; --root says where"):
        import_study(moved, tmp_path / "study")
    assert import_study(moved, tmp_path / "study", root).study.trials[0].item == "trial_p"


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        ([], "has no pages of type mushra or paired_comparison, only none at all"),
        ([{"type": "volume", "id": "v"}], r"only v \(volume\)"),
        ([{"id": "v"}], r"only v \(no type\)"),
        ([page("p"), page("q", "paired_comparison")], "both types, mushra and paired_comparison; split it"),
        ([page("p"), page("p")], "two pages have the id 'trial_p'"),
        ([page("p"), page("q", stimuli={"C1": f"{AUDIO}/q_c1.wav"})], "page 'trial_q' has the stimuli C1, the first"),
        ([page("p", stimuli={})], "page 'trial_p': has no stimuli"),
        ([page("p", stimuli=["C1"])], "page 'trial_p': has no stimuli"),
        ([page("p", stimuli={"a/b": f"{AUDIO}/q_c1.wav"})], "page 'trial_p': a system cannot be called 'a/b'"),
        ([page("p", stimuli={"anchor35": f"{AUDIO}/q_c1.wav"})], "page 'trial_p': a system cannot be called"),
        ([page("p", stimuli={"1": f"{AUDIO}/q_c1.wav", " 1": f"{AUDIO}/q_c1.wav"})], "two stimuli called '1'"),
        ([page("p", stimuli={f"C{n}": f"{AUDIO}/p_c1.wav" for n in range(12)})], "page 'trial_p': .* at most 12"),
        ([page("p", stimuli={"C1": ["C1"]})], "page 'trial_p': names no file"),
        ([page("p", reference="")], "page 'trial_p': names no file"),
        ([page("p", reference=f"{AUDIO}/none.wav")], "page 'trial_p': there is no file .*none.wav; --root"),
        ([page("p", reference="x" * 5000)], "page 'trial_p': there is no file"),
        ([page("p", reference="a\0b")], "page 'trial_p': there is no file"),
        ([page("p", reference=AUDIO)], "page 'trial_p': there is no file"),
        ([page("p", reference="../../etc/passwd")], r"page 'trial_p': the file '\.\./\.\./etc/passwd' is not below"),
        ([page("p", reference=f"{AUDIO}/../../../x.wav")], "page 'trial_p': the file .* is not below"),
        ([page("p", reference="/etc/passwd")], "page 'trial_p': the file '/etc/passwd' is not below"),
        (["mushra"], "has 'mushra' where a page should be"),
        ([5, page("p")], "has '5' where a page should be"),
        ("pages", "has no list of pages"),
        ([{"type": "volume"}] * 10_001, "has more than 10000 pages"),
    ],
)
def test_pages_that_make_no_study(root: Path, tmp_path: Path, pages: object, says: str) -> None:
    path = config(root, pages)
    with pytest.raises(FileError, match=says) as caught:
        import_study(path, tmp_path / "study")
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    assert [child.name for child in tmp_path.iterdir()] == ["webmushra"]


LAUGHS = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 10))
DEEP = "[" * 5000 + "]" * 5000
MERGED = "\n".join(f"x{n}: &x{n}\n  <<: [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pages: [", "is not YAML"),
        ("\xff\xfe\x00", "is not YAML"),
        ("- a list", "has no list of pages"),
        ("", "has no list of pages"),
        (r'pages: "\UFFFFFFFF"', "is not YAML"),
        ("pages: !!python/object/apply:os.system ['touch made']", "has 'touch made' where a page should be"),
        (f"x0: &x0 [ha, ha]\n{LAUGHS}\npages: *x9", "has 'ha' where a page should be"),
        (f"x0: &x0 [random, random]\n{LAUGHS}\npages: *x9", "more than 10000 pages"),
        (f"x0: &x0 []\n{LAUGHS}\npages: *x9", "more than 10000 pages"),
        (f"x0: &x0 [ha]\n{LAUGHS}\npages: [{{type: mushra, id: *x9, stimuli: {{a: *x9}}, reference: *x9}}]", "no file"),
        (f"x0: &x0 {{a: b}}\n{MERGED}\npages: [*x9]", "merge keys"),
        ("pages: &a [*a, *a]", "is not YAML"),
        (f"pages: {DEEP}", "has no list of pages"),
        (f"pages: [{'1' + ':1' * 100_000}]", "where a page should be"),
        ("pages: []\n#" + "x" * 2**20, "larger than 1 MiB"),
    ],
)
def test_what_a_strangers_file_cannot_do(root: Path, tmp_path: Path, text: str, says: str) -> None:
    path = root / "configs" / "test.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FileError, match=says) as caught:
        import_study(path, tmp_path / "study")
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert [child.name for child in tmp_path.iterdir()] == ["webmushra"]


def test_what_does_not_line_up_leaves_nothing_behind(root: Path, tmp_path: Path) -> None:
    late = np.pad(audio.read(root / AUDIO / "q_c2.wav")[0][:, 0], (480, 0))
    audio.write(root / AUDIO / "q_c2.wav", late, RATE_HZ)
    path = config(root, [page("p"), page("q")])
    with pytest.raises(AudioError, match=r"q_c2\.wav: is 30 ms after its reference"):
        import_study(path, tmp_path / "study")
    with pytest.raises(UsageError):
        import_study(path, tmp_path / "study", training=3)
    with pytest.raises(FileError, match="cannot be read"):
        import_study(tmp_path / "none.yaml", tmp_path / "study")
    assert [child.name for child in tmp_path.iterdir()] == ["webmushra"]
    assert len(import_study(path, tmp_path / "study", timing="align").study.trials) == 2
