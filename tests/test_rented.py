"""The programs of `runs/rented`: what goes to a rented machine, what is found there, and what comes back."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from q2d2 import checkpoint, presets
from q2d2.codec import Codec

PROGRAMS = Path(__file__).parents[1] / "runs" / "rented"
RATE_HZ = 24_000


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"rented_{name}", PROGRAMS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def a_corpus(folder: Path, sources: dict[str, int]) -> list[dict]:
    """A packed corpus of noise: by source, how many utterances of two seconds."""
    folder.mkdir()
    index = []
    for number, (source, count) in enumerate(sources.items()):
        wav = 0.1 * np.random.default_rng(number).standard_normal(count * 2 * RATE_HZ)
        soundfile.write(folder / f"{source}.opus", wav, RATE_HZ, format="OGG", subtype="OPUS")
        spoken = [
            {"start": i * 2 * RATE_HZ, "samples": 2 * RATE_HZ - 480, "speaker": source, "recorded_hz": 16_000}
            for i in range(count)
        ]
        part = {"file": f"{source}.opus", "source": source, "licence": "CC0", "sample_rate_hz": RATE_HZ}
        index.append(part | {"samples": len(wav), "utterances": spoken})
    (folder / "index.json").write_text(json.dumps(index))
    return index


def test_halves_are_corpora_and_voices_are_thinned(tmp_path, monkeypatch):
    prepare = program("prepare")
    monkeypatch.setattr(prepare, "PART_S", 4.0)
    (_, voice) = index = a_corpus(tmp_path / "corpus", {"many": 3, "voice": 6})
    parts, out = tmp_path / "parts", tmp_path / "out"
    parts.mkdir()
    out.mkdir()
    thinned = prepare.thin([voice], tmp_path / "corpus", parts, longest_s=9.0)
    assert [len(part["utterances"]) for part in thinned] == [2, 2]  # a part ends after 4 s, a fifth would be too much
    for part in thinned:
        assert soundfile.info(parts / part["file"]).frames == part["samples"]
    whole = (tmp_path / "corpus" / "many.opus").read_bytes()
    (parts / "many.opus").write_bytes(whole)
    prepare.halve([index[0], *thinned], parts, out, first_has=10**6)
    halves = [json.loads((out / f"corpus-{number}" / "index.json").read_bytes()) for number in (1, 2)]
    assert {part["file"] for part in halves[1]} == {"many.opus", "voice-thin-0.opus", "voice-thin-1.opus"}
    assert not halves[0] and (out / "corpus-2" / "many.opus").read_bytes() == whole


def test_clips_are_the_beginnings(tmp_path):
    (tmp_path / "dev").mkdir()
    for number in range(12):
        soundfile.write(tmp_path / "dev" / f"{number:02}.flac", np.full(4 * 16_000, number / 16), 16_000)
    program("prepare").cut_clips(tmp_path / "dev", tmp_path / "clips")
    clips = sorted((tmp_path / "clips").iterdir())
    assert len(clips) == 10 and clips[0].name == "00.flac" and clips[-1].name == "11.flac"
    assert soundfile.info(clips[-1]).frames == 3 * 16_000


def test_a_stage_that_hangs_is_killed_and_the_verdict_stays(tmp_path, capsys):
    check = program("check")
    checked = check.Check([tmp_path / "a", tmp_path / "b"], 150.0)
    ended = checked.run("hanging", [sys.executable, "-c", "import time; time.sleep(600)"], 1.5, tmp_path / "hanging")
    assert ended.status is None and checked.verdict["errors"] == {"hanging": "killed after 2 s"}
    ended = checked.run("broken", [sys.executable, "-c", "raise SystemExit('why not')"], 60.0, tmp_path / "broken")
    assert ended.status == 1 and "why not" in checked.verdict["errors"]["broken"]
    checked.write()
    said = json.loads(capsys.readouterr().out)
    assert said == checked.verdict == json.loads((tmp_path / "a" / "verdict.json").read_text())
    assert (tmp_path / "a" / "verdict.json").read_text() == (tmp_path / "b" / "verdict.json").read_text()


def test_the_limit_holds_if_nothing_else_does(tmp_path):
    """The main thread sleeps through everything, as in a system call that does not return."""
    script = (
        "import importlib.util, sys, time\n"
        "spec = importlib.util.spec_from_file_location('check', sys.argv[1])\n"
        "check = sys.modules['check'] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(check)\n"
        "from pathlib import Path\n"
        "check.Check([Path(sys.argv[2])], 3.0).watch()\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(PROGRAMS / "check.py"), str(tmp_path)]
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 1
    assert json.loads((tmp_path / "verdict.json").read_text())["errors"] == {"check": "the limit came first"}


@pytest.mark.parametrize(
    ("speeds", "options"),
    [
        ({"eager-64": 2000.0, "compiled-256": 6000.0, "eager-256": 5000.0}, ["--batch", "256", "--compile", "on"]),
        ({"eager-64": 2000.0}, ["--batch", "64", "--compile", "off"]),
        ({"eager-64": 500.0, "eager-64-plain": 900.0}, ["--batch", "64", "--compile", "off"]),
        (
            {"eager-64": 400.0, "eager-64-plain": 900.0},
            ["--batch", "64", "--compile", "off", "--augment", "none"],
        ),
        ({"compiled-graph-64": 9000.0}, ["--batch", "64", "--compile", "on", "--graph"]),
    ],
)
def test_the_fastest_way_that_worked_is_chosen(tmp_path, speeds, options):
    check = program("check")
    checker = check.Checker(tmp_path, "speech", check.Check([tmp_path], 150.0), [])
    checker.check.verdict["audio_s_per_s"] = speeds
    ways = [check.Way(rows, *how) for rows in (64, 256) for how in ((False,), (True,), (True, True))]
    checker.choose([*ways, check.Way(64, augment=False)])
    assert checker.check.verdict["ok"] and checker.check.verdict["options"] == options


def test_what_train_brings_collect_joins(tmp_path, capsys, monkeypatch):
    """Both on a training of some seconds, and a newer save that was cut short, which does not count."""
    work, back = tmp_path / "work", tmp_path / "back"
    work.mkdir()
    a_corpus(work / "corpus-1", {"many": 3})
    a_corpus(work / "corpus-2", {"kokoro": 3})
    (work / "verdict.json").write_text(json.dumps({"options": ["--batch", "2", "--compile", "off"]}))
    (work / "validate").mkdir()
    soundfile.write(work / "validate" / "clip.flac", np.sin(0.05 * np.arange(RATE_HZ)), RATE_HZ)
    checkpoint.save(Codec(presets.find("tiny")), tmp_path / "start")
    environment = {"START": str(tmp_path / "start"), "WORKERS": "1", "GRACE_S": "200"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = ["bash", str(PROGRAMS / "train.sh"), str(work), str(back), "0.2", "--device", "cpu"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    saves = sorted(back.glob("save-*"), key=lambda folder: int(folder.name.removeprefix("save-")))
    assert len(saves) in (1, 2)
    shutil.copytree(saves[-1], back / "save-10")
    last = sorted((back / "save-10").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-20_000])
    collect = program("collect")
    monkeypatch.setattr(sys, "argv", ["collect.py", str(back), str(work / "validate"), str(tmp_path / "run")])
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--start", str(tmp_path / "start")])
    collect.main()
    said = capsys.readouterr()
    assert "save-10: is not whole" in said.err and f"{saves[-1]} is whole" in said.out
    assert "| 1k/log_mel |" in said.out
    for name in ("model/model.safetensors", "discriminators.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (work / "run" / name).read_bytes()
