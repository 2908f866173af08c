"""What the listeners' application keeps to itself, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from listeners import HTML, SYSTEMS, Desk, Listener, open_desk
from studies import make_study

from q2d2.listen.planning import LETTERS
from q2d2.listen.rating import create_app, link
from q2d2.listen.study import audio_path
from q2d2.opening import FileError


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield from open_desk(tmp_path / "study", "mushra")


# --- sounds


def test_letters_sound_as_planned(desk: Desk) -> None:
    desk.ada.begin()
    page = desk.ada.pages(desk.study)[0]
    trial = desk.study.trials[page.trial]
    for letter, condition in zip(LETTERS, page.order, strict=False):
        file = audio_path(desk.folder, trial.stimuli[condition])
        assert desk.ada.get(f"/audio/1/{letter}").content == file.read_bytes()
    assert trial.reference is not None
    assert desk.ada.get("/audio/1/reference").content == audio_path(desk.folder, trial.reference).read_bytes()
    for absent in ("E", "x", "a", "AB", trial.reference):
        assert desk.ada.get(f"/audio/1/{absent}").status_code == 404


def test_nobody_listens_ahead_or_back(desk: Desk) -> None:
    ada = desk.ada

    def heard() -> set[str]:
        return {label for label in ("t1", "t2", "0", "1", "2") if ada.get(f"/audio/{label}/A").status_code == 200}

    assert heard() == set()
    ada.send("POST", "/start")
    assert heard() == {"t1"}
    ada.send("POST", "/trained")
    for number in (1, 2):
        assert heard() == {str(number)}
        ada.rate(number, [50.0] * 4)
        ada.submit(number)
    assert heard() == set()
    assert ada.get("/audio/1/A").status_code == 403


def test_nothing_that_a_browser_gets_tells_what_is_heard(desk: Desk) -> None:
    secrets = [*SYSTEMS, "anchor", "item-", str(desk.folder), desk.study.study_id, ".wav"]
    for trial in (*desk.study.trials, *desk.study.training):
        secrets += [Path(file).stem for file in (*trial.stimuli.values(), str(trial.reference))]
    answers = [desk.ada.get(), desk.ada.send("POST", "/start"), desk.ada.get(), desk.ada.get("?practice=2")]
    answers += [desk.ada.get(f"/audio/t1/{sound}") for sound in ("reference", *"ABCDE")]
    answers.append(desk.ada.send("POST", "/trained"))
    for number in (1, 2):
        sounds = [desk.ada.get(f"/audio/{number}/{sound}") for sound in ("reference", *"ABCD")]
        assert len({str(sound.headers) for sound in sounds}) == 1  # one length, one type, no dates and no names
        answers += [desk.ada.get(), *sounds, desk.ada.get(f"/audio/{number}/x")]
        for letter in "ABCDE":
            answers.append(desk.ada.send("PUT", f"/pages/{number}/answers/{letter}", {"score": 50}))
        answers += [desk.ada.get(), desk.ada.submit(number), desk.ada.submit(number)]
    answers.append(desk.ada.get())
    for answer in answers:
        body = "" if answer.headers.get("content-type") == "audio/wav" else answer.text
        said = f"{answer.url} {answer.headers} {body}".lower()
        assert [secret for secret in secrets if secret.lower() in said] == [], answer.url
        assert answer.headers["cache-control"] == "no-store"
        assert not {"etag", "last-modified", "content-disposition", "set-cookie"} & set(answer.headers)


# --- what is refused


def test_links_are_signed(desk: Desk, tmp_path: Path) -> None:
    token = desk.ada.home.removeprefix("/r/")
    make_study(tmp_path / "another", duration_s=0.1)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    tampered = [token[:-1] + letter for letter in letters if letter != token[-1]]
    tampered += [token.swapcase(), f"x{token}", "1", "Mg", "%00"]
    tampered += ["%2e%2e%2f" * 5, "A" * 10_000, f"{token}.", "ünï", Listener(desk.folder, 3, desk.client).home[3:]]
    for made_up in (*tampered, Listener(tmp_path / "another", 1, desk.client).home[3:]):
        answer = desk.client.get(f"/r/{made_up}", headers=HTML)
        assert answer.status_code == 404 and "no such page" in answer.text, made_up
    assert desk.client.post(f"/r/{tampered[0]}/start").status_code == 404
    assert link(desk.folder, 1, "https://listen.example.org/") == f"https://listen.example.org{desk.ada.home}"


def test_paths_lead_to_no_file(desk: Desk) -> None:
    desk.ada.begin()
    paths = ["../study.json", "%2e%2e%2fkey", "..%5ckey", "%00", "A%00.wav", "A" * 5000, "%2e%2e/%2e%2e/key"]
    for path in (*paths, "A/../../key", "A%2f..%2f..%2fkey"):
        for start in (f"{desk.ada.home}/audio/1/", f"{desk.ada.home}/audio/", "/static/", "/"):
            answer = desk.client.get(start + path)
            assert answer.status_code in (403, 404, 405), start + path
            assert set(answer.json()) == {"error"}


def test_changes_need_the_token_of_the_listener_s_own_page(desk: Desk) -> None:
    desk.ada.begin()
    desk.ada.rate(1, [50.0] * 4)
    before = desk.store.rows(submitted_only=False)
    requests = [("POST", "/start"), ("POST", "/trained"), ("PUT", "/pages/1/answers/A")]
    for method, path in (*requests, ("POST", "/pages/1/submit")):
        for headers in ({}, {"x-csrf-token": ""}, {"x-csrf-token": "1"}, {"x-csrf-token": desk.other.csrf}):
            body = {"score": 1, "answers": {}, "seconds": 1}
            answer = desk.client.request(method, desk.ada.home + path, json=body, headers=headers)
            assert answer.status_code == 403, (method, path, headers)
    assert desk.store.rows(submitted_only=False) == before and desk.store.submitted(1) == set()


def test_other_hosts_are_refused(desk: Desk) -> None:
    assert desk.client.get("/healthz").json() == {"ok": True}
    assert desk.client.get("/healthz", headers={"host": "evil.example.org"}).status_code == 421


def test_large_bodies_are_refused_declared_or_not(desk: Desk) -> None:
    desk.ada.begin()
    headers = {"x-csrf-token": desk.ada.csrf, "content-type": "application/json"}
    path = f"{desk.ada.home}/pages/1/answers/A"
    declared = desk.client.put(path, content=b" " * 70_000, headers=headers)
    streamed = desk.client.put(path, content=iter([b" " * 10_000] * 7), headers=headers)
    assert declared.status_code == streamed.status_code == 413


def test_errors_are_plain(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.client.put(desk.ada.home).status_code == 405
    for path in ("/docs", "/redoc", "/openapi.json", "/r/", f"{desk.ada.home}/"):
        assert desk.client.get(path).status_code == 404
    monkeypatch.setattr(type(desk.store), "rater", lambda *_: 1 / 0)
    for headers in (HTML, {}):
        answer = desk.client.get(desk.ada.home, headers=headers)
        assert answer.status_code == 500 and "went wrong" in answer.text
        assert "zero" not in answer.text.lower() and "Traceback" not in answer.text
        assert "content-security-policy" in answer.headers


def test_whoever_comes_without_a_link_is_told_so(desk: Desk) -> None:
    answer = desk.client.get("/")
    assert answer.status_code == 200 and "open the personal link" in answer.text


def test_scripts_are_looked_up_anew_and_pages_hold_none(desk: Desk) -> None:
    assert desk.client.get("/static/rating.js").headers["cache-control"] == "no-cache"
    pages = [desk.ada.get().text]
    desk.ada.begin()
    pages.append(desk.ada.get().text)
    for page in pages:
        assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\bsrc=)|https?://", page) == []


# --- before anybody listens


def test_missing_sounds_are_noticed_at_the_start(desk: Desk) -> None:
    file = audio_path(desk.folder, next(iter(desk.study.trials[-1].stimuli.values())))
    file.unlink()
    with pytest.raises(FileError, match=f"{file.name}: is missing"):
        create_app(desk.folder, desk.store)


def test_ratings_of_another_study_are_left_alone(desk: Desk, tmp_path: Path) -> None:
    make_study(tmp_path / "another", "ab", duration_s=0.1)
    with pytest.raises(FileError, match="another study"):
        create_app(tmp_path / "another", desk.store)
