"""One small codec and its graphs, for every test of the export: exporting takes ten seconds and more."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_codecs import SPEECH_TOKENS, make_codec

from q2d2.codec import Codec


@pytest.fixture(scope="session")
def codec() -> Codec:
    """All pairs and rates of `speech`, networks of a few thousand weights."""
    return make_codec(SPEECH_TOKENS)


@pytest.fixture(scope="session")
def graphs(codec: Codec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with its graphs."""
    pytest.importorskip("onnxscript", reason="needs onnx, onnxscript and onnxruntime: pip install 'q2d2[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'q2d2[onnx]'")
    from q2d2.onnx_export import export

    folder = tmp_path_factory.mktemp("graphs") / "model"
    export(codec, folder)
    return folder
