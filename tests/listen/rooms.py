"""Listeners in front of browsers, for the tests of the listeners' pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from browser import serve
from studies import make_study

from q2d2.listen.protocols import ProtocolName
from q2d2.listen.rating import create_app, link
from q2d2.listen.store import Store, open_store
from q2d2.listen.study import Study, database_url


class Room:
    """A study on a server, and listeners with a browser each."""

    def __init__(self, browser: Any, folder: Path, study: Study, store: Store, url: str) -> None:
        self.browser, self.folder, self.study, self.store, self.url = browser, folder, study, store, url

    def sit(self, number: int, **how: Any) -> Any:
        """The first page that counts, of a listener who has been through the training."""
        self.store.start(number)
        self.store.finish_training(number)
        page = self.enter(number, **how)
        ready(page)
        return page

    def enter(self, number: int, **how: Any) -> Any:
        """Where a listener is, in a context of its own."""
        page = self.browser.new_context(**how).new_page()
        page.set_default_timeout(15_000)
        page.goto(link(self.folder, number, self.url))
        return page


def open_room(browser: Any, folder: Path, protocol: ProtocolName = "mushra") -> Iterator[Room]:
    """Two listeners and two pages."""
    study = make_study(folder, protocol, items=2, duration_s=1.0)
    with open_store(database_url(folder)) as store:
        store.invite([None, None])
        with serve(create_app(folder, store)) as url:
            yield Room(browser, folder, study, store, url)
            for context in browser.contexts:
                context.close()


def ready(page: Any) -> None:
    page.wait_for_selector("#panel:visible")


def saved(page: Any) -> None:
    page.wait_for_selector('#state:text-is("saved")')


def outputs(page: Any) -> list[str]:
    return page.locator("output").all_inner_texts()


def turn(page: Any, label: str) -> None:
    """Wait for another page."""
    page.wait_for_selector(f'#sheet[data-label="{label}"]' if label != "thanks" else "text=Thank you")
