"""Files that are there whole or not at all, also if the machine stops halfway."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write to, which then takes the place of `path`; if anything fails, `path` stays as it was."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if not path.parent.is_dir():  # said of the temporary name, it would puzzle
            raise FileNotFoundError(errno.ENOENT, "there is no such folder; make it first", str(path.parent))
        temporary.touch(exist_ok=False)
        usual = temporary.stat().st_mode
        yield temporary
        temporary.chmod(usual)  # safetensors makes its files private
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
