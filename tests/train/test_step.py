"""One update: what each player learns from, whichever way it is computed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_speech_like
from small_codecs import make_codec
from torch import Tensor
from training_runs import FRAMES, a_config

from q2d2 import presets
from q2d2.codec import Codec
from q2d2.presets import TINY
from q2d2.train.adversary import Adversary
from q2d2.train.config import TrainConfig
from q2d2.train.data import Batch
from q2d2.train.narrowed import Narrowed
from q2d2.train.objective import RECONSTRUCTION, reconstruction_losses
from q2d2.train.recipes import PAPER, SPEECH, WAVTOKENIZER, for_rows
from q2d2.train.step import Turn
from q2d2.train.trainer import Trainer

WAV = torch.from_numpy(np.stack([make_speech_like(0.5, seed=seed)[: FRAMES * 450] for seed in range(2)]))


def a_trainer(tmp_path: Path, **changes) -> Trainer:
    """With discriminators at rest, so that what they say before their update is what they say after it."""
    torch.manual_seed(0)
    return Trainer(Codec(TINY), a_config(tmp_path, tmp_path, **changes))


def a_turn(opposing: float = 0.0) -> Turn:
    pairs, start = torch.tensor([2, 4]), torch.tensor([0, 64])
    return Turn(torch.tensor(0.0), torch.tensor(opposing), torch.tensor(0.5), torch.tensor(1000), pairs, start)


def gradients(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("one_pass", [True, False])
def test_gradients_are_those_of_the_sum_of_all_losses(tmp_path: Path, one_pass: bool) -> None:
    """Against one backward pass through generator and discriminators together, written out."""
    trainer = a_trainer(tmp_path, judged_seconds=0.2)
    update = replace(trainer.update, recipe=replace(trainer.recipe, one_pass=one_pass, clip=None))
    turn = a_turn()
    outcome = update(WAV, turn, True)
    found, theirs = gradients(trainer.codec), gradients(trainer.opponent.module)

    codec, adversary = trainer.codec, trainer.opponent.module
    codec.zero_grad()
    adversary.zero_grad()
    output = codec(WAV, turn.num_pairs, turn.start_frame)
    judged = slice(1000, 1000 + 4800)
    real, made = WAV[:, judged], output.decoded.wav[:, judged]
    opinions = adversary.generator_losses(*adversary.still(real, made, ["light"]))
    wanted = [name for name in RECONSTRUCTION if name in trainer.recipe.weights]
    losses = reconstruction_losses(wanted, output, WAV, codec)
    total = sum(trainer.recipe.weights[name] * value for name, value in losses.items())
    total = total + 0.5 * sum(trainer.recipe.weights[name] * value for name, value in opinions.items())
    own = adversary.discriminator_losses(adversary(real), adversary(made.detach()))
    (total + sum(own.values())).backward()
    for wanted, got in ((gradients(codec), found), (gradients(adversary), theirs)):
        assert wanted.keys() == got.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(got[name], value, atol=1e-6, rtol=2e-4, msg=name)
    reported = dict(zip(outcome.names, outcome.values.tolist(), strict=True))
    for name, value in (losses | opinions | own).items():
        assert reported[name] == pytest.approx(value.item(), rel=1e-4), name
    assert outcome.finite


def test_only_one_pass_judges_before_the_discriminators_have_moved(tmp_path: Path) -> None:
    said = {}
    for one_pass in (True, False):
        for opposing in (0.0, 0.1):
            trainer = a_trainer(tmp_path)
            update = replace(trainer.update, recipe=replace(trainer.recipe, one_pass=one_pass))
            outcome = update(WAV, a_turn(opposing), True)
            said[one_pass, opposing] = dict(zip(outcome.names, outcome.values.tolist(), strict=True))["light_features"]
    assert said[True, 0.0] == said[True, 0.1] == pytest.approx(said[False, 0.0], rel=1e-4)
    assert said[False, 0.1] != pytest.approx(said[False, 0.0], rel=1e-3)


@pytest.mark.parametrize("preset", ["tiny", "tiny-paper-1k"])
def test_weights_cast_at_once_are_what_autocast_makes_of_them(preset: str) -> None:
    codec = make_codec(presets.find(preset)).train()
    wav = WAV[:, : FRAMES * 450 // codec.hop * codec.hop]
    pairs = torch.full((2,), codec.quantizer.num_pairs)
    results = []
    for call in (codec, Narrowed(codec, torch.bfloat16)):
        torch.manual_seed(0)  # dropout
        codec.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = call(wav, pairs)
        output.decoded.wav.square().sum().backward()
        results.append((output.decoded.wav.detach(), output.quantized.indices, gradients(codec)))
    (wav_one, indices_one, one), (wav_two, indices_two, two) = results
    assert torch.equal(wav_one, wav_two) and torch.equal(indices_one, indices_two)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_training_in_bfloat16_leaves_the_weights_in_float32(tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path, precision="bfloat16")
    before = {name: p.detach().clone() for name, p in trainer.codec.named_parameters()}
    for _ in range(2):
        trainer.train_step(Batch(WAV, ("a@0", "b@0")), 0.5)
    assert np.isfinite(list(trainer.report(lambda step: Batch(WAV, ("", ""))).values())).all()
    for name, p in trainer.codec.named_parameters():
        assert p.dtype == torch.float32 and not torch.equal(p, before[name]), name


def test_muon_moves_the_matrices_inside_blocks_and_resumes_exactly(tmp_path: Path) -> None:
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon")
    config = a_config(tmp_path, tmp_path / "run", optimizer="muon", discriminators="none")
    config.out.mkdir()
    batch = Batch(WAV, ("a@0", "b@0"))

    def made(config: TrainConfig, seed: int) -> Trainer:
        torch.manual_seed(seed)
        return Trainer(Codec(TINY), config)

    straight = made(config, 0)
    adamw, muon = straight.generator.optimizers
    by_muon = {id(p) for group in muon.param_groups for p in group["params"]}
    names = {name for name, p in straight.codec.named_parameters() if id(p) in by_muon}
    assert names and all(".expand." in name or ".reduce." in name for name in names)
    everything = [p for optimizer in (adamw, muon) for group in optimizer.param_groups for p in group["params"]]
    assert len(everything) == len({id(p) for p in everything}) == len(list(straight.codec.parameters()))
    before = {name: p.detach().clone() for name, p in straight.codec.named_parameters()}
    for step in range(4):
        straight.train_step(batch, step / 4)
    moved = {name for name, p in straight.codec.named_parameters() if not torch.equal(p, before[name])}
    assert names <= moved

    first = made(config, 0)
    for step in range(2):
        first.train_step(batch, step / 4)
    first.save(0.0)
    second = made(config, 1)
    second.resume()
    for step in range(2, 4):
        second.train_step(batch, step / 4)
    for name, p in straight.codec.named_parameters():
        assert torch.equal(p, dict(second.codec.named_parameters())[name]), name


def test_recipes_for_other_numbers_of_rows() -> None:
    assert for_rows(SPEECH, 6) == SPEECH
    many = for_rows(SPEECH, 6 * 64)
    assert many.learning_rate == pytest.approx(2e-3) and many.discriminator_learning_rate == pytest.approx(5e-4)
    assert (many.warmup_steps, many.adversarial_warmup_steps) == (400, 1200)
    assert many.average == pytest.approx(0.998) and many.batch == 384
    assert replace(many, **{n: getattr(SPEECH, n) for n in _SCALED}) == SPEECH
    for recipe in (PAPER, WAVTOKENIZER):  # as published, whatever the batch
        assert for_rows(recipe, 7) == replace(recipe, batch=7)


_SCALED = (
    "batch",
    "learning_rate",
    "warmup_steps",
    "average",
    "discriminator_learning_rate",
    "adversarial_warmup_steps",
)


def test_options_that_are_given_stay_as_given(tmp_path: Path) -> None:
    config = TrainConfig(data=tmp_path, out=tmp_path, steps=1, batch=384, learning_rate=7e-4, warmup_steps=9)
    recipe = config.settled(presets.SPEECH)
    assert (recipe.batch, recipe.learning_rate, recipe.warmup_steps) == (384, 7e-4, 9)
    assert recipe.discriminator_learning_rate == pytest.approx(5e-4)


def _learned() -> Codec:
    return make_codec(presets.find("tiny-wavtokenizer-75"))


@pytest.mark.parametrize("make, why", [(lambda: Codec(TINY), "needs a GPU"), (_learned, "learned codebook")])
def test_a_step_that_cannot_be_captured_is_refused(tmp_path: Path, make: Callable[[], Codec], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Trainer(make(), a_config(tmp_path, tmp_path, graph=True, discriminators="none"))


def test_any_set_can_be_chosen(tmp_path: Path) -> None:
    recipe = a_config(tmp_path, tmp_path, discriminators="middle").settled(TINY)
    assert recipe.discriminators == ("middle",)
    assert recipe.weights["middle_features"] == recipe.weights["light_features"]
    with pytest.raises(ValueError, match="no discriminators heavy"):
        Adversary(a_config(tmp_path, tmp_path, discriminators="heavy").settled(TINY).discriminators)
