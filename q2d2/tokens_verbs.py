"""The verbs `tokenize` and `detokenize`: whole corpora as tables of tokens, and back.

No `from __future__ import annotations` here: tyro reads the types.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import OmitArgPrefixes, Positional, arg

from q2d2.console import say
from q2d2.verbs import Device, Model, Switch, Verb, _device, _load, _report


def tokenize() -> type[Verb]:
    """The verb `tokenize`."""
    from q2d2.tokens.config import TokenizeConfig

    @dataclass(frozen=True)
    class Tokenize(Verb):
        """Turn a corpus into Parquet tables of tokens: a row per clip, for training language models and the like.

        Clips that cannot be read are written down beside them. The same command again goes on where it was
        interrupted. Example:

        q2d2 tokenize LibriTTS tokens --rate 1k
        """

        config: Annotated[TokenizeConfig, OmitArgPrefixes]

        def run(self) -> int:
            from q2d2.tokens.tokenizing import tokenize as run_tokenizing

            config = self.config
            if config.engine == "local":  # a cluster may have what this machine has not
                config = replace(config, device=str(_device(config.device)))
            made = run_tokenizing(config)
            for failed in made.shown:
                say(failed.error)
            lost = f", {made.failed} failed (all of them are in {config.out / 'errors'})" if made.failed else ""
            tables = f"{made.shards} {'table' if made.shards == 1 else 'tables'}"
            now = f"{made.clips_now} of them now, {made.audio_s / 3600:.2f} hours in {made.elapsed_s:.0f} s"
            speed = f", {made.speed:.0f} times real time" if made.clips_now else ""
            say(f"{config.out}: {made.clips} clips in {tables}{lost}; {now}{speed}")
            return 1 if made.failed else 0

    return Tokenize


@dataclass(frozen=True)
class Detokenize(Verb):
    """Turn tables of tokens into audio: a file per clip, named by its id, of its original length and rate. Example:

    q2d2 detokenize tokens audio
    """

    source: Annotated[Positional[Path], arg(metavar="IN")]
    """a folder that q2d2 tokenize has made, or one of its tables"""
    target: Annotated[Positional[Path], arg(metavar="OUT")]
    """the folder for the files"""
    format: Literal["wav", "flac"] = "wav"
    """what to write"""
    model: Model = None
    """speech, speech-live, a model folder or a hub id"""
    device: Device = None
    """where to compute"""
    overwrite: Switch = False
    """replace targets that exist"""

    def run(self) -> int:
        from q2d2.tokens.detokenizing import detokenize

        codec = _load(self.model, self.device)
        return _report(detokenize(codec, self.source, self.target, f".{self.format}", self.overwrite), str(self.target))
