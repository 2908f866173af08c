"""How a preset is trained, as data: losses and their weights, discriminators, optimiser, batches.

`PAPER` is WavTokenizer's way with the paper's learning rate and batch (`docs/training.md` has the sources), `SPEECH`
the one for a small model and a short budget. The command line overrides single values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from q2d2.config import CodecConfig
from q2d2.encoder import SpectralEncoderConfig
from q2d2.train.augment import Augment
from q2d2.train.data import BySource, ByUtterance, Drawing

ADVERSARIAL = ("adversarial", "features", "discriminator")


@dataclass(frozen=True)
class Recipe:
    """One way to train. Learning rates follow the spent share of the budget, so that every budget ends finished."""

    weights: dict[str, float]  # of losses by name; those of a set S of discriminators are S_ and one of `ADVERSARIAL`
    discriminators: tuple[str, ...] = ()  # names of sets in `adversary.SETS`
    drawing: Drawing = field(default_factory=BySource)
    augment: Augment | None = None  # how rows are changed before they are learnt
    linear_start: bool = False  # a new codec begins with what matrices can do, where it has the ways for it
    batch: int = 6  # rows of all processes together
    seconds: float = 1.35  # of a row, rounded to whole frames
    learning_rate: float = 1e-3
    discriminator_learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.98)
    discriminator_betas: tuple[float, float] = (0.8, 0.95)
    schedule: Literal["linear", "cosine"] = "linear"
    warmup_steps: int = 100
    decay_from: float = 0.6  # share of the budget after which "linear" falls to nothing; "cosine" falls all along
    adversarial_from: float = 0.0  # share of the budget before which only the reconstruction is trained
    adversarial_warmup_steps: int = 0  # steps of the discriminators over which their weight in the generator rises to 1
    judged_seconds: float | None = None  # discriminators see so much of a row, at a random place; None: all of it
    average: float = 0.999  # decay of the weight average, per step; 0: the weights themselves are what is saved
    clip: float | None = 1.0  # largest norm of a gradient
    optimizer: Literal["adamw", "muon"] = "adamw"  # muon: for the matrices inside blocks
    one_pass: bool = False  # the generator learns from discriminators as they are before their own update
    scales: bool = False  # `for_rows` applies


SPEECH = Recipe(
    weights={
        "log_mel": 1.0,
        "root_mel": 40.0,
        "pitch": 6.0,
        "phase": 24.0,
        "commitment": 1.0,  # of learned codebooks, which `speech` itself has none of
        "light_adversarial": 0.1,
        "light_features": 0.1,
        "middle_adversarial": 0.1,
        "middle_features": 0.1,
    },
    discriminators=("light",),
    augment=Augment(),
    linear_start=True,
    judged_seconds=0.675,
    discriminator_learning_rate=1e-3,
    adversarial_from=0.5,
    adversarial_warmup_steps=300,
    one_pass=True,
    scales=True,
)

PAPER = Recipe(
    weights={
        "mel": 45.0,
        "commitment": 1000.0,  # of learned codebooks; Q2D2 and FSQ have none, and no auxiliary loss
        "mpd_adversarial": 1.0,
        "mpd_features": 1.0,
        "mrd_adversarial": 1.0,
        "mrd_features": 1.0,
        "dac_adversarial": 1.0,
        "dac_features": 1.0,
    },
    discriminators=("mpd", "mrd", "frozen_dac"),
    drawing=ByUtterance(),
    batch=16,
    seconds=3.0,
    learning_rate=8e-5,
    discriminator_learning_rate=8e-5,
    betas=(0.9, 0.999),
    discriminator_betas=(0.9, 0.999),
    schedule="cosine",
    warmup_steps=0,
    average=0.0,
    clip=None,
)
# WavTokenizer's own optimisation, for its presets; the paper trains the baselines as it trains Q2D2
WAVTOKENIZER = replace(PAPER, batch=40, learning_rate=2e-4, discriminator_learning_rate=2e-4)

RECIPES = {"speech": SPEECH, "paper": PAPER, "wavtokenizer": WAVTOKENIZER}


def for_rows(recipe: Recipe, rows: int) -> Recipe:
    """The recipe for batches of so many rows: its own values at its own number of rows.

    Larger batches have less noisy gradients, and a run has fewer of them. So steps become larger by the sixth root of
    the rows, warm-ups longer by the cube root; the average forgets faster and discriminators, which must not run ahead,
    move less, by the sixth root. At 256 rows in place of 6 that is a rate of 1.9e-3, a warm-up of 349 steps, an average
    of .9981 and discriminators at 5.3e-4: judgement, not measured yet.
    """
    if not recipe.scales or rows == recipe.batch:
        return replace(recipe, batch=rows)
    by = rows / recipe.batch
    return replace(
        recipe,
        batch=rows,
        learning_rate=recipe.learning_rate * by ** (1 / 6),
        warmup_steps=round(recipe.warmup_steps * by ** (1 / 3)),
        average=1 - (1 - recipe.average) * by ** (1 / 6) if recipe.average else 0.0,
        discriminator_learning_rate=recipe.discriminator_learning_rate * by ** (-1 / 6),
        adversarial_warmup_steps=round(recipe.adversarial_warmup_steps * by ** (1 / 3)),
    )


def row_samples(recipe: Recipe, codec: CodecConfig, hop: int) -> int:
    """Samples of a row: whole frames."""
    return max(1, round(recipe.seconds * codec.sample_rate_hz / hop)) * hop


def recipe_for(codec: CodecConfig) -> str:
    """The name of the recipe that a codec is trained by unless told otherwise."""
    return "speech" if isinstance(codec.encoder, SpectralEncoderConfig) else "paper"
