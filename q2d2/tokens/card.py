"""The README of a folder of tokens: what Hugging Face `datasets` reads first, and what a person needs to know."""

from __future__ import annotations

from q2d2.tokens.layout import DATA, ERRORS, Job

_TEXT = """---
configs:
- config_name: default
  data_files: {data}/*.parquet
---

# Speech tokens

{clips} clips as tokens of the codec `{model}` (weights `{weights}`): {frames:.6g} frames per second, {pairs} pairs
per frame, {bitrate:.0f} bits per second. Made by `q2d2 tokenize`. The pairs have {points} points.

| column | type | what |
|---|---|---|
| `id` | string | the clip |
| `codes` | list of {pairs} lists of integers | a list per pair, an integer from 0 (to its points less one) per frame |
| `samples` | int64 | length of the original, at its own sample rate |
| `sample_rate_hz` | int32 | sample rate of the original |
| `model`, `weights` | string | what decodes them: its name, and the beginning of the SHA-256 of its weights |

`{errors}/` names the clips that could not be read, if there were any, and why.

```python
import datasets, q2d2

rows = datasets.load_dataset("FOLDER", split="train")  # or, without datasets: q2d2.read_tokens("FOLDER")
```

`q2d2 detokenize FOLDER OUT` makes audio of them.
"""


def card(job: Job, points: tuple[int, ...], frame_rate_hz: float, bitrate_bps: float) -> str:
    """The README."""
    return _TEXT.format(
        data=DATA,
        errors=ERRORS,
        clips=job.clips,
        model=job.model,
        weights=job.weights,
        pairs=job.pairs,
        frames=frame_rate_hz,
        bitrate=bitrate_bps,
        points=", ".join(map(str, points)),
    )
