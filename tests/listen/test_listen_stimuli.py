"""The sounds of a study as arrays: anchors within their mask, equal loudness, and everything in step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
from conftest import SpeechLike, make_speech_like
from scipy import signal

from q2d2 import audio
from q2d2.audio import AudioError
from q2d2.console import UsageError
from q2d2.listen.stimuli.anchors import low_pass
from q2d2.listen.stimuli.levels import PEAK, equally_loud, lowered
from q2d2.listen.stimuli.lining_up import Timing, lined_up
from q2d2.listen.stimuli.matching import Item
from q2d2.listen.stimuli.preparing import Preparation, prepared, summary
from q2d2.listen.stimuli.trials import baseline_of, check_systems, trials


def response_db(sample_rate_hz: int, cutoff_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and gain, from what becomes of an impulse."""
    impulse = np.zeros(4001, np.float32)
    impulse[2000] = 1
    gain = np.abs(np.fft.rfft(low_pass(impulse, sample_rate_hz, cutoff_hz).astype(np.float64), 1 << 15))
    return np.fft.rfftfreq(1 << 15, 1 / sample_rate_hz), 20 * np.log10(gain + 1e-12)


@pytest.mark.parametrize("cutoff_hz", [3500.0, 7000.0])
@pytest.mark.parametrize("sample_rate_hz", [16_001, 22_050, 24_000, 44_100, 48_000, 96_000])
def test_anchors_keep_to_the_mask_of_bs1534(sample_rate_hz: int, cutoff_hz: float) -> None:
    frequency_hz, gain_db = response_db(sample_rate_hz, cutoff_hz)
    scale = cutoff_hz / 3500
    assert np.abs(gain_db[frequency_hz <= cutoff_hz]).max() <= 0.1
    assert gain_db[frequency_hz >= 4000 * scale].max() <= -25
    assert gain_db[frequency_hz >= 4500 * scale].max(initial=-100) <= -50


def test_anchors_stay_in_their_place() -> None:
    wav = make_speech_like(1.0, 24_000)
    low = low_pass(wav, 24_000, 3500.0)
    assert low.shape == wav.shape
    lags = signal.correlation_lags(len(wav), len(low))
    assert lags[np.argmax(signal.correlate(low, wav))] == 0
    assert np.allclose(low_pass(wav[::-1].copy(), 24_000, 3500.0), low[::-1], atol=1e-6)  # symmetric in time
    assert low_pass(wav[:10], 24_000, 3500.0).shape == (10,)


@pytest.mark.parametrize(("sample_rate_hz", "cutoff_hz"), [(16_000, 7000.0), (8000, 3500.0)])
def test_anchors_need_something_to_take_away(sample_rate_hz: int, cutoff_hz: float) -> None:
    with pytest.raises(ValueError, match="leave that anchor out"):
        low_pass(np.zeros(100, np.float32), sample_rate_hz, cutoff_hz)


def loudness(wav: np.ndarray, sample_rate_hz: int = 24_000) -> float:
    return pyloudnorm.Meter(sample_rate_hz).integrated_loudness(wav.astype(np.float64))


def test_loudness_becomes_the_references(speech_like: SpeechLike) -> None:
    reference = speech_like(1.5)
    sounds = {"same": reference, "quiet": 0.1 * speech_like(1.5, seed=1), "dull": low_pass(reference, 24_000, 3500.0)}
    levelled = equally_loud(reference, sounds, 24_000)
    assert not levelled.left_alone and not levelled.by_rms
    np.testing.assert_array_equal(levelled.sounds["same"], reference)
    for sound in levelled.sounds.values():
        assert loudness(sound) == pytest.approx(loudness(reference), abs=0.01)


def test_short_clips_get_equal_rms() -> None:
    rng = np.random.default_rng(0)
    one, other = (level * rng.standard_normal(2400).astype(np.float32) for level in (0.1, 0.01))
    levelled = equally_loud(one, {"other": other.astype(np.float32)}, 24_000)
    assert levelled.by_rms
    assert np.mean(levelled.sounds["other"] ** 2) == pytest.approx(np.mean(one**2), rel=1e-4)


def test_silence_keeps_its_level(speech_like: SpeechLike) -> None:
    wav, silence = speech_like(1.0), np.zeros(24_000, np.float32)
    levelled = equally_loud(wav, {"silence": silence}, 24_000)
    assert levelled.left_alone == {"silence": "it is silent"} and not levelled.sounds["silence"].any()
    levelled = equally_loud(silence, {"wav": wav}, 24_000)
    assert levelled.left_alone == {"wav": "its reference is silent"}
    np.testing.assert_array_equal(levelled.sounds["wav"], wav)
    assert not lowered({"silence": silence}, PEAK)["silence"].any()


