"""What the command line says to its user: one line at a time, on standard error. Light, so that help comes at once."""

import sys


class UsageError(ValueError):
    """A command that makes no sense: exit status 2."""


def say(line: str) -> None:
    """One line to the user; standard output is for what was asked for."""
    print(f"q2d2: {line}", file=sys.stderr)


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(error: Exception) -> str:
    """An error of the system or of this package, without line breaks."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
