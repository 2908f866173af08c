"""Words and edits against a brute force, and Whisper on a sentence that is known."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from q2d2.evaluate.metrics import base, words
from q2d2.evaluate.metrics.base import Original, Signal, UndefinedError
from q2d2.evaluate.metrics.words import Heard, edit_distance

RATE_HZ = base.SAMPLE_RATE_HZ
SENTENCE = "Scarcely had he uttered the name when Pierre's closing eyes shot open."  # CMU ARCTIC a0084

few_words = st.lists(st.sampled_from("abc"), max_size=6)


@given(few_words, few_words)
def test_the_edit_distance_is_the_fewest_edits(one: list[str], other: list[str]) -> None:
    @cache
    def fewest(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        last = fewest(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        return min(last, fewest(i - 1, j) + 1, fewest(i, j - 1) + 1)

    assert edit_distance(one, other) == fewest(len(one), len(other))


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert words.words("Don\N{RIGHT SINGLE QUOTATION MARK}t -- re-use 3,\n'Ligi'!") == [
        "dont",
        "re",
        "use",
        "3",
        "ligi",
    ]
    assert words.words("Gewu\N{COMBINING DIAERESIS}rz") == words.words("GEW\N{LATIN CAPITAL LETTER U WITH DIAERESIS}RZ")
    assert words.words("\N{DEVANAGARI LETTER KA}\N{DEVANAGARI VOWEL SIGN I}") != words.words(
        "\N{DEVANAGARI LETTER KA}"
    )  # a vowel, no punctuation
    assert words.words("... ?") == []


def test_the_reference_is_the_transcript_or_what_is_heard_in_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    original, decoded = np.full(RATE_HZ, 0.1, np.float32), np.full(RATE_HZ, -0.1, np.float32)
    languages = []

    def hear(signal: Signal, language: str | None = None) -> Heard:
        languages.append(language)
        return Heard("A cat sat." if signal[0] > 0 else "the cat sat on it", language or "nl")

    monkeypatch.setattr(words, "hear", hear)
    words._hear_original.cache_clear()
    try:
        assert words.wer(Original(original), decoded) == pytest.approx(3 / 3)  # a replacement and two more
        assert words.wer(Original(original, "The cat sat!"), decoded) == pytest.approx(2 / 3)
        assert languages == [None, "nl", "nl"]  # the original's, which is heard once
        with pytest.raises(UndefinedError, match="no words in the original"):
            words.wer(Original(original, "..."), decoded)
    finally:
        words._hear_original.cache_clear()


@pytest.mark.skipif(bool(words.METRIC.missing()), reason=str(words.METRIC.missing()))
def test_whisper_hears_a_known_sentence_and_the_identity_has_no_errors() -> None:
    (score,) = words.METRIC.scores
    samples, _ = soundfile.read(str(files("q2d2") / "assets" / "clip.flac"), dtype="float32")
    sentence = samples[: round(4.1 * RATE_HZ)]
    assert words.METRIC.measure(Original(sentence), sentence) == {"wer": score.perfect}
    late = np.concatenate([np.zeros(RATE_HZ // 200, np.float32), sentence])[: len(sentence)]
    assert words.wer(Original(sentence, SENTENCE), late) == 0  # 5 ms change no word
