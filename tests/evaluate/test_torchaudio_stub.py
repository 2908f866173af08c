"""Packages that name torchaudio can be imported without it, and nothing of that stays behind."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from q2d2.evaluate.torchaudio_stub import without_torchaudio

NAMES = ("torchaudio", "torchaudio.transforms")


@pytest.fixture(autouse=True)
def nothing_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_module_that_names_it_is_imported_and_fails_when_it_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wants_torchaudio.py").write_text(
        "import torchaudio.transforms\ndef read(path):\n    return torchaudio.load(path)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with without_torchaudio("torchaudio.transforms"):
        module = importlib.import_module("wants_torchaudio")
        assert importlib.util.find_spec("torchaudio") is not None
    assert not any(name in sys.modules for name in NAMES)
    with pytest.raises(AttributeError, match="'torchaudio' has no attribute 'load'"):
        module.read("clip.wav")


def test_what_was_there_stays_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ModuleType("torchaudio")
    monkeypatch.setitem(sys.modules, "torchaudio", real)
    monkeypatch.setitem(sys.modules, "torchaudio.transforms", None)  # what Python takes for "cannot be imported"
    with pytest.raises(RuntimeError), without_torchaudio("torchaudio.transforms"):
        assert sys.modules["torchaudio"] is real and isinstance(sys.modules["torchaudio.transforms"], ModuleType)
        raise RuntimeError
    assert sys.modules["torchaudio"] is real and sys.modules["torchaudio.transforms"] is None
