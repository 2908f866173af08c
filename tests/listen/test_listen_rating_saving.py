"""Nothing that a listener said is lost: reloads, second windows, listeners side by side, servers that die."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import chromium
from rooms import Room, open_room, outputs, ready, saved, turn
from studies import make_study

from q2d2.listen.planning import plan
from q2d2.listen.rating import link
from q2d2.listen.store import open_store
from q2d2.listen.study import database_url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def room(browser: Any, tmp_path: Path) -> Iterator[Room]:
    yield from open_room(browser, tmp_path)


def test_reload_and_back_show_where_the_listener_is(room: Room) -> None:
    page = room.sit(1)
    page.focus("#score-B")
    page.keyboard.press("ArrowLeft")
    page.focus("#score-D")
    page.keyboard.press("Enter")
    saved(page)
    before = outputs(page)
    assert before == ["not rated", "49, fair", "not rated", "50, fair"]
    page.reload()
    assert outputs(page) == before
    page.goto("about:blank")
    page.go_back()
    ready(page)
    assert outputs(page) == before
    page.click("#next")
    assert page.inner_text("#hint") == "Not rated yet: A, C."
    assert page.evaluate("document.activeElement.id") == "score-A"


def test_what_is_not_saved_yet_is_saved_when_the_page_is_left(room: Room) -> None:
    page = room.sit(1)
    page.evaluate(
        """() => {
          const input = document.querySelector("#score-C");
          input.value = 77;
          input.dispatchEvent(new Event("input"));
          location.href = "about:blank";
        }"""
    )
    page.wait_for_url("about:blank")
    until = time.monotonic() + 10
    while not (rows := room.store.rows(submitted_only=False)) and time.monotonic() < until:
        time.sleep(0.02)
    assert [row.score for row in rows] == [77.0]


def test_an_old_window_is_told_and_led_on(room: Room) -> None:
    old = room.sit(1)
    new = old.context.new_page()
    new.goto(old.url)
    ready(new)
    for letter in "abcd":
        new.keyboard.press(letter)
        new.keyboard.press("End")
    new.click("#next")
    turn(new, "2")
    old.focus("#score-A")
    old.keyboard.press("Home")
    old.wait_for_selector("#refused:visible")
    assert "another page" in old.inner_text("#refused")
    old.click("text=Go to where you are")
    turn(old, "2")
    assert [row.score for row in room.store.rows(submitted_only=False)] == [100.0] * 4


def test_two_listeners_at_once(room: Room) -> None:
    pages = {number: room.sit(number) for number in (1, 2)}
    for number in (1, 2):
        for page in pages.values():
            ready(page)
        for place, letter in enumerate("abcd"):
            for who, page in pages.items():
                page.keyboard.press(letter)
                page.keyboard.press("End")
                for _ in range((who + place) % 4):
                    page.keyboard.press("ArrowLeft")
        for page in pages.values():
            page.click("#next")
        for page in pages.values():
            turn(page, {1: "2", 2: "thanks"}[number])
    for who in (1, 2):
        for planned in plan(room.study, who):
            rows = {
                row.condition: row.score for row in room.store.rows() if (row.rater, row.trial) == (who, planned.trial)
            }
            assert [rows[condition] for condition in planned.order] == [100 - (who + place) % 4 for place in range(4)]


def start_server(folder: Path, port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-m", "q2d2", "listen", "serve", folder, "--port", str(port)])
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, "the server did not start"
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz")
            return process
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server did not start")


def test_a_server_that_is_killed_loses_nothing_that_was_shown_as_saved(browser: Any, tmp_path: Path) -> None:
    make_study(tmp_path, items=2)
    with open_store(database_url(tmp_path)) as store:
        store.invite([None])
        store.start(1)
        store.finish_training(1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = start_server(tmp_path, port)
    try:
        page = browser.new_context().new_page()
        page.goto(link(tmp_path, 1, f"http://127.0.0.1:{port}"))
        ready(page)
        for letter in "ab":
            page.keyboard.press(letter)
            page.keyboard.press("End")
        saved(page)
        server.send_signal(signal.SIGKILL)
        server.wait()
        with open_store(database_url(tmp_path)) as store:
            assert [row.score for row in store.rows(submitted_only=False)] == [100.0, 100.0]
        page.keyboard.press("c")
        page.keyboard.press("Home")
        page.keyboard.press("d")
        page.keyboard.press("Enter")
        page.wait_for_selector('#state:text-is("not saved, trying again")')
        page.click("#next")
        assert outputs(page) == ["100, excellent", "100, excellent", "0, bad", "50, fair"]
        server = start_server(tmp_path, port)
        turn(page, "2")  # by itself
    finally:
        server.kill()
        server.wait()
        page.context.close()
    with open_store(database_url(tmp_path)) as store:
        assert [row.score for row in sorted(store.rows(), key=lambda row: row.position)] == [100.0, 100.0, 0.0, 50.0]
