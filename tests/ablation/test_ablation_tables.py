"""Rows -> tables: what may be compared, what is called the best, and what a reader is told of the rest."""

import csv
import io
from dataclasses import replace

import pytest

from q2d2 import presets, tabular
from q2d2.ablation.measure import METRICS
from q2d2.ablation.quantizers import described
from q2d2.ablation.rows import Row, read, to_csv, to_json
from q2d2.ablation.tables import OTHERS, TITLES, Line, best, letters, spread, tables

PESQ = METRICS[0].scores[0]
MEL_DISTANCE = METRICS[2].scores[0]


def a_row(preset: str = "paper-1k", seed: int = 0, bits: float = 19.23, pesq: float | None = 1.5, **changes) -> Row:
    row = Row(
        preset=preset,
        seed=seed,
        rate=None,
        quantizer="3 x rhombic 7x7",
        points=(85, 85, 85),
        bits_per_frame=bits,
        frame_rate_hz=24_000 / 450,
        steps=300,
        heard_s=2430.0,
        parameters=1000,
        clips=40,
        scores={"pesq_wb": pesq, "stoi": 0.75, "mel_distance": 2.0},
        used_share=0.9,
        entropy_bits=17.25,
    )
    return replace(row, **changes)


def a_line(*pesqs: float | None, bits: float = 19.23, **changes) -> Line:
    return Line(tuple(a_row(seed=seed, pesq=pesq, bits=bits, **changes) for seed, pesq in enumerate(pesqs)))


def cells(table: tabular.Table, number: int) -> dict[str, str]:
    line = table.lines[number]
    return dict(zip(table.headings, (c.text if isinstance(c, tabular.Cell) else c for c in line), strict=True))


def test_rows_survive_the_file_and_the_csv_to_the_last_bit(tmp_path) -> None:
    rows = (a_row(pesq=1 / 3, used_share=None, entropy_bits=None, notes={"stoi": "for 2, a comma"}), a_row(rate="1k"))
    (tmp_path / "cell.json").write_bytes(to_json(rows))
    assert read(tmp_path / "cell.json") == rows
    first, second = csv.DictReader(io.StringIO(to_csv(rows)))
    assert float(first["pesq_wb"]) == 1 / 3
    assert float(first["kbps"]) == pytest.approx(19.23 * 24 / 450)
    assert (first["tables"], first["points"], first["rate"], first["used_share"]) == (
        "8 9 10 appendix-d",
        "85 85 85",
        "",
        "",
    )
    assert first["notes"] == "stoi: for 2, a comma"
    assert second["rate"] == "1k"


def test_a_file_that_is_no_cell_is_named(tmp_path) -> None:
    (tmp_path / "cell.json").write_text('[{"preset": 1}]')
    with pytest.raises(ValueError, match=r"cell\.json: holds no rows .*remove it"):
        read(tmp_path / "cell.json")


def test_models_of_the_same_bits_per_second_share_a_letter() -> None:
    lines = [a_line(1.0, bits=bits) for bits in (19.48, 16.84, 19.02, 0.0, 16.9, 25.0)]
    assert letters(lines) == ["B", "A", "B", "", "A", ""]
    # the same bits per frame, twice as many frames: not the same
    assert letters([a_line(1.0), a_line(1.0, frame_rate_hz=24_000 / 225)]) == ["", ""]


@pytest.mark.parametrize("name", ["8", "9", "base"])
def test_the_twins_of_a_table_do(name: str) -> None:
    import torch

    from q2d2.codec import Codec

    def bits(preset: str) -> float:
        with torch.device("meta"):
            return Codec(presets.find(preset)).quantizer.bits_per_frame

    names = presets.TABLES[name]
    found = dict(zip(names, letters([a_line(1.0, bits=bits(preset)) for preset in names]), strict=True))
    apart = {"identity", "base-identity", "grid-rectangular-7", "grid-hexagonal-7"}
    assert len({letter for preset, letter in found.items() if preset not in apart}) == 1
    assert found.get("identity", "") == found.get("base-identity", "") == ""


def test_spreads_by_hand() -> None:
    assert spread([1.0]) is None
    assert spread([1.0, 1.5]) == 0.25
    assert spread([1.0, 2.0, 3.0]) == 1.0


@pytest.mark.parametrize(
    ("first", "second", "leads"),
    [
        ((2.0, 2.25), (1.5, 1.75), True),  # 0.5 apart, spreads of 0.125 each
        ((2.0, 2.25), (1.75, 2.0), False),  # 0.25 apart: the two ranges touch
        ((2.0,), (1.0,), False),  # nobody knows what another seed would do
        ((2.0, 2.25), (1.0,), False),
        ((2.0, 2.25), (None,), False),  # nothing to lead
    ],
)
def test_the_best_leads_by_more_than_the_seeds(first, second, leads) -> None:
    one, other = a_line(*first), a_line(*second)
    assert (best([other, one], PESQ) is one) == leads
    assert best([other, one], PESQ) is (one if leads else None)


