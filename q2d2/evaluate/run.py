"""A folder of speech through a model at its rates and through its peers -> rows, then tables. One row per utterance.

Every system gets the original clip at its own sample rate, mono, and gives back bytes and sound; the sizes are of those
bytes. Both signals are then taken to 24 kHz and scored (WavTokenizer's protocol). The delay is always measured: of a
peer it is compensated, and of a model of ours it is an error, since it promises none.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64
from tqdm import tqdm

from q2d2 import audio, checkpoint
from q2d2.analyze import utilization
from q2d2.atomic import write_whole
from q2d2.console import say
from q2d2.corpus.manifests import read_manifest
from q2d2.evaluate import report
from q2d2.evaluate.alignment import aligned, delay_samples
from q2d2.evaluate.metrics import METRICS, SAMPLE_RATE_HZ, Metric, MissingExtraError, Original, UndefinedError
from q2d2.evaluate.peers import Clip, System, peer
from q2d2.evaluate.progress import ClipResult, Progress
from q2d2.evaluate.rows import Row, rows_csv, rows_parquet, tokens_csv
from q2d2.evaluate.systems import Model, Uncoded
from q2d2.processes import start_method

# Of the median over the clips: a decoder that blurs onsets moves it by 1 ms, and 5 ms are heard as an echo and seen by
# STOI. A single clip's estimate is no ground for an error.
ALLOWED_DELAY_MS = 2.5
UNDER_WAY = "unfinished.jsonl"  # in the folder of an evaluation: its results so far
TRANSCRIPTS = (".normalized.txt", ".txt", ".lab")  # what may lie beside a clip, under its name


@dataclass(frozen=True)
class EvaluateConfig:
    """What to score, beside what, and where to write it."""

    data: Path
    """a folder of speech, or a manifest (a path a line, .jsonl, .csv, .tsv)"""
    out: Path
    """the folder for rows, tokens and tables, which replace those of an earlier evaluation"""
    model: str | None = None
    """a model folder or a hub id (default: the shipped model)"""
    rates: tuple[str, ...] = ()
    """some of the model's rates (default: all)"""
    peers: tuple[str, ...] = ("opus-6", "opus-8", "codec2-3200")
    """others to compare with: opus-KBPS, codec2-MODE, encodec-KBPS, dac-KHZ[xCODEBOOKS], snac-24, NAME=DECODED[:CODED]
    (folders of its outputs and files), FILE.py:CLASS (an adapter)"""
    metrics: tuple[str, ...] = ()
    """some of the metrics (default: all; what is not installed is a dash)"""
    jobs: int = 2
    """processes; each holds the model and uses one thread, but for a single one"""

    def __post_init__(self) -> None:
        known = [metric.name for metric in METRICS]
        if unknown := [name for name in self.metrics if name not in known]:
            raise ValueError(f"there is no metric {', '.join(unknown)}: give some of {', '.join(known)}")
        if self.jobs < 1:
            raise ValueError(f"{self.jobs} jobs cannot score anything: give 1 or more")

    @property
    def chosen(self) -> tuple[Metric, ...]:
        """The metrics of this evaluation, in the order of the tables."""
        return tuple(metric for metric in METRICS if not self.metrics or metric.name in self.metrics)


