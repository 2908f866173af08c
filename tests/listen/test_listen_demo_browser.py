"""The demo's page in a browser: by mouse, by keyboard, by microphone, on a phone, and when something goes wrong."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import chromium, complaints, serve
from conftest import make_speech_like
from demo_clients import WAITS_S, audio_bytes

from q2d2.audio import to_int16
from q2d2.listen.demo import Limits, create_app

RATE_HZ = 16_000
FAKE_MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
PAINTED = """(id) => {
  const canvas = document.getElementById(id);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
}"""
PIXELS = "(id) => document.getElementById(id).toDataURL()"
NAMELESS = """() => {
  const named = (element) => element.labels?.length || element.ariaLabel || element.getAttribute("aria-labelledby") ||
    (element.matches("button, a") && element.textContent.trim());
  const all = [...document.querySelectorAll("button, input, select, progress, meter, canvas, a, table")];
  return all.filter((element) => !named(element)).map((element) => element.outerHTML);
}"""
SEND_TWO = """async () => {
  const headers = { "x-csrf-token": document.querySelector("meta[name=csrf-token]").content };
  for (let number = 0; number < 2; number++) {
    const { id } = await (await fetch("clips", { method: "POST", body: "Q2D2", headers })).json();
    while ((await (await fetch(`clips/${id}`)).json()).state !== "failed");
  }
  while ((await fetch(document.querySelector("#sizes a").href)).ok);
}"""
DROP = """([text, name]) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  for (const type of ["dragenter", "dragover", "drop"]) {
    document.getElementById("drop").dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true }));
  }
}"""

OpenPage = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(*FAKE_MICROPHONE) as browser:
        yield browser


@pytest.fixture(scope="module")
def address(small_codec: Any) -> Iterator[str]:
    with serve(create_app(small_codec)) as address:
        yield address


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return to_int16(make_speech_like(2.0, RATE_HZ)).astype(np.float32) / 32768


@pytest.fixture(scope="module")
def file(clip, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "my clip.wav"
    path.write_bytes(audio_bytes(clip, RATE_HZ))
    return path


@contextmanager
def opened(browser: Any, address: str, expected: str = "", **how: Any) -> Iterator[Any]:
    """A page of its own, which must have said nothing on its console but `expected` (a pattern)."""
    context = browser.new_context(**how)
    page = context.new_page()
    said = complaints(page)
    page.goto(address)
    yield page
    assert [words for words in said if not expected or not re.search(expected, words)] == []
    context.close()


def wait_for(page: Any, expression: str, argument: Any = None) -> None:
    """Until this is so; playwright's own way is to ask in the page, whose policy forbids it."""
    until = time.monotonic() + WAITS_S
    while not page.evaluate(expression, argument):
        assert time.monotonic() < until, expression
        page.wait_for_timeout(20)


def wait_until_done(page: Any) -> None:
    wait_for(page, "document.activeElement.id === 'name'")


def position(page: Any) -> float:
    return float(page.locator("#position").input_value())


def pressed(page: Any) -> list[str]:
    return page.eval_on_selector_all("#sounds [aria-pressed=true]", "found => found.map((b) => b.firstChild.data)")


def test_a_chosen_file_is_heard_seen_and_saved(browser, address, file, clip, small_codec):
    with opened(browser, address) as page:
        page.locator("#file").set_input_files(file)
        wait_until_done(page)
        assert page.locator("#name").text_content() == "my clip.wav"
        assert page.locator("#facts").text_content() == "2.00 s at 16 kHz"
        assert page.locator("#progress").is_hidden()
        assert page.locator("#sounds button").all_text_contents() == ["original 0", "1k 1", "3k 2", "7k 3"]
        assert all(page.evaluate(PAINTED, canvas) > 3 for canvas in ("waveform", "left", "right", "path"))
        assert page.evaluate(NAMELESS) == []
        rows = page.eval_on_selector_all(
            "#sizes tr", "rows => rows.map((row) => [...row.children].map((cell) => cell.textContent))"
        )
        sizes = [len(small_codec.compress(clip, RATE_HZ, rate)) for rate in small_codec.config.rates]
        assert rows[1] == ["bytes", f"{2 * len(clip):,}", *(f"{size:,}" for size in sizes)]
        assert rows[2][2:] == [f"{8 * size / 2.0:,.0f}" for size in sizes]
        with page.expect_download() as download:
            page.get_by_label("Save 3k.q2d2").click()
        assert download.value.suggested_filename == "my-clip-3k.q2d2"
        assert Path(download.value.path()).read_bytes() == small_codec.compress(clip, RATE_HZ, "3k")


