"""The demo's server, clip by clip: what comes back is what the codec gives, and what is refused is refused in words."""

from __future__ import annotations

import io
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_speech_like
from demo_clients import audio_bytes, opened, outcome, read_wav, send

from q2d2 import bitstream
from q2d2.audio import to_int16
from q2d2.listen.demo import Limits, create_app, drawing
from q2d2.listen.demo.clips import ascii_stem, shown_name

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def client(small_codec):
    with opened(small_codec) as client:
        yield client


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """As a 16-bit file holds it."""
    return to_int16(make_speech_like(0.7, RATE_HZ)).astype(np.float32) / 32768


@pytest.fixture(scope="module")
def tokens(clip, small_codec) -> bytes:
    """A `.q2d2` file: no other process is needed to read it."""
    return small_codec.compress(clip, RATE_HZ, "1k")


@pytest.fixture(scope="module")
def sent(client, clip) -> str:
    path = send(client, audio_bytes(clip, RATE_HZ), "my clip.wav")
    assert outcome(client, path) == {"state": "done", "done": 1.0, "step": "done", "error": None}
    return path


def test_every_download_is_what_the_codec_gives(client, sent, clip, small_codec):
    original, rate_hz = read_wav(client.get(f"{sent}/original.wav").content)
    assert rate_hz == RATE_HZ
    assert np.array_equal(original, clip)
    for rate in small_codec.config.rates:
        data = client.get(f"{sent}/{rate}.q2d2").content
        assert data == small_codec.compress(clip, RATE_HZ, rate)
        decoded = small_codec.decompress(data)
        assert len(decoded) == len(clip)
        wav, rate_hz = read_wav(client.get(f"{sent}/{rate}.wav").content)
        assert rate_hz == RATE_HZ
        assert np.array_equal(to_int16(wav), to_int16(decoded))


def test_the_picture_counts_honestly(client, sent, clip, small_codec):
    picture = client.get(f"{sent}/picture.json").json()
    duration_s = len(clip) / RATE_HZ
    assert picture["duration_s"] == pytest.approx(duration_s)
    assert picture["pcm_bytes"] == len(client.get(f"{sent}/original.wav").content) - 44
    assert [sound["name"] for sound in picture["sounds"]] == ["original", *small_codec.config.rates]
    assert "bytes" not in picture["sounds"][0]
    for sound in picture["sounds"][1:]:
        data = client.get(f"{sent}/{sound['name']}.q2d2").content
        assert sound["bytes"] == len(data)
        assert sound["file_bps"] == pytest.approx(8 * len(data) / duration_s)
        assert sound["index_bps"] == pytest.approx(small_codec.bitrate_bps(sound["name"]))
        assert sound["index_bps"] < sound["file_bps"]
    indices = small_codec.encode(clip, RATE_HZ).indices.numpy()
    assert len(picture["pairs"]) == 3
    for number, pair in enumerate(picture["pairs"]):
        assert pair["indices"] == indices[:, number].tolist()
        assert sum(pair["visits"]) == len(indices)
        assert len(pair["cells"]) == len(pair["points"]) == small_codec.quantizer.points[number]


def test_only_the_chosen_rates_are_made(client, clip):
    path = send(client, audio_bytes(clip, RATE_HZ), rates="3k,1k,3k")
    assert outcome(client, path)["state"] == "done"
    assert [sound["name"] for sound in client.get(f"{path}/picture.json").json()["sounds"]] == ["original", "1k", "3k"]
    assert client.get(f"{path}/7k.wav").status_code == 404
    refused = client.post("/clips", content=b"x", params={"rates": "1k,9k"})
    assert refused.status_code == 400
    assert refused.json() == {"error": "there is no rate '9k': choose from 1k, 3k, 7k"}


def test_a_q2d2_file_is_decoded_at_its_own_rate(client, clip, small_codec):
    data = small_codec.compress(clip, RATE_HZ, "3k")
    path = send(client, data, "any name.mp3")  # what it is, its bytes say
    assert outcome(client, path)["state"] == "done"
    assert [sound["name"] for sound in client.get(f"{path}/picture.json").json()["sounds"]] == ["3k"]
    assert client.get(f"{path}/3k.q2d2").content == data
    assert client.get(f"{path}/original.wav").status_code == 404
    wav, _ = read_wav(client.get(f"{path}/3k.wav").content)
    assert np.array_equal(to_int16(wav), to_int16(small_codec.decompress(data)))


