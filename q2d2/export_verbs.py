"""The verb `export`: a model for programs in other languages.

No `from __future__ import annotations` here: tyro reads the types.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from q2d2.console import say
from q2d2.verbs import Model, Switch, Verb


@dataclass(frozen=True)
class Export(Verb):
    """A model for programs in other languages: encoder.onnx, decoder.onnx and q2d2.json, compared with the model.

    Only models of the kind of `speech`. Example:

    q2d2 export onnx speech-onnx
    """

    target: Annotated[Positional[Literal["onnx"]], arg(metavar="onnx")]
    """for which runtimes"""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """the folder for the three files"""
    model: Model = None
    """speech, speech-live, a model folder or a hub id"""
    int8: Switch = False
    """weights of 8 bits: half the size, slightly other indices"""
    overwrite: Switch = False
    """replace files that exist"""

    def run(self) -> int:
        from q2d2 import checkpoint

        try:
            from q2d2.onnx_export import export
        except ModuleNotFoundError as error:
            raise ImportError(f"{error.name} is not installed: pip install 'q2d2[onnx]' brings it") from error

        codec = checkpoint.load(self.model)
        made = export(codec, self.out, self.int8, self.overwrite)
        sizes = f"encoder.onnx {made.encoder_bytes / 1e6:.1f} MB, decoder.onnx {made.decoder_bytes / 1e6:.1f} MB"
        say(f"{self.out}: {sizes}, q2d2.json")
        found = made.agreement
        if found is None:
            say("not compared with the model: pip install 'q2d2[onnx]' brings onnxruntime")
            return 0
        same = found.frames - found.different_frames
        of = "the rounded model" if self.int8 else "the model"
        say(
            f"on {found.duration_s:.1f} s of speech as {of}: the same indices in {same} of {found.frames} frames, "
            f"samples within {found.most_difference:.1e}"
        )
        return 0
