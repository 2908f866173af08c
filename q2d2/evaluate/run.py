"""A folder of speech through a model at its rates and through its peers -> rows, then tables. One row per utterance.

Every system gets the original clip at its own sample rate, mono, and gives back bytes and sound; the sizes are of those
bytes. Both signals are then taken to 24 kHz and scored (WavTokenizer's protocol). The delay is always measured: of a
peer it is compensated, and of a model of ours it is an error, since it promises none.
"""

from __future__ import annotations

import io
import math
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64
from tqdm import tqdm

from q2d2 import audio, bitstream, checkpoint
from q2d2.analyze import utilization
from q2d2.atomic import write_whole
from q2d2.bitstream.packing import pack
from q2d2.codec import Codec
from q2d2.evaluate.alignment import aligned, delay_samples
from q2d2.evaluate.metrics import METRICS, SAMPLE_RATE_HZ, UndefinedError, require_packages
from q2d2.evaluate.peers import Coded, System, peer
from q2d2.evaluate.tables import Row, rows_csv, systems_table, tokens_csv, tokens_table

# Of the median over the clips: a decoder that blurs onsets moves it by 1 ms, and 5 ms are heard as an echo and seen by
# STOI. A single clip's estimate is no ground for an error.
ALLOWED_DELAY_MS = 2.5


@dataclass(frozen=True)
class EvaluateConfig:
    """What to score, beside what, and where to write it."""

    data: Path
    """a folder of speech"""
    out: Path
    """the folder for rows.csv, tokens.csv and table.md, which replace those of an earlier evaluation"""
    model: str | None = None
    """a model folder or a hub id (default: the shipped model)"""
    rates: tuple[str, ...] = ()
    """some of the model's rates (default: all)"""
    peers: tuple[str, ...] = ("opus-6", "opus-8", "codec2-3200")
    """what to compare with: opus-KBPS, codec2-MODE"""
    jobs: int = 2
    """processes; each holds the model and uses one thread, but for a single one"""


class Evaluation(NamedTuple):
    """What an evaluation has found."""

    rows: list[Row]
    counts: list[Int64[np.ndarray, " _"]]  # of each pair's points, over all clips at the highest of the rates
    errors: list[str]  # what makes the scores of a model invalid: a line each
    report: str  # Markdown


class ClipResult(NamedTuple):
    """One clip through all systems."""

    rows: list[Row]
    indices: Int64[np.ndarray, "frames pairs"] | None  # of the system with the most pairs