def test_a_third_model_may_be_too_uncertain_to_be_led() -> None:
    sure, next_one, unsure = a_line(2.0, 2.01), a_line(1.5, 1.51), a_line(0.5, 2.4)
    assert best([sure, next_one], PESQ) is sure
    assert best([sure, next_one, unsure], PESQ) is None


def test_the_least_distance_is_the_best() -> None:
    near, far = (a_line(1.0, 1.0, scores={"mel_distance": value}) for value in (1.5, 2.0))
    assert best([far, near], MEL_DISTANCE) is near


def test_a_table_of_the_paper() -> None:
    rows = [
        *(a_row("paper-1k", seed, 19.23, pesq) for seed, pesq in enumerate((2.0, 2.1))),
        *(a_row("grid-rectangular-9", seed, 19.02, pesq, steps=280) for seed, pesq in enumerate((1.5, 1.6))),
        *(a_row("grid-rectangular-7", seed, 16.84, 1.4) for seed in range(2)),
        a_row("identity", 0, 0.0, 3.0, used_share=None, entropy_bits=None),
    ]
    found = tables(rows[::-1])
    assert list(found) == [TITLES[name] for name in ("8", "9", "10", "appendix-d")]
    table = found[TITLES["8"]]
    assert [line[0] for line in table.lines] == ["paper-1k", "grid-rectangular-7", "grid-rectangular-9", "identity"]
    first = cells(table, 0)
    assert (first["bits/frame"], first["kbps"], first["same"], first["n"]) == ("19.23", "1.03", "A", "2")
    assert first["PESQ-WB ↑"] == "2.050 ± 0.050 *"
    assert first["STOI ↑"] == "0.7500 ± 0.0000"
    assert (first["used"], first["worth"]) == ("90.0 %", "17.25")
    assert (cells(table, 1)["same"], cells(table, 1)["PESQ-WB ↑"]) == ("", "1.400 ± 0.000")
    assert (cells(table, 2)["same"], cells(table, 2)["steps"]) == ("A", "280")
    last = cells(table, 3)
    assert (last["bits/frame"], last["kbps"], last["PESQ-WB ↑"], last["used"]) == ("–", "–", "3.000", "")


def test_miniatures_have_their_tables_and_strangers_one_of_their_own() -> None:
    found = tables([a_row("tiny-offset-half"), a_row("speech", rate="1k"), a_row("speech", rate="3k")])
    assert list(found) == [TITLES["12"], OTHERS]
    assert [line[0] for line in found[OTHERS].lines] == ["speech 1k", "speech 3k"]


def test_what_is_missing_is_a_dash_with_its_reason() -> None:
    some = a_row(pesq=1.5, notes={"pesq_wb": "undefined for 2 of 40 clips (no speech found in it)"})
    none = a_row("dimensions-4", pesq=None, notes={"pesq_wb": "undefined for 40 of 40 clips (silent)"})
    text = tabular.markdown(tables([some, none])[TITLES["9"]])
    assert "1.500[^1]" in text
    assert "–[^2]" in text
    assert "[^1]: undefined for 2 of 40 clips (no speech found in it)" in text
    assert r"1.500\textsuperscript{1}" in tabular.latex(tables([some, none])[TITLES["9"]])


def test_steps_of_a_budget_in_minutes_are_a_range() -> None:
    table = tables([a_row(seed=0, steps=290), a_row(seed=1, steps=310)])[TITLES["9"]]
    assert cells(table, 0)["steps"] == "290–310"


def test_every_table_has_a_title() -> None:
    assert set(TITLES) == set(presets.TABLES)


@pytest.mark.parametrize(
    ("preset", "words"),
    {
        "paper-3k": "1 x rhombic 9x9, 2 x rhombic 7x7",
        "speech": "29 grids of 213 to 4 points, 19 refinements",
        "grid-regular-hexagonal-9": "3 x regular hexagonal 9x9",
        "grid-bcc-8": "2 x bcc 8x8x8",
        "projection-linear": "3 x hexagonal 7x7, input projection linear",
        "offset-half": "3 x hexagonal 7x7 offset 0.5",
        "midpoints-full": "3 x rhombic 7x7 midpoints full",
        "official": "3 x rhombic 7x7, bound extent, straight through projected",
        "fsq-75": "FSQ 7 5 5 5 5",
        "base-vq": "VQ 7225",
        "rvq-2x768": "RVQ 2 x 768",
        "identity": "none",
    }.items(),
)
def test_quantizers_in_words(preset: str, words: str) -> None:
    assert described(presets.find(preset).quantizer) == words


def test_presets_of_a_table_differ_in_words() -> None:
    for names in presets.TABLES.values():
        assert len({described(presets.find(name).quantizer) for name in names}) == len(names)
