"""The training loop: budgets in steps or minutes, weight averaging, atomic checkpoints, resume.

Reconstruction losses only, so far; `losses` is where further terms join under their names, and `train_step` the one
place that sums and steps. Progress is a share of the budget (0 to 1), and the learning rate depends on that share
alone, so any slot of time ends with finished weights. A batch depends on (seed, step) only: resuming goes on where the
run was.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from q2d2 import checkpoint
from q2d2.codec import Codec
from q2d2.excitation import BLOCK
from q2d2.train.data import Corpus, Crops
from q2d2.train.losses import pitch_loss, spectral_losses
from q2d2.train.pitch import track_pitch

STATE = "state.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class TrainConfig:
    """How to train; what is trained is the codec's own config."""

    data: Path  # a packed corpus: a folder with index.json
    out: Path  # receives model/ (averaged weights), state.safetensors (everything to resume from) and log.jsonl
    minutes: float | None = None  # budget of wall-clock minutes, loading included
    steps: int | None = None  # budget of steps
    batch: int = 6
    frames: int = 72  # frames per crop
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    decay_from: float = 0.6  # share of the budget after which the learning rate falls linearly to nothing
    weights: dict[str, float] = field(default_factory=lambda: {"log_mel": 1.0, "root_mel": 3.0, "pitch": 2.0})
    source_weights: dict[str, float] = field(default_factory=dict)  # how often; default 1 + log10(speakers)
    average: float = 0.998  # decay of the weight average, per step
    clip: float = 1.0
    seed: int = 0
    save_minutes: float = 5.0
    log_every: int = 50

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("training needs one budget: either minutes or steps")


