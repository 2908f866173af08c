"""Tables of tokens, read back: by us, by `datasets`, and when they are damaged."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from small_codecs import LIVE_TOKENS, make_codec
from token_corpora import make_folder, names_of

import q2d2
from q2d2 import checkpoint
from q2d2.tokens.config import TokenizeConfig
from q2d2.tokens.sources import TokensError
from q2d2.tokens.tokenizing import tokenize


@pytest.fixture(scope="module")
def tokens(tmp_path_factory) -> Path:
    """Four clips in two tables."""
    folder = tmp_path_factory.mktemp("tokens")
    checkpoint.save(make_codec(LIVE_TOKENS), folder / "model")
    clips = make_folder(folder / "clips")
    config = TokenizeConfig(clips, folder / "out", model=str(folder / "model"), device="cpu", jobs=1, shard=2)
    tokenize(config)
    return config.out


@pytest.fixture
def table(tokens, tmp_path):
    """`table(column=cells, ...)` -> the first table with other columns, as a file."""

    def make(**columns: object) -> Path:
        found = pq.read_table(sorted((tokens / "data").iterdir())[0])
        for name, cells in columns.items():
            at = found.schema.get_field_index(name)
            found = found.remove_column(at) if cells is None else found.set_column(at, name, cells)
        pq.write_table(found, tmp_path / "x.parquet")
        return tmp_path / "x.parquet"

    return make


def test_a_folder_its_data_and_its_tables_in_order(tokens):
    rows = list(q2d2.read_tokens(tokens))
    assert [row.id for row in rows] == names_of(tokens.parent / "clips")
    singly = [row for path in sorted((tokens / "data").iterdir()) for row in q2d2.read_tokens(str(path))]
    for ways in (list(q2d2.read_tokens(tokens / "data")), singly):
        assert [row.id for row in ways] == [row.id for row in rows]
        assert all(a.codes.indices.equal(b.codes.indices) for a, b in zip(ways, rows, strict=True))
    assert rows[0].codes.indices.dtype == torch.int64 and rows[0].codes.indices.shape[1] == 18


def test_datasets_opens_it_as_it_is(tokens, tmp_path):
    """In a process of its own: `datasets` warns on import, and must not ask the network."""
    code = f"""
import datasets
rows = datasets.load_dataset({str(tokens)!r}, split="train", cache_dir={str(tmp_path)!r})
print(rows.column_names, [row["id"] for row in rows], [len(row["codes"]) for row in rows], rows[0]["codes"][17][:5])
"""
    here = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=here)
    rows = list(q2d2.read_tokens(tokens))
    columns = ["id", "codes", "samples", "sample_rate_hz", "model", "weights"]
    first = rows[0].codes.indices[:5, 17].tolist()
    assert done.stdout == f"{columns} {[row.id for row in rows]} {[18] * 4} {first}\n", done.stderr


def test_other_programs_write_other_integers(table, tokens):
    codes = pa.array([row.codes.indices.T.tolist() for row in q2d2.read_tokens(tokens)][:2])
    assert codes.type.value_type.value_type == pa.int64()
    for row, other in zip(q2d2.read_tokens(table(codes=codes)), q2d2.read_tokens(tokens), strict=False):
        assert row.codes.indices.equal(other.codes.indices)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"weights": None}, "has no column weights"),
        ({"samples": pa.array(["9600", "1"])}, "holds string in samples"),
        ({"codes": pa.array([[1, 2], [3]])}, r"holds list<.*> in codes"),
        ({"codes": pa.array([[[1, 2]], None], pa.list_(pa.list_(pa.int16())))}, "row 1: has an empty cell"),
        ({"codes": pa.array([[], [[1]]], pa.list_(pa.list_(pa.int16())))}, "row 0: the lists of its pairs"),
        ({"codes": pa.array([[[1]], [[1, 2], [3]]], pa.list_(pa.list_(pa.int16())))}, "row 1: the lists of its pairs"),
        ({"codes": pa.array([[[1]], [[1], [None]]], pa.list_(pa.list_(pa.int16())))}, "row 1: the lists of its pairs"),
        ({"codes": pa.array([[[1]], [[1], None]], pa.list_(pa.list_(pa.int16())))}, "row 1: the lists of its pairs"),
    ],
)
def test_tables_that_are_not_ours(table, columns, reason):
    with pytest.raises(TokensError, match=rf"x\.parquet.*: {reason}|x\.parquet, {reason}") as raised:
        list(q2d2.read_tokens(table(**columns)))
    assert "\n" not in str(raised.value)


def test_every_flipped_byte_of_the_codes_is_noticed(tokens, tmp_path):
    source = sorted((tokens / "data").iterdir())[0]
    column = pq.ParquetFile(source).metadata.row_group(0).column(1)
    assert column.path_in_schema.startswith("codes")
    data = source.read_bytes()
    start = column.dictionary_page_offset or column.data_page_offset
    stop = start + column.total_compressed_size
    for at in range(start + 80, stop, (stop - start) // 25):
        (tmp_path / "x.parquet").write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
        with pytest.raises(TokensError, match=r"x\.parquet"):
            list(q2d2.read_tokens(tmp_path / "x.parquet"))


def test_what_is_no_folder_of_tokens(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(TokensError, match=f"{path.name}: holds no tables of tokens"):
            next(q2d2.read_tokens(path))
    (tmp_path / "x.parquet").write_text("no table")
    with pytest.raises(TokensError, match=r"x\.parquet: is no table of tokens, or damaged"):
        next(q2d2.read_tokens(tmp_path / "x.parquet"))
