"""Every loss reaches what it is to teach: encoder, projections and decoder; and what each row may use."""

import numpy as np
import pytest
import torch
from conftest import make_speech_like
from small_codecs import make_codec
from torch import Tensor

from q2d2 import presets
from q2d2.codec import Codec
from q2d2.train.adversary import SETS, Adversary
from q2d2.train.objective import RECONSTRUCTION, draw_pairs, reconstruction_losses
from q2d2.train.recipes import ADVERSARIAL, RECIPES

SPEECH = torch.from_numpy(np.stack([make_speech_like(0.6, seed=seed)[: 32 * 450] for seed in range(2)]))


EVERY = [name for name in RECONSTRUCTION if name != "commitment"]  # which has its own test
EVERY += ["light_adversarial", "light_features"]


def losses_of(codec: Codec, names: tuple[str, ...]) -> dict[str, Tensor]:
    pairs = torch.full((2,), codec.quantizer.num_pairs)
    output = codec.train()(SPEECH, pairs)
    losses = reconstruction_losses(names, output, SPEECH, codec)
    adversary = Adversary(["light"])
    return losses | adversary.generator_losses(*adversary.still(SPEECH, output.decoded.wav, ["light"]))


@pytest.mark.parametrize(
    "name", [*(n for n in RECONSTRUCTION if n != "commitment"), "light_adversarial", "light_features"]
)
def test_every_loss_reaches_encoder_projections_and_decoder(name: str) -> None:
    codec = make_codec()
    losses_of(codec, RECONSTRUCTION)[name].backward()
    parts = {
        "encoder": codec.encoder,
        "projection in": codec.quantizer.project_in,
        "projection out": codec.quantizer.project_out,
        "decoder": codec.decoder.pitch if name == "pitch" else codec.decoder.blocks,
    }
    for part, module in parts.items():
        norm = sum(p.grad.square().sum() for p in module.parameters() if p.grad is not None)
        assert norm > 0, part


def test_commitment_pulls_the_encoder_of_a_learned_codebook() -> None:
    codec = make_codec(presets.find("tiny-wavtokenizer-75"))
    wav = SPEECH[:, : 44 * 320]
    pairs = torch.full((2,), 1)
    output = codec.train()(wav, pairs)
    losses = reconstruction_losses(["commitment"], output, wav, codec)
    assert set(losses) == {"commitment"}
    losses["commitment"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in codec.encoder.parameters() if p.ndim > 1)
    assert all(p.grad is None for p in codec.decoder.parameters())


def test_q2d2_has_no_auxiliary_loss() -> None:
    assert set(losses_of(make_codec(), ("commitment",))) == {"light_adversarial", "light_features"}


def test_the_generators_losses_leave_no_gradient_in_the_discriminators() -> None:
    adversary = Adversary(["light"])
    made = SPEECH.clone().requires_grad_()
    sum(adversary.generator_losses(*adversary.still(SPEECH, made, ["light"])).values()).backward()
    assert made.grad is not None
    assert all(p.grad is None and p.requires_grad for p in adversary.parameters())


def test_a_frozen_set_is_never_trained() -> None:
    with torch.device("meta"):
        adversary = Adversary(["mpd", "frozen_dac"])
    assert adversary.trained == ["mpd"]
    assert all(not p.requires_grad for p in adversary.sets["frozen_dac"].parameters())
    assert all(p.requires_grad for p in adversary.sets["mpd"].parameters())


def test_unknown_discriminators_are_refused() -> None:
    with pytest.raises(ValueError, match="no discriminators mdp: choose from mpd"):
        Adversary(["mdp"])


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_a_recipe_names_only_what_there_is(recipe) -> None:
    assert set(recipe.discriminators) <= set(SETS)
    judged = {f"{name.removeprefix('frozen_')}_{what}" for name in SETS for what in ADVERSARIAL}
    assert set(recipe.weights) <= judged | set(RECONSTRUCTION)


def test_every_prefix_is_drawn_and_the_named_rates_most() -> None:
    codec = make_codec()
    counts = torch.bincount(draw_pairs(codec, np.random.default_rng(0), 4000), minlength=5)
    assert counts[0] == 0
    assert (counts[1:] > 100).all()
    assert counts[1] == counts[1:].min()  # the tiny codec's rates are 2, 3 and 4 pairs
    assert set(draw_pairs(make_codec(presets.find("tiny-paper-1k")), np.random.default_rng(0), 9).tolist()) == {3}
