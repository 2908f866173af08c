"""Any codec, through a Python file of a few lines that wraps it as a `System` (examples/adapter.py is one).

What the file gives back is checked here, since a mistake in it would otherwise end as a bad score.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np

from q2d2.evaluate.peers.base import Clip, Coded, PeerError, System

FORM = "FILE.py:CLASS"

_MEMBERS = ("name", "may_delay", "missing", "code")  # of a System


@dataclass(frozen=True)
class Adapter:
    """A system that a file defines, as good as its word."""

    source: str  # FILE.py:CLASS
    system: System

    @property
    def name(self) -> str:
        return self.system.name

    @property
    def may_delay(self) -> bool:
        return self.system.may_delay

    def missing(self) -> str | None:
        return self.system.missing()

    def code(self, clip: Clip) -> Coded:
        """What its `code` gives; PeerError if that is no Coded with mono float32 samples."""
        coded = self.system.code(clip)
        if not isinstance(coded, Coded):
            raise PeerError(f"{self.source}: its code() gives {type(coded).__name__}, not q2d2.evaluate.peers.Coded")
        samples = coded.samples
        if not isinstance(samples, np.ndarray) or samples.dtype != np.float32 or samples.ndim != 1:
            kind = (
                f"{samples.dtype} {list(samples.shape)}" if isinstance(samples, np.ndarray) else type(samples).__name__
            )
            raise PeerError(
                f"{self.source}: its samples are {kind}, not a numpy array of float32 [samples] from -1 to 1"
            )
        return coded


def is_adapter(text: str) -> bool:
    """Whether this is FILE.py:CLASS."""
    return text.rpartition(":")[0].endswith(".py")


def parse(text: str) -> Adapter:
    """Run FILE.py and call its CLASS (a function will do) without arguments. PeerError says what failed."""
    file, _, name = text.rpartition(":")
    module = _load(Path(file))
    make = getattr(module, name, None)
    if not callable(make):
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        raise PeerError(f"{file}: defines no class or function {name!r}; it defines {', '.join(own) or 'none'}")
    try:
        system = make()
    except Exception as error:  # whatever the file does
        raise PeerError(f"{file}: {name}() fails with {type(error).__name__}: {error}") from error
    lacking = [member for member in _MEMBERS if not hasattr(system, member)]
    if lacking:
        raise PeerError(f"{file}: what {name}() gives has no {', no '.join(lacking)}, which a peer needs")
    return Adapter(text, system)


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise PeerError(f"{path}: there is no such file")
    spec = spec_from_file_location(f"q2d2_adapter_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their own module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the file does
        del sys.modules[spec.name]
        raise PeerError(f"{path}: cannot be run ({type(error).__name__}: {error})") from error
    return module
