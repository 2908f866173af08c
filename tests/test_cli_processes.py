"""The command line in processes of its own: pipes, standard output, signals, and a disk that is full."""

import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import make_speech_like

from q2d2 import checkpoint, cli

RATE_HZ = 24_000


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "q2d2", *map(str, arguments)]


def test_a_pipe_there_and_back(model, audio_file):
    data = audio_file(make_speech_like(0.5)).read_bytes()
    encoder = subprocess.Popen(
        command("encode", "-", "-", "--rate", "1k", "--model", model),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    decoder = subprocess.Popen(
        command("decode", "-", "-", "--model", model),
        stdin=encoder.stdout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    encoder.stdin.write(data)
    encoder.stdin.close()
    out, err = decoder.communicate(timeout=300)
    assert (encoder.wait(), decoder.returncode, err) == (0, 0, b"")
    assert encoder.stderr.read().startswith(b"q2d2: standard output: 0.50 s in ")
    for pipe in (encoder.stdout, encoder.stderr):
        pipe.close()
    wav, sample_rate_hz = soundfile.read(io.BytesIO(out))
    assert (len(wav), sample_rate_hz) == (12_000, RATE_HZ)
    assert len(out) == 44 + 2 * 12_000


def wav_stream(samples: np.ndarray) -> bytes:
    """As a microphone's program writes it: 16 bits, and a length that nobody knows yet."""
    data = io.BytesIO()
    soundfile.write(data, samples, RATE_HZ, format="WAV", subtype="PCM_16")
    return data.getvalue()[:40] + b"\xff\xff\xff\xff" + data.getvalue()[44:]


def test_a_live_pipe_is_heard_before_it_ends(model):
    """From a microphone that is still open, through both directions."""
    encoder = subprocess.Popen(
        command("encode", "-", "-", "--rate", "1k", "--chunk", "4", "--model", model),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    decoder = subprocess.Popen(
        command("decode", "-", "-", "--model", model), stdin=encoder.stdout, stdout=subprocess.PIPE
    )
    wav = make_speech_like(3.0)
    data = wav_stream(wav)
    encoder.stdin.write(data[: 44 + 2 * RATE_HZ])
    encoder.stdin.flush()
    early = decoder.stdout.read(44 + RATE_HZ)  # half a second of the first, while two more are to come
    encoder.stdin.write(data[44 + 2 * RATE_HZ :])
    encoder.stdin.close()
    out = early + decoder.stdout.read()
    assert (encoder.wait(300), decoder.wait(300)) == (0, 0)
    for pipe in (encoder.stdout, decoder.stdout):
        pipe.close()
    codec = checkpoint.load(model)
    whole = codec.decode(codec.encode(np.frombuffer(data[44:], "<i2"), RATE_HZ, "1k"))
    heard = np.frombuffer(out[44:], "<i2") / 32768
    assert out[40:44] == b"\xff\xff\xff\xff" and len(heard) == len(wav)
    np.testing.assert_allclose(heard, np.clip(whole, -1, 1), atol=1e-4)


@pytest.mark.parametrize("append", [False, True])
def test_standard_output_that_is_a_file_gets_its_length_in_the_end(model, tmp_path, append):
    source, target = tmp_path / "a.q2d2", tmp_path / "out.wav"
    codec = checkpoint.load(model)
    source.write_bytes(codec.compress(make_speech_like(0.5), RATE_HZ, "1k"))
    target.write_bytes(b"before" if append else b"")
    with target.open("ab" if append else "wb") as out, subprocess.Popen(["cat", source], stdout=subprocess.PIPE) as cat:
        subprocess.run(command("decode", "-", "-", "--model", model), stdin=cat.stdout, stdout=out, check=True)
    written = target.read_bytes().removeprefix(b"before")
    assert len(written) == 44 + 2 * 12_000
    assert int.from_bytes(written[40:44], "little") == (2**32 - 1 if append else 2 * 12_000)


def test_a_reader_that_goes_away_is_no_news(model, audio_file):
    """Far more output than a pipe holds, and nobody reads it."""
    source = audio_file(np.zeros(RATE_HZ * 60, np.float32), name="long.wav")
    target = source.with_suffix(".q2d2")
    assert cli.main(["encode", str(source), str(target), "--model", model]) == 0
    process = subprocess.Popen(
        command("decode", target, "-", "--model", model), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(44)
    process.stdout.close()
    assert (process.wait(300), process.stderr.read()) == (1, b"")
    process.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes and signals")
def test_an_interrupt_leaves_nothing_behind(model, tmp_path):
    """Interrupted while it waits for more of a named pipe."""
    fifo, target = tmp_path / "fifo", tmp_path / "talk.q2d2"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        command("encode", fifo, target, "--model", model),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    with open(fifo, "wb") as pipe:  # returns when the command has opened its end
        pipe.write(b"RIFF")
        pipe.flush()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (130, b"", b"q2d2: interrupted\n")
    assert [path.name for path in tmp_path.iterdir()] == ["fifo"]


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
@pytest.mark.parametrize("verb", ["encode", "decode"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(model, audio_file, verb):
    """The system refuses to write more than so many bytes to a file, as it does where there is no room."""
    wav = audio_file(make_speech_like(8.0), name="in.wav")
    codes, target = wav.with_name("in.q2d2"), wav.with_name("old.q2d2" if verb == "encode" else "old.wav")
    assert cli.main(["encode", str(wav), str(codes), "--model", model]) == 0
    target.write_bytes(b"precious")
    limit = "import resource, sys, q2d2.cli; resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)); "
    limited = limit + "sys.exit(q2d2.cli.main())"
    source = wav if verb == "encode" else codes
    arguments = [verb, source, target, "--overwrite", "--model", model]
    done = subprocess.run([sys.executable, "-B", "-c", limited, *map(str, arguments)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.startswith("q2d2: ") and done.stderr.count("\n") == 1
    assert target.read_bytes() == b"precious"
    assert {path.name for path in wav.parent.iterdir()} == {"in.wav", "in.q2d2", target.name}