def test_all_are_lowered_alike() -> None:
    sounds = {"loud": np.array([0.5, -2.0], np.float32), "quiet": np.array([0.1, 0.2], np.float32)}
    low = lowered(sounds, PEAK)
    assert np.abs(low["loud"]).max() == pytest.approx(PEAK)
    np.testing.assert_allclose(low["loud"] / sounds["loud"], (low["quiet"] / sounds["quiet"]))
    np.testing.assert_array_equal(lowered(low, 1.0)["quiet"], low["quiet"])


TIMINGS: tuple[Timing, ...] = ("check", "align", "trust")


@pytest.mark.parametrize(
    ("sample_rate_hz", "delay_s"), [(8000, -0.03), (16_000, 0.03), (16_000, -0.09), (16_000, 0.09)]
)
def test_what_lags_is_refused_or_shifted(sample_rate_hz: int, delay_s: float) -> None:
    wav = make_speech_like(1.5, sample_rate_hz)
    delay = round(delay_s * sample_rate_hz)
    moved = np.pad(wav, (delay, 0))[: len(wav)] if delay > 0 else np.pad(wav[-delay:], (0, -delay))
    with pytest.raises(
        AudioError, match=f"^a/b.wav: is {1000 * abs(delay_s):.0f} ms {'after' if delay > 0 else 'before'} .* --align"
    ):
        lined_up(wav, moved, sample_rate_hz, "a/b.wav")
    sound, shift = lined_up(wav, moved, sample_rate_hz, "a/b.wav", "align")
    assert shift == delay and sound.shape == wav.shape
    inner = slice(abs(delay), -abs(delay))  # what was cut off does not come back
    np.testing.assert_array_equal(sound[inner], wav[inner])


def test_small_delays_are_left_alone(speech_like: SpeechLike) -> None:
    wav = speech_like(1.0, 16_000)
    late = np.pad(wav, (48, 0))  # 3 ms
    for timing in TIMINGS:
        sound, shift = lined_up(wav, late, 16_000, "b", timing)
        assert shift == 0
        np.testing.assert_array_equal(sound, late[: len(wav)])


@pytest.mark.parametrize("samples", [-800, -1, 0, 1, 800])
def test_lengths_become_the_references(speech_like: SpeechLike, samples: int) -> None:
    wav = speech_like(1.0, 16_000)
    other = np.pad(wav, (0, samples)) if samples > 0 else wav[: len(wav) + samples]
    sound = lined_up(wav, other, 16_000, "b").sound
    kept = min(len(other), len(wav))
    assert len(sound) == len(wav) and not sound[kept:].any()
    np.testing.assert_array_equal(sound[:kept], wav[:kept])


@pytest.mark.parametrize("samples", [-900, 900])
def test_other_lengths_are_refused(speech_like: SpeechLike, samples: int) -> None:
    wav = speech_like(1.0, 16_000)
    other = np.pad(wav, (0, samples)) if samples > 0 else wav[:samples]
    for timing in TIMINGS:
        with pytest.raises(AudioError, match=r"^b: is \S+ s long, its reference 1\.000 s"):
            lined_up(wav, other, 16_000, "b", timing)


@pytest.mark.parametrize("seed", range(1, 6))
def test_another_recording_is_refused_unless_its_owner_knows_better(speech_like: SpeechLike, seed: int) -> None:
    wav, other = speech_like(2.0, 16_000), speech_like(2.0, 16_000, seed=seed)
    for timing in ("check", "align"):
        with pytest.raises(AudioError, match=r"^b: sounds like another recording than its reference; --trust-timing"):
            lined_up(wav, other, 16_000, "b", timing)
    trusted = lined_up(wav, other, 16_000, "b", "trust")
    assert trusted.shift == 0
    np.testing.assert_array_equal(trusted.sound, other)


def test_noise_and_a_narrow_band_are_still_the_same_recording(speech_like: SpeechLike) -> None:
    wav = speech_like(2.0, 16_000)
    noise = np.random.default_rng(0).standard_normal(len(wav)).astype(np.float32)
    for other in (wav + np.float32(wav.std()) * noise, low_pass(wav, 16_000, 1000.0), -0.01 * wav):
        assert lined_up(wav, other, 16_000, "b").shift == 0


def test_prepared_sounds_and_remarks(tmp_path: Path, speech_like: SpeechLike) -> None:
    wav = speech_like(12.01, 16_000)
    audio.write(tmp_path / "r.wav", wav, 16_000)
    twice = np.stack([0.5 * audio.resample(wav, 16_000, 8000)] * 2, axis=1)
    audio.write(tmp_path / "s.wav", twice, 8000)
    item = Item("r", tmp_path / "r.wav", {"s": tmp_path / "s.wav"})
    sounds, remarks = prepared(item, ["anchor35"], Preparation(16_000))
    assert list(sounds) == ["reference", "s", "anchor35"]
    assert {len(sound) for sound in sounds.values()} == {len(wav)}
    assert loudness(sounds["s"], 16_000) == pytest.approx(loudness(sounds["reference"], 16_000), abs=0.05)
    lines = summary([*remarks, *remarks])
    assert len(lines) == 2
    assert lines[0].startswith(f"{tmp_path / 'r.wav'}: is longer than 12 s") and lines[0].endswith("(as 1 more)")
    assert "mean of its channels" in lines[1]
    with pytest.raises(AudioError, match="r.wav: audio of 16000 Hz .* leave that anchor out"):
        prepared(item, ["anchor70"], Preparation(16_000))
    with pytest.raises(UsageError, match="4000 Hz"):
        Preparation(4000)


