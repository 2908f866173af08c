"""Many listeners at once: how long a rating takes to be saved, whether anything fails, and what a kill loses.

    python benchmarks/listeners.py                       # 200 listeners for 60 s, a rating every 3 s each
    python benchmarks/listeners.py --kills 5             # the server is killed (SIGKILL) so many times meanwhile

A real server in a process of its own, a SQLite file, loopback; each listener fetches pages and sounds as a browser
does, rates everything, hands in, and goes on. Times are the listener's, so they include what this program takes itself.
At the end the database is compared with all that was confirmed.
"""

import asyncio
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import httpx
import numpy as np
import tyro

from q2d2 import audio
from q2d2.listen import planning, study
from q2d2.listen.creating import create
from q2d2.listen.planning import LETTERS
from q2d2.listen.rating import link
from q2d2.listen.store import open_store

SYSTEMS = ("a", "b", "c", "d")
RATE_HZ, SECONDS = 24000, 4.0
RETRY_S = 0.2
START_S = 60.0
RAMP = 0.1  # of the time passes before all listeners have arrived


@dataclass
class Watch:
    """What all listeners saw."""

    saves_s: list[float] = field(default_factory=list)
    fetches_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    retries: int = 0
    submitted: set[tuple[int, int]] = field(default_factory=set)  # listener and trial
    sent: dict[tuple[int, int, str], list[float]] = field(
        default_factory=dict
    )  # what is sent since the last one confirmed
    confirmed: dict[tuple[int, int, str], float] = field(default_factory=dict)


def make_study(folder: Path, items: int) -> Path:
    rng = np.random.default_rng(0)
    for item in range(items):
        clip = 0.1 * rng.standard_normal(round(SECONDS * RATE_HZ)).astype(np.float32)
        for name in ("reference", *SYSTEMS):
            (folder / name).mkdir(parents=True, exist_ok=True)
            noise = 0.01 * rng.standard_normal(len(clip)).astype(np.float32)
            audio.write(folder / name / f"{item}.wav", clip + noise * (name != "reference"), RATE_HZ)
    create(folder / "study", folder / "reference", {name: folder / name for name in SYSTEMS}, "mushra")
    return folder / "study"


def start_server(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "q2d2", "listen", "serve", str(folder), "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200:
                return server
        except httpx.TransportError:
            time.sleep(0.05)
    raise TimeoutError(f"the server did not answer within {START_S} s")


class Listener:
    """One who fetches, rates and hands in until the time is over or the study is."""

    def __init__(self, number: int, folder: Path, base_url: str, think_s: float, watch: Watch) -> None:
        self.number = number
        self.pages = planning.plan(study.load(folder), number)
        self.url = link(folder, number, base_url)
        self.think_s = think_s
        self.watch = watch
        self.random = random.Random(number)
        self.headers: dict[str, str] = {}
        self.client: aiohttp.ClientSession | None = None

    async def go(self, end: float, ramp_s: float) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4)) as self.client:
            await asyncio.sleep(self.random.uniform(0, ramp_s))
            text = await self.fetch("")
            token = re.search(r'name="csrf[^"]*" content="([^"]+)"', text)
            if token is None:
                self.watch.errors.append("a page without a token")
                return
            self.headers = {"x-csrf-token": token[1]}
            await self.change("POST", "/start")
            await self.change("POST", "/trained")
            for number, page in enumerate(self.pages, start=1):
                if time.monotonic() > end:
                    return
                await self.fetch("")
                for sound in ("reference", *LETTERS[: len(page.order)]):
                    await self.fetch(f"/audio/{number}/{sound}")
                answers = {}
                for letter, condition in zip(LETTERS, page.order, strict=False):
                    answers[letter] = {"score": await self.rate(number, page.trial, letter, condition), "plays": 1}
                if await self.change("POST", f"/pages/{number}/submit", {"answers": answers, "seconds": 10.0}):
                    self.watch.submitted.add((self.number, page.trial))

    async def rate(self, number: int, trial: int, letter: str, condition: str) -> float:
        await asyncio.sleep(self.random.expovariate(1 / self.think_s))
        score = float(self.random.randint(0, 100))
        key = self.number, trial, condition
        self.watch.sent.setdefault(key, []).append(score)
        started = time.perf_counter()
        if await self.change("PUT", f"/pages/{number}/answers/{letter}", {"score": score, "plays": 1}):
            self.watch.saves_s.append(time.perf_counter() - started)
            self.watch.confirmed[key] = score
            self.watch.sent[key] = []
        return score

    async def fetch(self, path: str) -> str:
        started = time.perf_counter()
        _, body = await self.ask("GET", path)
        self.watch.fetches_s.append(time.perf_counter() - started)
        return body.decode(errors="replace") if not path else ""

    async def change(self, method: str, path: str, body: dict[str, object] | None = None) -> bool:
        status, _ = await self.ask(method, path, body)
        return status < 300

    async def ask(self, method: str, path: str, body: dict[str, object] | None = None) -> tuple[int, bytes]:
        assert self.client is not None
        while True:
            try:
                async with self.client.request(method, self.url + path, json=body, headers=self.headers) as answer:
                    status, content = answer.status, await answer.read()
            except aiohttp.ClientConnectionError:  # the server is away; a browser tries again as well
                self.watch.retries += 1
                await asyncio.sleep(RETRY_S)
                continue
            if status >= 300 and not (status == 409 and path.endswith("/submit")):
                self.watch.errors.append(f"{method} {path}: {status}")
            return status, content