class Trainer:
    """A codec, its optimiser and its averaged weights, at a certain step of a run."""

    def __init__(self, codec: Codec, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.codec = codec.to(device).train()
        self.averaged = copy.deepcopy(self.codec).eval().requires_grad_(False)
        decayed = [p for p in codec.parameters() if p.ndim > 1]
        plain = [p for p in codec.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
            foreach=True,
        )
        self.step = 0
        self.elapsed_s = 0.0  # of earlier sessions of this run

    def learning_rate(self, share: float) -> float:
        """Linear warm-up by steps, then flat, then linear to nothing by share of the budget."""
        rise = min(1.0, (self.step + 1) / self.config.warmup_steps)
        fall = min(1.0, (1 - share) / (1 - self.config.decay_from))
        return self.config.learning_rate * rise * max(fall, 0.0)

    def draw_pairs(self, rng: np.random.Generator, rows: int) -> Int64[Tensor, " rows"]:
        """How many pairs each row may use: a named rate mostly, any prefix sometimes, so that every prefix decodes."""
        total = self.codec.quantizer.num_pairs
        named = list(self.codec.config.rates.values()) or [total]
        weight = np.array([2.0] + [1.0] * (len(named) - 1)) if len(named) > 1 else np.ones(1)
        choice = rng.choice(named, size=rows, p=weight / weight.sum())
        other = rng.integers(1, total + 1, size=rows)
        return torch.from_numpy(np.where(rng.random(rows) < 0.8, choice, other)).to(self.device)

    def losses(self, wav: Float[Tensor, "batch samples"]) -> dict[str, Tensor]:
        """Named losses of one batch."""
        rng = np.random.default_rng((self.config.seed, self.step, 1))
        num_pairs = self.draw_pairs(rng, len(wav))
        start = BLOCK * torch.from_numpy(rng.integers(0, 10_000, size=len(wav))).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            output = self.codec(wav, num_pairs, start)
        named = spectral_losses(output.decoded.wav, wav, self.codec.config.sample_rate_hz)
        step = wav.shape[1] // output.decoded.log2_pitch.shape[1]
        target = track_pitch(wav, step, self.codec.config.sample_rate_hz)
        return named | {"pitch": pitch_loss(output.decoded.log2_pitch, target)}

    def train_step(self, wav: Float[Tensor, "batch samples"], share: float) -> dict[str, float]:
        """One update; returns the losses by name."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(share)
        named = self.losses(wav)
        total = sum((self.config.weights[name] * value for name, value in named.items()), torch.zeros(()))
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.codec.parameters(), self.config.clip)
        report = {name: value.item() for name, value in named.items()}
        if not torch.isfinite(norm):
            raise FloatingPointError(f"step {self.step}: the gradient is not finite; losses {report}")
        self.optimizer.step()
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        for mean, p in zip(self.averaged.parameters(), self.codec.parameters(), strict=True):
            mean.lerp_(p.detach(), 1 - decay)
        self.step += 1
        return report | {"grad_norm": float(norm)}

    def save(self, elapsed_s: float) -> None:
        """Write the averaged model and everything needed to resume; each file appears whole or not at all."""
        out = self.config.out
        state = {f"weight.{name}": value for name, value in self.codec.state_dict().items()}
        state |= {f"average.{name}": value for name, value in self.averaged.state_dict().items()}
        for name, p in self.codec.named_parameters():
            state |= {f"{key}.{name}": self.optimizer.state[p][key] for key in MOMENTS}
        meta = {"step": str(self.step), "elapsed_s": str(elapsed_s)}
        checkpoint.write_tensors(out / STATE, state, meta)
        checkpoint.save(self.averaged, out / "model")

    def resume(self) -> None:
        """Take up the state in `out`."""
        state, meta = checkpoint.read_tensors(self.config.out / STATE)
        self.step, self.elapsed_s = int(meta["step"]), float(meta["elapsed_s"])
        for prefix, codec in (("weight.", self.codec), ("average.", self.averaged)):
            codec.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        for name, p in self.codec.named_parameters():
            moments = {key: state[f"{key}.{name}"].to(self.device) for key in MOMENTS}
            self.optimizer.state[p] = {"step": torch.tensor(float(self.step))} | moments


def _shares(trainer: Trainer, started: float) -> Iterator[float]:
    """The share of the budget that is spent, step after step, until it is all spent."""
    config = trainer.config
    while True:
        if config.steps is not None:
            share = trainer.step / config.steps
        else:
            spent = trainer.elapsed_s + time.monotonic() - started
            share = spent / (60 * (config.minutes or 1))
        if share >= 1:
            return
        yield share


def train(codec: Codec, config: TrainConfig, device: torch.device | None = None) -> Path:
    """Train within the budget, resuming if `out` holds a state; returns the folder of the averaged model."""
    started = time.monotonic()
    config.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(codec, config, device or torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if (config.out / STATE).is_file():
        trainer.resume()
    hop = codec.encoder.hop
    corpus = Corpus(config.data, codec.config.sample_rate_hz)
    crops = Crops(corpus, config.batch, config.frames * hop, config.seed, config.source_weights)
    seconds = config.batch * config.frames * hop / codec.config.sample_rate_hz
    saved = time.monotonic()
    sums: dict[str, float] = {}
    since, at = trainer.step, time.monotonic()
    bar = tqdm(total=100, unit="%", desc="training", bar_format="{desc}: {percentage:3.0f}%|{bar}| {postfix}")
    for share in _shares(trainer, started):
        report = trainer.train_step(crops.batch_at(trainer.step).to(trainer.device), share)
        for name, value in report.items():
            sums[name] = sums.get(name, 0.0) + value
        if trainer.step % config.log_every == 0:
            count = trainer.step - since
            row = {name: round(value / count, 4) for name, value in sums.items()}
            rate = count * seconds / (time.monotonic() - at)
            row |= {"step": trainer.step, "share": round(share, 4), "audio_s_per_s": round(rate, 1)}
            with (config.out / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
            bar.set_postfix_str(f"step {trainer.step}, log-mel {row['log_mel']:.3f}, {rate:.0f} audio-s/s")
            bar.update(100 * share - bar.n)
            sums, since, at = {}, trainer.step, time.monotonic()
        if time.monotonic() - saved > 60 * config.save_minutes:
            trainer.save(trainer.elapsed_s + time.monotonic() - started)
            saved = time.monotonic()
    bar.close()
    trainer.save(trainer.elapsed_s + time.monotonic() - started)
    return config.out / "model"
