"""The training loop: budgets in steps or minutes, weight averaging, atomic checkpoints, resume, validation.

Reconstruction losses only, so far; `losses` is where further terms join under their names, and `train_step` the one
place that sums and steps. Progress is a share of the budget (0 to 1), and the learning rate depends on that share
alone, so any slot of time ends with finished weights. A batch depends on (seed, step) only: resuming goes on where the
run was.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from q2d2 import checkpoint
from q2d2.codec import Codec
from q2d2.excitation import BLOCK
from q2d2.train.data import Corpus, Crops, validation_clips
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
    validate: Path | None = None  # a folder of audio to measure the averaged model on at every save
    batch: int = 6
    frames: int = 72  # frames per crop
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    decay_from: float = 0.6  # share of the budget after which the learning rate falls linearly to nothing
    weights: dict[str, float] = field(default_factory=lambda: {"log_mel": 1.0, "root_mel": 40.0, "pitch": 3.0})
    source_weights: dict[str, float] = field(default_factory=dict)  # how often; default 1 + log10(speakers)
    average: float = 0.999  # decay of the weight average, per step
    clip: float = 1.0  # largest norm of the gradient
    precision: Literal["auto", "bfloat16", "float32"] = "auto"  # auto: bfloat16 where matrices multiply faster in it
    seed: int = 0
    save_minutes: float = 5.0
    log_every: int = 50

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise ValueError("training needs one budget: either minutes or steps")
        if min(self.batch, self.frames, self.log_every) < 1 or self.learning_rate <= 0:
            raise ValueError(f"batch, frames, log_every and learning_rate must be positive, got {self}")


class Trainer:
    """A codec, its optimiser and its averaged weights, at a certain step of a run."""

    def __init__(self, codec: Codec, config: TrainConfig, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.codec = codec.to(device).train()
        self.averaged = copy.deepcopy(self.codec).eval().requires_grad_(False)
        self.bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and _bfloat16_pays(device))
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
        """How many pairs each row may use: a named rate mostly, any prefix sometimes, so that every prefix decodes.

        The lowest rate is drawn twice as often as the others: its few pairs carry all of them.
        """
        total = self.codec.quantizer.num_pairs
        named = list(self.codec.config.rates.values()) or [total]
        weight = np.array([2.0] + [1.0] * (len(named) - 1))
        choice = rng.choice(named, size=rows, p=weight / weight.sum())
        other = rng.integers(1, total + 1, size=rows)
        prefixes = rng.random(rows) < (0.2 if self.codec.config.rates else 0.0)
        return torch.from_numpy(np.where(prefixes, other, choice)).to(self.device)

    def losses(self, wav: Float[Tensor, "batch samples"]) -> dict[str, Tensor]:
        """Named losses of one batch."""
        rng = np.random.default_rng((self.config.seed, self.step, 1))
        num_pairs = self.draw_pairs(rng, len(wav))
        start = BLOCK * torch.from_numpy(rng.integers(0, 10_000, size=len(wav))).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            decoded = self.codec(wav, num_pairs, start).decoded
        sample_rate_hz = self.codec.config.sample_rate_hz
        named = spectral_losses(decoded.wav, wav, sample_rate_hz)
        if decoded.log2_pitch is not None:
            target = track_pitch(wav, wav.shape[1] // decoded.log2_pitch.shape[1], sample_rate_hz)
            named["pitch"] = pitch_loss(decoded.log2_pitch, target)
        return named

    def train_step(self, wav: Float[Tensor, "batch samples"], share: float) -> dict[str, float]:
        """One update; returns the losses by name. FloatingPointError, and no update, if the gradient is not finite."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(share)
        named = self.losses(wav)
        total = torch.stack([self.config.weights[name] * value for name, value in named.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.codec.parameters(), self.config.clip)
        report = {name: value.item() for name, value in named.items()} | {"grad_norm": norm.item()}
        if not torch.isfinite(norm):
            raise FloatingPointError(f"step {self.step}: the gradient is not finite; losses {report}")
        self.optimizer.step()
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        for mean, p in zip(self.averaged.parameters(), self.codec.parameters(), strict=True):
            mean.lerp_(p.detach(), 1 - decay)
        self.step += 1
        return report

    @torch.inference_mode()
    def validation_loss(self, clips: Sequence[Float[Tensor, "1 _"]]) -> dict[str, float]:
        """Mean `log_mel` of the averaged model on these clips, per rate."""
        rates = self.codec.config.rates or {"all": self.codec.quantizer.num_pairs}
        sums = dict.fromkeys(rates, 0.0)
        for clip in clips:
            wav = clip.to(self.device)
            for rate, pairs in rates.items():
                made = self.averaged(wav, torch.tensor([pairs], device=self.device)).decoded.wav
                sums[rate] += spectral_losses(made, wav, self.codec.config.sample_rate_hz)["log_mel"].item()
        return {f"validation_{rate}": round(total / len(clips), 4) for rate, total in sums.items()}

    def save(self, elapsed_s: float) -> None:
        """Write the averaged model and everything needed to resume; each file appears whole or not at all."""
        state = {f"weight.{name}": value for name, value in self.codec.state_dict().items()}
        state |= {f"average.{name}": value for name, value in self.averaged.state_dict().items()}
        for name, p in self.codec.named_parameters():
            state |= {f"{key}.{name}": self.optimizer.state[p][key] for key in MOMENTS if p in self.optimizer.state}
        checkpoint.write_tensors(self.config.out / STATE, state, {"step": str(self.step), "elapsed_s": str(elapsed_s)})
        checkpoint.save(self.averaged, self.config.out / "model")

    def resume(self) -> None:
        """Take up the state in `out`."""
        state, meta = checkpoint.read_tensors(self.config.out / STATE)
        self.step, self.elapsed_s = int(meta["step"]), float(meta["elapsed_s"])
        for prefix, codec in (("weight.", self.codec), ("average.", self.averaged)):
            codec.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        for name, p in self.codec.named_parameters():
            if f"{MOMENTS[0]}.{name}" in state:
                moments = {key: state[f"{key}.{name}"].to(self.device) for key in MOMENTS}
                self.optimizer.state[p] = {"step": torch.tensor(float(self.step))} | moments


def train(codec: Codec, config: TrainConfig, device: torch.device | None = None) -> Path:
    """Train within the budget, resuming if `out` holds a state; returns the folder of the averaged model."""
    started = time.monotonic()
    hop, sample_rate_hz = codec.hop, codec.config.sample_rate_hz
    clips = [] if config.validate is None else validation_clips(config.validate, sample_rate_hz, hop)
    corpus = Corpus(config.data, sample_rate_hz)
    crops = Crops(corpus, config.batch, config.frames * hop, config.seed, config.source_weights)
    config.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(codec, config, device or torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    if (config.out / STATE).is_file():
        trainer.resume()
    log = _Log(config, trainer, config.batch * config.frames * hop / sample_rate_hz)

    def save() -> None:
        trainer.save(trainer.elapsed_s + time.monotonic() - started)
        if clips:
            log.write(trainer.validation_loss(clips))

    saved = time.monotonic()
    for share in _shares(trainer, started):
        log.add(trainer.train_step(crops.batch_at(trainer.step).to(trainer.device), share), share)
        if time.monotonic() - saved > 60 * config.save_minutes:
            save()
            saved = time.monotonic()
    save()
    log.close()
    return config.out / "model"


def _shares(trainer: Trainer, started: float) -> Iterator[float]:
    """The share of the budget that is spent, step after step, until it is all spent."""
    config = trainer.config
    while True:
        if config.steps is not None:
            share = trainer.step / config.steps
        else:
            assert config.minutes is not None
            share = (trainer.elapsed_s + time.monotonic() - started) / (60 * config.minutes)
        if share >= 1:
            return
        yield share


class _Log:
    """Means of the losses every `log_every` steps, as lines of log.jsonl and beside a progress bar."""

    def __init__(self, config: TrainConfig, trainer: Trainer, seconds: float) -> None:
        self.every, self.file, self.trainer, self.seconds = config.log_every, config.out / "log.jsonl", trainer, seconds
        self.bar = tqdm(total=100, desc="training", bar_format="{desc} {percentage:3.0f}% |{bar}| {postfix}")
        self._restart()

    def _restart(self) -> None:
        self.sums: dict[str, float] = {}
        self.count, self.since = 0, time.monotonic()

    def add(self, report: dict[str, float], share: float) -> None:
        for name, value in report.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        if self.trainer.step % self.every == 0:
            speed = self.count * self.seconds / (time.monotonic() - self.since)
            means = {name: round(value / self.count, 4) for name, value in self.sums.items()}
            self.write(means | {"share": round(share, 4), "audio_s_per_s": round(speed, 1)})
            self.bar.set_postfix_str(f"step {self.trainer.step}, log-mel {means['log_mel']:.3f}, {speed:.0f} audio-s/s")
            self.bar.update(100 * share - self.bar.n)
            self._restart()

    def write(self, row: dict[str, float]) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps({"step": self.trainer.step} | row) + "\n")

    def close(self) -> None:
        self.bar.close()


def _bfloat16_pays(device: torch.device) -> bool:
    """Whether matrices multiply faster in bfloat16 here: on GPUs yes; on CPUs it is measured."""
    if device.type == "cuda":
        return True

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.ones(512, 512, dtype=dtype), torch.ones(512, 1024, dtype=dtype)
        a @ b
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        return time.perf_counter() - start

    return seconds(torch.bfloat16) < 0.7 * seconds(torch.float32)
