"""A listener as the server knows one: requests without a browser, for the tests of the listeners' application."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from starlette.testclient import TestClient
from studies import make_study

from q2d2.listen.planning import LETTERS, Page, plan
from q2d2.listen.protocols import ProtocolName
from q2d2.listen.rating import create_app, link
from q2d2.listen.store import Store, open_store
from q2d2.listen.study import Study, database_url

ADDRESS = "http://127.0.0.1"
HTML = {"accept": "text/html"}
SYSTEMS = ("zebra-system", "quagga-system")
ITEMS = 2


class Listener:
    """One listener with the link of theirs; `client` is any client of httpx's interface."""

    def __init__(self, folder: Path, number: int, client: TestClient | httpx.Client) -> None:
        self.number = number
        self.home = urlsplit(link(folder, number, ADDRESS)).path
        self._client = client
        self._given: dict[int, dict[str, dict[str, float]]] = {}  # by page

    def get(self, path: str = "", **headers: str) -> httpx.Response:
        return self._client.get(self.home + path, headers=HTML | headers)

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf-token" content="([^"]+)"', self.get().text)
        assert found is not None
        return found[1]

    def send(self, method: str, path: str, body: dict[str, object] | None = None) -> httpx.Response:
        return self._client.request(method, self.home + path, json=body or {}, headers={"x-csrf-token": self.csrf})

    def begin(self) -> None:
        """Through the welcome and the training."""
        for step in ("/start", "/trained"):
            assert self.send("POST", step).status_code == 204

    def rate(self, number: int, scores: list[float]) -> None:
        for letter, score in zip(LETTERS, scores, strict=False):
            answer = self.answer(number, letter, score)
            assert answer.status_code == 204, answer.text

    def answer(self, number: int, asked: str, score: float) -> httpx.Response:
        """Save an answer, and remember what the page shows then."""
        self._given.setdefault(number, {})[asked] = {"score": score, "plays": 2}
        return self.send("PUT", f"/pages/{number}/answers/{asked}", {"score": score, "plays": 2})

    def submit(self, number: int, comment: str = "") -> httpx.Response:
        body = {"answers": self._given.get(number, {}), "seconds": 1.5, "comment": comment}
        return self.send("POST", f"/pages/{number}/submit", body)

    def pages(self, study: Study) -> list[Page]:
        return plan(study, self.number)


class Desk:
    """A study with two listeners, and its application."""

    def __init__(self, folder: Path, store: Store, study: Study) -> None:
        self.folder, self.store, self.study = folder, store, study
        store.invite(["Ada", None])
        self.client = TestClient(create_app(folder, store), base_url=ADDRESS, raise_server_exceptions=False)
        self.ada, self.other = Listener(folder, 1, self.client), Listener(folder, 2, self.client)


def open_desk(folder: Path, protocol: ProtocolName) -> Iterator[Desk]:
    study = make_study(folder, protocol, items=ITEMS, systems=SYSTEMS, duration_s=0.1)
    with open_store(database_url(folder)) as store:
        yield Desk(folder, store, study)


def shown(page: str) -> str:
    """Which page this is."""
    found = re.search(r'data-label="(\w+)"', page)
    if found:
        return found[1]
    return "thanks" if "Thank you" in page else "welcome"
