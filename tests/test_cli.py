"""Every verb of the command line: what it writes, says and returns; in this process."""

import io
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile
import torch
from conftest import make_speech_like
from small_codecs import make_codec

from q2d2 import bitstream, checkpoint, cli, verbs
from q2d2.checkpoint import load, save
from q2d2.presets import TINY
from q2d2.releases import RELEASES, Release
from q2d2.train.prior import PriorNetwork

RATE_HZ = 24_000


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("model")
    save(make_codec(), folder)
    return str(folder)


@pytest.fixture
def talk(audio_file) -> Path:
    return audio_file(make_speech_like(0.5), name="talk.wav")


@pytest.fixture
def q2d2(capsys, monkeypatch, tmp_path, model):
    """`q2d2("encode", ...)` in an empty folder with a tiny shipped model -> (status, standard output, error output)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "SHIPPED", Path(model).parent)
    (Path(model).parent / "speech").exists() or (Path(model).parent / "speech").symlink_to(model)

    def run(*arguments: object) -> tuple[int, str, str]:
        status = cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def one_line(said: str) -> bool:
    return said.startswith("q2d2: ") and said.endswith("\n") and said.count("\n") == 1


# -- help and mistakes -------------------------------------------------------------------------------------------------


def test_help_and_version(q2d2):
    status, out, err = q2d2("--help")
    assert (status, err) == (0, "") and all(verb in out for verb in cli.VERBS)
    status, out, err = q2d2("--version")
    assert (status, err) == (0, "") and out.startswith("q2d2 ")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_with_an_example(q2d2, verb):
    status, out, err = q2d2(verb, "--help")
    assert (status, err) == (0, "")
    assert f"usage: q2d2 {verb}" in out and re.search("Examples?:\n", out) and f"\nq2d2 {verb} " in out


def test_help_needs_nothing_heavy():
    code = "import sys, q2d2.cli; q2d2.cli.main(['--help']); print([m for m in ('torch', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "give a verb: one of encode, decode, info, demo, "),
        (("enc",), "there is no verb 'enc'"),
        (("encode",), "Missing from q2d2 encode: IN .* OUT"),
        (("encode", "a.wav"), "Missing from q2d2 encode: OUT"),
        (("encode", "a.wav", "b.q2d2", "--rat", "1k"), "Unrecognized options: --rat"),
        (("encode", "a.wav", "b.q2d2", "--rate", "5k"), "has no rate '5k': give 1k or 3k or 7k"),
        (("encode", "a.wav", "b.q2d2", "--rate", "99"), "has no rate 99"),
        (("decode", "a.q2d2", "b.wav", "--device", "abacus"), "--device abacus: cannot be used here"),
        (("train", "--data", "d", "--out", "o"), "training needs one budget"),
        (("train", "--data", "d", "--out", "o", "--steps", "x"), "--steps"),
        (("train", "--data", "d", "--out", "o", "--steps", "1", "--preset", "x"), "there is no preset x: give one of"),
    ],
)
def test_commands_that_make_no_sense(q2d2, tmp_path, arguments, reason):
    status, out, err = q2d2(*arguments)
    assert (status, out) == (2, "") and one_line(err)
    assert re.search(reason, err), err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("encode", "no.wav", "b.q2d2"), "no.wav: cannot be opened"),
        (("encode", "talk.wav", "no/b.q2d2"), "no/b.q2d2: there is no folder no; make it first"),
        (("encode", "talk.wav", "b.wav"), "b.wav: should end in .q2d2"),
        (("encode", "talk.wav", "b.q2d2", "--model", "no/such/model"), "no/such/model: no such folder"),
        (("decode", "talk.wav", "b.wav"), "talk.wav: not a .q2d2 file"),
        (("decode", "no.q2d2", "b.wav"), "no.q2d2: No such file or directory"),
        (("info", "no.q2d2"), "no.q2d2: No such file or directory"),
        (("info", "talk.wav"), "talk.wav: not a .q2d2 file"),
        (("demo", "no.wav"), "no.wav: cannot be opened"),
        (
            ("train", "--data", "no", "--out", "run", "--steps", "1", "--preset", "tiny"),
            "no: there is no such folder",
        ),
    ],
)
def test_failures_are_one_line_and_leave_no_files(q2d2, talk, tmp_path, arguments, reason):
    status, out, err = q2d2(*arguments)
    assert (status, out) == (1, "") and one_line(err.splitlines(keepends=True)[-1])
    assert reason in err
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path != talk]


# -- verbs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "pairs"), [(None, 4), ("1k", 2), ("3", 3)])
def test_encode_info_decode(q2d2, talk, rate, pairs):
    status, out, err = q2d2("encode", "talk.wav", "talk.q2d2", *(["--rate", rate] if rate else []))
    assert (status, out) == (0, "") and one_line(err)
    size = Path("talk.q2d2").stat().st_size
    assert f"talk.q2d2: 0.50 s in {size} bytes, {size * 16} bit/s" in err

    status, out, err = q2d2("info", "talk.q2d2")
    said = {line.split()[0]: line for line in out.splitlines()}
    assert (status, err) == (0, "")
    assert "0.500 s (12000 samples at 24000 Hz)" in said["duration"]
    assert f"{size} bytes, {size * 16} bit/s" in said["size"]
    assert f"{pairs} pairs" in said["tokens"] and "27, 53.33 a second" in said["frames"]
    assert said["chunks"].endswith("1, all of them whole") and "tiny, weights" in said["model"]
    assert said["rate"].split()[1] == {4: "7k", 2: "1k", 3: "3k"}[pairs]

    assert q2d2("decode", "talk.q2d2", "back.wav") == (0, "", "")
    assert soundfile.info("back.wav").frames == soundfile.info("talk.wav").frames
    status, _, err = q2d2("decode", "talk.q2d2", "back.wav")
    assert status == 1 and err == "q2d2: back.wav: exists already; --overwrite replaces it\n"
    assert q2d2("decode", "talk.q2d2", "back.wav", "--overwrite") == (0, "", "")


def test_info_of_models(q2d2, model):
    for arguments in (("info",), ("info", model)):
        status, out, err = q2d2(*arguments)
        assert (status, err) == (0, "")
        assert "53.33 a second, 450 samples each" in out and "rate 1k" in out and "2 x 85, 2 x 145" in out
        assert "ms before a frame" in out and "delay" in out
        assert out.splitlines()[0].endswith(" (no known release)")


def test_info_of_a_released_version(q2d2, model, monkeypatch):
    monkeypatch.setitem(RELEASES, load(model).weights, Release("speech", "7"))
    assert q2d2("info")[1].startswith("model         speech version 7, weights ")
    with open("old.q2d2", "wb") as file:
        header = replace(load(model).header(RATE_HZ, 3), model="speech", weights="09687aef4d47e501")
        bitstream.Writer(file, header).close(0)
    _, out, _ = q2d2("info", "old.q2d2")
    assert "model         speech version 2, weights 09687aef4d47e501\nrate          3 pairs\n" in out
    status, _, err = q2d2("decode", "old.q2d2", "back.wav")
    assert status == 1 and one_line(err) and "q2d2 0.1.0 at commit e186ae7 reads it; this is speech version 7" in err


def test_info_of_what_a_prior_saves(q2d2, talk, model):
    codec = load(shutil.copytree(model, "own"))
    prior = PriorNetwork(codec.quantizer.points, (0,), 4).rounded(codec)
    (Path("own") / checkpoint.PRIOR).write_bytes(prior.data)
    q2d2("encode", "talk.wav", "talk.q2d2", "--model", "own", "--constant-rate")
    status, out, err = q2d2("info", "talk.q2d2", "--model", "own")
    assert (status, err) == (0, "") and f"prior         {prior.id}, used in 0 of " in out and ", 0.0% less" in out
    assert "bits by pair" in out and "in the worst" in out
    # from the middle of standard input
    with open("two", "wb") as file:
        file.write(b"first" + Path("talk.q2d2").read_bytes())
    with open("two", "rb") as file:
        file.seek(5)
        run = subprocess.run(
            [sys.executable, "-m", "q2d2", "info", "-", "--model", "own"], stdin=file, capture_output=True, text=True
        )
    assert run.returncode == 0 and run.stdout.splitlines()[1:] == out.splitlines()[1:]


def test_damaged_files(q2d2, talk):
    q2d2("encode", "talk.wav", "talk.q2d2")
    Path("talk.q2d2").write_bytes(Path("talk.q2d2").read_bytes()[:-1])
    status, out, err = q2d2("decode", "talk.q2d2", "back.wav")
    assert (status, out) == (1, "") and one_line(err)
    assert "talk.q2d2: truncated" in err and err.endswith("--skip-damaged decodes what is left\n")
    status, out, err = q2d2("info", "talk.q2d2")
    assert status == 1 and one_line(err) and "chunks        1\n" in out
    status, out, err = q2d2("decode", "talk.q2d2", "back.wav", "--skip-damaged")
    assert (status, out) == (0, "") and one_line(err)
    assert soundfile.info("back.wav").frames == 27 * 450


def test_folders(q2d2, talk, tmp_path):
    (tmp_path / "clips" / "deep").mkdir(parents=True)
    talk.rename(tmp_path / "clips" / "deep" / "talk.wav")
    (tmp_path / "clips" / "bad.flac").write_text("no audio")
    status, out, err = q2d2("encode", "clips", "tokens")
    assert (status, out) == (1, "")
    bad, summary = err.splitlines()
    assert bad.startswith("q2d2: clips/bad.flac: is not audio") and summary == "q2d2: tokens: 1 file written, 1 failed"
    assert q2d2("decode", "tokens", "back") == (0, "", "q2d2: back: 1 file written\n")
    assert Path("back/deep/talk.wav").is_file()
    assert "0 files written, 1 were there already and stay" in q2d2("decode", "tokens", "back")[2]


def test_train_then_use_what_it_made(q2d2, talk, tmp_path, speech_like):
    import json

    (tmp_path / "corpus").mkdir()
    soundfile.write("corpus/a.opus", speech_like(2.0), RATE_HZ, format="OGG", subtype="OPUS")
    part = {"file": "a.opus", "source": "a", "licence": "CC0", "sample_rate_hz": RATE_HZ, "samples": 2 * RATE_HZ}
    spoken = {"start": 0, "samples": 2 * RATE_HZ, "speaker": "a", "recorded_hz": RATE_HZ}
    (tmp_path / "corpus" / "index.json").write_text(json.dumps([part | {"utterances": [spoken]}]))
    common = ("train", "--data", "corpus", "--steps", "1", "--batch", "1", "--seconds", "0.45", "--device", "cpu")
    status, out, _ = q2d2(*common, "--preset", "tiny", "--out", "run")
    assert (status, out) == (0, "run/model\n")
    assert q2d2(*common, "--from", "run/model", "--out", "more")[:2] == (0, "more/model\n")
    assert q2d2("encode", "talk.wav", "talk.q2d2", "--model", "more/model")[0] == 0
    status, _, err = q2d2("decode", "talk.q2d2", "back.wav")
    assert status == 1 and "load the version of the model that wrote it" in err


def test_decoding_takes_the_shipped_model_that_wrote_the_file(q2d2, talk, model, tmp_path):
    """Another name and other weights than those of the default."""
    live = replace(TINY, name="speech-live", encoder=replace(TINY.encoder, causal=True))
    other = make_codec(live)
    torch.nn.init.normal_(other.encoder.embed.bias)
    save(other, Path(model).parent / "speech-live")
    assert q2d2("encode", "talk.wav", "live.q2d2", "--model", "speech-live")[0] == 0
    assert q2d2("decode", "live.q2d2", "a.wav") == (0, "", "")
    assert q2d2("decode", "live.q2d2", "b.wav", "--model", "speech-live") == (0, "", "")
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    status, _, err = q2d2("decode", "live.q2d2", "c.wav", "--model", "speech")
    assert status == 1 and "written with the weights" in err
    with Path("live.q2d2").open(encoding="latin1") as file, mock.patch.object(sys, "stdin", file):
        assert q2d2("decode", "-", "d.wav") == (0, "", "")
    assert Path("d.wav").read_bytes() == Path("a.wav").read_bytes()
    assert q2d2("info", "speech-live")[1].startswith("model         speech-live, weights ")


def test_a_part_of_a_file(q2d2, talk):
    q2d2("encode", "talk.wav", "talk.q2d2")
    q2d2("decode", "talk.q2d2", "all.wav")
    assert q2d2("decode", "talk.q2d2", "part.wav", "--start", "0.1", "--duration", "0.25") == (0, "", "")
    whole, part = (soundfile.read(name)[0] for name in ("all.wav", "part.wav"))
    np.testing.assert_allclose(part, whole[2400:8400], atol=1e-4)
    status, _, err = q2d2("decode", "talk.q2d2", "late.wav", "--start", "7")
    assert (status, err) == (1, "q2d2: talk.q2d2: lasts 0.500 s: there is nothing at 7.000 s\n")
    assert not Path("late.wav").exists()
    status, _, err = q2d2("decode", "talk.q2d2", "part2.wav", "--start", "1", "--skip-damaged")
    assert status == 2 and "undamaged" in err
    status, _, err = q2d2("encode", "talk.wav", "b.q2d2", "--chunk", "0")
    assert status == 2 and "--chunk 0: give 1 to 2048 frames" in err


def test_in_this_process_through_pipes_that_are_files(q2d2, talk, monkeypatch, model):
    """The bytes on standard output are those of a file; `info` reads standard input."""
    q2d2("encode", "talk.wav", "talk.q2d2")
    with open("talk.q2d2", "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file.read())))
    status, out, _ = q2d2("info", "-")
    assert status == 0 and "standard input" in out


def test_interrupts_in_this_process(q2d2, monkeypatch):
    def interrupted(verb: verbs.Info) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs.Info, "run", interrupted)
    assert q2d2("info") == (130, "", "q2d2: interrupted\n")


def test_training_without_its_extra_says_what_to_install(q2d2, talk, monkeypatch):
    monkeypatch.delitem(sys.modules, "q2d2.train.run", raising=False)
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)  # as if it were not there
    status, _, err = q2d2("train", "--data", ".", "--out", "run", "--steps", "1", "--preset", "tiny")
    assert (status, err) == (1, "q2d2: lightning_fabric is not installed: pip install 'q2d2[train]' brings it\n")