def test_a_switch_stays_at_its_place(browser, address, file):
    with opened(browser, address) as page:
        page.locator("#file").set_input_files(file)
        wait_until_done(page)
        assert pressed(page) == ["original"]
        page.locator("#waveform").click(position={"x": page.locator("#waveform").bounding_box()["width"] / 2, "y": 20})
        assert position(page) == pytest.approx(1.0, abs=0.02)
        for key, name in (("2", "3k"), ("1", "1k"), ("0", "original"), ("9", "original"), ("3", "7k")):
            page.keyboard.press(key)
            assert pressed(page) == [name]
            assert position(page) == pytest.approx(1.0, abs=0.02)
        still = page.evaluate(PIXELS, "right")
        assert page.locator("#right-title").text_content() == "7k"
        page.get_by_role("button", name="1k").click()
        assert page.locator("#right-title").text_content() == "1k"
        assert page.evaluate(PIXELS, "right") != still
        page.keyboard.press(" ")  # the button that is pressed already has the focus
        wait_for(page, "Number(document.getElementById('position').value) > 1.15")
        before = position(page)
        page.keyboard.press("3")
        after = position(page)
        assert page.locator("#play").text_content() == "Pause"
        assert before <= after < before + 0.5
        page.locator("#play").click()
        stays = position(page)
        page.wait_for_timeout(100)
        assert position(page) == stays


def test_a_dropped_file_is_taken(browser, address, file, small_codec, clip):
    data = base64.b64encode(small_codec.compress(clip, RATE_HZ, "1k")).decode()
    with opened(browser, address) as page:
        page.evaluate(DROP, [data, "take.q2d2"])
        wait_until_done(page)
        assert page.locator("#facts").text_content().endswith("there is no original to compare with")
        assert page.locator("#sounds button").all_text_contents() == ["1k 0"]
        assert not page.locator("#drop.over").count()
        page.locator("#file").set_input_files(file)  # another one takes its place
        wait_for(page, "document.getElementById('name').textContent === 'my clip.wav'")
        assert page.locator("#sounds button").count() == 4


