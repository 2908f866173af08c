"""Reports of simulated panels: the files, the paper's tables in them, and what they say where there is little."""

import csv
import io
import re
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image
from simulated_raters import MOMENT, Panel, frame_of, ratings, study_of

from q2d2.listen.protocols import REFERENCE
from q2d2.listen.report import Described, Rated, Report, read_descriptions, report
from q2d2.listen.report.document import latex, markdown
from q2d2.listen.report.plots import draw
from q2d2.listen.report.records import summary_csv
from q2d2.listen.report.results import analyse
from q2d2.listen.report.tables import raters_table, table_5, table_6
from q2d2.opening import FileError
from q2d2.plotting import png
from q2d2.tabular import DASH

SYSTEMS = ("Q2D2 & more", "DAC_9", "WavTokenizer")
QUALITIES = {REFERENCE: 99, **dict(zip(SYSTEMS, (85, 75, 65), strict=True)), "anchor35": 25, "anchor70": 55}
DESCRIPTIONS = {"Q2D2 & more": Described(3.3, 1, 166), "DAC_9": Described(9.0, 9, 900)}
PLUS_MINUS = re.compile(r"^-?\d+\.\d\d±\d+\.\d\d$")


@pytest.fixture(scope="module")
def mushra():
    study = study_of("mushra", SYSTEMS)
    return study, ratings(study, QUALITIES, Panel(raters=9, careless=1))


@pytest.fixture(scope="module")
def cmos():
    """CMOS-P before CMOS-Q."""
    pairs = []
    for protocol, worse in (("cmos-p", -0.5), ("cmos-q", -1.0)):
        study = study_of(protocol, SYSTEMS, items=4)
        truth = {SYSTEMS[0]: 0.0, SYSTEMS[1]: 0.0, SYSTEMS[2]: worse, REFERENCE: 0.5}
        pairs.append((study, ratings(study, truth, Panel(raters=5, bias=0.2, noise=0.8))))
    return pairs


def reported(pairs, out: Path, **settings) -> Report:
    return report([Rated(f"folder of {study.title}", study, frame) for study, frame in pairs], out, **settings)


def cells(table):
    """The texts of a table by its first column."""
    return {str(line[0]): [getattr(cell, "text", cell) for cell in line[1:]] for line in table.lines}


