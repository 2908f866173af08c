"""The training loop: it learns, it stops in time, and an interruption changes nothing."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import q2d2
from q2d2.codec import Codec
from q2d2.presets import PRESETS, TINY
from q2d2.train.trainer import TrainConfig, Trainer, train

CPU = torch.device("cpu")


def tiny(seed: int = 0) -> Codec:
    torch.manual_seed(seed)
    return Codec(TINY)


def a_config(corpus: Path, out: Path, **changes) -> TrainConfig:
    config = TrainConfig(
        data=corpus, out=out, steps=6, batch=2, frames=24, log_every=2, warmup_steps=1, precision="float32"
    )
    return replace(config, **changes)


def batches(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [0.1 * torch.randn(2, 24 * 450, generator=generator) for _ in range(count)]


def test_the_loss_falls(packed_corpus: Path, tmp_path: Path) -> None:
    config = a_config(packed_corpus, tmp_path, steps=60, learning_rate=3e-3, validate=packed_corpus)
    model = train(tiny(), config)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [row["log_mel"] for row in rows if "log_mel" in row]
    assert losses[-1] < 0.8 * losses[0]
    assert set(rows[-1]) == {"step", "validation_1k", "validation_3k", "validation_7k"}
    codec = q2d2.load(model)
    assert len(codec.decompress(codec.compress(0.1 * torch.randn(5000), 24_000))) == 5000


def test_resuming_is_exact(tmp_path: Path) -> None:
    """Six steps in one go, and three steps, a kill and three steps more: the same weights to the last bit."""
    config = a_config(tmp_path, tmp_path)
    straight = Trainer(tiny(), config, CPU)
    for step, wav in enumerate(batches(6)):
        straight.train_step(wav, step / 6)

    first = Trainer(tiny(), config, CPU)
    for step, wav in enumerate(batches(6)[:3]):
        first.train_step(wav, step / 6)
    first.save(elapsed_s=12.5)
    second = Trainer(tiny(seed=1), config, CPU)
    second.resume()
    assert (second.step, second.elapsed_s) == (3, 12.5)
    for step, wav in enumerate(batches(6)[3:], start=3):
        second.train_step(wav, step / 6)
    for mine, theirs in ((straight.codec, second.codec), (straight.averaged, second.averaged)):
        for name, value in mine.state_dict().items():
            assert name == "silence" or torch.equal(value, theirs.state_dict()[name]), name


def test_a_run_goes_on_where_it_was(packed_corpus: Path, tmp_path: Path) -> None:
    config = a_config(packed_corpus, tmp_path, steps=4)
    train(tiny(), config)
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    train(tiny(seed=9), config)  # the budget is spent: nothing is left to do
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    train(tiny(seed=9), replace(config, steps=6))
    rows = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert rows == [2, 4, 6]


def test_minutes_are_kept(packed_corpus: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    train(tiny(), a_config(packed_corpus, tmp_path, steps=None, minutes=0.05))
    assert 2 < time.monotonic() - start < 20
    assert (tmp_path / "model" / "config.json").is_file()


def test_a_gradient_that_is_not_finite_stops_and_changes_nothing(tmp_path: Path) -> None:
    trainer = Trainer(tiny(), a_config(tmp_path, tmp_path), CPU)
    before = {name: value.clone() for name, value in trainer.codec.state_dict().items()}
    with pytest.raises(FloatingPointError, match="step 0"):
        trainer.train_step(torch.full((2, 24 * 450), torch.nan), 0.0)
    assert all(torch.equal(value, before[name]) for name, value in trainer.codec.state_dict().items())


def test_every_prefix_is_drawn_and_the_lowest_rate_most(tmp_path: Path) -> None:
    import numpy as np

    trainer = Trainer(tiny(), a_config(tmp_path, tmp_path), CPU)
    drawn = trainer.draw_pairs(np.random.default_rng(0), 4000)
    counts = torch.bincount(drawn, minlength=5)
    assert counts[0] == 0
    assert (counts[1:] > 100).all()
    assert counts[2] == counts.max()  # the tiny codec's lowest rate is 2 pairs


def test_the_learning_rate_follows_the_budget(tmp_path: Path) -> None:
    trainer = Trainer(tiny(), a_config(tmp_path, tmp_path, warmup_steps=10, learning_rate=1.0), CPU)
    assert trainer.learning_rate(0.0) == 0.1
    trainer.step = 50
    assert trainer.learning_rate(0.6) == 1.0
    assert trainer.learning_rate(0.8) == pytest.approx(0.5)
    assert trainer.learning_rate(1.0) == 0.0


def test_a_codec_without_a_pitch_trains_too(tmp_path: Path) -> None:
    paper = PRESETS["paper-1k"]
    small = replace(
        paper,
        encoder=replace(paper.encoder, dim=32, width=4),
        quantizer=replace(paper.quantizer, dim=32),
        decoder=replace(paper.decoder, dim=32, width=32, inner=64, layers=1),
    )
    report = Trainer(Codec(small), a_config(tmp_path, tmp_path), CPU).train_step(batches(1)[0], 0.0)
    assert set(report) == {"log_mel", "root_mel", "grad_norm"}


@pytest.mark.parametrize("wrong", [{"minutes": 1.0}, {"steps": None}, {"batch": 0}, {"learning_rate": 0.0}])
def test_a_config_that_makes_no_sense_is_refused(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(ValueError, match="budget|positive"):
        a_config(tmp_path, tmp_path, **wrong)
