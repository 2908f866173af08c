"""The reconstruction losses: what they are zero for, what they rise with, that they can always be differentiated."""

import torch

from q2d2.train.losses import SCALES, spectral_losses

RATE = 24_000


def noise(seed: int, level: float = 0.1) -> torch.Tensor:
    return level * torch.randn(2, 9000, generator=torch.Generator().manual_seed(seed))


def test_zero_for_the_target_itself_and_growing_with_damage() -> None:
    wav = noise(0)
    none, little, much = (spectral_losses(wav + k * noise(1), wav, RATE) for k in (0.0, 0.1, 1.0))
    for name in ("log_mel", "root_mel"):
        assert none[name] == 0
        assert 0 < little[name] < much[name]


def test_a_gain_is_its_logarithm() -> None:
    wav = noise(0, level=1.0)  # well above the floor
    log_mel = spectral_losses(2 * wav, wav, RATE)["log_mel"]
    torch.testing.assert_close(log_mel, torch.tensor(2.0).log(), atol=0.02, rtol=0)


def test_gradients_are_finite_for_silence_too() -> None:
    for made in (torch.zeros(2, 9000), noise(2)):
        wav = made.requires_grad_()
        sum(spectral_losses(wav, torch.zeros(2, 9000), RATE).values()).backward()
        assert wav.grad is not None
        assert torch.isfinite(wav.grad).all()


def test_signals_shorter_than_the_longest_window_work() -> None:
    short = noise(0)[:, : max(SCALES) // 2]
    assert spectral_losses(short, 0.5 * short, RATE)["log_mel"] > 0
