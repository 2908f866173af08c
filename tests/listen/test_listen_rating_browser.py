"""The listeners' pages in a browser: keys, sliders, choices, narrow screens, and sounds that do not come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, complaints
from rooms import Room, open_room, outputs, ready, saved, turn

from q2d2.listen.planning import LETTERS, plan

PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def room(browser: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Room]:
    yield from open_room(browser, tmp_path, getattr(request, "param", "mushra"))


def test_a_session_by_keyboard_alone(room: Room) -> None:
    page = room.enter(1)
    found = complaints(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Start
    turn(page, "t1")
    ready(page)
    page.focus("#next")
    page.keyboard.press("Space")  # on a button of its own meaning
    for number in (1, 2):
        turn(page, str(number))
        ready(page)
        assert set(outputs(page)) == {"not rated"}
        page.keyboard.press("Space")
        assert page.inner_text("#play") == "Pause"
        for key, press in (("a", "End"), ("2", "ArrowUp"), ("c", "PageDown"), ("4", "Enter")):
            page.keyboard.press(key)
            assert page.evaluate("document.activeElement.dataset.letter") == LETTERS["a2c4".index(key)]
            page.keyboard.press(press)
        assert outputs(page) == ["100, excellent", "51, fair", "40, fair", "50, fair"]
        page.keyboard.press("r")
        assert page.get_attribute('[data-hear="reference"]', "aria-pressed") == "true"
        page.keyboard.press("Space")
        assert page.inner_text("#play") == "Play"
        page.focus("#comment")
        page.keyboard.type("a b r 0")  # no keys of ours here
        assert page.inner_text("#play") == "Play"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # Next
    turn(page, "thanks")
    rows = room.store.rows()
    for number, planned in enumerate(plan(room.study, 1), start=1):
        here = {row.condition: row for row in rows if row.trial == planned.trial}
        assert [here[condition].score for condition in planned.order] == [100, 51, 40, 50], number
        assert [here[condition].plays for condition in planned.order] == [1, 1, 1, 1]
        assert {row.comment for row in here.values()} == {"a b r 0"}
        assert all(row.seconds is not None and 0 < row.seconds < 60 for row in here.values())
    assert found == []


def test_a_slider_that_is_dragged_or_only_pressed_is_rated(room: Room) -> None:
    page = room.sit(1)
    box = page.locator("#score-A").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    assert outputs(page)[0] == "50, fair"
    page.mouse.down()
    for step in range(20):
        page.mouse.move(box["x"] + box["width"] / 2 + 10 * step, box["y"] + box["height"] / 2)
    page.mouse.up()
    saved(page)
    scores = [row.score for row in room.store.rows(submitted_only=False)]
    assert [f"{score:.0f}" for score in scores] == [outputs(page)[0].split(",")[0]] and scores[0] > 50


def test_next_asks_once_where_nothing_is_as_good_as_the_reference(room: Room) -> None:
    page = room.sit(1)
    for letter in "abcd":
        page.keyboard.press(letter)
        page.keyboard.press("Enter")
    page.click("#next")
    assert "does none deserve 100" in page.inner_text("#hint")
    page.click("#next")
    turn(page, "2")


@pytest.mark.parametrize(("room", "unheard"), [("mushra", "B, D"), ("abx", "B, X")], indirect=["room"])
def test_nobody_goes_on_without_having_heard_everything(room: Room, unheard: str) -> None:
    page = room.sit(1)
    if room.study.protocol_name == "abx":
        page.click("label >> text=X is A")
        page.keyboard.press("a")
    else:
        for letter in "ABCD":
            page.focus(f"#score-{letter}")
            page.keyboard.press("End")
        page.keyboard.press("a")
        page.keyboard.press("c")
    page.click("#next")
    assert page.inner_text("#hint") == f"Not heard yet: {unheard}."
    for key in unheard.lower().split(", "):
        page.keyboard.press(key)
    page.click("#next")
    turn(page, "2")


def test_what_was_rated_before_the_page_was_left_has_been_heard(room: Room) -> None:
    page = room.sit(1)
    for letter in "abcd":
        page.keyboard.press(letter)
        page.keyboard.press("End")
    saved(page)
    page.evaluate("sessionStorage.clear()")
    page.close()
    page = room.enter(1)
    ready(page)
    page.click("#next")
    turn(page, "2")


def test_a_finger_that_scrolls_the_page_rates_nothing(room: Room) -> None:
    page = room.sit(1, **PHONE)
    page.tap("#score-D")
    saved(page)
    before = [outputs(page), page.evaluate("scrollY"), room.store.rows(submitted_only=False)]
    assert before[0][3] == "50, fair"
    fingers = page.context.new_cdp_session(page)
    for letter in "DC":
        box = page.locator(f"#score-{letter}").bounding_box()
        x, y = box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2
        fingers.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for step in range(1, 13):
            moved = [{"x": x, "y": y - 15 * step}]
            fingers.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": moved})
        fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function(f"scrollY > {before[1]}")
    page.wait_for_timeout(300)  # longer than anything waits before it is saved
    assert [outputs(page), room.store.rows(submitted_only=False)] == [before[0], before[2]]


@pytest.mark.parametrize("room", ["cmos-q", "abx"], indirect=True)
def test_pairs(room: Room) -> None:
    page = room.sit(1)
    found = complaints(page)
    labels = {"cmos-q": "slightly better", "abx": "X is B"}
    for number, planned in enumerate(plan(room.study, 1), start=1):
        turn(page, str(number))
        ready(page)
        page.click("#next")
        assert page.inner_text("#hint") == "Choose one of the answers."
        for key in "abx" if room.study.protocol_name == "abx" else "ab":
            page.keyboard.press(key)
            assert page.get_attribute(f'[data-hear="{key if key == "x" else key.upper()}"]', "aria-pressed") == "true"
        page.click(f"label >> text={labels[room.study.protocol_name]}")
        assert page.inner_text("#hint") == ""
        saved(page)
        page.reload()
        assert page.locator("[name=choice]:checked").count() == 1
        page.click("#next")
        turn(page, str(number + 1) if number < len(room.study.trials) else "thanks")
        second = list(room.study.trials[planned.trial].stimuli)[1]
        right = planned.order[1] == (planned.x or second)
        row = next(row for row in room.store.rows() if row.trial == planned.trial)
        wrong = -1.0 if room.study.protocol_name == "cmos-q" else 0.0
        assert (row.score, row.plays) == (1.0 if right else wrong, 3 if room.study.protocol_name == "abx" else 2)
    assert found == []


@pytest.mark.parametrize("room", ["mushra", "cmos-q", "abx"], indirect=True)
def test_pages_fit_a_phone(room: Room) -> None:
    page = room.enter(1, **PHONE)
    found = complaints(page)
    wide = "document.documentElement.scrollWidth > innerWidth"
    assert not page.evaluate(wide)
    page.tap("#start")
    ready(page)
    assert not page.evaluate(wide)
    page.tap("#next")
    page.wait_for_selector("#comment")
    ready(page)
    page.tap('[data-hear="A"]')
    page.tap("summary")
    page.tap("#next")
    assert page.inner_text("#hint") != ""
    assert not page.evaluate(wide)
    unnamed = """[...document.querySelectorAll("input, button, textarea, progress")].filter((element) =>
      !element.getAttribute("aria-label") && !element.textContent.trim() && !element.labels?.length).length"""
    assert page.evaluate(unnamed) == 0
    assert found == []


def test_part_by_keyboard_is_never_shorter_than_half_a_second(room: Room) -> None:
    page = room.sit(1)
    page.focus("[aria-label='Start of the part']")
    page.keyboard.press("End")
    values = "[...document.querySelectorAll('#region input')].map((input) => Number(input.value))"
    assert page.evaluate(values) == [0.5, 1]
    page.focus("[aria-label='End of the part']")
    page.keyboard.press("Home")
    assert page.evaluate(values) == [0.5, 1]
    page.click("#region button")
    assert page.evaluate(values) == [0, 1]
    assert page.locator("#region button").is_disabled()


def test_sounds_that_cannot_be_fetched_are_asked_for_again(room: Room) -> None:
    page = room.enter(1)
    page.context.route("**/audio/**/B", lambda route: route.abort())
    page.click("#start")
    page.wait_for_selector("#failed:visible")
    page.context.unroute("**/audio/**/B")
    page.click("#load-again")
    ready(page)
    page.keyboard.press("b")
    assert page.inner_text("#play") == "Pause"


def test_a_page_says_so_if_sound_does_not_start(room: Room) -> None:
    page = room.enter(1)
    page.context.add_init_script(
        "AudioContext.prototype.resume = () => new Promise(() => {});"
        "Object.defineProperty(AudioContext.prototype, 'state', { get: () => 'suspended' });"
    )
    page.click("#start")
    ready(page)
    page.keyboard.press("a")
    page.wait_for_selector('#notice:has-text("does not play")')
    assert page.inner_text("#play") == "Play"