async def kill_sometimes(
    folder: Path, port: int, server: list["subprocess.Popen[bytes]"], moments: list[float]
) -> None:
    """SIGKILL at these moments, and a new server each time."""
    for moment in moments:
        await asyncio.sleep(max(0.0, moment - time.monotonic()))
        server[0].send_signal(signal.SIGKILL)
        server[0].wait()
        server[0] = await asyncio.to_thread(start_server, folder, port)


def lost(folder: Path, watch: Watch) -> int:
    """Confirmed ratings that are not in the database, nor a newer one that was on its way; and pages handed in."""
    with open_store(study.database_url(folder)) as store:
        found = {(row.rater, row.trial, row.condition): row.score for row in store.rows(submitted_only=False)}
        closed = {(row.rater, row.trial) for row in store.rows()}
    return len(watch.submitted - closed) + sum(
        found.get(key) != score and found.get(key) not in watch.sent[key] for key, score in watch.confirmed.items()
    )


def shown(name: str, values_s: list[float]) -> str:
    p50, p95, p99 = (1000 * float(np.percentile(values_s, q)) for q in (50, 95, 99))
    return f"| {name} | {len(values_s)} | {p50:.1f} | {p95:.1f} | {p99:.1f} | {1000 * max(values_s):.1f} |"


async def run(folder: Path, port: int, raters: int, seconds: float, think_s: float, kills: int) -> Watch:
    watch = Watch()
    server = [start_server(folder, port)]
    begin, ramp_s = time.monotonic(), RAMP * seconds
    base_url = f"http://127.0.0.1:{port}"
    listeners = [Listener(number, folder, base_url, think_s, watch) for number in range(1, raters + 1)]
    moments = sorted(begin + random.Random(0).uniform(ramp_s, 0.9 * seconds) for _ in range(kills))
    try:
        going = (listener.go(begin + seconds, ramp_s) for listener in listeners)
        await asyncio.gather(kill_sometimes(folder, port, server, moments), *going)
    finally:
        server[0].terminate()
        server[0].wait()
    return watch


def main(raters: int = 200, seconds: float = 60.0, think_s: float = 3.0, kills: int = 0, items: int = 12) -> None:
    with tempfile.TemporaryDirectory() as temporary, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        folder = make_study(Path(temporary), items)
        with open_store(study.database_url(folder)) as store:
            store.bind(study.load(folder).study_id)
            store.invite([None] * raters)
        watch = asyncio.run(run(folder, port, raters, seconds, think_s, kills))
        missing = lost(folder, watch)
    print(f"{raters} listeners, {seconds:g} s, a rating every {think_s:g} s each, {kills} kills")
    print(f"{len(watch.submitted)} pages handed in\n")
    print("| request | number | median ms | 95 % | 99 % | longest |")
    print("|---|---:|---:|---:|---:|---:|")
    print(shown("save a rating", watch.saves_s))
    print(shown("fetch a page or a sound", watch.fetches_s))
    print(f"\nerrors: {len(watch.errors)}; connections tried again: {watch.retries}")
    print(f"confirmed ratings and pages lost: {missing} of {len(watch.confirmed) + len(watch.submitted)}")
    for error in sorted(set(watch.errors))[:5]:
        print(error)


if __name__ == "__main__":
    tyro.cli(main)