def test_a_q2d2_file_of_no_named_rate_and_of_other_channels(client, clip, small_codec):
    path = send(client, small_codec.compress(clip, RATE_HZ, 2), "two.q2d2")
    assert outcome(client, path)["state"] == "done"
    assert client.get(f"{path}/2-pairs.wav").status_code == 200
    stereo = send(client, audio_bytes(np.stack([clip, -clip / 2], 1), RATE_HZ, "FLAC"))
    assert outcome(client, stereo)["state"] == "done"
    original, _ = read_wav(client.get(f"{stereo}/original.wav").content)
    assert original == pytest.approx(clip / 4, abs=1e-4)


def test_one_sample_and_silence_are_clips(client):
    for samples, rate_hz in ((np.full(1, 0.5), 48_000), (np.zeros(50), 1000)):
        path = send(client, audio_bytes(samples, rate_hz))
        assert outcome(client, path)["state"] == "done"
        wav, got_hz = read_wav(client.get(f"{path}/1k.wav").content)
        assert (len(np.atleast_1d(wav)), got_hz) == (len(samples), rate_hz)


def test_the_sample_clip_is_there(client):
    answer = client.post("/clips/sample", params={"rates": "1k"})
    assert answer.status_code == 202
    assert outcome(client, f"/clips/{answer.json()['id']}")["state"] == "done"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-3], "take.q2d2: "),
        (lambda data: data[:-40] + b"xx" + data[-38:], "take.q2d2: "),
        (lambda data: b"Q2D2", "take.q2d2: "),
        (lambda data: b"no sound at all", "take.q2d2: is not audio that can be read"),
    ],
)
def test_a_damaged_file_fails_in_one_line(client, clip, small_codec, change, words):
    progress = outcome(client, path := send(client, change(small_codec.compress(clip, RATE_HZ)), "dir/take.q2d2"))
    assert progress["state"] == "failed"
    assert progress["error"].startswith(words)
    assert "\n" not in progress["error"]
    assert tempfile.gettempdir() not in progress["error"]
    assert client.get(f"{path}/picture.json").status_code == 404


def test_other_weights_and_other_models_are_told_apart(client, clip, small_codec):
    indices = small_codec.encode(clip, RATE_HZ).indices.numpy()
    header = small_codec.header(RATE_HZ)
    for wrong in (replace(header, hop=header.hop + 1), replace(header, points=(5,) * len(header.points))):
        data = written(wrong, indices % 5, len(clip))
        progress = outcome(client, send(client, data, "other.q2d2"))
        with pytest.raises(ValueError) as refused:
            small_codec.decompress(data)
        assert progress["error"] == f"other.q2d2: {refused.value}"


def test_tokens_of_too_long_a_clip_are_refused_before_they_are_decoded(clip, small_codec, monkeypatch):
    indices = np.zeros((400, 3), np.int64)
    header = small_codec.header(RATE_HZ, "1k")
    with opened(small_codec, Limits(longest_s=1.0)) as client, monkeypatch.context() as patched:
        patched.setattr(small_codec, "decode", None)
        for samples in (round(400 * header.hop * RATE_HZ / header.codec_rate_hz), 100):
            progress = outcome(client, send(client, written(header, indices, samples), "long.q2d2"))
            assert progress["error"] == "long.q2d2: is longer than 1 s; q2d2 decode takes any length"


def written(header: bitstream.Header, indices: np.ndarray, num_samples: int) -> bytes:
    file = io.BytesIO()
    writer = bitstream.Writer(file, header)
    writer.write(indices)
    writer.close(num_samples)
    return file.getvalue()


