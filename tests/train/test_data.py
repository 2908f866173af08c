"""Batches: what is drawn, by whom, in which order and at which level; what is skipped; what is refused."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from q2d2.corpus import Corpus
from q2d2.train.augment import Augment
from q2d2.train.data import Batch, BySource, ByUtterance, Crops, Prefetcher, Raw, Speech, open_speech, validation_clips


@pytest.fixture
def folder(audio_file, speech_like) -> Path:
    """Seven utterances of three speakers at two rates, of 0.3 to 0.9 s."""
    for number in range(7):
        rate_hz = (16_000, 24_000)[number % 2]
        audio_file(speech_like(0.3 + 0.1 * number, rate_hz, number), rate_hz, f"set/{number % 3}/{number}.flac")
    return audio_file(speech_like(0.3), name="set/0/0.flac").parent.parent


def open_at(path: Path, drawing=ByUtterance(), batch=4, samples=9_600, seed=0, augment=None, **others) -> Speech:  # noqa: B008
    crops = Crops(samples, 24_000, seed, augment)
    return open_speech(path, crops, drawing, batch=batch, **others)


def files_of(batch: Batch) -> list[str]:
    return [Path(name.split("@")[0]).name for name in batch.names]


# Laws of every way to draw


@pytest.mark.parametrize("drawing", [BySource(), ByUtterance()])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("augment", [None, Augment()])
def test_a_batch_depends_on_seed_and_step_only(packed_corpus, folder, drawing, packed, augment):
    path = packed_corpus if packed else folder
    speech, again = (open_at(path, drawing, augment=augment) for _ in range(2))
    other = open_at(path, drawing, seed=1, augment=augment)
    assert speech.batch_at(3).wav.shape == (4, 9_600) and speech.batch_at(3).wav.dtype == torch.float32
    again.batch_at(0)  # the past does not matter
    assert torch.equal(speech.batch_at(3).wav, again.batch_at(3).wav)
    assert speech.batch_at(3).names == again.batch_at(3).names
    assert not torch.equal(speech.batch_at(3).wav, speech.batch_at(4).wav)
    assert not torch.equal(speech.batch_at(3).wav, other.batch_at(3).wav)
    assert not speech.skipped


@pytest.mark.parametrize("drawing", [BySource(), ByUtterance()])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("augment", [None, Augment()])
def test_ranks_see_together_what_one_process_would(packed_corpus, folder, drawing, packed, world, augment):
    path = packed_corpus if packed else folder
    one = open_at(path, drawing, augment=augment)
    ranks = [open_at(path, drawing, rank=rank, world=world, augment=augment) for rank in range(world)]
    for step in (0, 1, 5):
        parts = [rank.batch_at(step) for rank in ranks]
        assert torch.equal(torch.cat([part.wav for part in parts]), one.batch_at(step).wav)
        assert sum((part.names for part in parts), ()) == one.batch_at(step).names


def test_a_batch_that_cannot_be_shared(folder):
    for rank, world in ((0, 3), (2, 2)):
        with pytest.raises(ValueError, match="cannot be shared"):
            open_at(folder, rank=rank, world=world)


# By utterance


@pytest.mark.parametrize("packed", [True, False])
def test_every_utterance_once_an_epoch(packed_corpus, folder, packed):
    speech = open_at(packed_corpus if packed else folder, batch=3)
    total = speech.utterances
    assert total == (4 if packed else 7)
    seen = [name.split("@")[0] for step in range(2 * total) for name in speech.batch_at(step).names]
    epochs = [seen[start : start + total] for start in range(0, 6 * total, total)]
    if packed:  # the first part holds two
        assert all(Counter(epoch).most_common()[0][1] == 2 and len(set(epoch)) == 3 for epoch in epochs)
    else:
        assert all(len(set(epoch)) == total for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_the_whole_utterance_has_its_peak_within_the_gain(folder):
    """A crop of everything shows the peak of the whole: resampled, so it may overshoot a little."""
    speech = open_at(folder, samples=24_000)
    levels = [20 * np.log10(np.abs(row).max()) for step in range(30) for row in speech.batch_at(step).wav.numpy()]
    assert -6.4 < min(levels) < -5.5 and -1.5 < max(levels) < -0.6
    exact = open_at(folder, ByUtterance(gain_dbfs=(-3.0, -3.0)), samples=24_000)
    at_24k = [
        np.abs(row.numpy()).max()
        for step in range(7)
        for row, file in zip(exact.batch_at(step).wav, files_of(exact.batch_at(step)), strict=True)
        if int(file[0]) % 2 or file == "0.flac"
    ]
    np.testing.assert_allclose(at_24k, 10 ** (-3 / 20), rtol=1e-6)


def test_short_utterances_are_repeated(folder):
    wav, names = open_at(folder, samples=30_000).batch_at(0)
    for row, name in zip(wav.numpy(), names, strict=True):
        length = round((0.3 + 0.1 * int(Path(name).name[0])) * 24_000)
        assert name.endswith("@0")
        np.testing.assert_array_equal(row[length:], row[: 30_000 - length])


def test_a_crop_is_where_its_name_says(folder):
    from q2d2 import audio

    speech = open_at(folder, ByUtterance((-6.0, -6.0)), samples=4_800)
    starts = set()
    for step in range(6):
        for row, name in zip(*speech.batch_at(step), strict=True):
            file, start = name.split("@")
            samples, rate_hz = audio.read(file)
            if rate_hz == 24_000:
                expected = samples[int(start) :][:4_800, 0] / np.abs(samples).max() * 10 ** (-6 / 20)
                np.testing.assert_allclose(row.numpy(), expected, atol=1e-6)
                starts.add(start)
    assert len(starts) > 3


def test_a_packed_corpus_at_another_rate_is_resampled(packed_corpus):
    speech = open_speech(packed_corpus, Crops(8_000, 16_000, 0), ByUtterance(), batch=2)
    assert speech.batch_at(0).wav.shape == (2, 8_000)


# By source


@pytest.mark.parametrize("packed", [True, False])
def test_changed_rows_are_of_the_same_place_and_length(packed_corpus, folder, packed):
    path = packed_corpus if packed else folder
    faint = Augment(speed=0.0, response_db=0.0, noise=0.0, room=0.0, narrow=0.0)
    plain, unchanged, changed = (open_at(path, augment=augment) for augment in (None, faint, Augment()))
    for step in range(3):
        torch.testing.assert_close(unchanged.batch_at(step).wav, plain.batch_at(step).wav, atol=1e-6, rtol=0)
        assert changed.batch_at(step).wav.shape == plain.batch_at(step).wav.shape
        assert files_of(changed.batch_at(step)) == files_of(plain.batch_at(step))
        assert not torch.allclose(changed.batch_at(step).wav, plain.batch_at(step).wav, atol=1e-3)


def test_the_numbers_of_a_packed_corpus_drawn_by_source(packed_corpus):
    """Written out once more: a change here would make earlier runs another experiment."""
    corpus = Corpus(packed_corpus)
    rng = np.random.default_rng((7, 3))
    places, positions = rng.random(4), rng.random(4)
    gains = 10 ** (rng.triangular(-19, 1, 1, size=4) / 20)
    # a source by its weight, then a part of it by how many crops begin there: one line from 0 to 1
    weights = np.array([1 + np.log10(3), 1]) / (2 + np.log10(3))
    line = []
    for source, weight in zip(corpus.sources, weights, strict=True):
        begin = np.array([len(part) - 4_500 + 1 for part in source.parts])
        line += [(part, count, weight * count / begin.sum()) for part, count in zip(source.parts, begin, strict=True)]
    expected = []
    for place, position, gain in zip(places, positions, gains, strict=True):
        drawn = int(np.argmax(np.cumsum([share for _, _, share in line]) > place))
        part, count, _ = line[drawn]
        start = int(position * count)
        expected.append(part[start : start + 4_500].astype(np.float32) * np.float32(gain / 32768))
    got = open_at(packed_corpus, BySource(), samples=4_500, seed=7).batch_at(3)
    np.testing.assert_array_equal(got.wav.numpy(), np.stack(expected))
    assert all(name.startswith(f"{packed_corpus}/") and ".opus@" in name for name in got.names)


def test_sources_are_drawn_by_weight(packed_corpus, tmp_path, audio_file, speech_like):
    np.testing.assert_allclose(
        open_at(packed_corpus, BySource()).probability, np.array([1 + np.log10(3), 1]) / (2 + np.log10(3))
    )
    np.testing.assert_allclose(open_at(packed_corpus, BySource({"solo": 0.0})).probability, [1, 0])
    lines = []
    for source, speakers in (("choir", "abcdefghij"), ("solo", "x")):
        for speaker in speakers:
            path = audio_file(speech_like(0.5, seed=ord(speaker)), name=f"{source}-{speaker}.wav")
            lines.append(f'{{"path": "{path}", "speaker": "{speaker}", "source": "{source}"}}')
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    drawn = Counter()
    speech = open_at(tmp_path / "m.jsonl", BySource(), batch=20, samples=480)
    for step in range(30):
        drawn.update(file.split("-")[0] for file in files_of(speech.batch_at(step)))
    assert drawn["choir"] / 600 == pytest.approx(2 / 3, abs=0.06)
    assert set(files_of(open_at(tmp_path / "m.jsonl", BySource({"choir": 0.0}), samples=480).batch_at(0))) == {
        "solo-x.wav"
    }
    for path in (packed_corpus, tmp_path / "m.jsonl"):
        with pytest.raises(ValueError, match="choirs.*choir, solo"):
            open_at(path, BySource({"choirs": 1.0}))


def test_levels_by_source_are_between_those_of_a_packed_corpus(folder):
    speech = open_at(folder, BySource(), samples=24_000, batch=20)
    levels = np.array(
        [20 * np.log10(row.abs().max().item() / 0.7) for step in range(5) for row in speech.batch_at(step).wav]
    )
    assert -19.1 < levels.min() < -12 and -1 < levels.max() < 1.5
    assert -8 < levels.mean() < -4  # the louder the likelier


def test_packed_corpora_that_do_not_fit(packed_corpus):
    corpus = Corpus(packed_corpus)
    with pytest.raises(ValueError, match="solo is shorter"):
        open_at(packed_corpus, BySource(), samples=len(corpus.sources[1].parts[0]) + 1)
    with pytest.raises(ValueError, match="16000"):
        open_speech(packed_corpus, Crops(100, 16_000, 0), BySource(), batch=1)


def test_the_cache_changes_nothing(packed_corpus, tmp_path):
    for drawing in (BySource(), ByUtterance()):
        plain, cached = open_at(packed_corpus, drawing), open_at(packed_corpus, drawing, cache=tmp_path / "cache")
        assert torch.equal(plain.batch_at(1).wav, cached.batch_at(1).wav)


# Files that cannot be used


@pytest.fixture
def spoilt(folder, audio_file, speech_like) -> Path:
    """The seven utterances among five files that are of no use."""
    audio_file(np.zeros(24_000), name="set/1/silent.wav")
    audio_file(speech_like(0.1), name="set/1/short.wav")
    damaged = audio_file(speech_like(1.0, seed=8), name="set/2/damaged.flac")
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])  # its header is whole
    (folder / "0" / "broken.flac").write_bytes(b"fLaC and nothing else")
    audio_file(np.where(np.arange(24_000) == 20_000, np.nan, speech_like(1.0)), name="set/0/nan.wav", subtype="FLOAT")
    return folder


@pytest.mark.parametrize("drawing", [BySource(), ByUtterance()])
def test_bad_files_are_skipped_counted_and_named(spoilt, drawing, capsys):
    speech = open_at(spoilt, drawing)
    seen = Counter(file for step in range(40) for file in files_of(speech.batch_at(step)))
    assert set(seen) == {f"{n}.flac" for n in range(7)}
    reasons = {Path(file).name: why for file, why in speech.skipped.items()}
    assert set(reasons) == {"silent.wav", "short.wav", "damaged.flac", "broken.flac", "nan.wav"}
    assert "silent" in reasons["silent.wav"] and "0.2 s" in reasons["short.wav"]
    assert "not a number" in reasons["nan.wav"] and not any(why.startswith(str(spoilt)) for why in reasons.values())
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 5 and all(line.startswith("q2d2: ") and line.endswith("; skipped") for line in said)


@pytest.mark.parametrize("drawing", [BySource(), ByUtterance()])
def test_what_takes_the_place_of_a_bad_file_does_not_depend_on_what_was_met_before(spoilt, drawing):
    straight = open_at(spoilt, drawing)
    batches = [straight.batch_at(step) for step in range(8)]
    late = open_at(spoilt, drawing, rank=1, world=2)
    for step in (7, 3):
        assert torch.equal(late.batch_at(step).wav, batches[step].wav[2:])
        assert late.batch_at(step).names == batches[step].names[2:]


@pytest.mark.parametrize("drawing", [BySource(), ByUtterance()])
def test_nothing_but_bad_files(audio_file, drawing):
    path = audio_file(np.zeros(24_000), name="mute/a.wav")
    with pytest.raises(ValueError, match=r"none of 1 utterances can be used: .*a\.wav: is silent"):
        open_at(path.parent, drawing).batch_at(0)


# Prefetching


class Counting(Speech):
    """The step as a batch, late when even; an error at step 6."""

    def __init__(self) -> None:
        super().__init__(Crops(1, 24_000, 0), 1)
        self.asked = []

    def raw_at(self, step: int) -> Raw:
        import time

        self.asked.append(step)
        if step == 6:
            raise RuntimeError("step 6 is bad")
        time.sleep(0.02 * (step % 2 == 0))
        one = torch.ones(1)
        return Raw(torch.full((1, 1), float(step)), one.long(), one, torch.zeros(1, 0), (str(step),))


def test_batches_come_in_order_and_errors_where_they_happen():
    speech = Counting()
    with Prefetcher(speech, 2, ahead=3, threads=3) as batches:
        assert [next(batches).wav.item() for _ in range(4)] == [2, 3, 4, 5]
        with pytest.raises(RuntimeError, match="step 6 is bad"):
            next(batches)
    assert max(speech.asked) <= 2 + 3 + 5  # never further ahead than asked for


def test_prefetching_changes_nothing(folder):
    with Prefetcher(open_at(folder), 0) as batches:
        ahead = [next(batches).wav for _ in range(6)]
    assert torch.equal(torch.stack(ahead), torch.stack([open_at(folder).batch_at(step).wav for step in range(6)]))


def test_closing_does_not_wait_for_what_nobody_wants():
    import threading

    before = threading.active_count()
    speech = Counting()
    with Prefetcher(speech, 10, ahead=50, threads=1) as batches:
        next(batches)
    assert threading.active_count() == before and len(speech.asked) < 10


def test_validation_clips_are_whole_frames(packed_corpus: Path) -> None:
    clips = validation_clips(packed_corpus, 24_000, 450, longest_s=0.5)
    assert len(clips) == 3
    assert all(clip.shape == (1, 12_150) for clip in clips)  # half a second is 26.7 frames
    with pytest.raises(FileNotFoundError, match="no audio"):
        validation_clips(packed_corpus / "empty", 24_000, 450)
