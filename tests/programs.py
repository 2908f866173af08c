"""`q2d2 ...` in a process of its own, to be killed or waited for, that is ready at once.

It is forked from a process that has imported what takes seconds, as those of `q2d2.processes` are; what the command
line itself does with streams and signals is tested with real ones (`test_cli_processes.py`).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

PRELOADED = ["q2d2.train.run", "q2d2.ablation.run", "q2d2.cli"]


class Program(NamedTuple):
    """One that runs, or has run."""

    process: BaseProcess
    printed: Path
    said: Path

    @property
    def runs(self) -> bool:
        return self.process.is_alive()

    def kill(self) -> bool:
        """SIGKILL, to it alone; whether it was still running."""
        self.process.kill()
        self.process.join()
        return self.process.exitcode != 0

    def wait(self, longest_s: float = 240.0) -> int | None:
        """Its exit status; None if it goes on for longer."""
        self.process.join(longest_s)
        return self.process.exitcode


def start(folder: Path, *arguments: object) -> Program:
    """`q2d2` with these arguments; `folder` takes what it prints and says."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    printed, said = (folder / f"{len(list(folder.iterdir()))}.{name}" for name in ("printed", "said"))
    command = list(map(str, arguments))
    process = multiprocessing.get_context("forkserver").Process(target=_run, args=(command, printed, said))
    process.start()
    return Program(process, printed, said)


def _run(arguments: list[str], printed: Path, said: Path) -> None:
    for descriptor, path in ((1, printed), (2, said)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    from q2d2.cli import main

    sys.exit(main(arguments))
