"""Runs of `tokenize`: bad clips, runs that were killed, wrong commands, full disks, and engines that do the same."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_codecs import LIVE_TOKENS, make_codec
from token_corpora import BROKEN, assert_tokens, make_folder, names_of

from q2d2 import checkpoint, cli
from q2d2.codec import Codec
from q2d2.console import UsageError
from q2d2.tokens import local, tables, tokenizing
from q2d2.tokens.config import TokenizeConfig
from q2d2.tokens.encoding import Shard, Task
from q2d2.tokens.reading import read_tokens
from q2d2.tokens.sources import FolderSource, TokensError
from q2d2.tokens.tokenizing import tokenize


@pytest.fixture(scope="module")
def codec(model) -> Codec:
    return checkpoint.load(model)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Five clips, the third of which is broken."""
    return make_folder(tmp_path_factory.mktemp("clips"), broken=True)


@pytest.fixture(scope="module")
def good(clips) -> list[str]:
    return [name for name in names_of(clips) if name != BROKEN]


@pytest.fixture
def config(clips, model, tmp_path) -> TokenizeConfig:
    return TokenizeConfig(clips, tmp_path / "out", rate="1k", model=model, device="cpu", jobs=1, shard=2)


def tree(folder: Path) -> dict[str, int]:
    """Every file, and when it was written."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def command(config: TokenizeConfig, *options: str) -> list[str]:
    line = [sys.executable, "-m", "q2d2", "tokenize", str(config.source), str(config.out)]
    return [*line, "--model", str(config.model), "--rate", "1k", "--shard", str(config.shard), *options]


# Clips and tables


def test_a_broken_clip_is_a_row_of_the_table_beside(config, codec, clips, good):
    assert names_of(clips).index(BROKEN) == 1
    made = tokenize(config)
    assert (made.clips, made.shards, made.failed) == (4, 3, 1)
    assert_tokens(codec, clips, config.out, "1k", good)
    tables_made = {f"data/tokens-0000{n}-of-00003.parquet" for n in range(3)}
    assert set(tree(config.out)) == tables_made | {"errors/tokens-00000-of-00003.parquet", "job.json", "README.md"}
    rows = pq.read_table(config.out / "errors").to_pylist()
    assert [row["id"] for row in rows] == [BROKEN] and "broken.wav: is not audio that can be read" in rows[0]["error"]


def test_columns_and_types(config):
    tokenize(config)
    table = pq.read_table(config.out / "data")
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds == {
        "id": "string",
        "codes": "list<element: list<element: int16>>",
        "samples": "int64",
        "sample_rate_hz": "int32",
        "model": "string",
        "weights": "string",
    }
    assert [(row["samples"], row["sample_rate_hz"]) for row in table.to_pylist()] == [
        (9_600, 24_000),
        (17_600, 16_000),
        (13_230, 44_100),
        (7_200, 8_000),
    ]
    assert all(len(row["codes"]) == 3 for row in table.to_pylist())


@pytest.mark.parametrize(("points", "kind"), [((2, 32_768), "int16"), ((32_769, 2), "int32")])
def test_indices_take_the_smaller_type_that_holds_them(points, kind):
    assert tables.index_type(points).name == kind


def test_a_table_of_nothing_but_errors(config, tmp_path):
    (tmp_path / "bad").mkdir()
    for name in ("a.wav", "b.wav"):
        (tmp_path / "bad" / name).write_text("no audio")
    made = tokenize(replace(config, source=tmp_path / "bad"))
    assert (made.clips, made.failed) == (0, 2) and list(read_tokens(config.out)) == []


# Going on


def test_the_same_command_again_does_what_is_left(config, codec, clips, good):
    tokenize(config)
    before = tree(config.out)
    made = tokenize(config)
    assert (made.clips, made.failed, made.clips_now) == (4, 1, 0)
    lost = "data/tokens-00001-of-00003.parquet"
    (config.out / lost).unlink()
    (config.out / "data" / ".tokens-00001-of-00003.parquet.0123abcd").write_text("half of it")
    with pytest.raises(TokensError, match=r"out: holds 2 tables of 3; the q2d2 tokenize command"):
        next(read_tokens(config.out))
    assert tokenize(config).clips_now == 2
    after = tree(config.out)
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} == {lost, "README.md"}
    assert_tokens(codec, clips, config.out, "1k", good)


def test_kill_9_in_the_middle(config, codec, tmp_path):
    """No clip is lost and none is there twice; and processes make the tables that this process makes."""
    clips = make_folder(tmp_path / "many", [(f"{n:02d}.wav", 24_000, 1.0, 1) for n in range(24)])
    config = replace(config, source=clips, shard=1)
    run = subprocess.Popen(command(config, "--jobs", "2"), stderr=subprocess.DEVNULL)
    data = config.out / "data"
    while not (data.is_dir() and len(list(data.glob("tokens-*"))) >= 3):
        assert run.poll() is None
        time.sleep(0.002)
    children = [int(pid) for pid in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]
    run.kill()
    run.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children), "a process has outlived its parent"
    finished = {name: at for name, at in tree(config.out).items() if name.startswith("data/tokens-")}
    assert 3 <= len(finished) < 24

    made = tokenize(config)
    assert (made.clips, made.clips_now) == (24, 24 - len(finished))
    after = tree(config.out)
    assert all(after[name] == at for name, at in finished.items())
    assert len(after) == 26  # nothing half-written is left
    assert_tokens(codec, clips, config.out, "1k", names_of(clips))
    tokenize(replace(config, out=tmp_path / "again"))
    assert_same_tables(config.out, tmp_path / "again")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rate": "3k"}, r"the rate \(in pairs\) \(3, 9 now\)"),
        ({"shard": 3}, r"the clips per table \(2, 3 now\)"),
        ({"source": "other"}, r"the list of clips \(5 clips, 4 now\)"),
        ({"model": "other"}, r"the weights of the model \([0-9a-f]{16}, [0-9a-f]{16} now\)"),
    ],
)
def test_another_job_in_the_same_folder(config, tmp_path, change, reason):
    tokenize(config)
    before = tree(config.out)
    if "source" in change:
        change = {"source": make_folder(tmp_path / "other")}
    if "model" in change:
        change = {"model": str(tmp_path / "model")}
        other = make_codec(LIVE_TOKENS)
        other.encoder.requires_grad_(False)
        next(other.encoder.parameters()).mul_(2)
        checkpoint.save(other, tmp_path / "model")
    with pytest.raises(TokensError, match=f"out: was begun with another value of {reason}"):
        tokenize(replace(config, **change))
    assert tree(config.out) == before


def test_folders_that_are_not_ours(config, clips, tmp_path):
    config.out.mkdir()
    (config.out / "mine.txt").write_text("mine")
    with pytest.raises(TokensError, match=r"out: holds other files, and no job\.json"):
        tokenize(config)
    (config.out / "job.json").write_text("{}")
    with pytest.raises(TokensError, match=r"job\.json: is no job of tokens \(source: Field required\)"):
        tokenize(config)
    assert set(tree(config.out)) == {"mine.txt", "job.json"}
    with pytest.raises(UsageError, match=r"which is to be read; give a folder elsewhere"):
        tokenize(replace(config, out=clips / "tokens"))
    with pytest.raises(TokensError, match=r"mine\.txt: is a file; give a folder"):
        tokenize(replace(config, out=config.out / "mine.txt"))


def test_a_table_that_does_not_add_up(config):
    tokenize(config)
    tables_made = sorted((config.out / "data").iterdir())
    tables_made[0].write_bytes(tables_made[2].read_bytes())
    (config.out / "errors" / tables_made[0].name).unlink()
    with pytest.raises(TokensError, match=r"00000-of-00003\.parquet: has 1 clips, of 2; remove it"):
        tokenize(config)
    tables_made[0].write_bytes(tables_made[0].read_bytes()[:-10])
    with pytest.raises(TokensError, match=r"00000-of-00003\.parquet: is no table of tokens, or damaged"):
        tokenize(config)


# Disks and processes


def test_a_disk_that_is_full(config, codec, clips, good):
    """The limit stops a file where a full disk would: in the middle of a table."""
    done = subprocess.run(
        command(config, "--jobs", "1"),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500)),
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "cannot be written (File too large); make room" in done.stderr
    assert not [name for name in tree(config.out) if name.startswith(("data/.", "errors/."))]
    tokenize(config)
    assert_tokens(codec, clips, config.out, "1k", good)


def test_no_room_at_all(config, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables.pq.ParquetWriter, "write_table", full)
    with pytest.raises(
        TokensError, match=r"00000-of-00003\.parquet: cannot be written \(No space left on device\); make"
    ):
        tokenize(config)
    assert set(tree(config.out)) == {"job.json", "README.md"}


def test_a_process_that_is_killed(config, clips, model):
    source = FolderSource(clips)
    items = source.items()
    task = Task(source, config.out, 5, "1k", model, "cpu")
    for name in ("data", "errors"):
        (config.out / name).mkdir(parents=True)
    work = local.in_processes(task, [Shard(n, (item,)) for n, item in enumerate(items)] * 50, 2, lambda clips: None)
    next(work)
    for child in multiprocessing.active_children():
        os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(TokensError, match=r"out: a process was killed \(out of memory\?\); the same command goes on"):
        list(work)


def test_actors_of_ray_make_the_same_tables(config, tmp_path):
    tokenize(config)
    other = replace(config, out=tmp_path / "ray")
    with tempfile.TemporaryDirectory(prefix="q2d2-") as short:  # names of sockets cannot be long
        here = {**os.environ, "RAY_TMPDIR": short, "OMP_NUM_THREADS": "1"}
        here.pop("RAY_ADDRESS", None)
        done = subprocess.run(
            command(other, "--engine", "ray", "--jobs", "2"), capture_output=True, text=True, env=here, timeout=600
        )
        left = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if _mentions(path, short)]
    assert done.returncode == 1 and "4 clips in 3 tables, 1 failed" in done.stderr, done.stderr
    assert_same_tables(config.out, other.out)
    assert not left


def _mentions(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return False


def assert_same_tables(one: Path, other: Path) -> None:
    for kind in ("data", "errors"):
        assert [p.name for p in sorted((one / kind).iterdir())] == [p.name for p in sorted((other / kind).iterdir())]
        for path in (one / kind).iterdir():
            assert path.read_bytes() == (other / kind / path.name).read_bytes()


# The command


def test_the_command(config, capsys):
    arguments = command(config, "--jobs", "1")[3:]
    assert cli.main(arguments) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "broken.wav: is not audio" in said[0]
    assert "out: 4 clips in 3 tables, 1 failed" in said[1] and "4 of them now" in said[1]
    assert "times real time" in said[1]
    assert cli.main(arguments) == 1 and "0 of them now" in capsys.readouterr().err
    for wrong in (["--rate", "5k"], ["--jobs", "0"], ["--shard", "0"], ["--engine", "steam"], ["--device", "abacus"]):
        assert cli.main([*arguments, *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_ten_errors_are_shown(config, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizing, "_SHOWN", 3)
    (tmp_path / "bad").mkdir()
    for n in range(5):
        (tmp_path / "bad" / f"{n}.wav").write_text("no audio")
    made = tokenize(replace(config, source=tmp_path / "bad"))
    assert made.failed == 5 and [failed.id for failed in made.shown] == ["0.wav", "1.wav", "2.wav"]
