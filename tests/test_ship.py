"""`runs/ship.py`: what it refuses, and what it writes."""

import importlib.util
import re
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from small_codecs import TINY, make_codec

from q2d2 import checkpoint, releases
from q2d2.bitstream import Prior
from q2d2.evaluate.rows import Row
from q2d2.train.prior import FitConfig

ROOT = Path(__file__).parents[1]
CARD = """# tiny

Version 1, weights `{weights}`.

| rate | file, bit/s | log2(points), bit/s | PESQ-WB | STOI |
|---|---|---|---|---|
| `1k` | 1 | 1 | 1 | 1 |
| `3k` | 1 | 1 | 1 | 1 |
| *the original* | | | *4.64* | *1* |

Done.
"""


@pytest.fixture
def ship() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ship", ROOT / "runs" / "ship.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ship"] = module
    spec.loader.exec_module(module)
    return module


def rows(pesq: np.ndarray, system: str = "tiny 1k", wer: float = 0.1) -> list[Row]:
    scores = {"stoi": 0.9, "distill_mos": 3.0, "wer": wer, "speaker_similarity": 0.9, "dnsmos_p808": 3.0}
    return [
        Row(f"{i}.wav", system, 2.0, 24_000, 250, 200, 100, 0.0, {"pesq_wb": float(value), **scores}, index_bits=3000.0)
        for i, value in enumerate(pesq)
    ]


def test_what_is_surely_worse_is_refused_and_what_is_no_better_too(ship):
    rng = np.random.default_rng(0)
    old = 2 + rng.random(40)
    better, noise = old + 0.1 * rng.random(40), old + 0.1 * rng.normal(size=40)
    assert ship.verdict(ship.differences(rows(old), rows(better))) == ""
    assert "nothing is surely better" in ship.verdict(ship.differences(rows(old), rows(noise)))
    assert "tiny 1k pesq_wb" in ship.verdict(ship.differences(rows(better), rows(old)))
    # one that is better in one score and worse in another, of which less is better
    assert "tiny 1k wer" in ship.verdict(ship.differences(rows(old), rows(better, wer=0.2)))
    # and only what all metrics have seen
    blind = [replace(row, scores={"pesq_wb": row.scores["pesq_wb"]}) for row in rows(better)]
    assert "there is no distill_mos" in ship.verdict(ship.differences(rows(old), blind))


def test_the_rows_of_releases(ship):
    text = (ROOT / "q2d2" / "releases.py").read_text()
    weights = next(name for name, release in releases.RELEASES.items() if not release.package)
    old = releases.RELEASES[weights]
    prior = next((name for name, p in releases.PRIORS.items() if p.weights == weights and not p.package), None)
    text = ship.with_release(text, old.model, weights, "0" * 15 + "1", "q2d2 9 at commit abc")
    text = ship.with_prior(text, prior, "0" * 15 + "2", "0" * 15 + "1", "q2d2 9 at commit abc")
    made: dict = {}
    exec(compile(text, "releases", "exec"), made)
    assert made["RELEASES"][weights][:] == (old.model, old.version, "q2d2 9 at commit abc")
    assert made["RELEASES"]["0" * 15 + "1"][:] == (old.model, str(int(old.version) + 1), None)
    assert made["PRIORS"]["0" * 15 + "2"][:] == ("0" * 15 + "1", None)
    assert prior is None or made["PRIORS"][prior].package == "q2d2 9 at commit abc"
    assert made["model_with_prior"]("0" * 15 + "2") == old.model
    assert len(made["RELEASES"]) == len(releases.RELEASES) + 1
    with pytest.raises(ValueError, match="no row"):
        ship.with_release(text, old.model, weights, "0" * 15 + "3", "a package")


def test_a_card_gets_version_hash_and_scores(ship):
    listing = ship.with_release((ROOT / "q2d2" / "releases.py").read_text(), "speech", *_newest("speech"), "a package")
    card = ship.with_weights(CARD.format(weights="0" * 16), listing, "f" * 16)
    assert re.search(r"Version \d+, weights `f{16}`", card)
    card = ship.with_scores(card, [*rows(np.array([2.0, 3.0])), *rows(np.array([4.0]), "tiny 3k")])
    assert "| `1k` | 1,000 | 1,500 | 2.50 [2.00, 3.00] | 0.900 [0.900, 0.900] |" in card
    assert "| `3k` | 1,000 | 1,500 | 4.00 [4.00, 4.00] | 0.900 [0.900, 0.900] |" in card
    assert "| *the original* | | | *4.64* | *1* |\n\nDone.\n" in card
    with pytest.raises(ValueError, match="no line that begins with Version"):
        ship.with_weights("# a card", listing, "f" * 16)


