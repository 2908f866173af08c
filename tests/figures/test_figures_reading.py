"""What evaluations and benchmarks write, read back; and what is something else, refused by name."""

import numpy as np
import pytest

from q2d2.audio import AudioError
from q2d2.benchmark.measure import Measured, Pass, Setting
from q2d2.benchmark.rows import Row as SpeedRow
from q2d2.benchmark.rows import lines
from q2d2.benchmark.rows import rows_csv as speed_csv
from q2d2.evaluate.rows import Row, rows_csv, tokens_csv
from q2d2.figures import reading


def test_scores_and_tokens_come_back(tmp_path):
    rows = [Row("a.wav", "speech 1k", 1.5, 24_000, 300, 200, 240, 0.0, {"pesq_wb": 2.5, "stoi": None}, "short")]
    counts = [np.array([3, 0, 5]), np.array([1, 7])]
    (tmp_path / "rows.csv").write_text(rows_csv(rows))
    (tmp_path / "tokens.csv").write_text(tokens_csv(counts))
    assert reading.read_scores(tmp_path) == rows
    assert [column.tolist() for column in reading.read_tokens(tmp_path)] == [[3, 0, 5], [1, 7]]


def test_speed_is_the_median_of_rounds(tmp_path):
    clip, stream = Setting("cpu", 1, 1, "clip", 10.0), Setting("cpu", 2, 1, "stream", 60.0)
    rows = [
        SpeedRow("tiny", clip, number, Measured(10.0, (Pass(encode_s, 2.0, 4.0, 10.0),), 100.0, peak_mib))
        for number, (encode_s, peak_mib) in enumerate([(1.0, 300.0), (9.0, 200.0), (2.0, 250.0)], start=1)
    ]
    rows.append(SpeedRow("tiny", stream, 1, Measured(60.0, (Pass(6.0, 12.0, 1.0, 5.0),), 100.0, 200.0)))
    rows.append(SpeedRow("gone", None, 0, None, "not installed"))
    (tmp_path / "rows.csv").write_text(speed_csv(rows))
    found = reading.read_speed(tmp_path)
    assert found == [line._replace(ratio=None) for line in lines(rows, "tiny")]
    assert found[0].encode_rtf == 0.2 and found[0].peak_mib == 300


@pytest.mark.parametrize("read", [reading.read_scores, reading.read_tokens, reading.read_speed])
def test_other_files_and_none_are_refused(read, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"csv: is not there; give the folder that q2d2 (evaluate|benchmark)"):
        read(tmp_path)
    for name in ("rows.csv", "tokens.csv"):
        (tmp_path / name).write_text("one,two\n1,2\n")
    with pytest.raises(ValueError, match=r"(rows|tokens)\.csv: .*(evaluation|benchmark)"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("0,0,5\n0,2,5\n", "pair 0, point 2 is not where it belongs"),
        ("0,1,5\n", "pair 0, point 1 is not where it belongs"),
        ("0,0,many\n", "many"),
        ("0,0\n", "not enough values"),
    ],
)
def test_damaged_tokens_are_refused(lines, why, tmp_path):
    (tmp_path / "tokens.csv").write_text("pair,point,count\n" + lines)
    with pytest.raises(ValueError, match=rf"tokens\.csv: .*{why}"):
        reading.read_tokens(tmp_path)


def test_nothing_measured_and_no_rows_are_refused(tmp_path):
    (tmp_path / "rows.csv").write_text(speed_csv([SpeedRow("gone", None, 0, None, "not installed")]))
    with pytest.raises(ValueError, match="nothing in it was measured"):
        reading.read_speed(tmp_path)


def test_clips_are_chosen_by_the_seed_and_stay_in_order(tmp_path, audio_file):
    paths = [audio_file(np.zeros(10, np.float32), name=f"data/{number}.wav") for number in range(8)]
    data = tmp_path / "data"
    chosen = [reading.choose_clips(data, 3, seed) for seed in range(6)]
    assert all(len(set(clips)) == 3 and clips == sorted(clips) for clips in chosen)
    assert chosen[0] == reading.choose_clips(data, 3, 0) and len({tuple(clips) for clips in chosen}) > 1
    assert reading.choose_clips(data, 99, 0) == paths
    (tmp_path / "list.txt").write_text("data/5.wav\n")
    assert reading.choose_clips(tmp_path / "list.txt", 3, 0) == [paths[5]]
    (tmp_path / "none").mkdir()
    with pytest.raises(AudioError, match="none: holds no audio"):
        reading.choose_clips(tmp_path / "none", 3, 0)
