"""Every kind of corpus gives the codes that `codec.encode` gives, and what is no corpus is refused in a line."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import webdataset
from conftest import make_speech_like
from small_codecs import NOT_LOCAL, make_codec
from token_corpora import as_manifest, as_parquet, as_tars, assert_tokens, make_folder, names_of

from q2d2 import audio, checkpoint
from q2d2.codec import Codec
from q2d2.console import UsageError
from q2d2.corpus import CorpusError
from q2d2.tokens import encoding
from q2d2.tokens.config import TokenizeConfig
from q2d2.tokens.finding import find_source
from q2d2.tokens.reading import read_tokens
from q2d2.tokens.sources import TokensError
from q2d2.tokens.tokenizing import tokenize


@pytest.fixture(scope="module")
def codec(model) -> Codec:
    return checkpoint.load(model)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def tokens_of(model, tmp_path):
    """`tokens_of(source)` -> the folder of its tokens at 1k, three clips a table."""

    def make(source: Path, **options: object) -> Path:
        config = TokenizeConfig(source, tmp_path / "out", rate="1k", model=model, jobs=1, shard=3, **options)
        tokenize(config)
        return config.out

    return make


def test_a_folder(codec, clips, tokens_of):
    assert_tokens(codec, clips, tokens_of(clips), "1k", names_of(clips))


def test_a_manifest_with_and_without_ids(codec, clips, tokens_of, tmp_path):
    ids = ["0", str(clips / "b/c.flac"), "2", str(clips / "e.mp3")]
    assert_tokens(codec, clips, tokens_of(as_manifest(clips, tmp_path / "list.jsonl")), "1k", ids)


def test_ids_of_a_manifest_are_relative_to_it(codec, clips, tokens_of):
    manifest = clips / "list.txt"
    manifest.write_text("\n".join(names_of(clips)))
    assert_tokens(codec, clips, tokens_of(manifest), "1k", names_of(clips))
    manifest.unlink()


def test_parquet_of_bytes(codec, clips, tokens_of, tmp_path):
    as_parquet(clips, tmp_path / "tables" / "train-0.parquet")
    assert_tokens(codec, clips, tokens_of(tmp_path / "tables"), "1k", names_of(clips))


@pytest.mark.parametrize("rows_per_group", [1, 2, 100])
def test_shards_and_row_groups_are_cut_anywhere(codec, clips, tokens_of, tmp_path, rows_per_group):
    as_parquet(clips, tmp_path / "one.parquet", rows_per_group)
    assert_tokens(codec, clips, tokens_of(tmp_path / "one.parquet"), "1k", names_of(clips))


def test_parquet_of_paths_and_of_samples(codec, clips, tokens_of, tmp_path):
    names = names_of(clips)
    pq.write_table(
        pa.table({"sound": [str(clips / name) for name in names], "id": [7, 8, 9, 10]}), tmp_path / "p.parquet"
    )
    out = tokens_of(tmp_path / "p.parquet", audio_column="sound")
    assert_tokens(codec, clips, out, "1k", ["7", "8", "9", "10"])


def test_parquet_of_samples(codec, clips, tokens_of, tmp_path):
    read = [audio.read(clips / name) for name in names_of(clips)]
    cells = [{"array": audio.to_mono(wav), "sampling_rate": rate_hz} for wav, rate_hz in read]
    kind = pa.struct([("array", pa.list_(pa.float32())), ("sampling_rate", pa.int64())])
    pq.write_table(pa.table({"audio": pa.array(cells, kind)}), tmp_path / "s.parquet")
    assert_tokens(codec, clips, tokens_of(tmp_path / "s.parquet"), "1k", [f"s.parquet:{row}" for row in range(4)])


def test_tars(codec, clips, tokens_of, tmp_path):
    keys = [str(Path(name).with_suffix("")) for name in names_of(clips)]
    assert_tokens(codec, clips, tokens_of(as_tars(clips, tmp_path / "tars")), "1k", keys)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves the tar open
def test_the_keys_are_those_of_webdataset(clips, tmp_path):
    tar = as_tars(clips, tmp_path / "tars", per_tar=4) / "shard-000.tar"
    theirs = [sample["__key__"] for sample in webdataset.WebDataset(str(tar), shardshuffle=False)]
    assert theirs == ["a", "b/c", "b/d", "e"]
    assert [item.id for item in find_source(tar).items()] == theirs


def test_long_clips_go_through_in_windows(codec, tokens_of, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "LONG_S", 0.5)
    monkeypatch.setattr(encoding, "GATHERED_S", 1.0)
    lengths = [0.2, 31.0, 0.3, 1.0, 0.4, 0.45, 0.2]
    clips = make_folder(tmp_path / "clips", [(f"{i}.wav", 16_000, s, 1) for i, s in enumerate(lengths)])
    long = []
    encode_blocks = Codec.encode_blocks
    monkeypatch.setattr(Codec, "encode_blocks", lambda *given: long.append(1) or encode_blocks(*given))
    out = tokens_of(clips)
    monkeypatch.undo()
    assert len(long) == 2
    assert_tokens(codec, clips, out, "1k", names_of(clips))


def test_a_codec_that_is_not_local(tmp_path, clips):
    checkpoint.save(make_codec(NOT_LOCAL), tmp_path / "model")
    tokenize(TokenizeConfig(clips, tmp_path / "out", model=str(tmp_path / "model"), jobs=1))
    codec = checkpoint.load(tmp_path / "model")
    for row, name in zip(read_tokens(tmp_path / "out"), names_of(clips), strict=True):
        wav, rate_hz = audio.read(clips / name)
        assert row.codes.indices.equal(codec.encode(audio.to_mono(wav), rate_hz).indices)


def test_an_open_file_is_read_where_it_is(clips):
    """What tars and tables need of `open_blocks`: a name for messages, and an open file stays open."""
    for name in names_of(clips):
        with open(clips / name, "rb") as file:
            with audio.open_blocks(file, name="it") as blocks:
                found = np.concatenate(list(blocks))
            assert not file.closed
        np.testing.assert_array_equal(found, audio.read(clips / name)[0])
    for data, reason in ((b"", "it: is empty; replace it"), (b"no audio", "it: is not audio that can be read")):
        with pytest.raises(audio.AudioError, match=reason):
            audio.open_blocks(io.BytesIO(data), name="it")
    with pytest.raises(audio.AudioError, match="an open file: is empty"):
        audio.open_blocks(io.BytesIO())


# What is refused


def test_what_is_no_corpus(clips, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("")
    for path, reason in [
        (tmp_path / "nowhere", "there is no such file or folder"),
        (tmp_path / "empty", "holds no audio, Parquet or tar files"),
        (clips / "a.wav", "give a folder of audio, a manifest"),
    ]:
        with pytest.raises(TokensError, match=f"{path.name}: {reason}"):
            find_source(path)
    with pytest.raises(TokensError, match=r"list.txt: holds no clips"):
        tokenize(TokenizeConfig(tmp_path / "list.txt", tmp_path / "out"))
    with pytest.raises(UsageError, match=r"--id-column and --audio-column have no meaning there"):
        find_source(clips, "id")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_several_kinds(tmp_path):
    mixed = make_folder(tmp_path / "mixed")
    as_parquet(mixed, mixed / "deep" / "x.parquet")
    with pytest.raises(TokensError, match=r"mixed: holds \.parquet and audio files; give a folder for each kind"):
        find_source(mixed)


def test_parquet_that_cannot_be_used(tmp_path):
    path = tmp_path / "x.parquet"

    def refused(**columns: str | None) -> str:
        with pytest.raises(TokensError) as raised:
            find_source(path, **columns).items()
        assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)
        return str(raised.value)

    path.write_bytes(b"PAR1, perhaps")
    assert "is not readable Parquet" in refused()
    pq.write_table(pa.table({"sound": ["a.wav"], "number": [1]}), path)
    assert "has no column audio; --audio-column names the one of sound, number" in refused()
    assert "the column number holds int64" in refused(audio_column="number")
    assert "has no column name; --id-column names one of" in refused(audio_column="sound", id_column="name")


def test_a_sample_with_two_audio_members(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in ("k.flac", "k.seg.wav"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(TokensError, match=r"x\.tar: holds two audio files for the sample k"):
        find_source(tmp_path / "x.tar").items()


def test_a_tar_that_is_cut_short_or_compressed(clips, tmp_path):
    whole = as_tars(clips, tmp_path / "tars") / "shard-000.tar"
    whole.write_bytes(whole.read_bytes()[:-15_000])
    with pytest.raises(TokensError, match=r"shard-000\.tar: is not a whole tar without compression"):
        find_source(whole).items()
    with tarfile.open(tmp_path / "z.tar", "w:gz") as tar:
        tar.add(clips / "a.wav", "a.wav")
    with pytest.raises(TokensError, match=r"z\.tar: is not a whole tar without compression"):
        find_source(tmp_path / "z.tar").items()


def test_a_broken_manifest(tmp_path):
    (tmp_path / "list.jsonl").write_text("{}")
    with pytest.raises(CorpusError, match=r"list.jsonl, line 1: names no audio file"):
        find_source(tmp_path / "list.jsonl").items()


def test_damaged_pages_are_rows_of_the_table_beside(model, clips, tmp_path):
    """Parquet cannot be read on behind damage; the other row groups can."""
    path = as_parquet(clips, tmp_path / "x.parquet", rows_per_group=1)
    at = pq.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    data = bytearray(path.read_bytes())
    data[at : at + 30] = bytes(30)
    path.write_bytes(data)
    made = tokenize(TokenizeConfig(path, tmp_path / "out", model=model, jobs=1))
    assert (made.clips, made.failed) == (3, 1) and "row group 1 is damaged" in made.shown[0].error


def test_cells_without_audio(model, tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    file = io.BytesIO()
    soundfile.write(file, make_speech_like(0.2), 24_000, format="WAV")
    cells = [
        None,
        {"bytes": None, "path": None},
        {"bytes": b"", "path": None},
        {"bytes": file.getvalue(), "path": None},
    ]
    pq.write_table(pa.table({"audio": pa.array(cells, kind)}), tmp_path / "x.parquet")
    made = tokenize(TokenizeConfig(tmp_path / "x.parquet", tmp_path / "out", model=model, jobs=1))
    assert made.clips == 1
    assert [failed.error.split(": ")[1] for failed in made.shown] == [
        "holds no audio",
        "holds no audio",
        "is empty; replace it",
    ]


def test_samples_that_are_no_audio(model, tmp_path):
    kind = pa.struct([("array", pa.list_(pa.float64())), ("sampling_rate", pa.int64())])
    good = np.zeros(2400)
    cells = [
        {"array": wav, "sampling_rate": rate_hz} for wav, rate_hz in [(good, 7), (good * np.nan, 8000), ([], 8000)]
    ]
    pq.write_table(
        pa.table({"audio": pa.array([*cells, {"array": good, "sampling_rate": 8000}], kind)}), tmp_path / "x.parquet"
    )
    made = tokenize(TokenizeConfig(tmp_path / "x.parquet", tmp_path / "out", model=model, jobs=1))
    assert made.clips == 1
    for failed, reason in zip(made.shown, ("sample rate of 7 Hz", "not a number", "holds no samples"), strict=True):
        assert reason in failed.error
