"""Spectra against torch, librosa and scipy, and the inverse STFT against the identity."""

import librosa
import numpy as np
import pytest
import scipy.signal
import torch

from q2d2.spectral import centred_stfts, hann, istft_same, magnitudes, mel_filters, ones, stft_same, windowed_frames

SIZES = [(360, 90), (64, 16), (64, 32), (600, 150), (1800, 450)]


@pytest.mark.parametrize(
    ("n_fft", "n_mels", "fmin_hz", "fmax_hz"), [(600, 80, 0.0, None), (1024, 100, 0.0, 12e3), (2048, 40, 60.0, 8e3)]
)
def test_mel_filters_are_librosas(n_fft, n_mels, fmin_hz, fmax_hz):
    theirs = librosa.filters.mel(
        sr=24_000, n_fft=n_fft, n_mels=n_mels, fmin=fmin_hz, fmax=fmax_hz, htk=True, norm=None, dtype=np.float64
    )
    ours = mel_filters(24_000, n_fft, n_mels, fmin_hz, fmax_hz)
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours.T.numpy(), theirs, atol=2e-7)


@pytest.mark.parametrize(("width", "hop"), [*SIZES, (1200, 150)])
def test_frame_t_is_centred_on_the_middle_of_hop_t(width, hop):
    samples = 7 * hop + hop // 2  # half a hop more than whole frames: left out
    wav = torch.randn(2, samples)
    frames = windowed_frames(wav, width, hop)
    assert frames.shape == (2, 7, width)
    window = scipy.signal.get_window("hann", width)
    for t in range(7):
        start = t * hop + hop // 2 - width // 2
        seen = [wav[0, n].item() if 0 <= n < samples else 0.0 for n in range(start, start + width)]
        np.testing.assert_allclose(frames[0, t].numpy(), seen * window, atol=1e-6)


@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
def test_stft_is_torchs_with_same_padding(n_fft, hop):
    wav = torch.randn(3, 9 * hop)
    side = (n_fft - hop) // 2
    padded = torch.nn.functional.pad(wav, (side, side))
    theirs = torch.stft(padded, n_fft, hop, window=torch.hann_window(n_fft), center=False, return_complex=True)
    torch.testing.assert_close(stft_same(wav, n_fft, hop), theirs.transpose(1, 2), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("n_fft", "hop"), [*SIZES, (96, 32)])
@pytest.mark.parametrize("frames", [1, 2, 3, 40])
def test_inverse_of_stft_is_the_identity(n_fft, hop, frames):
    wav = torch.randn(2, frames * hop)
    back = istft_same(stft_same(wav, n_fft, hop), n_fft, hop)
    torch.testing.assert_close(back, wav, atol=2e-6, rtol=0)


@pytest.mark.parametrize(("n_fft", "hop"), [(64, 16), (64, 32), (360, 90)])
def test_overlap_add_is_the_least_squares_inverse(n_fft, hop):
    """Of any spectrum, also one that is the transform of no signal: sum of windowed frames over summed squares."""
    spectrum = torch.randn(1, 6, n_fft // 2 + 1, dtype=torch.complex64)
    window = scipy.signal.get_window("hann", n_fft)
    total, squares = np.zeros((2, 5 * hop + n_fft))
    for t, frame in enumerate(spectrum[0].numpy().astype(np.complex128)):
        total[t * hop : t * hop + n_fft] += window * np.fft.irfft(frame, n_fft)
        squares[t * hop : t * hop + n_fft] += window**2
    kept = slice((n_fft - hop) // 2, (n_fft - hop) // 2 + 6 * hop)
    np.testing.assert_allclose(istft_same(spectrum, n_fft, hop)[0].numpy(), total[kept] / squares[kept], atol=2e-6)


@pytest.mark.parametrize("parts", [2, 3, 4, 8])
def test_edges_are_divided_by_at_least_half_the_inner_envelope(parts):
    hop = 32
    window = scipy.signal.get_window("hann", parts * hop)
    envelope = np.zeros((40 + parts) * hop)
    for t in range(40):
        envelope[t * hop : (t + parts) * hop] += window**2
    side = (parts - 1) * hop // 2
    kept = envelope[side : side + 40 * hop]
    assert kept.min() > 0.49 * kept[parts * hop : -parts * hop].min()


@pytest.mark.parametrize("pad_mode", ["constant", "reflect"])
@pytest.mark.parametrize("samples", [400, 437])
def test_centred_stfts_are_torchs_forwards_and_backwards(pad_mode, samples):
    device = torch.device("cpu")
    windows, hops = [hann(64, device), ones(32, device), 0.3 * hann(128, device)], [16, 16, 32]
    wav = torch.randn(3, samples, requires_grad=True)
    ours = centred_stfts(wav, windows, hops, pad_mode)
    theirs = [
        torch.stft(wav, len(window), hop, window=window, pad_mode=pad_mode, return_complex=True).mT
        for window, hop in zip(windows, hops, strict=True)
    ]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    pulls = [torch.randn_like(x) for x in ours]
    for part in ([0, 1, 2], [1]):
        gradients = [
            torch.autograd.grad([x[i] for i in part], wav, [pulls[i] for i in part], retain_graph=True)[0]
            for x in (ours, theirs)
        ]
        torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_magnitudes_are_absolute_values_with_a_gradient_of_zero_for_zero():
    spectrum = torch.randn(2, 5, 9, dtype=torch.complex64)
    spectrum[0, 0] = 0
    spectrum.requires_grad_()
    ours, theirs = magnitudes(spectrum), spectrum.abs()
    torch.testing.assert_close(ours, theirs)
    pull = torch.randn_like(ours)
    gradients = [torch.autograd.grad(x, spectrum, pull)[0] for x in (ours, theirs)]
    torch.testing.assert_close(*gradients)
    assert (gradients[0][0, 0] == 0).all()


def test_constants_are_made_once_per_device():
    device = torch.device("cpu")
    assert hann(64, device) is hann(64, device)
    assert mel_filters(24_000, 64, 8, device=device) is mel_filters(24_000, 64, 8, device=device)
    assert mel_filters(24_000, 64, 8, device=torch.device("meta")).is_meta


def test_a_window_that_is_no_multiple_of_the_hop_is_refused():
    with pytest.raises(ValueError, match="multiple of the hop"):
        istft_same(torch.zeros(1, 3, 33, dtype=torch.complex64), 64, 20)


def test_float32_under_autocast_and_for_other_dtypes():
    wav = torch.randn(1, 900)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(stft_same(wav, 360, 90), stft_same(wav.double(), 360, 90))


def test_what_inference_has_cached_serves_training_afterwards():
    n_fft, hop = 44, 22  # used by no other test, so that the cache is filled here
    with torch.inference_mode():
        stft_same(torch.zeros(1, 220), n_fft, hop)
        mel_filters(24_000, n_fft, 7)
    wav = torch.randn(1, 220, requires_grad=True)
    spectrum = stft_same(wav, n_fft, hop)
    energy = istft_same(spectrum, n_fft, hop).square().sum() + (spectrum.abs() @ mel_filters(24_000, n_fft, 7)).sum()
    energy.backward()
    assert wav.grad is not None and torch.isfinite(wav.grad).all()
