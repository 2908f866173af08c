"""The training loop: an interruption changes nothing, and two processes do one's work."""

import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from programs import Program, start
from safetensors import safe_open
from safetensors.torch import load_file
from training_runs import FRAMES, a_config, rows

import q2d2
from q2d2 import checkpoint, presets
from q2d2.codec import Codec
from q2d2.presets import TINY
from q2d2.train import state
from q2d2.train.config import TrainConfig
from q2d2.train.data import Batch
from q2d2.train.run import train
from q2d2.train.trainer import NotFiniteError, Trainer


def tiny(seed: int = 0) -> Codec:
    torch.manual_seed(seed)
    return Codec(TINY)


def batches(count: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(5)
    return [Batch(0.1 * torch.randn(2, FRAMES * 450, generator=generator), ("a@0", "b@9")) for _ in range(count)]


def weights(out: Path) -> bytes:
    return (out / "model" / "model.safetensors").read_bytes()


def test_resuming_is_exact(tmp_path: Path) -> None:
    """Six steps in one go, and three steps, a stop and three steps more: the same weights to the last bit."""
    config = a_config(tmp_path, tmp_path / "run")
    config.out.mkdir()
    straight = Trainer(tiny(), config)
    for step, batch in enumerate(batches(6)):
        straight.train_step(batch, step / 6)

    first = Trainer(tiny(), config)
    for step, batch in enumerate(batches(6)[:3]):
        first.train_step(batch, step / 6)
    first.save(elapsed_s=12.5)
    second = Trainer(tiny(seed=1), config)
    assert second.resume() == 12.5
    assert (second.step, second.discriminator_step) == (3, 3)
    for step, batch in enumerate(batches(6)[3:], start=3):
        second.train_step(batch, step / 6)
    for mine, theirs in (
        (straight.codec, second.codec),
        (straight.settle(), second.settle()),
        (straight.opponent.module, second.opponent.module),
    ):
        for name, value in mine.state_dict().items():
            assert name == "silence" or torch.equal(value, theirs.state_dict()[name]), name


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("preset", ["tiny-paper-1k", "tiny-rvq-2x768"])
def test_dropout_and_codebooks_resume_exactly_too(packed_corpus: Path, tmp_path: Path, preset: str) -> None:
    config = a_config(packed_corpus, tmp_path / "straight", preset=preset, discriminators="none", save_steps=3)
    train(config)
    broken = replace(config, out=tmp_path / "broken", steps=3)
    # the schedule follows the budget: a cosine over six steps, of which three are run
    stopped = replace(broken, steps=6)
    _kill_when(start(tmp_path, *_arguments(stopped, "--save-steps", 3)), lambda: _step_of(stopped.out) >= 3)
    train(stopped)
    assert weights(stopped.out) == weights(config.out)


def test_a_run_goes_on_where_it_was(packed_corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    config = a_config(packed_corpus, out, steps=4)
    train(config)
    before = weights(out)
    train(config)  # the budget is spent: nothing is left to do
    assert weights(out) == before
    train(replace(config, steps=6))
    assert [row["step"] for row in rows(out)] == [2, 4, 6]


def _arguments(config: TrainConfig, *more: object) -> list[object]:
    """The same training on the command line."""
    command = ["train", "--data", config.data, "--out", config.out, "--steps", config.steps, "--preset", config.preset]
    command += ["--batch", config.batch, "--seconds", config.seconds, "--log-every", config.log_every]
    command += ["--precision", config.precision, "--discriminators", config.discriminators]
    command += ["--adversarial-from", config.adversarial_from]
    command += ["--warmup-steps", config.warmup_steps]
    return [*command, "--adversarial-warmup-steps", config.adversarial_warmup_steps, *more]


def _step_of(out: Path) -> int:
    if not (out / state.STATE).is_file():
        return -1
    with safe_open(out / state.STATE, "pt") as file:
        return int(file.metadata()["step"])


def _kill_when(program: Program, reached, patience_s: float = 120.0) -> None:
    end = time.monotonic() + patience_s
    while not reached():
        assert program.runs, program.said.read_text()
        assert time.monotonic() < end
        time.sleep(0.01)
    program.kill()


@pytest.mark.usefixtures("unchecked")
def test_killed_at_a_random_step_it_loses_one_interval_and_nothing_else(packed_corpus: Path, tmp_path: Path) -> None:
    config = a_config(packed_corpus, tmp_path / "straight", steps=12)
    train(config)
    killed = replace(config, out=tmp_path / "killed")
    some = random.Random(7).randrange(2, 8)
    _kill_when(start(tmp_path, *_arguments(killed, "--save-steps", 2)), lambda: _step_of(killed.out) >= some)
    at = _step_of(killed.out)
    assert at % 2 == 0  # whole: written at a multiple of the interval
    q2d2.load(killed.out / "model")
    train(replace(killed, save_steps=2))
    assert weights(killed.out) == weights(config.out)


def test_a_batch_that_is_not_finite_stops_the_run_is_kept_and_named(tmp_path: Path) -> None:
    trainer = Trainer(tiny(), a_config(tmp_path, tmp_path / "run"))
    before = {name: value.clone() for name, value in trainer.codec.state_dict().items()}
    others = {name: value.clone() for name, value in trainer.opponent.module.state_dict().items()}
    wav = torch.full((2, FRAMES * 450), torch.nan)
    bad = Batch(wav, ("song@7", "talk@3"))
    trainer.train_step(bad, 0.0)
    for mine, theirs in ((trainer.codec, before), (trainer.opponent.module, others), (trainer.settle(), before)):
        assert all(torch.equal(value, theirs[name]) for name, value in mine.state_dict().items())
    trainer.train_step(batches(1)[0], 0.0)  # on a GPU some steps pass before anybody looks
    assert all(value.isfinite().all() for value in trainer.codec.state_dict().values())
    with pytest.raises(NotFiniteError, match=r"step 0: .*log_mel.*bad-batch-0-0.safetensors: song@7, talk@3"):
        trainer.report({0: bad}.__getitem__)
    kept = load_file(tmp_path / "run" / "bad-batch-0-0.safetensors")["wav"]
    assert torch.equal(kept.isnan(), wav.isnan())


def test_a_full_disk_is_reported_and_the_last_save_stays(packed_corpus: Path, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "run"
    train(a_config(packed_corpus, out, steps=2))
    before = {path: path.read_bytes() for path in out.rglob("*.safetensors")}
    usage = checkpoint.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: usage._replace(free=2**20))
    with pytest.raises(OSError, match=r"state\.safetensors: needs .* MiB .* the file that is there stays"):
        train(a_config(packed_corpus, out, steps=4))
    assert {path: path.read_bytes() for path in out.rglob("*.safetensors")} == before


def test_starting_from_a_run_takes_its_discriminators(packed_corpus: Path, tmp_path: Path) -> None:
    train(a_config(packed_corpus, tmp_path / "one", steps=3))
    train(a_config(packed_corpus, tmp_path / "two", start=str(tmp_path / "one"), steps=1, learning_rate=1e-9))
    (one, two) = (load_file(tmp_path / name / state.DISCRIMINATORS) for name in ("one", "two"))
    assert one.keys() == two.keys()
    fresh = Trainer(tiny(), a_config(packed_corpus, tmp_path)).opponent.module.state_dict()
    name = max(one, key=lambda key: one[key].numel())
    near, far = ((one[name].float() - other.float()).abs().mean() for other in (two[name], fresh[name].half()))
    assert near < far


def test_a_preset_beside_weights_of_another_design_is_refused(packed_corpus: Path, tmp_path: Path) -> None:
    checkpoint.save(tiny(), tmp_path / "start")
    config = a_config(packed_corpus, tmp_path / "run", start=str(tmp_path / "start"), steps=1)
    with pytest.raises(ValueError, match=r"start: its design \(tiny\) is not that of --preset tiny-paper-1k"):
        train(replace(config, preset="tiny-paper-1k"))
    assert not (tmp_path / "run").exists()
    train(replace(config, preset=None))


def test_a_run_of_another_model_is_not_resumed(packed_corpus: Path, tmp_path: Path) -> None:
    train(a_config(packed_corpus, tmp_path, steps=1))
    with pytest.raises(checkpoint.ModelError, match="another --out"):
        train(a_config(packed_corpus, tmp_path, steps=2, preset="tiny-paper-1k"))


@pytest.mark.usefixtures("unchecked")
def test_two_processes_do_what_one_does(packed_corpus: Path, tmp_path: Path) -> None:
    """torchrun with gloo: the same losses, step by step, as one process with the same global batch."""
    config = a_config(packed_corpus, tmp_path / "one", batch=4, steps=8, log_every=1, discriminators="recipe")
    train(config)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "q2d2"]
    command += map(str, _arguments(replace(config, out=tmp_path / "two")))
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    compared = ("log_mel", "root_mel", "pitch", "phase", "light_discriminator", "light_features", "grad_norm")
    one, two = ([[row[name] for name in compared] for row in rows(tmp_path / n)] for n in ("one", "two"))
    assert len(one) == len(two) == 8
    np.testing.assert_allclose(one, two, rtol=2e-3, atol=2e-5)


def test_the_learning_rate_and_the_discriminators_follow_the_budget(tmp_path: Path) -> None:
    config = a_config(
        tmp_path,
        tmp_path,
        learning_rate=1.0,
        warmup_steps=10,
        decay_from=0.6,
        adversarial_from=0.5,
        adversarial_warmup_steps=10,
    )
    trainer = Trainer(tiny(), config)
    warmup = trainer.recipe.warmup_steps
    assert trainer.strength(0.0).learning_rate == pytest.approx(1 / warmup)
    trainer.step = 5 * warmup
    assert trainer.strength(0.6).learning_rate == 1.0
    assert trainer.strength(0.8).learning_rate == pytest.approx(0.5)
    assert trainer.strength(1.0).learning_rate == 0.0
    assert trainer.strength(0.4).adversarial is None
    assert trainer.strength(0.5).adversarial == 0.0
    trainer.discriminator_step = 5
    assert trainer.strength(0.5).adversarial == 0.5
    trainer.discriminator_step = 50
    assert trainer.strength(0.5).adversarial == 1.0


def test_the_dac_set_is_frozen_trained_or_off(tmp_path: Path) -> None:
    paper = a_config(tmp_path, tmp_path, preset="tiny-paper-1k")
    for dac, sets in {None: "frozen_dac", "frozen": "frozen_dac", "trained": "dac", "off": ""}.items():
        recipe = replace(paper, dac=dac).settled(presets.find("tiny-paper-1k"))
        assert recipe.discriminators == ("mpd", "mrd") + ((sets,) if sets else ())
        for name in recipe.discriminators:
            assert recipe.weights[f"{name}_adversarial"] == recipe.weights[f"{name}_features"] == 1.0


def test_paper_recipe_is_the_reference(tmp_path: Path) -> None:
    recipe = a_config(tmp_path, tmp_path, batch=None, seconds=None, preset="paper-1k").settled(TINY)
    assert recipe.batch == 6  # the speech recipe: the codec decides
    paper = a_config(tmp_path, tmp_path, batch=None, seconds=None).settled(presets.PAPER_1K)
    assert (paper.batch, paper.seconds, paper.learning_rate, paper.clip, paper.average) == (16, 3.0, 8e-5, None, 0.0)
    assert paper.weights["mel"] == 45.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"minutes": 1.0},
        {"steps": None},
        {"batch": 0},
        {"learning_rate": 0.0},
        {"preset": "nonsense"},
        {"recipe": "nonsense"},
        {"steps": 0},
    ],
)
def test_a_config_that_makes_no_sense_is_refused(tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(ValueError, match="budget|positive|there is no"):
        a_config(tmp_path, tmp_path, **wrong)


def test_a_weight_of_no_loss_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no loss rott_mel; there are .*root_mel"):
        Trainer(tiny(), a_config(tmp_path, tmp_path, weights={"rott_mel": 1.0}))