def test_an_anchor_lacks_what_the_file_itself_can_have(tmp_path: Path, speech_like: SpeechLike) -> None:
    wav = speech_like(1.0, 16_000)
    audio.write(tmp_path / "narrow.wav", audio.resample(wav, 16_000, 8000), 8000)
    item = Item("r", tmp_path / "narrow.wav", {})
    with pytest.raises(AudioError, match=r"narrow\.wav: audio of 8000 Hz .*--no-anchor"):
        prepared(item, ["anchor35"], Preparation(48_000))
    assert prepared(item, [], Preparation(48_000)).remarks == []
    audio.write(tmp_path / "dull.wav", low_pass(wav, 16_000, 3000.0), 16_000)
    [remark] = prepared(Item("r", tmp_path / "dull.wav", {}), ["anchor35"], Preparation(16_000)).remarks
    assert remark.what == "has hardly anything above 3.5 kHz for its anchor to lack"


def test_the_same_sound_twice_is_noticed(tmp_path: Path, speech_like: SpeechLike) -> None:
    wav = speech_like(1.0, 16_000)
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(wav)).astype(np.float32)
    for name, samples in (("r", wav), ("s", wav + noise), ("t", wav + noise), ("u", wav)):
        audio.write(tmp_path / f"{name}.wav", samples, 16_000)
    systems = {name: tmp_path / f"{name}.wav" for name in "stu"}
    remarks = prepared(Item("r", tmp_path / "r.wav", systems), [], Preparation(16_000)).remarks
    assert [(remark.file.name, remark.what) for remark in remarks] == [
        ("t.wav", "is exactly the same sound as s"),
        ("u.wav", "is exactly the same sound as reference"),
    ]


def test_kept_levels_are_exact_unless_they_would_clip(tmp_path: Path, speech_like: SpeechLike) -> None:
    wav = speech_like(0.5)
    files = {"r": wav, "quiet": (0.25 * wav).astype(np.float32), "over": (1.5 * wav / np.abs(wav).max())}
    for name, samples in files.items():
        audio.write(tmp_path / f"{name}.wav", samples.astype(np.float32), 24_000, "float32")
    keep = Preparation(24_000, keep_levels=True)
    quiet = Item("r", tmp_path / "r.wav", {"s": tmp_path / "quiet.wav"})
    sounds, remarks = prepared(quiet, [], keep)
    assert not remarks
    np.testing.assert_array_equal(sounds["s"], files["quiet"])
    over = Item("r", tmp_path / "r.wav", {"s": tmp_path / "over.wav"})
    sounds, remarks = prepared(over, [], keep)
    assert "exceeds full scale" in remarks[0].what
    assert np.abs(sounds["s"]).max() == pytest.approx(1)
    np.testing.assert_allclose(sounds["reference"], wav / 1.5, rtol=1e-5)


def test_trials_of_every_protocol() -> None:
    systems = ("a", "b", "c")
    assert trials("mushra", systems, ("anchor35",), None) == (("a", "b", "c", "reference", "anchor35"),)
    assert trials("cmos-q", systems, (), "b") == (("b", "a"), ("b", "c"), ("b", "reference"))
    assert trials("cmos-p", systems, (), "reference") == tuple(("reference", system) for system in systems)
    assert trials("ab", systems, (), None) == (("a", "b"), ("a", "c"), ("b", "c"))
    assert trials("abx", systems, (), None) == tuple(("reference", system) for system in systems)


def test_what_makes_no_trials() -> None:
    twelve = [str(number) for number in range(12)]
    assert len(trials("mushra", twelve[:10], ("anchor35",), None)[0]) == 12
    for call in (
        lambda: trials("mushra", twelve[:11], ("anchor35",), None),
        lambda: trials("mushra", ["a"], ("anchor50",), None),
        lambda: trials("ab", ["a"], (), None),
        lambda: trials("mushra", [], (), None),
        lambda: baseline_of("mushra", ["a"], "a"),
        lambda: baseline_of("cmos-q", ["a"], "b"),
    ):
        with pytest.raises(UsageError):
            call()
    assert baseline_of("cmos-q", ["a", "b"], None) == "a"


@pytest.mark.parametrize("name", ["", " a", "a" * 41, "a/b", "reference", "Anchor35", "ä", "a\n", "a,b", "<b>"])
def test_names_that_no_system_has(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        check_systems([name])
    check_systems(["q2d2 1.0_a-b+", "a" * 40])
