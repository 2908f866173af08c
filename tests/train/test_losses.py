"""The reconstruction losses: what they are zero for, what they rise with, that they can always be differentiated."""

import librosa
import numpy as np
import pytest
import torch
from conftest import make_speech_like

from q2d2.spectral import mel_filters
from q2d2.train.losses import FLOOR, PHASE_WINDOWS, SCALES, SPECTRAL, commitment_loss, mel_loss, spectral_losses

RATE = 24_000


def noise(seed: int, level: float = 0.1) -> torch.Tensor:
    return level * torch.randn(2, 9000, generator=torch.Generator().manual_seed(seed))


def all_losses(made: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    return spectral_losses(made, target, RATE, SPECTRAL) | {"mel": mel_loss(made, target, RATE)}


def plainly(made: torch.Tensor, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """The formulas one after the other, with PyTorch's own transform and derivatives."""

    def spectrum(wav: torch.Tensor, n_fft: int, pad_mode: str = "constant") -> torch.Tensor:
        window = torch.hann_window(n_fft)
        return torch.stft(wav, n_fft, n_fft // 4, window=window, pad_mode=pad_mode, return_complex=True).mT

    def mel(wav: torch.Tensor, n_fft: int) -> torch.Tensor:
        filters = mel_filters(RATE, n_fft, SCALES[n_fft])
        return spectrum(wav, n_fft).abs() @ filters / (filters.sum(0).clamp(min=1.0).sqrt() * n_fft / 4)

    def log_mel(wav: torch.Tensor) -> torch.Tensor:
        return (spectrum(wav, 1024, "reflect").abs() @ mel_filters(RATE, 1024, 100)).clamp(min=1e-7).log()

    def rooted(wav: torch.Tensor, n_fft: int) -> torch.Tensor:
        parts = torch.view_as_real(spectrum(wav, n_fft)) / (n_fft / 4)
        return parts * (parts.square().sum(-1, keepdim=True) + 1e-8).pow(-0.25)

    mels = [(mel(made, n_fft), mel(target, n_fft)) for n_fft in SCALES]
    phases = [((rooted(made, n) - rooted(target, n)).square().sum(-1) + 1e-10).sqrt().mean() for n in PHASE_WINDOWS]
    return {
        "log_mel": sum(((x + FLOOR).log() - (y + FLOOR).log()).abs().mean() for x, y in mels) / len(mels),
        "root_mel": sum(((x + 1e-5).sqrt() - (y + 1e-5).sqrt()).abs().mean() for x, y in mels) / len(mels),
        "phase": sum(phases) / len(phases),
        "mel": (log_mel(made) - log_mel(target)).abs().mean(),
    }


@pytest.mark.parametrize("name", ["log_mel", "root_mel", "mel", "phase"])
def test_values_and_gradients_are_those_of_the_plain_formulas(name: str) -> None:
    made, target = noise(0).requires_grad_(), noise(1)
    ours, theirs = (losses(made, target)[name] for losses in (all_losses, plainly))
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(loss, made)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*gradients, atol=1e-4 * gradients[1].abs().max().item(), rtol=1e-4)


@pytest.mark.parametrize("names", [["phase"], ["root_mel"], ["mel", "phase", "log_mel"]])
def test_only_the_spectral_losses_asked_for(names: list[str]) -> None:
    every = spectral_losses(noise(0), noise(1), RATE, SPECTRAL)
    some = spectral_losses(noise(0), noise(1), RATE, names)
    assert some == {name: every[name] for name in SPECTRAL if name in names}


def test_zero_for_the_target_itself_and_growing_with_damage() -> None:
    wav = noise(0)
    none, little, much = (all_losses(wav + k * noise(1), wav) for k in (0.0, 0.1, 1.0))
    for name, value in none.items():
        assert value < 2e-5, name
        assert value < little[name] < much[name], name


def test_the_mel_loss_is_what_librosa_gives() -> None:
    made, target = make_speech_like(1.0, seed=1), make_speech_like(1.0, seed=2)
    mels = [
        librosa.feature.melspectrogram(
            y=wav,
            sr=RATE,
            n_fft=1024,
            hop_length=256,
            n_mels=100,
            power=1.0,
            htk=True,
            norm=None,
            fmin=0,
            fmax=12000,
            pad_mode="reflect",
        )
        for wav in (made, target)
    ]
    expected = np.abs(np.diff([np.log(np.maximum(mel, 1e-7)) for mel in mels], axis=0)).mean()
    assert mels[0].shape == (100, 1 + RATE // 256)
    ours = mel_loss(torch.from_numpy(made)[None], torch.from_numpy(target)[None], RATE)
    assert ours.item() == pytest.approx(expected, abs=1e-4)


def test_a_gain_is_its_logarithm() -> None:
    wav = noise(0, level=1.0)  # well above the floor
    for name in ("log_mel", "mel"):
        loss = all_losses(2 * wav, wav)[name]
        torch.testing.assert_close(loss, torch.tensor(2.0).log(), atol=0.02, rtol=0)


def test_a_shift_in_time_is_for_the_phase_loss_to_see() -> None:
    wav = noise(0)
    shifted = torch.roll(wav, 6, dims=1)  # a quarter of a millisecond
    same, other = all_losses(shifted, wav), all_losses(noise(1), wav)
    assert same["log_mel"] < 0.3 * other["log_mel"]
    assert same["phase"] > 0.8 * other["phase"]


@pytest.mark.parametrize("name", ["log_mel", "root_mel", "mel", "phase"])
def test_losses_of_two_halves_of_a_batch_average_to_that_of_the_batch(name: str) -> None:
    """What processes add up to."""
    made, target = torch.cat([noise(0), noise(1)]), torch.cat([noise(2), noise(3)])

    def loss(rows: slice) -> torch.Tensor:
        return all_losses(made[rows], target[rows])[name]

    torch.testing.assert_close((loss(slice(0, 2)) + loss(slice(2, 4))) / 2, loss(slice(0, 4)))


def test_gradients_are_finite_for_silence_too() -> None:
    for made in (torch.zeros(2, 9000), noise(2)):
        wav = made.requires_grad_()
        sum(all_losses(wav, torch.zeros(2, 9000)).values()).backward()
        assert wav.grad is not None
        assert torch.isfinite(wav.grad).all()


def test_signals_shorter_than_the_longest_window_work() -> None:
    short = noise(0)[:, : max(SCALES) // 2]
    assert spectral_losses(short, 0.5 * short, RATE)["log_mel"] > 0


def test_commitment_moves_the_latent_only() -> None:
    latent, features = torch.ones(1, 2, 3, requires_grad=True), torch.zeros(1, 2, 3, requires_grad=True)
    loss = commitment_loss(latent, features)
    loss.backward()
    assert loss == 1
    torch.testing.assert_close(latent.grad, torch.full((1, 2, 3), 2 / 6))
    assert features.grad is None
