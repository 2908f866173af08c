"""`q2d2 listen` from a folder of clips to a report, and its servers as programs of their own."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pandas
import pytest
import soundfile
from conftest import make_speech_like

from q2d2 import cli
from q2d2.listen import planning, study
from q2d2.listen.store import open_store

Said = tuple[int, str, str]
Verb = Callable[..., Said]


@pytest.fixture
def listen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Verb:
    """`listen("create", ...)` in a folder with originals and two systems -> (status, output, error output)."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(4):
        clip = make_speech_like(1.0, 16_000, seed=number)
        for name, noise in (("clips", 0.0), ("good", 0.001), ("bad", 0.05)):
            Path(name).mkdir(exist_ok=True)
            soundfile.write(f"{name}/{number}.wav", clip + noise * rng.standard_normal(len(clip)), 16_000)

    def run(*arguments: object) -> Said:
        status = cli.main(["listen", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def create(listen: Verb, protocol: str, out: str = "study") -> None:
    systems = ("--system", "good=good", "bad=bad")
    status, _, err = listen("create", out, "--reference", "clips", *systems, "--protocol", protocol)
    assert status == 0, err
    assert f"q2d2: {out}: " in err and f"q2d2 listen invite {out}" in err


def rate_everything(folder: Path, raters: int) -> None:
    """As though each had heard all of it: the good one is good."""
    quality = {"reference": 100, "good": 80, "bad": 30, "anchor35": 20}
    of = study.load(folder)
    with open_store(study.database_url(folder)) as store:
        for rater in range(1, raters + 1):
            for page in planning.plan(of, rater):
                if of.protocol.kind == "multiple":
                    scores = {name: quality[name] - 2.0 * (rater % 2) * (name != "reference") for name in page.order}
                else:
                    first, second = of.trials[page.trial].stimuli
                    scores = {second: float(np.sign(quality[second] - quality[first]))}
                for name, score in scores.items():
                    store.save(rater, page.trial, name, score, page.order.index(name) + 1)
                store.submit(rater, page.trial, 12.0)
            store.finish(rater)


@pytest.mark.parametrize("protocol", ["mushra", "cmos-q", "cmos-p", "ab", "abx"])
def test_from_folders_to_a_report(listen: Verb, protocol: str) -> None:
    create(listen, protocol)
    status, out, err = listen("invite", "study", "--raters", 3, "--names", "Ada", "--url", "https://listen.example.org")
    assert (status, err) == (0, "")
    links = dict(line.split("\t") for line in out.splitlines())
    assert list(links) == ["Ada", "listener 2", "listener 3", "listener 4"]
    assert all(link.startswith("https://listen.example.org/r/") for link in links.values())
    assert listen("invite", "study", "--url", "https://listen.example.org") == (0, out, "")  # the same links again

    assert listen("report", "study")[0] == 1  # nobody has rated
    rate_everything(Path("study"), 4)
    for name, read in (("ratings.csv", pandas.read_csv), ("ratings.parquet", pandas.read_parquet)):
        status, _, err = listen("export", "study", name)
        assert status == 0 and err.endswith(" of 4 listeners\n"), err
        rows = read(name)
        assert set(rows["rater"]) == {1, 2, 3, 4} and rows["protocol"].unique() == [protocol]
    status, _, err = listen("report", "study", "--out", "report")
    assert status == 0, err
    text = Path("report/report.md").read_text()
    assert "bad" in text and (Path("report") / "tables.tex").stat().st_size


def test_two_cmos_studies_share_a_table(listen: Verb) -> None:
    for name in ("cmos-q", "cmos-p"):
        create(listen, name, name)
        assert listen("invite", name, "--raters", 4)[0] == 0
        rate_everything(Path(name), 4)
    assert listen("report", "cmos-q", "cmos-p", "--out", "both")[0] == 0
    assert re.search(r"CMOS-Q.*CMOS-P", Path("both/report.md").read_text())


def test_webmushra_there_and_back(listen: Verb) -> None:
    create(listen, "mushra")
    listen("invite", "study", "--raters", 2)
    rate_everything(Path("study"), 2)
    assert listen("export", "study", "results")[0] == 0
    rows = pandas.read_csv("results/mushra.csv")
    assert set(rows["rating_stimulus"]) == {"reference", "good", "bad", "anchor35"}
    Path("configs").mkdir()
    pages = "".join(
        f"  - {{type: mushra, id: t{n}, reference: clips/{n}.wav, createAnchor35: yes, stimuli: {{g: good/{n}.wav}}}}\n"
        for n in range(4)
    )
    Path("configs/test.yaml").write_text(f"testname: Mine\ntestId: mine\npages:\n{pages}  - {{type: finish}}\n")
    status, _, err = listen("import", "configs/test.yaml", "imported")
    assert status == 0, err
    assert study.load(Path("imported")).title == "Mine" and study.load(Path("imported")).systems == ("g",)


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (("create", "s", "--reference", "clips", "--system", "good"), 2, "--system good: give NAME=DIR"),
        (("create", "s", "--reference", "clips", "--system", "a=good", "a=bad"), 2, "there is a a already"),
        (("create", "s", "--reference", "clips", "--system", "a=nowhere"), 1, "nowhere"),
        (("serve", "clips"), 1, "clips: holds no study"),
        (("export", "study", "ratings.xlsx"), 2, "no .xlsx, but .csv, .parquet"),
        (("invite", "study", "--raters", "-1"), 2, "--raters -1"),
        (
            ("invite", "study", "--raters", "1", "--url", "https://x.org/sub"),
            2,
            "--url https://x.org/sub: give a server",
        ),
        (("serve", "study", "--url", "http://[::1"), 2, "give a server"),
        (("export", "study", "folder", "--unfinished"), 2, "leave --unfinished out"),
        (("serve", "study", "--port", "99999"), 2, "--port 99999"),
        (("serve", "study", "--url", "listen.example.org"), 2, "give a server, such as https://listen.example.org"),
        (("serve", "study", "--certificate", "c.pem"), 2, "--certificate and --private-key belong together"),
        (("create", "s", "--reference", "clips", "--system", "a=good", "--system", "a=bad"), 2, "there is a a already"),
        (("create", "s", "--reference", "clips", "--system", "a=good", "--align", "--trust-timing"), 2, "contradict"),
        (("export", "study", "nowhere/ratings.csv"), 1, "nowhere: there is no such folder"),
        (
            ("serve", "study", "--certificate", "clips/0.wav", "--private-key", "clips/0.wav"),
            1,
            "clips/0.wav and clips",
        ),
        (("report", "study", "study", "--database", "sqlite://"), 2, "--database is for one study"),
        (("report", "study", "--database", "nonsense"), 1, "nonsense"),
    ],
)
def test_mistakes_are_one_line(listen: Verb, arguments: tuple[str, ...], status: int, reason: str) -> None:
    create(listen, "ab")
    found, out, err = listen(*arguments)
    assert (found, out) == (status, "") and err.startswith("q2d2: ") and err.count("\n") == 1
    assert reason in err


