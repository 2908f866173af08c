"""The probe against torch's own parts put together as the reference does, and on data whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from q2d2.probe import linear
from q2d2.probe.linear import Training


def one_hot(labels: Tensor, count: int) -> Tensor:
    return functional.one_hot(labels, count).float()


@pytest.mark.parametrize("steps", [5, 10, 99, 1000])
def test_the_learning_rate_goes_up_and_down_two_lines(steps: int) -> None:
    warmup = steps // 10
    found = [linear.schedule(step, steps) for step in range(steps + 20)]
    wanted = np.interp(range(steps + 20), [0, warmup, steps], [0, 1, 0]) if warmup else None
    if wanted is not None:
        assert found == pytest.approx(wanted)
    assert max(found) == 1 and found[steps:] == [0] * 20


def test_each_epoch_takes_one_step_more_than_it_has_batches() -> None:
    found = [linear.position(epoch, batch, 3) for epoch in range(2) for batch in range(3)]
    assert found == [0, 1, 2, 4, 5, 6]


@pytest.mark.parametrize("multi_label", [False, True])
def test_it_is_torchs_linear_layer_with_torchs_optimizer_and_scheduler(multi_label: bool) -> None:
    rng = torch.Generator().manual_seed(7)
    inputs = torch.randn(50, 6, generator=rng)
    targets = (torch.rand(50, 4, generator=rng) < 0.4).float() if multi_label else one_hot(torch.arange(50) % 4, 4)
    training = Training(epochs=12, batch=16, learning_rate=0.02)

    draws = torch.Generator().manual_seed(3)
    start = (2 * torch.rand(7, 4, generator=draws) - 1) / 6**0.5
    layer = torch.nn.Linear(6, 4)
    layer.weight.data, layer.bias.data = start[:6].T.clone(), start[6].clone()
    optimizer = torch.optim.AdamW(layer.parameters(), lr=training.learning_rate)
    steps = 12 * 4
    rule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: step / 4 if step <= 4 else max(0.0, 1 - (step - 4) / (steps - 4))
    )
    for _ in range(12):
        for chosen in torch.randperm(50, generator=draws).split(16):
            optimizer.zero_grad()
            if multi_label:
                functional.binary_cross_entropy(layer(inputs[chosen]).sigmoid(), targets[chosen]).backward()
            else:
                functional.cross_entropy(layer(inputs[chosen]), targets[chosen].argmax(1)).backward()
            optimizer.step()
            rule.step()
        rule.step()

    probes = linear.train(inputs, targets, multi_label, [3], training)
    torch.testing.assert_close(probes.weight[0], layer.weight.detach().T, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(probes(inputs)[0], layer(inputs).detach(), rtol=1e-4, atol=1e-5)


def test_it_begins_as_torchs_linear_layer_does() -> None:
    weight, bias = linear._initial(400, 50, [torch.Generator().manual_seed(0)])
    layer = torch.nn.Linear(400, 50)
    assert weight.abs().max() <= 0.05 and layer.weight.abs().max() <= 0.05
    assert weight.std().item() == pytest.approx(layer.weight.std().item(), rel=0.02)  # 20,000 draws each
    assert bias.abs().max() <= 0.05


def test_seeds_do_not_see_each_other() -> None:
    inputs, targets = torch.randn(40, 5), one_hot(torch.arange(40) % 3, 3)
    training = Training(epochs=5, learning_rate=0.05)
    together = linear.train(inputs, targets, False, [0, 1, 2], training)
    alone = linear.train(inputs, targets, False, [1], training)
    torch.testing.assert_close(together.weight[1:2], alone.weight)
    assert not torch.allclose(together.weight[0], together.weight[1])


def test_what_a_line_separates_is_found_without_error() -> None:
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 5
    inputs = 3 * one_hot(labels, 20) + 0.3 * torch.randn(300, 20, generator=rng)
    probes = linear.train(inputs[:200], one_hot(labels[:200], 5), False, [0, 1])
    assert (probes(inputs[200:]).argmax(-1) == labels[200:]).all()
    both = torch.maximum(one_hot(labels, 5), one_hot((labels + 1) % 5, 5))
    logits = linear.train(inputs[:200], both[:200], True, [0])(inputs[200:])[0]
    for label in range(5):
        with_it = both[200:, label] > 0
        assert logits[with_it, label].min() > logits[~with_it, label].max()


def test_random_labels_are_guessed_as_often_as_chance_allows() -> None:
    scipy = pytest.importorskip("scipy.stats")
    rng = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(800, 10, generator=rng), torch.randint(4, (800,), generator=rng)
    probes = linear.train(inputs[:300], one_hot(labels[:300], 4), False, [0], Training(epochs=20))
    hits = int((probes(inputs[300:])[0].argmax(1) == labels[300:]).sum())
    low, high = scipy.binom.interval(0.999, 500, 0.25)
    assert low <= hits <= high
