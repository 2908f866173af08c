"""Adapters: a file's codec is a peer, and whatever is wrong with the file is said with its name."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from q2d2 import audio
from q2d2.evaluate.peers import Clip, PeerError, System, peer

EXAMPLE = Path(__file__).parents[2] / "examples" / "adapter.py"

# A dataclass with annotations as strings looks its module up by name.
ADAPTER = """
from __future__ import annotations
from dataclasses import dataclass
import numpy as np
from q2d2.evaluate.peers import Clip, Coded

@dataclass
class Halved:
    name: str = "halved"
    may_delay: bool = True
    def missing(self) -> str | None:
        return "the other half"
    def code(self, clip: Clip) -> Coded:
        return RESULT

class Quarter:
    def __init__(self, part: int) -> None: ...
def wrapped(): return Halved("wrapped")
def broken(): raise OSError("no such model")
def nothing(): return 3
constant = 3
"""


def adapter(tmp_path: Path, text: str = ADAPTER, result: str = "Coded(clip.wav / 2, 24_000, 1, 1)") -> Path:
    path = tmp_path / "mine.py"
    path.write_text(text.replace("RESULT", result))
    return path


def test_the_example_is_mu_law(speech_like) -> None:
    """G.711: magnitudes in 1/8159, plus 33, have four bits below their leading one, so errors are within 1/32."""
    system = peer(f"{EXAMPLE}:MuLaw")
    clip = Clip("a.flac", speech_like(2.0), 24_000)
    narrow = audio.resample(clip.wav, 24_000, 8000)
    coded = system.code(clip)
    assert (system.name, system.may_delay, system.missing(), coded.sample_rate_hz) == ("mu-law", False, None, 8000)
    assert coded.payload_bytes == len(narrow) == 16_000 and coded.file_bytes == 24 + 16_000  # the header of AU
    step = 1 / 8159
    error = np.abs(coded.samples - narrow)
    assert (error <= (np.abs(narrow) + 33 * step) / 32 + step).all()
    assert error.max() > 1e-3  # it is not the identity


@pytest.mark.parametrize("name", ["Halved", "wrapped"])
def test_a_class_or_a_function_makes_a_peer(name: str, tmp_path: Path, speech_like) -> None:
    system = peer(f"{adapter(tmp_path)}:{name}")
    assert isinstance(system, System)
    assert (system.name, system.may_delay, system.missing()) == (name.lower(), True, "the other half")
    clip = Clip("a.flac", speech_like(0.1), 24_000)
    assert np.array_equal(system.code(clip).samples, clip.wav / 2)


def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path: Path) -> None:
    path = adapter(tmp_path)
    for name, message in {
        "Third": "defines no class or function 'Third'; it defines Halved, Quarter, wrapped, broken, nothing",
        "constant": "defines no class or function 'constant'",
        "": "defines no class or function ''",
        "Quarter": r"Quarter\(\) fails with TypeError: .*part",
        "broken": r"broken\(\) fails with OSError: no such model",
        "nothing": r"what nothing\(\) gives has no name, no may_delay, no missing, no code",
    }.items():
        with pytest.raises(PeerError, match=f"{re.escape(str(path))}: {message}"):
            peer(f"{path}:{name}")
    for text, message in {"import nowhere": "ModuleNotFoundError: .*'nowhere'", "def": "SyntaxError: .*"}.items():
        with pytest.raises(PeerError, match=rf"mine\.py: cannot be run \({message}\)"):
            peer(f"{adapter(tmp_path, text)}:Halved")
    with pytest.raises(PeerError, match=r"absent\.py: there is no such file"):
        peer(f"{tmp_path / 'absent.py'}:Halved")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("Coded(clip.wav.astype(np.float64), 24_000, 1, 1)", r"samples are float64 \[2400\], not"),
        ("Coded(clip.wav[:, None], 24_000, 1, 1)", r"samples are float32 \[2400, 1\], not"),
        ("Coded(list(clip.wav), 24_000, 1, 1)", "samples are list, not"),
        ("(clip.wav, 24_000, 1, 1)", r"code\(\) gives tuple, not"),
    ],
)
def test_a_result_of_another_kind_is_refused(result: str, message: str, tmp_path: Path, speech_like) -> None:
    system = peer(f"{adapter(tmp_path, result=result)}:Halved")
    with pytest.raises(PeerError, match=message):
        system.code(Clip("a.flac", speech_like(0.1), 24_000))
