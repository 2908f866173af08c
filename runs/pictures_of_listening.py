"""The pictures of docs/listening.md: the pages in headless Chromium, with the shipped clip, and a simulated report.

    python runs/pictures_of_listening.py docs/listening

Needs the extras `listen` and `dev` (playwright), and a `chromium` on the PATH.
"""

import io
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

import q2d2
from q2d2 import audio
from q2d2.demo import CLIP
from q2d2.listen import planning, report, study
from q2d2.listen.creating import create
from q2d2.listen.demo import create_app as demo_app
from q2d2.listen.rating import create_app, link
from q2d2.listen.store import open_store
from q2d2.listen.store.export import frame

ITEMS, SECONDS, RATE_HZ = 4, 3.0, 24_000
QUALITIES = {"reference": 99, "7k": 86, "3k": 78, "1k": 62, "anchor70": 58, "anchor35": 28}
DESK = {"viewport": {"width": 700, "height": 300}}
WIDE = {"viewport": {"width": 820, "height": 300}}
PHONE = {"viewport": {"width": 360, "height": 640}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}


def recordings(folder: Path) -> None:
    """Parts of the clip, and what the codec makes of them at each rate."""
    samples, rate_hz = audio.read(CLIP)
    clip, codec = audio.resample(audio.to_mono(samples), rate_hz, RATE_HZ), q2d2.load()
    for name in ("reference", *codec.rates):
        (folder / name).mkdir()
    length = round(min(SECONDS, len(clip) / RATE_HZ / ITEMS) * RATE_HZ)
    for item in range(ITEMS):
        part = clip[item * length : (item + 1) * length]
        audio.write(folder / "reference" / f"{item}.wav", part, RATE_HZ)
        for rate in codec.rates:
            decoded = codec.decompress(codec.compress(part, RATE_HZ, rate))
            audio.write(folder / rate / f"{item}.wav", decoded, RATE_HZ)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The base URL of an application that runs meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def keep(page: Any, path: Path) -> None:
    """The whole page, in 256 colours."""
    image = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def rating_pages(browser: Browser, folder: Path, out: Path, protocol: str) -> None:
    made = folder / f"study-{protocol}"
    systems = {name: folder / name for name in QUALITIES if (folder / name).is_dir() and name != "reference"}
    create(made, folder / "reference", systems, protocol, anchors=("anchor35", "anchor70"))
    with open_store(study.database_url(made)) as store, served(create_app(made, store)) as url:
        store.invite([None, None])

        def sit(number: int, how: dict[str, Any]) -> Any:
            page = browser.new_context(**how).new_page()
            page.goto(link(made, number, url))
            return page

        page = sit(1, DESK)
        if protocol == "mushra":
            keep(page, out / "welcome.png")
        page.click("#start")
        page.wait_for_selector("#panel:visible")
        if protocol == "mushra":
            keep(page, out / "training.png")
        store.finish_training(1)
        store.start(2)
        store.finish_training(2)
        for number, how, name in (
            (1, WIDE if protocol == "mushra" else DESK, protocol),
            (2, PHONE, f"{protocol}-phone"),
        ):
            page = sit(number, how)
            page.wait_for_selector("#panel:visible")
            if protocol == "mushra":
                for key in ("c", *["ArrowRight"] * 9, "a", "Enter"):
                    page.keyboard.press(key)
            else:
                page.keyboard.press("b")
                page.click("label >> nth=4" if protocol == "cmos-q" else "label >> nth=0")
            page.wait_for_selector('#state:text-is("saved")')
            page.wait_for_timeout(900)
            file = {"cmos-q-phone": "cmos-phone"}.get(name, name)
            if file in ("mushra", "mushra-phone", "cmos-phone", "ab", "abx"):
                keep(page, out / f"{file}.png")


def demo_page(browser: Browser, out: Path) -> None:
    with served(demo_app(q2d2.load())) as url:
        page = browser.new_context(viewport={"width": 900, "height": 900}).new_page()
        page.goto(url)
        page.get_by_text("Try the sample clip").click()
        page.wait_for_selector("#results:not([hidden])", timeout=120_000)
        page.keyboard.press("2")
        page.keyboard.press(" ")
        page.wait_for_timeout(1800)
        page.keyboard.press(" ")
        keep(page, out / "demo.png")


def simulated_report(folder: Path, out: Path) -> None:
    """Twenty listeners who hear the qualities above, with a bias each and noise in each rating."""
    made = folder / "study-mushra"
    of = replace(study.load(made), title="Simulated listeners, not people")
    rng = np.random.default_rng(0)
    with open_store(f"sqlite:///{folder / 'simulated.db'}") as store:
        for rater in store.invite([None] * 20):
            bias = rng.normal(0, 5)
            for page in planning.plan(of, rater.number):
                for place, condition in enumerate(page.order, start=1):
                    shift, spread = (0, 1) if condition == "reference" else (bias, 7)
                    score = float(np.clip(round(QUALITIES[condition] + shift + rng.normal(0, spread)), 0, 100))
                    store.save(rater.number, page.trial, condition, score, place, plays=1)
                store.submit(rater.number, page.trial, 30.0)
        report.report([report.Rated("simulated listeners", of, frame(of, store))], folder / "report")
    shutil.copyfile(folder / "report" / "mushra.png", out / "report.png")


def main(out: tyro.conf.Positional[Path]) -> None:
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        recordings(folder)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        for protocol in ("mushra", "cmos-q", "ab", "abx"):
            rating_pages(browser, folder, out, protocol)
        demo_page(browser, out)
        browser.close()
        simulated_report(folder, out)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
