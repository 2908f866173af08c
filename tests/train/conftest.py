"""A packed corpus of two sources and three parts, in the layout that the trainer reads."""

import json
from pathlib import Path

import pytest
import soundfile


@pytest.fixture
def packed_corpus(tmp_path: Path, speech_like) -> Path:
    folder = tmp_path / "corpus"
    (folder / "empty").mkdir(parents=True)
    index = []
    for number, (source, speakers) in enumerate([("choir", ["a", "b"]), ("choir", ["c"]), ("solo", ["d"])]):
        samples = speech_like(3.0 - 0.5 * number, seed=number)
        file = f"{source}-{number}.opus"
        soundfile.write(folder / file, samples, 24_000, format="OGG", subtype="OPUS")
        utterances = [{"start": 0, "samples": len(samples), "speaker": s, "recorded_hz": 24_000} for s in speakers]
        part = {"file": file, "source": source, "licence": "CC0", "sample_rate_hz": 24_000, "samples": len(samples)}
        index.append(part | {"utterances": utterances})
    (folder / "index.json").write_text(json.dumps(index))
    return folder
