"""One training run as data: the options of `q2d2 train`, and the recipe that they amount to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from q2d2 import presets
from q2d2.config import CodecConfig
from q2d2.train.budget import Budget
from q2d2.train.drawing import BySource
from q2d2.train.objective import RECONSTRUCTION
from q2d2.train.recipes import ADVERSARIAL, RECIPES, Recipe, for_rows, recipe_for


@dataclass(frozen=True)
class TrainConfig:
    """What to train, on what, for how long, and where it differs from the recipe of the preset."""

    data: Path  # a packed corpus, a folder of audio (LibriTTS, VCTK, ...) or a manifest of paths
    out: Path  # receives model/ (what to use), state.safetensors (to resume from), log.jsonl and tensorboard/
    minutes: float | None = None  # budget of wall-clock minutes, from start-up to the last save
    steps: int | None = None  # budget of steps
    preset: str | None = None  # a name from q2d2/presets.py; default: speech, or what --from gives
    start: Annotated[str | None, arg(name="from", metavar="MODEL")] = None  # a model, a run or a hub id to start from
    validate: Path | None = None  # a folder of audio to measure the averaged model on at every save
    recipe: str | None = None  # how to train: speech, paper or wavtokenizer; default: by preset
    discriminators: str = "recipe"  # those of the recipe, none, or one set by its name: light, middle, mpd, mrd, dac
    dac: Literal["frozen", "trained", "off"] | None = None  # of the paper's recipe; the reference's was frozen
    batch: int | None = None  # rows of all processes together; `speech` adapts its rates and warm-ups to them
    seconds: float | None = None  # of a row
    learning_rate: float | None = None
    discriminator_learning_rate: float | None = None
    warmup_steps: int | None = None
    decay_from: float | None = None  # share of the budget after which the learning rate falls
    adversarial_from: float | None = None  # share of the budget before which discriminators do not play
    adversarial_warmup_steps: int | None = None  # over which their weight rises
    judged_seconds: float | None = None  # of a row, that discriminators see
    average: float | None = None  # decay of the weight average, per step; 0 for none
    weights: dict[str, float] = field(default_factory=dict)  # of losses, in place of the recipe's
    augment: Literal["recipe", "none"] = "recipe"  # rows changed as the recipe says, or as they were recorded
    linear_start: Literal["recipe", "none"] = "recipe"  # fitted ways around the networks, or nothing but noise
    source_weights: dict[str, float] = field(default_factory=dict)  # how often; default 1 + log10(speakers)
    precision: Literal["auto", "bfloat16", "float32"] = "auto"  # auto: bfloat16 where matrices multiply faster in it
    optimizer: Literal["adamw", "muon"] | None = None  # muon: better a step, and slower on a CPU
    compile: Literal["auto", "on", "off"] = "auto"  # auto: on GPUs
    graph: bool = False  # one CUDA graph for a whole step: one GPU, no learned codebooks
    device: str | None = None  # cpu or cuda; default: a GPU if there is one
    devices: int = 1  # processes on this machine; under torchrun what torchrun says
    workers: int = 2  # threads that prepare batches
    cache: Path | None = None  # a folder for the decoded corpus, so that the next run starts at once
    seed: int = 0
    save_minutes: float = 5.0
    save_steps: int | None = None  # save every so many steps instead
    log_every: int = 50

    def __post_init__(self) -> None:
        Budget(self.minutes, self.steps, 0.0)
        if self.preset is not None:
            presets.find(self.preset)
        if self.recipe is not None and self.recipe not in RECIPES:
            raise ValueError(f"there is no recipe {self.recipe}: give one of {', '.join(RECIPES)}")
        positive = (self.batch, self.seconds, self.learning_rate, self.log_every, self.devices, self.save_steps)
        if any(value is not None and value <= 0 for value in positive):
            raise ValueError("batch, seconds, learning_rate, log_every, devices and save_steps must be positive")

    def settled(self, codec: CodecConfig) -> Recipe:
        """The recipe with this command's changes."""
        recipe = RECIPES[self.recipe or recipe_for(codec)]
        recipe = for_rows(recipe, self.batch or recipe.batch)
        named = (
            "seconds learning_rate discriminator_learning_rate warmup_steps decay_from adversarial_from "
            "adversarial_warmup_steps judged_seconds average optimizer"
        )
        changes: dict[str, Any] = {n: getattr(self, n) for n in named.split() if getattr(self, n) is not None}
        sets = {"recipe": recipe.discriminators, "none": ()}.get(self.discriminators, (self.discriminators,))
        if self.dac is not None:
            sets = tuple(name for name in sets if name not in ("dac", "frozen_dac"))
            sets += {"frozen": ("frozen_dac",), "trained": ("dac",), "off": ()}[self.dac]
        known = {*recipe.weights, *RECONSTRUCTION}
        known |= {f"{name}_{what}" for name in sets for what in ADVERSARIAL}
        if unknown := set(self.weights) - known:
            raise ValueError(f"there is no loss {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
        weights = recipe.weights | self.weights
        for name in sets:  # the DAC set's weights are the same whether it is trained or not
            for what in ADVERSARIAL:
                weights.setdefault(f"{name}_{what}", weights.get(f"{name.removeprefix('frozen_')}_{what}", 1.0))
        if self.augment == "none":
            changes["augment"] = None
        if self.linear_start == "none":
            changes["linear_start"] = False
        if self.source_weights:
            if not isinstance(recipe.drawing, BySource):
                raise ValueError("source_weights: this recipe draws utterances, not sources")
            changes["drawing"] = BySource(self.source_weights)
        return replace(recipe, weights=weights, discriminators=sets, **changes)
