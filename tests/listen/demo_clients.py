"""The demo as its page uses it: a client with a token, a clip sent, a clip waited for."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import soundfile
from starlette.testclient import TestClient

from q2d2.codec import Codec
from q2d2.listen.demo import Limits, create_app

WAITS_S = 60.0


@contextmanager
def opened(codec: Codec, limits: Limits | None = None) -> Iterator[TestClient]:
    """A server from start to end, and somebody who has loaded its page."""
    with TestClient(create_app(codec, limits), base_url="http://127.0.0.1:8000") as client:
        page = client.get("/").text
        match = re.search(r'<meta name="csrf-token" content="([^"]+)">', page)
        assert match is not None
        client.headers["x-csrf-token"] = match[1]
        yield client


def send(client: TestClient, data: bytes, name: str = "clip.wav", **query: str) -> str:
    """The path of the clip that this becomes."""
    answer = client.post("/clips", content=data, params={"name": name, **query})
    assert answer.status_code == 202, answer.text
    return f"/clips/{answer.json()['id']}"


def outcome(client: TestClient, path: str) -> dict[str, Any]:
    """How far a clip is once it is over."""
    until = time.monotonic() + WAITS_S
    while time.monotonic() < until:
        progress = client.get(path).json()
        if progress["state"] in ("done", "failed"):
            return progress
        time.sleep(0.03)
    raise AssertionError(f"not over after {WAITS_S} s: {progress}")


def audio_bytes(samples: np.ndarray, sample_rate_hz: int, form: str = "WAV", **how: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate_hz, format=form, **how)
    return file.getvalue()


def read_wav(data: bytes) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(data), dtype="float32")
