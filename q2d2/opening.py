"""Where bytes come from and go to: files, pipes, standard input and output, under rules that lose nothing.

A target appears when it is complete, under no name but its own, and never in place of a file that nobody said to
replace. "-" is standard input or output. Knows nothing of audio and codecs.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TextIO

PIPE = "-"
SUFFIX = ".q2d2"
Name = str | os.PathLike[str]


class FileError(ValueError):
    """A file that cannot be encoded or decoded: one line that names it and says what to do."""


def is_stream(path: Name) -> bool:
    """Standard input or output, a named pipe, a device: what has no name to keep or to lose."""
    return os.fspath(path) == PIPE or (os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path))


def check_target(source: Name, target: Name, overwrite: bool) -> None:
    """FileError for a target that should not be written, before any work is done."""
    if is_stream(target):
        if os.fspath(target) == PIPE and sys.stdout.isatty():
            raise FileError("standard output: is a terminal; send it to a file or a program")
        return
    path = Path(target)
    if path.is_dir():
        raise FileError(f"{path}: is a folder; give a file")
    if not path.parent.is_dir():
        raise FileError(f"{path}: there is no folder {path.parent}; make it first")
    if path.exists():
        if os.path.exists(source) and path.samefile(source):
            raise FileError(f"{path}: is the source as well; give another target")
        if not overwrite:
            raise FileError(f"{path}: exists already; --overwrite replaces it")


def is_pipe(path: Name, standard: TextIO) -> bool:
    """Whether somebody waits at the other end: no file, nor standard input or output that is one."""
    if os.fspath(path) != PIPE:
        return is_stream(path)
    try:
        return not stat.S_ISREG(os.fstat(standard.fileno()).st_mode)
    except OSError:  # none of the system's
        return False


@contextmanager
def open_source(source: Name, seekable: bool) -> Iterator[tuple[IO[bytes], str]]:
    """The source as a binary file, and its name; if `seekable`, what comes through a pipe is copied first."""
    name = "standard input" if os.fspath(source) == PIPE else str(source)
    with ExitStack() as opened:
        file: IO[bytes] = sys.stdin.buffer if os.fspath(source) == PIPE else opened.enter_context(open(source, "rb"))
        if file.isatty():
            raise FileError(f"{name}: is a terminal; pipe a {SUFFIX} file into it")
        if seekable and not file.seekable():
            copy = opened.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            file = copy
        yield file, name


@contextmanager
def new_file(target: Name) -> Iterator[IO[bytes]]:
    """A binary file that takes its name when the `with` ends well, and leaves nothing behind when it does not."""
    if os.fspath(target) == PIPE:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif is_stream(target):
        with open(target, "wb") as stream:
            yield stream
    else:
        path = Path(os.path.realpath(target))  # a symbolic link stays; its target is replaced
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            with open(temporary, "xb") as file:
                yield file
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