def _newest(model: str) -> tuple[str, str]:
    old = next(name for name, release in releases.RELEASES.items() if release.model == model and not release.package)
    return old, "f" * 16


def test_from_a_candidate_to_a_shipped_folder(ship, audio_file, tmp_path, monkeypatch, speech_like):
    """The whole of it, on a copy of the package's folders: another prior, then weights that are no better."""
    shipped, repository = tmp_path / "models", tmp_path / "repository"
    checkpoint.save(make_codec(TINY), shipped / "tiny")
    old = checkpoint.load(shipped / "tiny")
    (shipped / "tiny" / "README.md").write_text(CARD.format(weights=old.weights))
    (repository / "q2d2").mkdir(parents=True)
    text = (ROOT / "q2d2" / "releases.py").read_text()
    begin = text.index("RELEASES = {\n") + len("RELEASES = {\n")
    text = text[:begin] + f'    "{old.weights}": Release("tiny", "1"),\n' + text[begin:]
    (repository / "q2d2" / "releases.py").write_text(text)
    for name in ("a", "b"):
        audio_file(speech_like(2.0), 24_000, f"dev/{name}.wav")
        audio_file(speech_like(22.0), 24_000, f"corpus/{name}.wav")
    monkeypatch.setattr(checkpoint, "SHIPPED", shipped)
    monkeypatch.setattr(ship, "REPOSITORY", repository)
    monkeypatch.setattr(ship, "COMPARED", ("pesq_wb",))
    monkeypatch.setattr(ship, "_commit", lambda: "abc1234")
    monkeypatch.setattr(ship, "FitConfig", partial(FitConfig, hours=0.02, steps=20, hidden=8))
    arguments = (tmp_path / "corpus", tmp_path / "dev")
    options = {"peers": (), "metrics": ("pesq_wb",), "jobs": 1}

    ship.main("tiny", shipped / "tiny", *arguments, tmp_path / "prior", **options)
    prior = Prior.load(shipped / "tiny" / checkpoint.PRIOR)
    assert checkpoint.load(shipped / "tiny").prior.id == prior.id and prior.weights == old.weights
    listing = (repository / "q2d2" / "releases.py").read_text()
    assert f'    "{prior.id}": PriorRelease("{old.weights}"),\n' in listing
    card = (shipped / "tiny" / "README.md").read_text()
    assert f"Version 1, weights `{old.weights}`" in card
    size = len(checkpoint.load(shipped / "tiny").compress(speech_like(2.0), 24_000, "1k"))  # twice, in twice the time
    assert f"| `1k` | {8 * size / 2:,.0f} |" in card

    other = make_codec(TINY)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.01)
    checkpoint.save(other, tmp_path / "run" / "model")
    before = {path: path.read_bytes() for path in (tmp_path / "models").rglob("*") if path.is_file()}
    with pytest.raises(SystemExit, match="not shipped: "):
        ship.main("tiny", tmp_path / "run" / "model", *arguments, tmp_path / "weights", **options)
    assert {path: path.read_bytes() for path in (tmp_path / "models").rglob("*") if path.is_file()} == before

    monkeypatch.setattr(ship, "verdict", lambda found: "")
    ship.main("tiny", tmp_path / "run" / "model", *arguments, tmp_path / "weights", **options)
    new = checkpoint.load(shipped / "tiny")
    assert new.weights == checkpoint.load(tmp_path / "run" / "model").weights != old.weights
    listing = (repository / "q2d2" / "releases.py").read_text()
    assert f'"{old.weights}": Release("tiny", "1", "q2d2 ' in listing and " at commit abc1234" in listing
    assert f'"{prior.id}": PriorRelease("{old.weights}", "q2d2 ' in listing
    assert f"Version 2, weights `{new.weights}`" in (shipped / "tiny" / "README.md").read_text()