def test_of_a_long_clip_the_beginning_is_used(clip, small_codec):
    with opened(small_codec, Limits(longest_s=0.5)) as client:
        path = send(client, audio_bytes(clip, RATE_HZ))
        assert outcome(client, path)["state"] == "done"
        assert client.get(f"{path}/picture.json").json()["is_cut"] is True
        original, _ = read_wav(client.get(f"{path}/original.wav").content)
        assert np.array_equal(original, clip[: RATE_HZ // 2])
        exact = send(client, audio_bytes(clip[: RATE_HZ // 2], RATE_HZ))
        assert outcome(client, exact)["state"] == "done"
        assert client.get(f"{exact}/picture.json").json()["is_cut"] is False


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """Where servers of this test keep their folders, and nobody else does."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("declared", [True, False])
def test_too_large_an_upload_is_refused(small_codec, temporary, declared):
    data = bytes(3000)
    with opened(small_codec, Limits(most_bytes=2000)) as client:
        (folder,) = temporary.iterdir()
        answer = client.post("/clips", content=data if declared else iter([data[:1500], data[1500:]]))
        assert answer.status_code == 413
        assert answer.json()["error"].startswith("that is larger than")
        assert not list(folder.iterdir())
        assert client.post("/clips", content=b"").json()["error"] == "clip: is empty; choose another file"
        assert not list(folder.iterdir())


def test_who_comes_when_all_places_are_taken_is_told_so(tokens, small_codec, monkeypatch):
    free, entered = threading.Event(), threading.Event()
    decode = small_codec.decode

    def slowly(codes):
        entered.set()
        assert free.wait(60)
        return decode(codes)

    monkeypatch.setattr(small_codec, "decode", slowly)
    with opened(small_codec, Limits(most_waiting=1)) as client:
        try:
            first = send(client, tokens)
            assert entered.wait(60)
            second = send(client, tokens)
            refused = client.post("/clips", content=tokens)
            assert refused.status_code == 503
            assert refused.json() == {"error": "too many clips are waiting; try again in a minute"}
            assert client.get(second).json()["state"] == "waiting"
            assert client.get(first).json()["step"] == "1k: decoding"
            assert client.get(f"{first}/1k.wav").status_code == 404  # not yet
        finally:
            free.set()
        assert outcome(client, first)["state"] == outcome(client, second)["state"] == "done"
        assert outcome(client, send(client, tokens))["state"] == "done"


def test_the_oldest_results_are_dropped(tokens, small_codec):
    with opened(small_codec, Limits(kept_clips=2)) as client:
        paths = [send(client, data) for data in (tokens, tokens, tokens[:-1])]  # what failed counts as well
        last = send(client, tokens)
        outcome(client, last)
        outcome(client, send(client, tokens))  # by now the one before has been tidied up after
        assert [client.get(path).status_code for path in paths[:2]] == [404, 404]
        assert client.get(f"{last}/1k.wav").status_code == 200
        for path in (paths[0], f"{paths[0]}/1k.wav"):
            assert client.get(path).json() == {"error": "that clip is no longer kept; send it again"}


def test_a_fault_of_the_server_is_no_end_of_it(client, tokens, small_codec, monkeypatch, caplog):
    with monkeypatch.context() as patched:
        patched.setattr(small_codec, "decode", lambda _: 1 / 0)
        progress = outcome(client, send(client, tokens))
    assert progress["error"] == "clip.wav: something went wrong in the server; its log says what"
    assert "ZeroDivisionError" in caplog.text
    assert outcome(client, send(client, tokens))["state"] == "done"


def test_everything_is_gone_after_the_server(clip, tokens, small_codec, temporary):
    before = set(threading.enumerate())
    with opened(small_codec) as client:
        outcome(client, send(client, tokens))
        started = set(threading.enumerate()) - before
        send(client, audio_bytes(clip, RATE_HZ))  # perhaps in the middle of it
        (folder,) = temporary.iterdir()
        assert len(list(folder.iterdir())) == 2
    assert not list(temporary.iterdir())
    assert any(thread.name == "q2d2 demo" for thread in started)
    for thread in started:  # threads of the web framework are told to end and not waited for
        thread.join(timeout=60)
        assert not thread.is_alive(), thread.name


def test_only_the_page_itself_can_send_clips(client, clip, small_codec):
    data = audio_bytes(clip, RATE_HZ)
    with opened(small_codec) as other:  # its tokens are of another key
        tokens = ["", "demo", client.headers["x-csrf-token"] + "x", other.headers["x-csrf-token"]]
    for token in tokens:
        for path in ("/clips", "/clips/sample"):
            answer = client.post(path, content=data, headers={"x-csrf-token": token})
            assert answer.status_code == 403
            assert "load it again" in answer.json()["error"]


def test_other_hosts_and_other_paths_lead_nowhere(client, sent):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421
    for path in ("/docs", "/openapi.json", "/clips", "/clips/", "/clips/0", "/clips/0/1k.wav", "/static/../web.py"):
        answer = client.get(path)
        assert answer.status_code in (404, 405)
        assert list(answer.json()) == ["error"]
    for file in ("upload", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "samples.npy", "%2E%2E", "1k"):
        assert client.get(f"{sent}/{file}").status_code == 404
    assert client.get("/healthz").json() == {"status": "ok"}
    for path in ("/", f"{sent}/1k.wav", "/static/demo.js", "/clips/0"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("name", "shown", "saved"),
    [
        ("a.wav", "a.wav", "a"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("C:\\sounds\\b c.flac", "b c.flac", "b-c"),
        ('x"; filename="y.exe', 'x"; filename="y.exe', "x-filename-y"),
        ("two\r\nlines\x00.wav", "two lines .wav", "two-lines"),
        ("Überraschung é.mp3", "Überraschung é.mp3", "Uberraschung-e"),
        ("日本語.wav", "日本語.wav", "clip"),
        ("<script>alert(1)</script>.wav", "script>.wav", "script"),
        ("", "clip", "clip"),
        ("...", "...", "clip"),
        ("\u202egpj.wav", "gpj.wav", "gpj"),
        ("n" * 500, "n" * 80, "n" * 80),
    ],
)
def test_names_are_shown_and_saved_without_harm(client, name, shown, saved):
    assert shown_name(name) == shown
    assert ascii_stem(shown) == saved
    answer = client.post("/clips", content=b"Q2D2", params={"name": name})
    assert answer.json()["name"] == shown
    error = outcome(client, f"/clips/{answer.json()['id']}")["error"]
    assert error.startswith(f"{shown}: ")


def test_downloads_are_called_after_the_clip(client, sent):
    for file in ("original.wav", "3k.q2d2"):
        disposition = client.get(f"{sent}/{file}").headers["content-disposition"]
        assert disposition == f'attachment; filename="my-clip-{file}"'


def test_a_spectrogram_shows_a_tone_where_it_is():
    rate_hz, tone_hz = 48_000, 3000
    time_s = np.arange(2 * rate_hz) / rate_hz
    wav = np.where(time_s < 1, np.sin(2 * np.pi * tone_hz * time_s), 0).astype(np.float32)
    power = drawing.power(wav, rate_hz)
    rows, columns = power.shape
    assert rows <= drawing.ROWS and columns <= drawing.COLUMNS
    loud = power[:, : columns // 2 - 20]
    assert set(loud.argmax(0)) == {int(tone_hz / (rate_hz / 2) * rows)}
    assert power[:, columns // 2 + 20 :].max() < 1e-6 * loud.max()
    levels = drawing.levels(power, float(power.max()))
    assert (levels["rows"], levels["columns"]) == (rows, columns)


@pytest.mark.parametrize("length", [1, 2, 1199, 1200, 1201, 50_000])
def test_an_envelope_touches_every_sample(length):
    wav = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    found = drawing.envelope(wav)
    assert len(found["low"]) == len(found["high"]) == min(length, drawing.ENVELOPE_COLUMNS)
    assert min(found["low"]) == pytest.approx(wav.min(), abs=1e-4)
    assert max(found["high"]) == pytest.approx(wav.max(), abs=1e-4)
    assert all(low <= high for low, high in zip(found["low"], found["high"], strict=True))


def test_the_path_is_that_of_the_grid(small_codec):
    grid = small_codec.quantizer.grids[0]
    indices = np.array([0, 3, 3, grid.num_points - 1])
    path = drawing.path(grid, indices)
    assert path["indices"] == indices.tolist()
    assert path["visits"][3] == 2
    for point, cell in zip(np.array(path["points"]), map(np.array, path["cells"]), strict=True):
        sides = np.roll(cell, -1, axis=0) - cell
        to_point = point - cell
        assert (np.sign(sides[:, 0] * to_point[:, 1] - sides[:, 1] * to_point[:, 0]) >= 0).all()  # it is inside


def test_the_page_offers_every_rate_and_works_by_itself(client, small_codec):
    page = client.get("/")
    for rate in small_codec.config.rates:
        assert f'value="{rate}"' in page.text
    assert "style=" not in page.text and "onclick" not in page.text
    assert "://" not in page.text  # nothing from elsewhere


def test_an_application_that_never_started_leaves_nothing(small_codec, temporary):
    assert create_app(small_codec) is not None
    assert not list(temporary.iterdir())