class Evaluation(NamedTuple):
    """What an evaluation has found."""

    rows: list[Row]
    counts: list[Int64[np.ndarray, " _"]]  # of each pair's points, over all clips at the highest of the rates
    errors: list[str]  # what makes the scores of a model invalid: a line each
    report: str  # Markdown


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Score the model and its peers on every clip; write rows.csv, rows.parquet, tokens.csv, table.md and table.tex.

    Interrupted and started again, it goes on with the clips that are left.
    """
    clips = _clips(config.data)
    _systems.cache_clear()  # the folder may hold other weights by now
    systems = _systems(config)  # what is wrong with the config shows before the work
    missing = _missing(config.chosen)
    config.out.mkdir(parents=True, exist_ok=True)
    progress = Progress(config.out / UNDER_WAY, _key(config, systems, clips, missing))
    try:
        left = [clip for clip in clips if clip[1] not in progress.found]
        with tqdm(total=len(clips), initial=len(clips) - len(left), desc="scoring", unit="clip", disable=None) as bar:
            for (_, name), result in zip(left, _results(config, left), strict=True):
                progress.add(name, result)
                bar.update()
        results = [progress.found[name] for _, name in clips]
        found = _written(config, systems, missing, results)
    except BaseException:
        progress.close(finished=False)
        raise
    progress.close(finished=True)
    return found


def _written(
    config: EvaluateConfig, systems: Sequence[System], missing: Mapping[str, str], results: Sequence[ClipResult]
) -> Evaluation:
    """The results of all clips as files."""
    rows = [row for result in results for row in result.rows]
    rows.sort(key=lambda row: [system.name for system in systems].index(row.system))  # stable: clips stay in order
    models = sorted((one for one in systems if isinstance(one, Model)), key=lambda model: model.num_pairs)
    codec, points = models[-1].codec, models[-1].codec.quantizer.points
    indices = np.concatenate([result.indices for result in results if result.indices is not None])
    counts = utilization.count(indices, points[: indices.shape[1]])
    tokens = {m.name: utilization.joint(indices[:, : m.num_pairs], points[: m.num_pairs]) for m in models}
    errors = [line for system in systems if not system.may_delay for line in misaligned(system.name, rows)]
    what = f"{codec.config.name} (weights {codec.weights}) on {config.data.resolve().name}"
    written = report.Report(what, rows, config.chosen, missing, tokens, errors)
    for name, text in (
        ("rows.csv", rows_csv(rows)),
        ("tokens.csv", tokens_csv(counts)),
        ("table.md", report.markdown(written)),
        ("table.tex", report.latex(written)),
    ):
        write_whole(config.out / name, text.encode())
    try:
        write_whole(config.out / "rows.parquet", rows_parquet(rows))
    except MissingExtraError as error:
        say(f"no rows.parquet: {error}")
    return Evaluation(rows, counts, errors, report.markdown(written).rstrip())


def score_clip(path: Path, name: str, systems: Sequence[System], metrics: Sequence[Metric] = METRICS) -> ClipResult:
    """One file through each of these systems; `name` is what the rows call it."""
    samples, rate_hz = audio.read(path)
    if not len(samples):
        raise audio.AudioError(f"{path}: holds no samples; remove it")
    clip = Clip(name, audio.to_mono(samples), rate_hz)
    reference = audio.resample(clip.wav, rate_hz, SAMPLE_RATE_HZ)
    transcript = _transcript(path)
    rows: list[Row] = []
    indices: np.ndarray | None = None
    for system in systems:
        duration_s = len(clip.wav) / rate_hz
        why = system.missing()
        if why is not None:
            nothing = dict.fromkeys((score.name for metric in metrics for score in metric.scores), None)
            rows.append(Row(name, system.name, duration_s, rate_hz, None, None, None, None, nothing, why))
            continue
        coded = system.code(clip)
        mine = isinstance(system, Model)
        if mine and coded.indices is not None and (indices is None or coded.indices.shape[1] > indices.shape[1]):
            indices = coded.indices
        decoded = audio.resample(coded.samples, coded.sample_rate_hz, SAMPLE_RATE_HZ)
        delay = delay_samples(reference, decoded, SAMPLE_RATE_HZ)
        heard, other = aligned(reference, decoded, delay if delay and system.may_delay else 0)
        scores, notes = _scores(Original(heard, transcript), other, metrics)
        rows.append(
            Row(
                clip=name,
                system=system.name,
                duration_s=duration_s,
                sample_rate_hz=rate_hz,
                file_bytes=coded.file_bytes,
                payload_bytes=coded.payload_bytes,
                tokens=None if coded.indices is None else coded.indices.size,
                delay_ms=None if delay is None else round(1000 * delay / SAMPLE_RATE_HZ, 3),
                scores=scores,
                note="; ".join(filter(None, [coded.note, *notes])),
                index_bits=coded.index_bits,
            )
        )
    return ClipResult(rows, indices)


def misaligned(system: str, rows: Sequence[Row]) -> list[str]:
    """A line if this system, which may not, delays what it decodes; the median outvotes clips that mislead."""
    delays = [row.delay_ms for row in rows if row.system == system and row.delay_ms is not None]
    late_ms = float(np.median(delays)) if delays else 0.0
    if abs(late_ms) <= ALLOWED_DELAY_MS:
        return []
    return [f"{system}: its output lags by {late_ms:+.1f} ms (median over the clips), so its scores are not valid"]


def _clips(data: Path) -> list[tuple[Path, str]]:
    """Each clip and what the rows call it: its path within the folder, or as the manifest has it."""
    if data.is_file():
        found = [(entry.path, _within(entry.path, data.parent)) for entry in read_manifest(data)]
    else:
        found = [(path, _within(path, data)) for path in audio.list_audio(data)]
    if not found:
        raise audio.AudioError(f"{data}: holds no audio to score")
    return found


def _key(
    config: EvaluateConfig, systems: Sequence[System], clips: Sequence[tuple[Path, str]], missing: Mapping[str, str]
) -> str:
    """What results depend on: with another of these, those of an interrupted evaluation are of no use."""
    files = [(name, path.stat().st_size, path.stat().st_mtime_ns) for path, name in clips if path.is_file()]
    codec = next(system.codec for system in systems if isinstance(system, Model))
    weights = (codec.weights, None if codec.prior is None else codec.prior.id)
    known = [system.missing() for system in systems]
    return repr(
        (weights, [s.name for s in systems], known, config.peers, [m.name for m in config.chosen], missing, files)
    )


def _within(path: Path, folder: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _transcript(path: Path) -> str | None:
    """What is said in a clip, if a text file beside it has it."""
    for suffix in TRANSCRIPTS:
        text = path.with_suffix(suffix)
        if text.is_file():
            return text.read_text(encoding="utf-8").strip() or None
    return None


def _scores(
    original: Original, decoded: Float32[np.ndarray, " samples"], metrics: Sequence[Metric]
) -> tuple[dict[str, float | None], list[str]]:
    """Every score, None where it is undefined, and why."""
    scores: dict[str, float | None] = {}
    notes = []
    lacking = _missing(metrics)
    for metric in metrics:
        if metric.name in lacking:
            scores |= dict.fromkeys((score.name for score in metric.scores), None)
            continue
        try:
            found = metric.measure(original, decoded)
        except UndefinedError as error:
            found = {}
            notes.append(f"{metric.scores[0].heading}: {error}")
        for score in metric.scores:
            value = found.get(score.name, math.nan)
            scores[score.name] = value if math.isfinite(value) else None
            if found and scores[score.name] is None:
                notes.append(f"{score.heading}: not a finite number")
    return scores, notes


def _missing(metrics: Sequence[Metric]) -> Mapping[str, str]:
    """What the metrics that cannot run lack, by their names."""
    return {metric.name: why for metric in metrics if (why := metric.missing())}


@lru_cache(maxsize=1)
def _systems(config: EvaluateConfig) -> tuple[System, ...]:
    """What the config names, once per process."""
    codec = checkpoint.load(config.model)
    rates = config.rates or tuple(codec.config.rates) or (None,)
    for rate in rates:
        codec.num_pairs(rate)
    models = [Model(codec, rate) for rate in dict.fromkeys(rates)]
    systems: tuple[System, ...] = (Uncoded(), *models, *map(peer, dict.fromkeys(config.peers)))
    names = [system.name for system in systems]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two systems are called {', '.join(sorted(twice))}: give one of them another name")
    return systems


def _score(config: EvaluateConfig, clip: tuple[Path, str]) -> ClipResult:
    return score_clip(*clip, _systems(config), config.chosen)


def _results(config: EvaluateConfig, clips: Sequence[tuple[Path, str]]) -> Iterator[ClipResult]:
    """The clips' results, in order."""
    jobs = min(config.jobs, len(clips))
    if jobs == 1:
        yield from map(partial(_score, config), clips)
        return
    context = multiprocessing.get_context(start_method(__name__))
    with ProcessPoolExecutor(jobs, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(partial(_score, config), clips)