@dataclass(frozen=True)
class Model:
    """A codec of this package at one rate, through the bytes of its files."""

    codec: Codec
    rate: str | None  # None: the only one
    may_delay: bool = False

    @property
    def name(self) -> str:
        return self.codec.config.name + (f" {self.rate}" if self.rate else "")

    def missing(self) -> str | None:
        return None

    def code(self, wav: Float32[np.ndarray, " samples"], sample_rate_hz: int) -> Coded:
        data = self.codec.compress(wav, sample_rate_hz, self.rate)
        reader = bitstream.Reader(io.BytesIO(data))
        chunks = [chunk for _, chunk in reader]
        payload = sum(len(pack(chunk, reader.header.points)) for chunk in chunks)
        return Coded(self.codec.decompress(data), sample_rate_hz, len(data), payload, np.concatenate(chunks))


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Score the model and its peers on every clip of a folder, and write rows.csv, tokens.csv and table.md."""
    require_packages()
    clips = audio.list_audio(config.data)
    if not clips:
        raise audio.AudioError(f"{config.data}: holds no audio to score")
    if config.jobs < 1:
        raise ValueError(f"{config.jobs} jobs cannot score anything: give 1 or more")
    _systems.cache_clear()  # the folder may hold other weights by now
    systems = _systems(config)  # what is wrong with the config shows before the work
    config.out.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(clips), desc="scoring", unit="clip", disable=None) as progress:
        results = []
        for result in _results(config, clips):
            results.append(result)
            progress.update()
    rows = [row for result in results for row in result.rows]
    rows.sort(key=lambda row: [system.name for system in systems].index(row.system))  # stable: clips stay in order
    counts = _counts(systems, results)
    errors = [line for system in systems if not system.may_delay for line in misaligned(system.name, rows)]
    report = _report(config, systems, rows, counts, errors)
    for name, text in (("rows.csv", rows_csv(rows)), ("tokens.csv", tokens_csv(counts)), ("table.md", report)):
        write_whole(config.out / name, text.encode())
    return Evaluation(rows, counts, errors, report.rstrip())


def score_clip(path: Path, name: str, systems: Sequence[System]) -> ClipResult:
    """One file through each of these systems; `name` is what the rows call it."""
    samples, rate_hz = audio.read(path)
    if not len(samples):
        raise audio.AudioError(f"{path}: holds no samples; remove it")
    wav = audio.to_mono(samples)
    reference = audio.resample(wav, rate_hz, SAMPLE_RATE_HZ)
    rows: list[Row] = []
    indices: np.ndarray | None = None
    for system in systems:
        missing = system.missing()
        if missing is not None:
            nothing = dict.fromkeys((metric.name for metric in METRICS), None)
            rows.append(Row(name, system.name, len(wav) / rate_hz, rate_hz, None, None, None, nothing, missing))
            continue
        coded = system.code(wav, rate_hz)
        if coded.indices is not None and (indices is None or coded.indices.shape[1] > indices.shape[1]):
            indices = coded.indices
        decoded = audio.resample(coded.samples, coded.sample_rate_hz, SAMPLE_RATE_HZ)
        delay = delay_samples(reference, decoded, SAMPLE_RATE_HZ)
        scores, note = _scores(*aligned(reference, decoded, delay if delay and system.may_delay else 0))
        rows.append(
            Row(
                clip=name,
                system=system.name,
                duration_s=len(wav) / rate_hz,
                sample_rate_hz=rate_hz,
                file_bytes=coded.file_bytes,
                payload_bytes=coded.payload_bytes,
                delay_ms=None if delay is None else round(1000 * delay / SAMPLE_RATE_HZ, 3),
                scores=scores,
                note=note,
            )
        )
    return ClipResult(rows, indices)


def _scores(
    reference: Float32[np.ndarray, " samples"], decoded: Float32[np.ndarray, " samples"]
) -> tuple[dict[str, float | None], str]:
    """Every metric, None where it is undefined, and why."""
    scores: dict[str, float | None] = {}
    notes = []
    for metric in METRICS:
        try:
            score = metric.measure(reference, decoded)
            if not math.isfinite(score):
                raise UndefinedError("not a finite number")
            scores[metric.name] = score
        except UndefinedError as error:
            scores[metric.name] = None
            notes.append(f"{metric.heading}: {error}")
    return scores, "; ".join(notes)


@lru_cache(maxsize=1)
def _systems(config: EvaluateConfig) -> tuple[System, ...]:
    """What the config names, once per process."""
    codec = checkpoint.load(config.model)
    rates = config.rates or tuple(codec.config.rates) or (None,)
    for rate in rates:
        codec.num_pairs(rate)
    return (*(Model(codec, rate) for rate in dict.fromkeys(rates)), *map(peer, dict.fromkeys(config.peers)))


def _score(config: EvaluateConfig, path: Path) -> ClipResult:
    return score_clip(path, path.relative_to(config.data).as_posix(), _systems(config))


def _results(config: EvaluateConfig, clips: Sequence[Path]) -> Iterator[ClipResult]:
    """The clips' results, in order."""
    jobs = min(config.jobs, len(clips))
    if jobs == 1:
        yield from map(partial(_score, config), clips)
        return
    # spawned: a forked child of a process whose torch has threads may hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(partial(_score, config), clips)


def _counts(systems: Sequence[System], results: Sequence[ClipResult]) -> list[Int64[np.ndarray, " _"]]:
    """How often each point of each pair occurs at the highest of the rates, of which the others are prefixes."""
    models = [system for system in systems if isinstance(system, Model)]
    codec = models[0].codec
    points = codec.quantizer.points[: max(codec.num_pairs(model.rate) for model in models)]
    indices = [result.indices for result in results if result.indices is not None]
    return utilization.count(np.concatenate(indices), points)


def misaligned(system: str, rows: Sequence[Row]) -> list[str]:
    """A line if this system, which may not, delays what it decodes; the median outvotes clips that mislead."""
    delays = [row.delay_ms for row in rows if row.system == system and row.delay_ms is not None]
    late_ms = float(np.median(delays)) if delays else 0.0
    if abs(late_ms) <= ALLOWED_DELAY_MS:
        return []
    return [f"{system}: its output lags by {late_ms:+.1f} ms (median over the clips), so its scores are not valid"]


def _report(
    config: EvaluateConfig,
    systems: Sequence[System],
    rows: Sequence[Row],
    counts: Sequence[np.ndarray],
    errors: Sequence[str],
) -> str:
    """Markdown: what was scored, what is wrong with it, the systems, their delays, and the use of the tokens."""
    codec = next(system.codec for system in systems if isinstance(system, Model))
    first = [row for row in rows if row.system == rows[0].system]
    late = [
        f"{system.name} {np.median(delays):+.1f} ms"
        for system in systems
        if (delays := [row.delay_ms for row in rows if row.system == system.name and row.delay_ms is not None])
    ]
    frames = int(counts[0].sum())
    return "\n".join(
        [
            f"{codec.config.name} (weights {codec.weights}) on {config.data.resolve().name}: {len(first)} clips, "
            f"{sum(row.duration_s for row in first):.0f} s. Means with 95 % intervals (bootstrap over clips).",
            "",
            *(f"**ERROR** {error}\n" for error in errors),
            systems_table(rows),
            "",
            f"Delay of the decoded signal, median over clips (of a peer compensated, clip by clip): {', '.join(late)}.",
            "",
            f"Use of the points of each pair over {frames} frames, and the entropy of their frequencies:",
            "",
            tokens_table([utilization.use(column) for column in counts]),
            "",
        ]
    )
