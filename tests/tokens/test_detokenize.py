"""Tokens back to audio: the codec's own samples, exact lengths, and names that stay in their folder."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from small_codecs import LIVE_TOKENS, make_codec
from token_corpora import make_folder, names_of

from q2d2 import checkpoint, cli
from q2d2.audio import to_int16
from q2d2.codec import Codec
from q2d2.tokens import detokenizing
from q2d2.tokens.config import TokenizeConfig
from q2d2.tokens.detokenizing import detokenize
from q2d2.tokens.naming import target_names
from q2d2.tokens.reading import read_tokens
from q2d2.tokens.sources import TokensError
from q2d2.tokens.tokenizing import tokenize


@pytest.fixture(scope="module")
def codec(tmp_path_factory) -> Codec:
    folder = tmp_path_factory.mktemp("model")
    checkpoint.save(make_codec(LIVE_TOKENS), folder)
    return checkpoint.load(folder)


@pytest.fixture(scope="module")
def model(codec, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("again")
    checkpoint.save(codec, folder)
    return str(folder)


@pytest.fixture(scope="module")
def tokens(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tokens")
    clips = make_folder(folder / "clips")
    tokenize(TokenizeConfig(clips, folder / "out", rate="1k", model=model, device="cpu", jobs=1, shard=3))
    return folder / "out"


def renamed(tokens: Path, target: Path, ids: list[str], **cells: object) -> Path:
    """One table with the tokens of as many clips, under other names."""
    whole = pq.read_table(tokens / "data").slice(0, len(ids))
    for name, values in {"id": pa.array(ids), **cells}.items():
        whole = whole.set_column(whole.schema.get_field_index(name), name, values)
    pq.write_table(whole, target)
    return target


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize(("long_s", "gathered_s"), [(60.0, 600.0), (0.5, 0.3)])
def test_the_samples_of_the_codec(codec, tokens, tmp_path, monkeypatch, suffix, long_s, gathered_s):
    monkeypatch.setattr(detokenizing, "LONG_S", long_s)
    monkeypatch.setattr(detokenizing, "GATHERED_S", gathered_s)
    assert detokenize(codec, tokens, tmp_path / "out", suffix) == (4, 0, [], [])
    names = names_of(tokens.parent / "clips")
    assert files(tmp_path / "out") == {re.sub(r"\.\w+$", suffix, name) for name in names}
    for row in read_tokens(tokens):
        path = (tmp_path / "out" / row.id).with_suffix(suffix)
        found, rate_hz = soundfile.read(path, dtype="int16")
        assert (len(found), rate_hz) == (row.codes.num_samples, row.codes.sample_rate_hz)
        expected = to_int16(codec.decode(row.codes))
        # passes of other shapes sum in another order: the last bit may differ
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_what_is_there_stays_until_told_otherwise(codec, tokens, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.wav").write_text("mine")
    assert detokenize(codec, tokens, tmp_path / "out", ".wav")[:2] == (3, 1)
    assert (tmp_path / "out" / "a.wav").read_text() == "mine"
    assert detokenize(codec, tokens, tmp_path / "out", ".wav", overwrite=True)[:2] == (4, 0)
    assert (tmp_path / "out" / "a.wav").read_bytes().startswith(b"RIFF")


def test_other_weights_are_refused(tokens, tmp_path):
    other = make_codec(LIVE_TOKENS)
    other.encoder.requires_grad_(False)
    next(other.encoder.parameters()).mul_(2)
    checkpoint.save(other, tmp_path / "model")
    with pytest.raises(
        TokensError, match=r"out: a\.wav was made with the weights [0-9a-f]{16} of .*, but those loaded are"
    ):
        detokenize(checkpoint.load(tmp_path / "model"), tokens, tmp_path / "out", ".wav")
    assert not files(tmp_path / "out")


def test_clips_that_cannot_be_decoded_stop_nothing(codec, tokens, tmp_path):
    """An index beyond its alphabet, and a length that does not fit the frames."""
    table = pq.read_table(tokens / "data")
    codes, samples = table["codes"].to_pylist(), table["samples"].to_pylist()
    codes[0][2][0], samples[2] = 85, samples[2] * 3
    cells = {"codes": pa.array(codes, table.schema.field("codes").type), "samples": pa.array(samples)}
    path = renamed(tokens, tmp_path / "x.parquet", ["a", "b", "c", "d"], **cells)
    result = detokenize(codec, path, tmp_path / "out", ".wav")
    assert result.done == 2 and files(tmp_path / "out") == {"b.wav", "d.wav"}
    assert re.match(r"a: index 85 of pair 2", result.failed[0]) and re.match(r"c: .* samples at", result.failed[1])


def test_no_id_escapes_and_none_is_lost(codec, tokens, tmp_path):
    ids = ["../../up.wav", "/etc/passwd", "up.flac", "..\\..\\up.wav"]
    path = renamed(tokens, tmp_path / "x.parquet", ids)
    assert detokenize(codec, path, tmp_path / "deep" / "out", ".wav").done == 4
    assert files(tmp_path) == {
        "x.parquet",
        *(f"deep/out/{name}" for name in ("up.wav.wav", "etc/passwd.wav", "up.flac.wav", "up.wav-2.wav")),
    }


@given(st.lists(st.text(alphabet="ab./\\.\x00:~é", max_size=8), max_size=8))
def test_names_are_distinct_and_go_down(ids):
    names = target_names(ids, ".wav")
    assert len(set(names)) == len(names) == len(ids)
    for name in names:
        assert name.endswith(".wav") and not name.startswith("/") and "\\" not in name and name.isprintable()
        assert not {"", ".", ".."} & set(name.split("/"))


def test_names_keep_what_is_no_suffix_of_audio():
    assert target_names(["a/b.flac", "spk.1", "spk.2"], ".wav") == ["a/b.wav", "spk.1.wav", "spk.2.wav"]


def test_the_command(tokens, model, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["detokenize", str(tokens), str(out), "--format", "flac", "--model", model]) == 0
    assert capsys.readouterr().err == f"q2d2: {out}: 4 files written\n"
    assert cli.main(["detokenize", str(tokens), str(out), "--format", "flac", "--model", model]) == 0
    assert "0 files written, 4 were there already" in capsys.readouterr().err
    assert cli.main(["detokenize", str(tmp_path / "no"), str(out), "--model", model]) == 1
    assert "no: holds no tables of tokens" in capsys.readouterr().err
