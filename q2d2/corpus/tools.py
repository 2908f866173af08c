"""Other programs: is it there, and did it work. What goes wrong names the program and says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from q2d2.corpus.manifests import CorpusError


def require(program: str, advice: str) -> None:
    """CorpusError unless `program` is on the PATH."""
    if shutil.which(program) is None:
        raise CorpusError(f"{program}: is needed and not installed; {advice}")


def run_tool(command: Sequence[str], folder: Path, advice: str) -> str:
    """Run it within `folder`; its standard output, or a CorpusError with the last thing it said."""
    name = " ".join(os.path.basename(word) if number == 0 else word for number, word in enumerate(command))
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = said[-1] if said else f"exit status {done.returncode}"
        raise CorpusError(f"{name}: failed ({reason}); {advice}")
    return done.stdout
