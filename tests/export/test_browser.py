"""The page in examples/browser, used by a script in headless Chromium: tokens and sound are those of the codec.

Runs where there are chromium, node and a folder with the npm packages onnxruntime-web and playwright-core, named by
Q2D2_NODE_MODULES.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_codecs import distances_to_edges

from q2d2.codec import Codec, Codes

PAGE = Path(__file__).parents[2] / "examples" / "browser"
SCRIPT = Path(__file__).with_name("drive_page.mjs")
RATE_HZ = 24000


class Handler(SimpleHTTPRequestHandler):
    """The page, with a model and npm packages where it looks for them."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".wasm": "application/wasm", ".mjs": "text/javascript"}

    def __init__(self, *args: object, folders: dict[str, Path], **kwargs: object) -> None:
        self.folders = folders
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        first, _, rest = path.partition("?")[0].lstrip("/").partition("/")
        return str(self.folders[first] / rest if first in self.folders else PAGE / first)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def codec(small_codec: Codec) -> Codec:
    return small_codec


@pytest.fixture(scope="module")
def modules() -> Path:
    named = os.environ.get("Q2D2_NODE_MODULES")
    if not named:
        pytest.skip("Q2D2_NODE_MODULES does not name a folder with onnxruntime-web and playwright-core")
    for package in ("onnxruntime-web", "playwright-core"):
        if not (Path(named) / package).is_dir():
            pytest.skip(f"Q2D2_NODE_MODULES has no {package}: npm install {package}")
    return Path(named)


@pytest.fixture(scope="module")
def programs() -> tuple[str, str]:
    """Paths of node and of chromium."""
    node = shutil.which("node")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if node is None or chromium is None:
        pytest.skip("needs node and chromium on the PATH")
    return node, chromium


@pytest.fixture(scope="module")
def url(modules: Path, programs: tuple[str, str], request: pytest.FixtureRequest) -> Iterator[str]:
    graphs = request.getfixturevalue("graphs")  # not before it is known that there is a browser
    handler = partial(Handler, folders={"model": graphs, "node_modules": modules})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    thread.join()
    server.server_close()


def use_page(
    modules: Path, programs: tuple[str, str], url: str, clip: Path, out: Path, *rates: str
) -> dict[str, object]:
    node, chromium = programs
    command = [node, str(SCRIPT), str(modules), chromium, url, str(clip), str(out), *rates]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_page_encodes_and_decodes_as_the_codec_does(
    codec: Codec, modules: Path, programs: tuple[str, str], url: str, tmp_path: Path
) -> None:
    random, samples = np.random.default_rng(5), 2 * RATE_HZ + 123
    wav = 0.2 * random.standard_normal(samples) * np.abs(np.sin(np.arange(samples) / 4000))
    wav = wav.clip(-1, 1).astype(np.float32)
    soundfile.write(tmp_path / "clip.wav", wav, RATE_HZ, "FLOAT")  # Chromium scales 16-bit samples in its own way

    seen = use_page(modules, programs, url, tmp_path / "clip.wav", tmp_path, "1k", "7k")
    assert seen["complaints"] == []
    assert str(seen["status"]).startswith("clip.wav: encoded in")
    wanted = codec.encode(wav, RATE_HZ)
    for rate, pairs in (("1k", 3), ("7k", 18)):
        tokens = json.loads((tmp_path / f"{rate}.json").read_text())
        indices = wanted.indices[:, :pairs]
        assert tokens["rate"] == rate and tokens["points"] == list(codec.quantizer.points[:pairs])
        found = torch.tensor(tokens["indices"])
        ties = distances_to_edges(codec, wav, replace(wanted, indices=indices), replace(wanted, indices=found))
        assert found.shape == indices.shape
        assert len(ties) <= 1 and all(distance < 1e-4 for distance in ties)
        decoded, rate_hz = soundfile.read(tmp_path / f"{rate}.wav", dtype="float32")
        same = codec.decode(Codes(found, samples, RATE_HZ))
        assert rate_hz == RATE_HZ and decoded.shape == same.shape
        assert np.abs(decoded - same.clip(-1, 1)).max() < 1e-3
    bits = codec.bitrate_bps("7k") / codec.frame_rate_hz * len(wanted.indices)
    assert f"{int(np.ceil(bits)):,}" in str(seen["numbers"])


def test_page_says_what_it_cannot_read(modules: Path, programs: tuple[str, str], url: str, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("not audio")
    seen = use_page(modules, programs, url, tmp_path / "notes.wav", tmp_path)
    assert "cannot read notes.wav as audio" in str(seen["status"])