@contextmanager
def program(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`q2d2 listen ...` on a free port -> its base URL, once it is there."""
    command = [sys.executable, "-m", "q2d2", "listen", *arguments, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = ""
            while (found := re.search(r"(http://\S+)/ ", said)) is None:
                line = process.stderr.readline()
                assert line, said
                said += line
            yield found[1], process
        finally:
            process.kill()


def test_a_study_is_served_until_interrupted(listen: Verb) -> None:
    create(listen, "mushra")
    _, out, _ = listen("invite", "study", "--names", "Ada")
    with program("serve", "study") as (base_url, process):
        path = out.split("\t")[1].strip().removeprefix("http://127.0.0.1:8000")
        page = httpx.get(base_url + path)
        assert page.status_code == 200 and "reference" in page.text.lower()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def test_the_demo_is_served_until_its_terminal_closes(
    listen: Verb, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with program("demo", "--model", model) as (base_url, process):
        assert httpx.get(base_url + "/").status_code == 200
        assert list(tmp_path.glob("q2d2-demo-*"))
        process.send_signal(signal.SIGHUP)
        process.wait(timeout=60)
    assert list(tmp_path.glob("q2d2-demo-*")) == []  # what was sent is forgotten


def test_a_taken_port_is_said(listen: Verb) -> None:
    create(listen, "ab")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, _, err = listen("serve", "study", "--port", port)
    assert status == 1 and f"127.0.0.1:{port}: cannot listen there" in err and "--port takes another" in err
