"""New weights, or a new prior, into the package: `python runs/ship.py MODEL CANDIDATE CORPUS DEV OUT`.

MODEL is the name of a shipped model, CANDIDATE a folder as `q2d2 train` writes it (a run's `model/`), or the shipped
one itself for another prior. Fits the candidate's prior on CORPUS, scores both on the clips of DEV, refuses a candidate
that is worse, and writes folder, card and `q2d2/releases.py`. What was done stays in OUT and is not done again: the
prior (`model/`), evaluations (`shipped/`, `candidate/`). Needs what `runs/evaluate_dev.sh` needs. Pictures and
docs/results.md are left to do by hand; what it prints says how.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro

from q2d2 import checkpoint, releases
from q2d2.atomic import write_whole
from q2d2.bitstream import Prior
from q2d2.codec import Codec
from q2d2.evaluate import EvaluateConfig, evaluate
from q2d2.evaluate.metrics import METRICS
from q2d2.evaluate.rows import Row, read_rows
from q2d2.evaluate.tables import bootstrap_interval, by_system
from q2d2.train.prior import FitConfig, fit

COMPARED = ("pesq_wb", "stoi", "distill_mos", "wer", "speaker_similarity", "dnsmos_p808")
COLUMNS = {  # of a card: score and decimals
    "PESQ-WB": ("pesq_wb", 2),
    "STOI": ("stoi", 3),
    "Distill-MOS": ("distill_mos", 2),
    "WER": ("wer", 2),
    "P.808": ("dnsmos_p808", 2),
}
REPOSITORY = Path(__file__).parents[1]


class Difference(NamedTuple):
    """A score of a system, candidate less shipped over the same clips, so that more is better."""

    system: str
    score: str
    mean: float
    low: float  # of the 95 % interval
    high: float


def main(
    model: str,
    candidate: Path,
    corpus: Path,
    dev: Path,
    out: Path,
    /,
    peers: tuple[str, ...] = ("opus-6", "opus-8", "codec2-3200"),
    metrics: tuple[str, ...] = (),
    jobs: int = 2,
) -> None:
    shipped = checkpoint.SHIPPED / model
    old, new = checkpoint.load(shipped), checkpoint.load(candidate, with_prior=False)
    made = _with_prior(candidate, new, corpus, out / "model")
    rows = _scored(made, dev, out / "candidate", peers, metrics, jobs)
    if new.weights != old.weights:
        found = differences(_scored(shipped, dev, out / "shipped", (), metrics, jobs), rows)
        for one in found:
            print(f"{one.system:<12} {one.score:<18} {one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]")
        if refusal := verdict(found):
            raise SystemExit(f"not shipped: {refusal}")
    prior = Prior.load(made / checkpoint.PRIOR)

    package = f"q2d2 {version('q2d2')} at commit {_commit()}"
    listing = REPOSITORY / "q2d2" / "releases.py"
    text = listing.read_text()
    if new.weights != old.weights:
        text = with_release(text, model, old.weights, new.weights, package)
    text = with_prior(text, None if old.prior is None else old.prior.id, prior.id, new.weights, package)
    discriminators = candidate.parent / "discriminators.safetensors"
    if discriminators.is_file() and new.weights != old.weights:
        shutil.copyfile(discriminators, shipped / discriminators.name)
    for name in (checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.PRIOR):
        write_whole(shipped / name, (made / name).read_bytes())
    write_whole(listing, text.encode())
    card = shipped / "README.md"
    write_whole(card, with_scores(with_weights(card.read_text(), text, new.weights), rows).encode())
    print(f"{shipped}: shipped. By hand: what the card says of the training, docs/results.md, README.md, docs/log.md;")
    print(f"q2d2 figures --scores {out / 'candidate'}; q2d2 demo --out demo; python runs/worst_clips.py; scripts/check")


def _with_prior(candidate: Path, codec: Codec, corpus: Path, made: Path) -> Path:
    """The candidate with a prior of its own, in `made`: what is there already, if it is of these weights."""
    if made.is_dir() and (there := checkpoint.load(made)).weights == codec.weights and there.prior is not None:
        return made
    prior, savings = fit(codec, FitConfig(corpus))
    made.mkdir(parents=True, exist_ok=True)
    for name in (checkpoint.CONFIG, checkpoint.WEIGHTS):
        shutil.copyfile(candidate / name, made / name)
    write_whole(made / checkpoint.PRIOR, prior.data)
    for saving in savings:
        print(saving)
    return made


def _scored(
    folder: Path, dev: Path, out: Path, peers: tuple[str, ...], metrics: tuple[str, ...], jobs: int
) -> list[Row]:
    """The evaluation of a model folder in `out`: the one that is there, if all that it depends on is as it was."""
    codec = checkpoint.load(folder)
    missing = [metric.name for metric in METRICS if metric.missing() is not None]
    asked = repr((codec.weights, codec.prior and codec.prior.id, dev, peers, metrics, missing))
    mark = out / "asked"
    if not (mark.is_file() and mark.read_text() == asked):
        evaluate(EvaluateConfig(dev, out, str(folder), (), peers, metrics, jobs))
        mark.write_text(asked)
    return read_rows((out / "rows.csv").read_text())


def differences(before: Sequence[Row], after: Sequence[Row]) -> list[Difference]:
    """Every score that both have, system by system, over the clips that have it in both."""
    signs = {score.name: 1 if score.best == "highest" else -1 for metric in METRICS for score in metric.scores}
    found = []
    old = by_system(before)
    for system, own in by_system(after).items():
        other = {row.clip: row for row in old.get(system, [])}
        for score in COMPARED:
            both = [(row.scores.get(score), other[row.clip].scores.get(score)) for row in own if row.clip in other]
            values = np.array([signs[score] * (new - was) for new, was in both if new is not None and was is not None])
            if len(values):
                found.append(Difference(system, score, float(values.mean()), *bootstrap_interval(values)))
    return found


def verdict(found: Sequence[Difference]) -> str:
    """Why a candidate is not to be shipped; empty if it is: nothing surely worse, and something surely better."""
    if lacking := set(COMPARED) - {one.score for one in found}:
        return f"there is no {', '.join(sorted(lacking))}: scripts/install_metrics brings what is missing"
    worse = [f"{one.system} {one.score}" for one in found if one.high < 0]
    if worse:
        return f"worse than what is there: {', '.join(worse)}"
    return "" if any(one.low > 0 for one in found) else "nothing is surely better than what is there"


def with_release(text: str, model: str, old: str, new: str, package: str) -> str:
    """`releases.py` with a row for new weights, and the old ones in the last package that had them."""
    row = re.compile(rf'    "{old}": Release\("{model}", "(\d+)"\),\n')
    found = row.search(text)
    if found is None:
        raise ValueError(f"releases.py has no row of {model} with the weights {old}")
    if new in releases.RELEASES:
        raise ValueError(f"the weights {new} were shipped before")
    number = int(found[1])
    rows = (
        f'    "{old}": Release("{model}", "{number}", "{package}"),\n    "{new}": Release("{model}", "{number + 1}"),\n'
    )
    return text[: found.start()] + rows + text[found.end() :]


def with_prior(text: str, old: str | None, new: str, weights: str, package: str) -> str:
    """The same of a prior."""
    if old == new:
        return text
    if old is not None:
        row = re.compile(rf'    "{old}": PriorRelease\("(\w+)"\),\n')
        if not row.search(text):
            raise ValueError(f"releases.py has no row of the prior {old}")
        text = row.sub(rf'    "{old}": PriorRelease("\1", "{package}"),\n', text)
    begin = text.index("PRIORS = {\n")
    end = text.index("}\n", begin)
    return text[:end] + f'    "{new}": PriorRelease("{weights}"),\n' + text[end:]


def with_weights(card: str, listing: str, weights: str) -> str:
    """A card that names the version and the hash of the weights."""
    found = re.search(rf'"{weights}": Release\("[\w-]+", "(\d+)"\)', listing)
    if found is None:
        raise ValueError(f"releases.py has no row of the weights {weights}")
    card, changed = re.subn(r"Version \d+, weights `[0-9a-f]{16}`", f"Version {found[1]}, weights `{weights}`", card)
    if changed != 1:
        raise ValueError("the card has no line that begins with Version N, weights")
    return card


def with_scores(card: str, rows: Sequence[Row]) -> str:
    """A card whose table, of a line for each rate, has the sizes and means of these rows."""
    lines = card.splitlines()
    heading = next(i for i, line in enumerate(lines) if line.startswith("| rate |"))
    names = [cell.strip() for cell in lines[heading].strip("|").split("|")]
    systems = {system.rsplit(" ", 1)[-1]: own for system, own in by_system(rows).items() if " " in system}
    for i in range(heading + 2, len(lines)):
        if not lines[i].startswith("| `"):
            break
        cells = [cell.strip() for cell in lines[i].strip("|").split("|")]
        own = systems[cells[0].split("`")[1]]
        seconds = sum(row.duration_s for row in own)
        for column, name in enumerate(names):
            if name == "file, bit/s":
                cells[column] = f"{8 * sum(row.file_bytes or 0 for row in own) / seconds:,.0f}"
            elif name == "log2(points), bit/s":
                cells[column] = f"{sum(row.index_bits or 0 for row in own) / seconds:,.0f}"
            elif name in COLUMNS:
                cells[column] = _mean(own, *COLUMNS[name]) or cells[column]
        lines[i] = f"| {' | '.join(cells)} |"
    return "\n".join(lines) + "\n"


def _mean(rows: Sequence[Row], score: str, decimals: int) -> str:
    """Empty if none has it."""
    values = np.array([value for row in rows if (value := row.scores.get(score)) is not None])
    if not len(values):
        return ""
    low, high = bootstrap_interval(values)
    interval = f" [{low:.{decimals}f}, {high:.{decimals}f}]" if score in ("pesq_wb", "stoi") else ""
    return f"{values.mean():.{decimals}f}{interval}"


def _commit() -> str:
    git = ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    tyro.cli(main)
