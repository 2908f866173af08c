"""Processes that fail, die or are left behind take nothing with them."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from q2d2.processes import in_processes

LEFT_BEHIND = """
import os, sys, time
from pathlib import Path
from q2d2.processes import in_processes

def work(folder):
    (folder / f"{os.getpid()}").touch()
    time.sleep(600)

if __name__ == "__main__":
    for _ in in_processes(work, [Path(sys.argv[1])] * 2, jobs=2):
        pass
"""


def _work(what: str) -> None:
    if what == "fails":
        raise ValueError("two\nlines")
    if what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "leaves":
        os._exit(3)
    if what == "sleeps":
        time.sleep(600)


def test_one_that_fails_or_dies_leaves_the_others_alone() -> None:
    items = ["dies", "works", "fails", "leaves"]
    assert dict(in_processes(_work, items, jobs=2)) == {
        "works": None,
        "fails": "two lines",
        "dies": "its process was killed by SIGKILL",
        "leaves": "its process left with 3",
    }


def test_nothing_to_do() -> None:
    assert list(in_processes(_work, [], jobs=2)) == []


def test_closing_ends_what_still_runs() -> None:
    with closing(in_processes(_work, ["works", "sleeps"], jobs=2)) as outcomes:
        assert next(outcomes) == ("works", None)
        begun = time.monotonic()
    assert time.monotonic() - begun < 60  # and not 600


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_no_process_is_left_behind_by_a_parent_that_is_killed(tmp_path: Path) -> None:
    script, folder = tmp_path / "parent.py", tmp_path / "pids"
    script.write_text(LEFT_BEHIND)
    folder.mkdir()
    parent = subprocess.Popen([sys.executable, str(script), str(folder)], env=os.environ | {"OMP_NUM_THREADS": "1"})
    _wait(lambda: len(list(folder.iterdir())) == 2)
    children = [int(path.name) for path in folder.iterdir()]
    parent.kill()
    parent.wait()
    _wait(lambda: not any(map(_runs, children)))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # nobody may have waited for it yet: then it is gone but for its name
    status = Path(f"/proc/{pid}/status")
    return not (status.is_file() and "\nState:\tZ" in status.read_text())


def _wait(reached, patience_s: float = 120.0) -> None:
    end = time.monotonic() + patience_s
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)
