"""The packed corpus: what is decoded, what is drawn, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from q2d2 import audio
from q2d2.train.data import Corpus, Crops, validation_clips


def test_the_parts_are_decoded_and_grouped_by_source(packed_corpus: Path) -> None:
    sources = {source.name: source for source in Corpus(packed_corpus, 24_000).sources}
    assert list(sources) == ["choir", "solo"]
    assert (sources["choir"].speakers, sources["solo"].speakers) == (3, 1)
    assert len(sources["choir"].parts) == 2
    assert all(part.dtype == np.int16 for source in sources.values() for part in source.parts)


def test_a_batch_depends_on_seed_and_step_only(packed_corpus: Path) -> None:
    corpus = Corpus(packed_corpus, 24_000)
    crops = Crops(corpus, 4, 4500, 0, {})
    again = Crops(corpus, 4, 4500, 0, {})
    assert crops.batch_at(3).shape == (4, 4500)
    assert torch.equal(crops.batch_at(3), again.batch_at(3))
    assert not torch.equal(crops.batch_at(3), crops.batch_at(4))
    assert not torch.equal(crops.batch_at(3), Crops(corpus, 4, 4500, 1, {}).batch_at(3))
    assert all(crops.batch_at(step).abs().max() <= 1.13 for step in range(20))


def test_sources_are_drawn_by_weight(packed_corpus: Path) -> None:
    corpus = Corpus(packed_corpus, 24_000)
    np.testing.assert_allclose(
        Crops(corpus, 1, 100, 0, {}).probability, np.array([1 + np.log10(3), 1]) / (2 + np.log10(3))
    )
    np.testing.assert_allclose(Crops(corpus, 1, 100, 0, {"solo": 0.0}).probability, [1, 0])
    with pytest.raises(ValueError, match="choirs.*choir, solo"):
        Crops(corpus, 1, 100, 0, {"choirs": 1.0})


def test_parts_shorter_than_a_crop_are_not_drawn(packed_corpus: Path) -> None:
    corpus = Corpus(packed_corpus, 24_000)
    with pytest.raises(ValueError, match="solo is shorter"):
        Crops(corpus, 1, len(corpus.sources[1].parts[0]), 0, {})


def test_bad_corpora_are_refused(packed_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"index\.json"):
        Corpus(tmp_path / "nothing", 24_000)
    with pytest.raises(ValueError, match="16000"):
        Corpus(packed_corpus, 16_000)
    index = json.loads((packed_corpus / "index.json").read_text())
    (packed_corpus / index[0]["file"]).write_bytes(b"not audio")
    with pytest.raises(audio.AudioError, match=index[0]["file"]):
        Corpus(packed_corpus, 24_000)


def test_validation_clips_are_whole_frames(packed_corpus: Path) -> None:
    clips = validation_clips(packed_corpus, 24_000, 450, longest_s=0.5)
    assert len(clips) == 3
    assert all(clip.shape == (1, 12_150) for clip in clips)  # half a second is 26.7 frames
    with pytest.raises(FileNotFoundError, match="no audio"):
        validation_clips(packed_corpus / "empty", 24_000, 450)
