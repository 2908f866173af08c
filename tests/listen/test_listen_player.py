"""What is heard of sounds that play in step: player.js in a browser, rendered offline, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from browser import chromium, complaints, serve
from starlette.applications import Starlette
from starlette.routing import Mount

from q2d2.listen.web import static_files

RENDER = """async ([rateHz, samples, region, switches, slopes, options]) => {
  const { Player } = await import("/static/player.js");
  const context = new OfflineAudioContext(1, samples, rateHz);
  const player = new Player(context, options);
  player.setBuffers(slopes.map(([start, slope]) => {
    const buffer = context.createBuffer(1, rateHz, rateHz);
    buffer.getChannelData(0).forEach((_, i, data) => (data[i] = start + slope * i));
    return buffer;
  }));
  player.setRegion(region);
  for (const [at, index] of switches) context.suspend(at).then(() => { player.hear(index); context.resume(); });
  player.play();
  return [...(await context.startRendering()).getChannelData(0)];
}"""
RATE_HZ = 48_000
FADE = round(0.005 * RATE_HZ)
BLOCK = 128  # an offline context can be stopped between blocks only


@pytest.fixture(scope="module")
def stage() -> Iterator[Any]:
    """A page without anything, from the server of the scripts."""
    static = Mount("/static", static_files())
    with chromium() as browser, serve(Starlette(routes=[static])) as url:
        page = browser.new_context().new_page()
        page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        page.goto(f"{url}/static/base.css")
        yield page
        page.context.close()


def render(
    stage: Any,
    slopes: list[tuple[float, float]],
    switches: list[tuple[int, int]],
    part: list[float] | None = None,
    **options: bool,
) -> np.ndarray:
    """[samples] of a second; `slopes` are the sounds (start, slope per sample), `switches` are (sample, sound)."""
    found = complaints(stage)
    timed = [(sample / RATE_HZ, sound) for sample, sound in switches]
    samples = stage.evaluate(RENDER, [RATE_HZ, RATE_HZ, part, timed, slopes, options])
    assert found == []
    return np.array(samples)


def test_switch_goes_on_at_the_same_place(stage: Any) -> None:
    at, index = 150 * BLOCK, np.arange(RATE_HZ)
    heard = render(stage, [(0.0, 1e-5), (0.5, -1e-5)], [(at, 1)])
    first, second = 1e-5 * index, 0.5 - 1e-5 * index
    assert np.abs(heard - first)[:at].max() < 1e-6
    assert np.abs(heard - second)[at + FADE :].max() < 1e-6
    during = slice(at, at + FADE)
    assert (heard >= np.minimum(first, second) - 1e-6)[during].all()
    assert (heard <= np.maximum(first, second) + 1e-6)[during].all()
    assert np.abs(np.diff(heard)).max() < 0.01  # of a step of 0.12 between the two


def test_equal_sounds_pass_a_switch_unchanged(stage: Any) -> None:
    switches = [(block * BLOCK, place % 2) for place, block in enumerate((60, 110, 200, 201, 280), start=1)]
    heard = render(stage, [(0.1, 1e-5), (0.1, 1e-5)], switches)
    assert np.abs(heard - (0.1 + 1e-5 * np.arange(RATE_HZ))).max() < 1e-6


def test_part_repeats_exactly_whatever_is_heard(stage: Any) -> None:
    at = 100 * BLOCK
    heard = render(stage, [(0.0, 1e-5), (0.5, -1e-5)], [(at, 1)], part=[0.25, 0.45])
    place = 0.25 * RATE_HZ + np.arange(RATE_HZ) % round(0.2 * RATE_HZ)
    assert np.abs(heard - 1e-5 * place)[:at].max() < 1e-6
    assert np.abs(heard - (0.5 - 1e-5 * place))[at + FADE :].max() < 1e-6


def test_for_ratings_no_sound_is_heard_together_with_another(stage: Any) -> None:
    """BS.1534-3: the one fades out in 5 ms, then the other one fades in; and so do the ends of what is repeated."""
    at, start, end = 150 * BLOCK, 0.25, 0.75
    length = round((end - start) * RATE_HZ)
    heard = render(stage, [(0.4, 0.0), (-0.2, 0.0)], [(at, 1)], [start, end], fadesOut=True)
    fall = 0.5 + 0.5 * np.cos(np.pi * np.arange(FADE) / FADE)
    expected = np.where(np.arange(RATE_HZ) < at, 0.4, -0.2)
    expected[at : at + FADE] = 0.4 * fall
    expected[at + FADE : at + 2 * FADE] = -0.2 * fall[::-1]
    for edge in range(0, RATE_HZ + 1, length):
        rise = np.sin(np.pi * (np.arange(FADE) + 0.5) / (2 * FADE)) ** 2
        expected[edge : edge + FADE] *= rise[: max(0, RATE_HZ - edge)]
        if edge:
            expected[edge - FADE : edge] *= rise[::-1]
    assert np.abs(heard - expected).max() < 0.4 * 0.01  # the curve of a switch is drawn through 33 points