def test_all_of_it_works_from_the_keyboard(browser, address):
    with opened(browser, address) as page:

        def tab_to(wanted: str) -> None:
            for _ in range(30):
                page.keyboard.press("Tab")
                if page.evaluate("(wanted) => document.activeElement.matches(wanted)", wanted):
                    return
            raise AssertionError(f"no way to {wanted}")

        tab_to("[name=rate][value='7k']")
        page.keyboard.press(" ")
        tab_to("#file")
        tab_to("#sample")
        page.keyboard.press("Enter")
        wait_until_done(page)
        assert page.locator("#sounds button").count() == 3
        page.keyboard.press(" ")
        assert page.locator("#play").text_content() == "Pause"
        tab_to("#play")
        page.keyboard.press("Enter")
        assert page.locator("#play").text_content() == "Play"
        tab_to("#sounds button:nth-child(2)")
        page.keyboard.press(" ")
        assert pressed(page) == ["1k"]
        tab_to("#position")
        page.keyboard.press("Home")
        assert position(page) == 0
        page.keyboard.press("End")
        assert page.locator("#position").get_attribute("aria-valuetext").startswith("7.5 of 7.5 s")
        words = page.locator("#path").get_attribute("aria-label")
        tab_to("#pair")
        page.keyboard.press("ArrowDown")
        assert page.locator("#path").get_attribute("aria-label") == words.replace("pair 1", "pair 2")
        tab_to("#sizes a")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_room_for_it(browser, address, file, scheme):
    with opened(browser, address, viewport={"width": 360, "height": 740}, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.locator("#file").set_input_files(file)
        wait_until_done(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate(
            "document.querySelector('.wide').scrollWidth <= document.querySelector('.wide').clientWidth"
        )
        assert all(page.evaluate(PAINTED, canvas) > 3 for canvas in ("waveform", "left", "right", "path"))
        before = page.evaluate(PIXELS, "left")
        page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
        wait_for(page, "([before]) => document.getElementById('left').toDataURL() !== before", [before])


def test_where_motion_is_unwelcome_the_path_waits(browser, address, file):
    with opened(browser, address, reduced_motion="reduce") as page:
        page.locator("#file").set_input_files(file)
        wait_until_done(page)
        page.keyboard.press(" ")
        still = page.evaluate(PIXELS, "path")
        wait_for(page, "Number(document.getElementById('position').value) > 0.4")
        assert page.evaluate(PIXELS, "path") == still
        page.keyboard.press(" ")
        assert page.evaluate(PIXELS, "path") != still
        page.emulate_media(reduced_motion="no-preference")
        page.keyboard.press(" ")
        still = page.evaluate(PIXELS, "path")
        wait_for(page, "([still]) => document.getElementById('path').toDataURL() !== still", [still])


def test_the_microphone_gives_a_clip(browser, address):
    with opened(browser, address) as page:
        page.locator("#record").click()
        wait_for(page, "parseFloat(document.getElementById('recorded').textContent) >= 0.8")
        assert page.locator("#record").text_content() == "Stop"
        assert page.locator("#sample").is_disabled()
        page.locator("#record").click()
        wait_until_done(page)
        assert page.locator("#name").text_content() == "recording.wav"
        duration_s = float(page.locator("#facts").text_content().split()[0])
        assert 0.7 < duration_s < 30
        assert page.locator("#record").text_content() == "Record"
        assert page.locator("#sample").is_enabled()


def test_where_there_is_no_microphone_the_page_says_so(browser, address):
    context = browser.new_context()
    context.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined })")
    page = context.new_page()
    page.goto(address)
    assert page.locator("#record").is_disabled()
    assert page.locator("#no-microphone").is_visible()
    context.close()


def test_what_goes_wrong_is_said(browser, small_codec, file, tmp_path):
    limits = Limits(kept_clips=1, most_bytes=100_000)
    browsers_own = "status of (404|403)"  # its line on an answer of 4xx
    with (
        serve(create_app(small_codec, limits)) as address,
        opened(browser, address, expected=browsers_own) as page,
    ):
        error = page.locator("#error")

        def send(data: bytes, name: str = "bad.wav") -> None:
            (tmp_path / name).write_bytes(data)
            page.locator("#file").set_input_files(tmp_path / name)

        def told(words: str) -> None:
            wait_for(page, "([words]) => document.getElementById('error').textContent.includes(words)", [words])
            assert page.locator("#progress").is_hidden()
            assert page.locator("#file").is_enabled()

        send(b"no sound")
        told("bad.wav: is not audio that can be read")
        send(bytes(200_000))
        told("bad.wav is larger than")
        for box in page.locator("[name=rate]").all():
            box.uncheck()
        page.locator("#file").set_input_files(file)
        told("Choose at least one rate.")
        page.locator("#record").click()
        told("Choose at least one rate.")
        page.locator("[value='1k']").check()
        page.locator("#file").set_input_files(file)
        wait_until_done(page)
        assert error.text_content() == ""
        page.evaluate(SEND_TWO)  # of no use, but they count; no more than one is kept
        page.get_by_label("Save 1k.wav").click()
        told("that clip is no longer kept; send it again")
        page.evaluate("document.querySelector('meta[name=csrf-token]').content = 'x'")
        page.locator("#sample").click()
        told("load it again")


def test_when_the_server_is_gone_the_page_says_so(browser, small_codec):
    with serve(create_app(small_codec)) as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
    page.locator("#sample").click()
    wait_for(page, "document.getElementById('error').textContent.includes('is the demo still running?')")
    context.close()
