"""The prior: exact, the same as in plain whole numbers, and in files no longer than without."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import format_reference
import numpy as np
import pytest
from bitstream_files import (
    Pipe,
    header,
    header_by,
    lasting_indices,
    little_memory,
    random_indices,
    read_all,
    small_prior,
    write_file,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from q2d2.bitstream import Header, Prior, PriorError, Reader, UnknownPriorError, Writer
from q2d2.bitstream.packing import PackingError

DATA = Path(__file__).parent / "data"
POINTS = (13, 9, 4, 7, 1, 2, 5)
quick = settings(max_examples=40, deadline=None)


@quick
@given(
    points=st.lists(st.integers(1, 20), min_size=1, max_size=8),
    num_frames=st.integers(1, 30),
    seed=st.integers(0, 99),
    lasting=st.booleans(),
    data=st.data(),
)
def test_what_is_packed_comes_back_and_is_what_whole_numbers_make_of_it(points, num_frames, seed, lasting, data):
    prior = small_prior(points, seed)
    codebooks = data.draw(st.integers(1, len(points)))
    some = lasting_indices if lasting else random_indices
    indices = some(points[:codebooks], num_frames, seed)
    payload = prior.pack(indices)
    np.testing.assert_array_equal(prior.unpack(payload, num_frames, codebooks), indices)
    independent = format_reference.Prior(prior.data)
    assert independent.decode(payload, num_frames, codebooks) == indices.tolist()
    # two words at the end, and 2^-8 of rounding an index
    assert abs(8 * len(payload) - prior.bits(indices).sum()) <= 64 + indices.size / 128


def test_a_large_alphabet_is_one_like_any_other():
    points = (300, 4, 1000, 2)
    prior, indices = small_prior(points), lasting_indices(points, 12)
    payload = prior.pack(indices)
    np.testing.assert_array_equal(prior.unpack(payload, 12, 4), indices)
    assert format_reference.Prior(prior.data).decode(payload, 12, 4) == indices.tolist()


def test_the_first_frames_cost_the_same_whatever_follows():
    prior, indices = small_prior(POINTS), lasting_indices(POINTS, 700)
    whole, halves = prior.bits(indices), prior.bits(indices[:300])
    assert (np.delete(whole > halves, POINTS.index(1))).all()
    short = prior.pack(indices[:300])
    assert prior.pack(indices)[: len(short) - 12] == short[:-12]


def test_a_point_that_was_sure_costs_next_to_nothing_and_a_surprise_no_more_than_24_bits():
    prior = small_prior((50,), hidden=1)
    loud = Prior(**vars_of(prior) | {"follow": np.where(np.eye(51, 50, -1).ravel() > 0, 32767, 0).astype(np.int16)})
    quiet = np.zeros((400, 1), np.int64)
    assert loud.bits(quiet)[0] < 30
    assert loud.bits(np.arange(400)[:, None] % 50)[0] <= 400 * 24


def vars_of(prior: Prior) -> dict:
    """The fields that it was made of."""
    return {name: getattr(prior, name) for name in prior.__dataclass_fields__}


def golden_indices() -> np.ndarray:
    """Long runs, which the prior expects, and then what it does not."""
    frame, book = np.ogrid[:60, : len(POINTS)]
    lasting = (frame // 11 + book) % np.array(POINTS)
    restless = (7 * frame * (book + 3) + 5 * frame * frame * book + book) % np.array(POINTS)
    return np.where(frame < 40, lasting, restless)


def test_the_golden_file_is_still_what_is_written_and_read():
    """The format for ever: should this fail, the code (or a new numpy or `constriction`) is wrong, not the file."""
    prior = Prior.load(DATA / "golden-prior.safetensors")
    data = (DATA / "golden-2-prior.q2d2").read_bytes()
    indices = golden_indices()
    assert write_file(indices, Header.by_prior(prior, 7, 44_100), 20, num_samples=49_612, prior=prior) == data
    reader = Reader(io.BytesIO(data), priors=(prior,))
    assert [chunk.by_prior for chunk in reader.chunks()] == [True, True, False]
    np.testing.assert_array_equal(read_all(reader), indices)
    independent = format_reference.read(data, format_reference.Prior(prior.data))
    assert independent.frames == indices.tolist()
    assert independent.num_samples == 49_612
    assert independent.header["model"] == reader.header.model == "speech"


def test_a_file_by_a_prior():
    prior = small_prior(POINTS)
    indices = np.concatenate([lasting_indices(POINTS, 130), random_indices(POINTS, 70)])
    for codebooks in range(1, 8):
        about = header_by(prior, codebooks)
        data = write_file(indices[:, :codebooks], about, 40, num_samples=200 * 450, prior=prior)
        for opened in (io.BytesIO, Pipe):
            reader = Reader(opened(data), priors=(prior,))
            np.testing.assert_array_equal(read_all(reader), indices[:, :codebooks])
            assert (reader.header.points, reader.header.weights) == (POINTS[:codebooks], prior.weights)
        seekable = Reader(io.BytesIO(data), priors=(prior,))
        np.testing.assert_array_equal(seekable.read(35, 170), indices[35:170, :codebooks])
        independent = format_reference.read(data, format_reference.Prior(prior.data))
        assert independent.frames == indices[:, :codebooks].tolist()


def test_no_chunk_is_longer_than_at_a_constant_rate():
    prior = small_prior(POINTS)
    surprising = write_file(random_indices(POINTS, 500), header_by(prior, 7), 100, prior=prior)
    constant = write_file(random_indices(POINTS, 500), header_by(prior, 7), 100)
    assert len(surprising) <= len(constant)
    chunks = list(Reader(io.BytesIO(constant), priors=(prior,)).chunks())
    assert not any(chunk.by_prior for chunk in chunks)
    assert {chunk.payload_bytes for chunk in chunks} <= {
        round(100 * np.log2(POINTS).sum() / 8) + i for i in range(-1, 5)
    }
    lasting = write_file(lasting_indices(POINTS, 500), header_by(prior, 7), 100, prior=prior)
    assert len(lasting) < 0.6 * len(constant)


@pytest.mark.parametrize("num_samples", [8 * 24_000, None])
def test_header_and_trailer_of_a_short_clip_take_forty_bytes(num_samples):
    """Eight seconds, 427 frames, in one chunk, whose own fields and checksum are another nine."""
    prior = small_prior(POINTS)
    data = write_file(
        lasting_indices(POINTS[:6], 427), header_by(prior, 6, num_samples), num_samples=8 * 24_000, prior=prior
    )
    (chunk,) = Reader(io.BytesIO(data), priors=(prior,)).chunks()
    assert len(data) - chunk.num_bytes <= 40
    assert chunk.num_bytes - chunk.payload_bytes <= 9


def test_a_prior_that_is_not_there_is_named():
    prior, other = small_prior(POINTS), small_prior(POINTS, 1)
    data = write_file(lasting_indices(POINTS[:3], 20), header_by(prior, 3), prior=prior)
    for known in ((), (other,)):
        with pytest.raises(UnknownPriorError, match=f"coded with the prior {prior.id}") as caught:
            Reader(io.BytesIO(data), priors=known)
        assert caught.value.prior == prior.id
    with pytest.raises(ValueError, match="not that of a file by the prior"):
        Writer(io.BytesIO(), header(POINTS), prior=prior)
    with pytest.raises(ValueError, match="number of codebooks"):
        Header.by_prior(prior, 8, 24_000)


def test_a_prior_file_is_the_same_prior(tmp_path):
    prior = small_prior(POINTS, 3)
    (tmp_path / "prior").write_bytes(prior.data)
    again = Prior.load(tmp_path / "prior")
    assert again.id == prior.id == format_reference.Prior(prior.data).id
    indices = random_indices(POINTS, 50)
    assert again.pack(indices) == prior.pack(indices)


def test_the_id_is_the_hash_of_the_file_whoever_wrote_it(tmp_path):
    """Another program may order a safetensors header otherwise: the numbers are the same, the file is another."""
    prior = small_prior(POINTS)
    size = int.from_bytes(prior.data[:8], "little")
    header = json.loads(prior.data[8 : 8 + size])
    turned = json.dumps(dict(reversed(header.items()))).encode()
    other = len(turned).to_bytes(8, "little") + turned + prior.data[8 + size :]
    (tmp_path / "prior").write_bytes(other)
    loaded = Prior.load(tmp_path / "prior")
    assert loaded.data == other and loaded.id == format_reference.Prior(other).id != prior.id
    with pytest.raises(ValueError, match="read-only"):
        loaded.bias[0] = 1


@pytest.mark.parametrize("kind", ["BF16", "F16", "F8_E4M3", "U16"])
def test_a_prior_of_other_numbers_is_refused(kind, tmp_path):
    data = small_prior(POINTS).data.replace(b'"dtype":"I16"', f'"dtype":"{kind}"'.encode().ljust(13), 1)
    (tmp_path / "prior").write_bytes(data)
    with pytest.raises(PriorError, match="is no prior that this program can read"):
        Prior.load(tmp_path / "prior")


def test_a_small_file_does_not_become_much_memory():
    """A large alphabet in a group with many others would fill all of them up to its size."""
    points = (*(256,) * 63, 1 << 14)
    with pytest.raises(PriorError, match="more than 8,388,608"):
        small_prior(points, hidden=1)
    apart = vars_of(small_prior((1 << 14,), hidden=2))
    with little_memory(100 << 20):
        prior = Prior(**apart)
        assert (prior.unpack(prior.pack(np.zeros((300, 1), np.int64)), 300, 1) == 0).all()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model": "two\nlines"}, "model is"),
        ({"weights": "zz"}, "weights is"),
        ({"hop": 10**300}, "hop is"),
        ({"value": np.zeros((3, 2), np.int16)}, "value is int16"),
        ({"mix": np.zeros((41, 5), np.int32)}, "mix is int32"),
        ({"starts": (0, 3, 3)}, "groups"),
        ({"starts": (1,)}, "groups"),
        ({"starts": ()}, "groups"),
        ({"decays": (20, 1)}, "decays"),
        ({"points": (0, *POINTS[1:])}, "points"),
        ({"frames_back": 2}, "past is"),
        ({"bias": np.full(41, 2**31 - 1, np.int32)}, "too large"),
    ],
    ids=str,
)
def test_an_impossible_prior_is_refused(changes, why):
    with pytest.raises(PriorError, match=why):
        Prior(**vars_of(small_prior(POINTS)) | changes)


def test_a_damaged_prior_file_is_an_error_or_another_prior(tmp_path):
    good, rng = small_prior(POINTS).data, np.random.default_rng(0)
    for _ in range(300):
        bad = bytearray(good)
        bad[rng.integers(0, 1500)] = rng.integers(0, 256)
        (tmp_path / "prior").write_bytes(bad[: None if rng.random() < 0.8 else rng.integers(0, len(bad))])
        try:
            assert Prior.load(tmp_path / "prior").id
        except PriorError as error:
            assert str(tmp_path) in str(error) and "\n" not in str(error)
    with pytest.raises(PriorError, match="fetch it again"):
        Prior.load(tmp_path / "nothing")


@quick
@given(payload=st.binary(max_size=200), frames=st.integers(1, 60), codebooks=st.integers(1, 7))
def test_any_bytes_are_frames_or_an_error(payload, frames, codebooks):
    prior = small_prior(POINTS)
    try:
        indices = prior.unpack(payload, frames, codebooks)
    except PackingError:
        return
    assert (indices < np.array(POINTS[:codebooks])).all() and (indices >= 0).all()


SHIPPED_BYTES = """
import hashlib, sys, numpy as np
from pathlib import Path
import q2d2
from q2d2.bitstream import Prior
prior = Prior.load(Path(q2d2.__file__).parent / "models" / "speech" / "prior.safetensors")
frame, book = np.ogrid[:300, : len(prior.points)]
indices = (frame // 5 * (book + 3) + frame % 5 // 3) % np.array(prior.points)
payload = prior.pack(indices)
assert (prior.unpack(payload, 300, len(prior.points)) == indices).all()
assert "torch" not in sys.modules
print(hashlib.sha256(payload).hexdigest())
"""


def test_the_shipped_prior_gives_the_same_bytes_however_numpy_adds_up_and_needs_no_networks():
    """Threads, and the kernels that OpenBLAS picks for other processors, sum in other orders."""
    found = set()
    for changes in (
        {"OMP_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "2"},
        {"OMP_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Sandybridge"},
        {"OMP_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Nehalem"},
    ):
        run = subprocess.run(
            [sys.executable, "-c", SHIPPED_BYTES], env=os.environ | changes, capture_output=True, text=True, check=True
        )
        found.add(run.stdout)
    assert len(found) == 1
