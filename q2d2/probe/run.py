"""A labelled set through a codec at its rates, and a linear probe on what comes out -> rows, then a table.

A row for each split, seed and representation. Raw rows first: the table is means of them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32
from tqdm import tqdm

from q2d2 import checkpoint
from q2d2.atomic import write_whole
from q2d2.probe import linear, scores
from q2d2.probe.embed import Embedded, Embedder, Representation, embed
from q2d2.probe.labelled import Clip, LabelledSet, ProbeError
from q2d2.probe.report import CHANCE, Findings, Row, report
from q2d2.probe.sets import labelled_set
from q2d2.probe.splitting import Split


@dataclass(frozen=True)
class ProbeConfig:
    """What to probe, on which labels, and where to write it."""

    set: str
    """ravdess, slurp, emovo or audiomnist (speech), esc50, us8k, fsd50k or vivae (sounds), fma-small, magnatagatune,
    irmas or medley-solos (music); or folders, for data of one's own"""
    data: Path
    """the folder into which the set was unpacked; for folders also a table with path and label"""
    out: Path
    """the folder for rows.csv, table.md and unusable.csv, which are replaced, and for embeddings/, which are kept"""
    model: str | None = None
    """a model folder or a hub id (default: the shipped model)"""
    rates: tuple[str, ...] = ()
    """some of the model's rates (default: all)"""
    seeds: int = 3
    """how many probes, each with its own start and order of the clips"""
    epochs: int = 200
    """of the probe; 200 in the protocol"""
    max_s: float | None = None
    """seconds to which clips are cut or filled up (default: the protocol's)"""
    device: str = "cpu"
    """where the codec runs; the probes always run on the CPU"""


class Probe(NamedTuple):
    """What a probe has found."""

    rows: list[Row]
    unusable: dict[str, str]  # path -> what is wrong with it
    report: str  # Markdown

    @property
    def notes(self) -> list[str]:
        """What whoever ran it should know: a line for each clip that was left out."""
        return list(self.unusable.values())


class Labels(NamedTuple):
    """The clips' labels as numbers."""

    names: list[str]
    targets: Float32[torch.Tensor, "clips labels"]  # 1 for a clip's labels, 0 elsewhere


def probe(config: ProbeConfig) -> Probe:
    """Embed every clip, train and test a probe per split, seed and representation; write rows.csv and table.md."""
    chosen = labelled_set(config.set)
    if config.seeds < 1 or config.epochs < 1:
        raise ValueError(f"{config.seeds} seeds and {config.epochs} epochs train no probe: give 1 or more of each")
    max_s = chosen.max_s if config.max_s is None else float(config.max_s)
    if max_s <= 0:
        raise ValueError(f"clips of {max_s:g} s hold nothing: give more")
    codec = checkpoint.load(config.model).to(config.device)
    embedder = Embedder(codec, tuple(dict.fromkeys(config.rates)) or tuple(codec.config.rates) or (None,))
    clips = chosen.read(config.data)
    splits = chosen.splits(clips)  # before anything is known to be unusable, so that they do not depend on it
    embedded = embed(clips, embedder, max_s, config.out / "embeddings")
    unusable = {str(clips[number].path): why for number, why in embedded.unusable.items()}
    labels = numbered(clips)
    usable = [_without(split, embedded, chosen) for split in splits]
    rows = list(_rows(config, chosen, embedder.representations, embedded, labels, usable))
    text = report(
        Findings(
            chosen=chosen,
            data=config.data.resolve().name,
            labels=labels.names,
            model=f"{codec.config.name}, weights {codec.weights}",
            max_s=max_s,
            epochs=config.epochs,
            kinds=embedder.representations,
            spanned={kind.name: _span(embedded.vectors[:, kind.columns]) for kind in embedder.representations},
            rows=rows,
            unusable=unusable,
        )
    )
    for name, content in (("rows.csv", _csv(rows)), ("unusable.csv", _listed(unusable)), ("table.md", text)):
        write_whole(config.out / name, content.encode())
    return Probe(rows, unusable, text.rstrip())


def numbered(clips: Sequence[Clip]) -> Labels:
    """Labels in alphabetical order."""
    names = sorted({label for clip in clips for label in clip.labels})
    number = {name: i for i, name in enumerate(names)}
    targets = torch.zeros(len(clips), len(names))
    for row, clip in zip(targets, clips, strict=True):
        row[[number[label] for label in clip.labels]] = 1
    return Labels(names, targets)


def _without(split: Split, embedded: Embedded, chosen: LabelledSet) -> Split:
    """The split without the clips that cannot be used."""
    bad = list(embedded.unusable)
    train, val, test = (numbers[~np.isin(numbers, bad)] for numbers in split[1:])
    if not len(train) or not len(test):
        first = next(iter(embedded.unusable.values()), "there are none")
        raise ProbeError(f"{chosen.name}, split {split.name}: no usable clips to train or to test with ({first})")
    return Split(split.name, train, val, test)


def _rows(
    config: ProbeConfig,
    chosen: LabelledSet,
    kinds: Sequence[Representation],
    embedded: Embedded,
    labels: Labels,
    splits: Sequence[Split],
) -> Iterator[Row]:
    """Chance, then each representation, for each split."""
    vectors = torch.from_numpy(embedded.vectors)
    seeds = range(config.seeds)
    with tqdm(total=len(splits) * len(kinds), desc="probing", unit="probe", disable=None) as progress:
        for split in splits:
            count = (len(split.train), len(split.test))
            right = labels.targets[split.test]
            often = labels.targets[split.train].mean(0).expand_as(right)
            yield Row(CHANCE, split.name, None, *count, scored(right, often, chosen.multi_label))
            for kind in kinds:
                inputs = vectors[:, kind.columns]
                probes = linear.train(
                    inputs[split.train],
                    labels.targets[split.train],
                    chosen.multi_label,
                    seeds,
                    linear.Training(epochs=config.epochs),
                )
                for seed, logits in zip(seeds, probes(inputs[split.test]), strict=True):
                    yield Row(kind.name, split.name, seed, *count, scored(right, logits, chosen.multi_label))
                progress.update()


def scored(
    right: Float32[torch.Tensor, "clips labels"], said: Float32[torch.Tensor, "clips labels"], multi_label: bool
) -> dict[str, float]:
    """The protocol's scores, of logits or anything else that grows with them."""
    if multi_label:
        macro, weighted = scores.mean_average_precision(right.numpy() > 0, said.double().numpy())
        return {"map_macro": macro, "map_weighted": weighted}
    one, other = right.argmax(1).numpy(), said.argmax(1).numpy()
    return {"accuracy": scores.accuracy(one, other), "macro_f1": scores.macro_f1(one, other)}


def _span(vectors: Float32[np.ndarray, "clips dim"]) -> int:
    """Dimensions in which the usable vectors differ."""
    usable = vectors[~np.isnan(vectors[:, 0])]
    return int(np.linalg.matrix_rank(usable - usable.mean(axis=0)))


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["representation", "split", "seed", "train_clips", "test_clips", *rows[0].scores])
    writer.writerows([*row[:-1], *row.scores.values()] for row in rows)  # None is written as an empty cell
    return text.getvalue()


def _listed(unusable: dict[str, str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("path", "reason"), *unusable.items()])
    return text.getvalue()
