"""Small trainings for the tests of whatever trains."""

import json
from dataclasses import replace
from pathlib import Path

from q2d2.train.config import TrainConfig

FRAMES = 24


def a_config(corpus: Path, out: Path, **changes) -> TrainConfig:
    config = TrainConfig(
        data=corpus,
        out=out,
        steps=6,
        preset="tiny",
        batch=2,
        seconds=FRAMES * 450 / 24_000,
        log_every=2,
        precision="float32",
        warmup_steps=1,
        adversarial_from=0.0,
        adversarial_warmup_steps=2,
    )
    return replace(config, **changes)


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
