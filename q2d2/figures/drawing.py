"""A config -> all figures it has the inputs for. Knows every figure's inputs, and none of their insides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from matplotlib.figure import Figure

from q2d2 import checkpoint
from q2d2.analyze import distortion, utilization
from q2d2.atomic import write_whole
from q2d2.benchmark.plot import speed_figure
from q2d2.codec import Codec
from q2d2.figures import measuring, reading
from q2d2.figures.config import FiguresConfig, Made
from q2d2.figures.dependence import dependence_figure
from q2d2.figures.grids import grids_figure
from q2d2.figures.latents import Latents, latents
from q2d2.figures.quality import left_out, quality_figure
from q2d2.figures.rate_distortion import GAUSSIAN, rate_distortion_figure
from q2d2.figures.style import save
from q2d2.figures.tokens import Histogram, tokens_figure
from q2d2.quantizer import Q2D2

FRAMES = 10_000  # of samples of each distribution, and of latents at most: for rate and distortion
BLOCK = 6  # channels: whole pairs, and whole triples


class Part(NamedTuple):
    """One figure, or why there is none."""

    name: str  # of its files
    figure: Figure | None
    notes: tuple[str, ...] = ()
    table: str | None = None  # CSV


class Subject(NamedTuple):
    """A model at work on clips."""

    what: str  # both, in words
    latents: Latents

    @property
    def is_planar(self) -> bool:
        return self.latents.z.shape[-1] == 2


def draw(config: FiguresConfig) -> Made:
    """Write what there is to write, one figure after the other."""
    config.out.mkdir(parents=True, exist_ok=True)
    made = Made([], [])
    for part in _parts(config):
        if part.figure is not None:
            made.paths.extend(save(part.figure, config.out / part.name))
        if part.table is not None:
            made.paths.append(config.out / f"{part.name}.csv")
            write_whole(made.paths[-1], part.table.encode())
        made.notes.extend(part.notes)
    return made


def _parts(config: FiguresConfig) -> Iterator[Part]:
    codec = checkpoint.load(config.model) if config.data or config.scores else None
    yield Part("grids", grids_figure())
    yield _quality(config)
    yield _speed(config)
    subject = _subject(config, codec) if codec and config.data else None
    yield _tokens(config, codec, subject)
    yield _dependence(config, subject)
    yield _rate_distortion(config, subject)


def _subject(config: FiguresConfig, codec: Codec) -> Subject:
    assert config.data is not None
    clips = reading.choose_clips(config.data, config.clips, config.seed)
    found = latents(codec, clips)
    return Subject(f"{codec.config.name}, {len(clips)} clips, {len(found.z)} frames", found)


def _quality(config: FiguresConfig) -> Part:
    if config.scores is None:
        return Part("quality", None, ("no quality: --scores brings it, the --out of q2d2 evaluate",))
    rows = reading.read_scores(config.scores)
    return Part("quality", quality_figure(rows), tuple(left_out(rows)))


def _speed(config: FiguresConfig) -> Part:
    if config.speed is None:
        return Part("speed", None, ("no speed: --speed brings it, the --out of q2d2 benchmark",))
    return Part("speed", speed_figure(reading.read_speed(config.speed)))


def _tokens(config: FiguresConfig, codec: Codec | None, subject: Subject | None) -> Part:
    """Of an evaluation, which has all its clips; otherwise of the clips that were chosen."""
    if codec is None:
        return Part("tokens", None, ("no tokens: --scores or --data brings them",))
    if not isinstance(codec.quantizer, Q2D2) or codec.quantizer.axes != 2:
        return Part(
            "tokens", None, (f"no tokens: {codec.config.name} has no grids in the plane; give another --model",)
        )
    if config.scores is not None:
        counts = reading.read_tokens(config.scores)
        if tuple(map(len, counts)) != codec.quantizer.points[: len(counts)]:
            raise ValueError(
                f"{config.scores / reading.TOKENS}: is of another model than {codec.config.name}; give --model"
            )
        what = f"{codec.config.name}, {sum(counts[0])} frames"
    else:
        assert subject is not None
        counts = utilization.count(subject.latents.indices, codec.quantizer.points)
        what = subject.what
    histograms = [Histogram(*pair) for pair in zip(codec.quantizer.grids, counts, strict=False)]
    return Part("tokens", tokens_figure(histograms, what))


def _dependence(config: FiguresConfig, subject: Subject | None) -> Part:
    if subject is None:
        return Part("dependence", None, ("no dependence: --data brings it, a folder of speech",))
    if not subject.is_planar:
        return Part(
            "dependence", None, ("no dependence: the model's grids are not in the plane; give another --model",)
        )
    found = subject.latents
    baseline = replace(measuring.BASELINE, seed=config.seed)
    pairs = measuring.dependences(found.on_grid, found.indices, found.grids, baseline)
    table = measuring.dependence_csv(pairs)
    return Part("dependence", dependence_figure(pairs, subject.what), table=table)


def _rate_distortion(config: FiguresConfig, subject: Subject | None) -> Part:
    sources = {
        GAUSSIAN: distortion.gaussian(FRAMES, BLOCK, config.seed),
        "uniform samples": distortion.uniform(FRAMES, BLOCK, config.seed),
    }
    notes = []
    if subject is None:
        notes.append("no latents in rate_distortion: --data brings them, a folder of speech")
    else:
        channels = subject.latents.channels
        whole = channels.shape[1] // BLOCK * BLOCK
        if whole:
            sources[f"latents of {subject.what}"] = channels[:: -(-len(channels) // FRAMES), :whole]
        else:
            notes.append(
                f"no latents in rate_distortion: the model has {channels.shape[1]} channels, {BLOCK} are needed"
            )
    curves = measuring.curves(sources)
    table = measuring.rate_distortion_csv(curves)
    return Part("rate_distortion", rate_distortion_figure(curves), tuple(notes), table)
