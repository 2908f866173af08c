"""Imports of packages that name torchaudio at the top of a file and do without it in what we call.

torchaudio fails to load beside many a build of torch, so it is not even tried here: while the `with` lasts, its name
stands for an empty module. Whatever was imported meanwhile keeps that, and fails with an AttributeError if it uses it.

    with without_torchaudio("torchaudio.transforms"):
        import distillmos
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec


@contextmanager
def without_torchaudio(*others: str) -> Iterator[None]:
    """Let `torchaudio` and the modules of these full names stand for empty ones, but for those imported already."""
    names = [name for name in ("torchaudio", *others) if sys.modules.get(name) is None]
    hidden = {name: sys.modules.pop(name) for name in names if name in sys.modules}  # None: "cannot be imported"
    stubs = {name: module_from_spec(ModuleSpec(name, None, is_package=True)) for name in names}
    for name, stub in stubs.items():
        parent, _, child = name.rpartition(".")
        if parent in stubs:
            setattr(stubs[parent], child, stub)  # as importing it would
    sys.modules.update(stubs)
    try:
        yield
    finally:
        for name in stubs:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)
