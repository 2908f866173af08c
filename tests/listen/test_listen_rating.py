"""The listeners' application, request by request: where a listener is, and what is stored of an answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from browser import serve
from listeners import ITEMS, SYSTEMS, Desk, Listener, open_desk, shown
from studies import make_study

from q2d2.listen.rating import create_app
from q2d2.listen.store import open_store
from q2d2.listen.study import database_url


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield from open_desk(tmp_path / "study", "mushra")


@pytest.fixture
def pairs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    yield from open_desk(tmp_path / "study", request.param)


# --- the way through


def test_way_leads_through_all_trials_in_the_planned_order_and_ends_for_good(desk: Desk) -> None:
    ada = desk.ada
    assert shown(ada.get().text) == "welcome"
    ada.send("POST", "/start")
    assert shown(ada.get().text) == "t1"
    ada.send("POST", "/trained")
    for number, page in enumerate(ada.pages(desk.study), start=1):
        assert shown(ada.get().text) == str(number)
        ada.rate(number, [10.0 * number + place for place in range(len(page.order))])
        assert ada.submit(number, f"comment {number}").status_code == 204
    assert shown(ada.get().text) == shown(ada.get().text) == "thanks"
    assert desk.store.rater(1).finished_at is not None
    found = {(row.trial, row.condition): row[4:9] for row in desk.store.rows()}
    assert found == {
        (page.trial, condition): (10.0 * number + place, place + 1, 2, 1.5, f"comment {number}")
        for number, page in enumerate(ada.pages(desk.study), start=1)
        for place, condition in enumerate(page.order)
    }
    assert shown(desk.other.get().text) == "welcome"


def test_ratings_come_back_with_the_page(desk: Desk) -> None:
    desk.ada.begin()
    desk.ada.send("PUT", "/pages/1/answers/B", {"score": 73})
    sliders = re.findall(r"<input[^>]*data-letter[^>]*>", desk.ada.get().text)
    rated = [slider for slider in sliders if "data-rated" in slider]
    assert len(sliders) == 4 and len(rated) == 1
    assert 'data-letter="B"' in rated[0] and 'value="73"' in rated[0]


def test_newest_score_wins(desk: Desk) -> None:
    desk.ada.begin()
    for score in (1, 99, 40):
        desk.ada.send("PUT", "/pages/1/answers/A", {"score": score})
    assert [row.score for row in desk.store.rows(submitted_only=False)] == [40.0]


def test_a_request_that_was_overtaken_changes_nothing(desk: Desk) -> None:
    desk.ada.begin()

    def stored(score: float, window: str, change: int) -> float:
        body = {"score": score, "window": window, "change": change}
        assert desk.ada.send("PUT", "/pages/1/answers/A", body).status_code == 204
        return desk.store.rows(submitted_only=False)[0].score

    assert stored(30, "one", 1) == 30
    assert stored(80, "one", 3) == 80
    assert stored(55, "one", 2) == 80  # was on its way for long
    assert stored(80, "one", 3) == 80  # its answer was lost, so it comes again
    assert stored(10, "two", 1) == 10  # the listener sits elsewhere now
    assert stored(20, "one", 4) == 20
    assert desk.other.number != 1 and desk.store.answers(2, 0) == {}


def test_what_is_handed_in_is_what_the_page_shows(desk: Desk) -> None:
    """Whatever another window has saved meanwhile."""
    desk.ada.begin()
    desk.ada.rate(1, [30.0] * 4)
    for letter in "ABCD":
        desk.ada.send("PUT", f"/pages/1/answers/{letter}", {"score": 95})
    assert desk.ada.submit(1).status_code == 204
    assert [row.score for row in desk.store.rows()] == [30.0] * 4


@pytest.mark.parametrize("method, path", [("PUT", "answers/A"), ("POST", "submit")])
def test_only_the_current_page_can_be_answered(desk: Desk, method: str, path: str) -> None:
    body = {"score": 50, "seconds": 1, "answers": {}}
    before_start = desk.ada.send(method, f"/pages/1/{path}", body)
    desk.ada.send("POST", "/start")
    in_training = desk.ada.send(method, f"/pages/1/{path}", body)
    desk.ada.send("POST", "/trained")
    ahead = desk.ada.send(method, f"/pages/2/{path}", body)
    nowhere = [desk.ada.send(method, f"/pages/{number}/{path}", body) for number in (0, -1, 3)]
    desk.ada.rate(1, [50.0] * len(desk.ada.pages(desk.study)[0].order))
    stored = desk.store.rows(submitted_only=False)
    assert desk.ada.submit(1).status_code == 204
    behind = desk.ada.send(method, f"/pages/1/{path}", body)
    for answer in (before_start, in_training, ahead, *nowhere, behind):
        assert answer.status_code == 409 and "another page" in answer.json()["error"]
    assert [row[:6] for row in desk.store.rows(submitted_only=False)] == [row[:6] for row in stored]


def test_a_page_is_submitted_only_when_all_is_rated(desk: Desk) -> None:
    desk.ada.begin()
    letters = len(desk.ada.pages(desk.study)[0].order)
    desk.ada.rate(1, [50.0] * (letters - 1))
    assert desk.ada.submit(1).status_code == 409
    assert desk.store.submitted(1) == set()


def test_two_windows_that_submit_at_once_submit_once(tmp_path: Path) -> None:
    study = make_study(tmp_path, "ab", items=6, systems=SYSTEMS, duration_s=0.1)
    with open_store(database_url(tmp_path)) as store, ThreadPoolExecutor(4) as windows:
        store.invite([None])
        with serve(create_app(tmp_path, store)) as url, httpx.Client(base_url=url) as client:
            listener = Listener(tmp_path, 1, client)
            listener.begin()
            for number in range(1, len(study.trials) + 1):
                listener.answer(number, "choice", 1)
                answers = list(windows.map(listener.submit, [number] * 4))
                assert sorted(answer.status_code for answer in answers) == [204, 409, 409, 409]
        assert len(store.rows()) == len(study.trials)


def test_thanks_are_noted_also_if_the_server_was_stopped_after_the_last_page(desk: Desk) -> None:
    desk.ada.begin()
    for trial in range(ITEMS):
        desk.store.submit(1, trial, 1.0)
    assert desk.store.rater(1).finished_at is None
    assert shown(desk.ada.get().text) == "thanks"
    assert desk.store.rater(1).finished_at is not None


def test_training_cannot_be_left_before_the_start(desk: Desk) -> None:
    assert desk.ada.send("POST", "/trained").status_code == 409
    assert desk.store.rater(1).trained_at is None


# --- scores


def test_scores_off_the_scale_are_refused(desk: Desk) -> None:
    desk.ada.begin()
    headers = {"x-csrf-token": desk.ada.csrf, "content-type": "application/json"}
    for score in ("-1", "101", "50.5", "NaN", "Infinity", '"50"', "true", "null", "[]", "1e400"):
        body = f'{{"score": {score}}}'
        answer = desk.client.put(f"{desk.ada.home}/pages/1/answers/A", content=body, headers=headers)
        assert answer.status_code == 422 and set(answer.json()) == {"error"}, score
    assert desk.store.rows(submitted_only=False) == []


def test_counts_times_and_comments_that_cannot_be_are_refused(desk: Desk) -> None:
    desk.ada.begin()
    for more in ({"plays": -1}, {"plays": 10**9}, {"plays": "x"}):
        assert desk.ada.send("PUT", "/pages/1/answers/A", {"score": 5} | more).status_code == 422, more
    desk.ada.rate(1, [50.0] * 4)
    answers = {letter: {"score": 50, "plays": 1} for letter in "ABCD"}
    odd = [{"seconds": -1}, {"comment": "x" * 2001}, {"seconds": "x"}, {"answers": None}, {"answers": {"A": 50}}]
    odd += [
        {"answers": answers | {"A": wrong}} for wrong in ({"score": 101}, {"score": "5"}, {"score": 5, "plays": -1})
    ]
    for body in ({}, *({"seconds": 1, "answers": answers} | wrong for wrong in odd)):
        assert desk.ada.send("POST", "/pages/1/submit", body).status_code == 422, body
    assert desk.store.submitted(1) == set()


def test_letters_that_are_not_on_the_page_do_not_exist(desk: Desk) -> None:
    desk.ada.begin()
    for path in ("answers/E", "answers/a", "answers/AB", "answers/choice", "choice"):
        assert desk.ada.send("PUT", f"/pages/1/{path}", {"score": 1}).status_code == 404, path
    everything = {letter: {"score": 50} for letter in "ABCDE"}
    answer = desk.ada.send("POST", "/pages/1/submit", {"seconds": 1, "answers": everything})
    assert answer.status_code == 409 and desk.store.submitted(1) == set()


@pytest.mark.parametrize("pairs", ["cmos-q", "cmos-p", "ab"], indirect=True)
@pytest.mark.parametrize("number", [1, 2])
def test_preferences_are_stored_for_the_second_condition_whichever_side_it_was(pairs: Desk, number: int) -> None:
    listener = {1: pairs.ada, 2: pairs.other}[number]
    listener.begin()
    for place, page in enumerate(listener.pages(pairs.study), start=1):
        assert listener.answer(place, "choice", 1).status_code == 204
        assert re.search(r'value="1"[^>]* checked', listener.get().text)
        assert listener.submit(place).status_code == 204
        second = list(pairs.study.trials[page.trial].stimuli)[1]
        row = next(row for row in pairs.store.rows() if row.rater == number and row.trial == page.trial)
        stands = page.order.index(second)
        assert row[3:7] == (second, 1.0 if stands == 1 else -1.0, stands + 1, 2)


@pytest.mark.parametrize("pairs", ["abx"], indirect=True)
def test_identification_is_right_or_wrong(pairs: Desk) -> None:
    pairs.ada.begin()
    for place, page in enumerate(pairs.ada.pages(pairs.study), start=1):
        right = place % 2 == 0
        choice = 1 if (page.order[1] == page.x) == right else -1
        assert pairs.ada.answer(place, "choice", choice).status_code == 204
        assert re.search(rf'value="{choice}"[^>]* checked', pairs.ada.get().text)
        x, a, b = (pairs.ada.get(f"/audio/{place}/{sound}").content for sound in "xAB")
        assert x == (b if page.order[1] == page.x else a) and a != b
        pairs.ada.submit(place)
        assert next(row.score for row in pairs.store.rows() if row.trial == page.trial) == float(right)


@pytest.mark.parametrize("pairs, choices", [("cmos-q", [4, 0.5]), ("ab", [2]), ("abx", [0, 0.3])], indirect=["pairs"])
def test_choices_off_the_scale_are_refused(pairs: Desk, choices: list[float]) -> None:
    pairs.ada.begin()
    for choice in choices:
        assert pairs.ada.send("PUT", "/pages/1/answers/choice", {"score": choice}).status_code == 422
    assert pairs.ada.send("PUT", "/pages/1/answers/A", {"score": 1}).status_code == 404
    assert pairs.store.rows(submitted_only=False) == []