def lines_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def check_latex(text):
    """What TeX would stumble over: groups and environments that do not close, special letters, rows of other length."""
    text = re.sub(r"^%.*$", "", text, flags=re.MULTILINE)
    bare = re.sub(r"\\.", "", text)
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") > 0
    text.replace(r"$\uparrow$", "").replace(r"$\downarrow$", "").replace(r"$\pm$", "").encode("ascii")
    for columns, body in re.findall(r"\\begin\{tabular\}\{(l?r+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        for row in re.findall(r"^(.*)\\\\$", body, re.MULTILINE):
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1
        assert not re.search(r"(?<!\\)[%#_]", body)


def test_a_report_of_a_mushra_study(mushra, tmp_path: Path):
    study, frame = mushra
    said: list[str] = []
    found = reported([mushra], tmp_path / "new" / "out", describe=DESCRIPTIONS, progress=said.append)
    names = ["report.md", "tables.tex", "summary.csv", "tests.csv", "mushra.png"]
    assert [path.name for path in found.files] == names
    assert sorted(path.name for path in (tmp_path / "new" / "out").iterdir()) == sorted(names)
    assert said == ["folder of Simulated: 9 listeners, 1 left out by screening"]
    text = (tmp_path / "new" / "out" / "report.md").read_text(encoding="utf-8")
    for part in ("# Listening test\n", "(mushra.png)", "Left out: 1 of 9", "8 listeners, where", "| left out[^"):
        assert part in text
    by_hand = frame[(frame["condition"] == "DAC_9") & (frame["rater"] < 9)]["score"]
    assert f"| DAC_9 | 9 kbps | 9 | 900 | {by_hand.mean():.2f}±" in text
    assert not re.search(r"\bnan\b", text) and "listener 1" not in text  # nobody's name
    summary = lines_of((tmp_path / "new" / "out" / "summary.csv").read_text())
    [line] = [line for line in summary if line["condition"] == "DAC_9"]
    assert float(line["mean"]) == pytest.approx(by_hand.mean()) and line["ratings"] == str(len(by_hand))
    assert float(line["raters_low"]) < float(line["mean"]) < float(line["raters_high"])
    tests = lines_of((tmp_path / "new" / "out" / "tests.csv").read_text())
    assert [(line["first"], line["second"]) for line in tests] == [SYSTEMS[:2], SYSTEMS[::2], SYSTEMS[1:]]
    check_latex((tmp_path / "new" / "out" / "tables.tex").read_text())


def test_table_5_is_the_papers(mushra):
    result = analyse(*mushra)
    table = table_5(result, DESCRIPTIONS)
    assert table.headings == ["Model", "Bandwidth ↓", "Nq ↓", "token/s ↓", "MUSHRA ↑"]
    rows = cells(table)
    assert list(rows) == ["GT", *SYSTEMS, "anchor 3.5 kHz", "anchor 7 kHz"]
    assert all(PLUS_MINUS.match(row[-1]) for row in rows.values())
    assert rows["Q2D2 & more"][:3] == ["3.3 kbps", "1", "166"]
    for name in ("GT", "WavTokenizer", "anchor 7 kHz"):  # no codec, not described, no codec
        assert rows[name][:3] == [DASH] * 3
    assert table_5(result, None).headings == ["Model", "MUSHRA ↑"]
    # the paper's own last row, from ratings that have its mean and interval: t of 2 degrees of freedom is 4.302653
    deviation = 3.05 * 3**0.5 / 4.302653
    study = study_of("mushra", ("Q2D2",), items=3)
    scores = (94.68 - deviation, 94.68, 94.68 + deviation)
    exact = analyse(study, frame_of(study, [(1, trial, "Q2D2", score, 1) for trial, score in enumerate(scores)]))
    assert cells(table_5(exact, None)) == {"Q2D2": ["94.68±3.05"]}


def test_table_6_joins_two_studies(cmos):
    results = [analyse(*pair) for pair in cmos]
    table = table_6(results, DESCRIPTIONS)
    assert table.headings == ["Model", "Bandwidth ↓", "Nq ↓", "CMOS-Q ↑", "CMOS-P ↑"]
    rows = cells(table)
    assert list(rows) == ["GT", *SYSTEMS]
    assert rows["Q2D2 & more"] == ["3.3 kbps", "1", "0.00", "0.00"]  # the baseline
    quality, prosody = (float(text.split("±")[0]) for text in rows["WavTokenizer"][2:])
    assert quality < prosody < 0 and PLUS_MINUS.match(rows["GT"][2])
    assert quality == pytest.approx(cmos[1][1].query("condition == 'WavTokenizer'")["score"].mean(), abs=0.005)
    assert table_6(results[:1], None).headings == ["Model", "CMOS-P ↑"]


def test_several_studies_share_a_report(cmos, mushra, tmp_path: Path):
    titled = study_of("cmos-q", SYSTEMS, items=2, title="Other speech")
    again = (titled, ratings(titled, dict.fromkeys((*SYSTEMS, REFERENCE), 0.0), Panel(raters=3, noise=0.8, bias=0)))
    found = reported([*cmos, mushra, again], tmp_path)
    pictures = [path.name for path in found.files[4:]]
    assert pictures == ["cmos-p.png", "cmos-q-1.png", "mushra.png", "cmos-q-2.png"]
    text = (tmp_path / "report.md").read_text()
    assert all(f"({name})" in text for name in pictures)
    assert "| CMOS-Q, Simulated ↑ | CMOS-Q, Other speech ↑ | CMOS-P ↑ |" in text
    assert len(re.findall(r"^\[\^1\]: ", text, re.MULTILINE)) == 1  # footnotes of all tables together
    check_latex((tmp_path / "tables.tex").read_text())


@pytest.mark.parametrize("protocol", ["ab", "abx"])
def test_pairs_are_counted(protocol, tmp_path: Path):
    study = study_of(protocol, ("one", "two"), items=4)
    frame = ratings(study, {REFERENCE: 1.0, "one": 0.9, "two": 0.0}, Panel(raters=4, bias=0.3, noise=0.8))
    found = reported([(study, frame)], tmp_path)
    assert found.files[-1].name == f"{protocol}.png"
    for line in lines_of(summary_csv(found.results)):
        trials = [
            n for n, trial in enumerate(study.trials) if list(trial.stimuli) == [line["against"], line["condition"]]
        ]
        own = frame[frame["trial"].isin(trials)]["score"]
        assert int(line["ratings"]) == len(own) == 16 and line["raters"] == "4" and line["mean"] == ""
        column = "identified" if protocol == "abx" else "for_condition"
        assert int(line[column]) == (own > 0).sum()
    check_latex((tmp_path / "tables.tex").read_text())


def test_one_listener_with_one_trial_makes_a_report_without_intervals(tmp_path: Path):
    study = study_of("mushra", ("one", "two"), items=3)
    frame = frame_of(study, [(1, 0, name, 95.0, 1) for name in (REFERENCE, "one", "two")])
    frame["seconds"] = float("nan")
    reported([(study, frame)], tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| one | 95.00[^" in text and "a single rating, so no interval" in text
    assert "1 listener stopped early" in text and "not recorded" in text and "nan" not in text
    assert "1 listener submitted 3 ratings" in text and "the panel is 1 listener, where" in text


@pytest.mark.parametrize("protocol", ["cmos-q", "ab", "abx"])
def test_one_rating_of_a_pair_is_a_report(protocol, tmp_path: Path):
    study = study_of(protocol, ("one", "two"), items=1, reference=False)
    reported([(study, frame_of(study, [(1, 0, "two", 0.0, 1)]))], tmp_path)
    assert "nan" not in (tmp_path / "report.md").read_text()


def test_without_submitted_ratings_nothing_is_written(mushra, tmp_path: Path):
    study, frame = mushra
    unsent = frame.assign(submitted_at=frame["submitted_at"].mask(frame["rater"] > 0))
    for empty in (frame[:0], unsent):
        with pytest.raises(FileError, match="Simulated: no listener has submitted"):
            reported([(study, empty)], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    later = unsent["submitted_at"].where(frame["rater"] != 2, MOMENT + timedelta(days=1))
    assert set(analyse(study, frame.assign(submitted_at=later)).submitted["rater"]) == {2}


def test_ratings_that_cannot_be_used_are_refused(mushra):
    study, frame = mushra
    with pytest.raises(FileError, match="another study"):
        analyse(study, frame.assign(study="other"))
    with pytest.raises(FileError, match="not a number"):
        analyse(study, frame.assign(score=frame["score"].where(frame["trial"] > 0)))
    careless = frame[frame["rater"] == 9]
    with pytest.raises(FileError, match="leaves out all listeners"):
        analyse(study, careless)
    assert len(analyse(study, careless, screening=False).screened.kept) == len(careless)


def test_the_table_of_listeners_has_everyone(mushra):
    rows = cells(raters_table(analyse(*mushra)))
    assert list(rows) == [str(number) for number in range(1, 10)]
    assert rows["1"] == ["8", "48", "0", "21", "counts"] and rows["9"][-1] == "left out"


def test_names_may_be_anything(tmp_path: Path):
    names = ("a$b$c_", "{100 %}", "x" * 90, "many words in a name that goes on and on and on and on")
    study = study_of("ab", names, items=1, title="Cost: $5 & 100 % of it, said at a length that no line of a plot has")
    result = analyse(study, ratings(study, dict.fromkeys((*names, REFERENCE), 0.0), Panel(raters=3)))
    check_latex(latex([result], None))
    assert png(draw(result)).startswith(b"\x89PNG") and names[2] in markdown([result], None, {0: "ab.png"})


def test_pictures_are_small_and_show_every_condition():
    systems = tuple(f"system {number}" for number in range(8))
    study = study_of("mushra", systems, items=20)
    frame = ratings(study, dict.fromkeys((*systems, REFERENCE, "anchor35", "anchor70"), 60), Panel(raters=12))
    figure = draw(analyse(study, frame, screening=False))
    [axes] = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["GT", *systems, "anchor 3.5 kHz", "anchor 7 kHz"]
    data = png(figure)
    assert len(data) <= 60_000 and Image.open(io.BytesIO(data)).width > 600


def test_descriptions_are_read(tmp_path: Path):
    path = tmp_path / "systems.csv"
    lines = ["\ufeffname,kbps,nq,tokens_per_second,note", "Q2D2,3.3,1,166.5,ours", "opus,6,,,"]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert read_descriptions(path) == {"Q2D2": Described(3.3, 1, 166.5), "opus": Described(6.0, None, None)}


def test_what_has_no_tokens_has_dashes_and_what_is_in_no_study_is_said(mushra, tmp_path: Path):
    described = {"DAC_9": Described(6.0, None, None), "DAC": Described(9.0, 9, 900)}
    assert cells(table_5(analyse(*mushra), described))["DAC_9"][:3] == ["6 kbps", DASH, DASH]
    said: list[str] = []
    reported([mushra], tmp_path, describe=described, progress=said.append)
    assert said[1:] == ["no study has a system called DAC, which is described"]


def test_ratings_of_sounds_that_were_not_played_are_said(tmp_path: Path):
    study = study_of("ab", ("one", "two"), items=4, reference=False)
    rows = [(1, 0, "two", 1.0, 1), (1, 1, "two", 1.0, 1), (2, 0, "two", 1.0, 1)]
    frame = frame_of(study, rows)
    frame["plays"] = [2, 0, 0]
    reported([(study, frame)], tmp_path)
    assert "2 ratings of sounds that the listener had not played" in (tmp_path / "report.md").read_text()
    assert {name: row[2] for name, row in cells(raters_table(analyse(study, frame))).items()} == {"1": "1", "2": "1"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,kbps,nq\n", "lacks the column tokens_per_second"),
        ("", "lacks the column name"),
        ("name,kbps,nq,tokens_per_second\na,b,1,2\n", "line 2: kbps, nq and tokens_per_second should be numbers"),
        ("name,kbps,nq,tokens_per_second\na,1\n", "line 2"),
        ("name,kbps,nq,tokens_per_second\na,nan,1,2\n", "above 0"),
        ("name,kbps,nq,tokens_per_second\nb,1,1,1\na,1,0,2\n", "line 3"),
    ],
)
def test_descriptions_that_are_none_are_refused(text, message, tmp_path: Path):
    path = tmp_path / "systems.csv"
    path.write_text(text)
    with pytest.raises(FileError, match=message) as caught:
        read_descriptions(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_text_or_is_not_there_is_refused(tmp_path: Path):
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("binary.csv", "none.csv"):
        with pytest.raises(FileError, match=name):
            read_descriptions(tmp_path / name)


def test_ratings_of_a_real_database_are_reported(tmp_path: Path):
    from studies import make_study

    from q2d2.listen.store import open_store
    from q2d2.listen.store.export import frame

    study = make_study(tmp_path / "study", duration_s=0.5)
    with open_store(f"sqlite:///{tmp_path / 'ratings.db'}") as store:
        store.bind(study.study_id)
        for rater in store.invite(["Ann", None, None]):
            store.start(rater.number)
            for trial, page in enumerate(study.trials):
                for place, condition in enumerate(page.stimuli, start=1):
                    score = {REFERENCE: 100.0, "good": 80.0, "bad": 40.0}.get(condition, 20.0)
                    store.save(rater.number, trial, condition, score, place)
                if (rater.number, trial) != (3, 2):  # the last page is not handed in
                    store.submit(rater.number, trial, seconds=30.0)
        found = reported([(study, frame(study, store, submitted_only=False))], tmp_path / "out")
    [result] = found.results
    assert {one.condition: (one.mean, one.ratings, one.raters) for one in result.estimates} == {
        REFERENCE: (100, 8, 3),
        "good": (80, 8, 3),
        "bad": (40, 8, 3),
        "anchor35": (20, 8, 3),
    }
    assert "Ann" not in (tmp_path / "out" / "report.md").read_text()
