"""Windows and batches of spans: laws, for any clips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from q2d2.windows import Span, batches, copy_span, joined, spans

lengths = st.lists(st.integers(1, 5000), max_size=12)


@given(lengths, st.integers(1, 700))
def test_windows_tile_every_clip(frames, window):
    work = spans(frames, window)
    assert [Span(clip, 0, count) for clip, count in enumerate(frames)] == spans(frames, None)
    for clip, count in enumerate(frames):
        own = [span for span in work if span.clip == clip]
        assert own[0].start == 0 and own[-1].stop == count
        assert all(a.stop == b.start for a, b in zip(own, own[1:], strict=False))
        assert all(span.frames == window for span in own[:-1]) and 0 < own[-1].frames <= window


@given(lengths, st.integers(0, 120), st.integers(0, 6000))
def test_batches_hold_every_span_once_within_the_limit_and_with_little_padding(frames, context, limit):
    work = spans(frames, 1536)
    made = list(batches(work, context, limit))
    assert sorted(span for batch in made for span in batch) == sorted(work)
    for batch in made:
        longest = max(span.frames for span in batch)
        assert len(batch) == 1 or len(batch) * (longest + context) <= limit
        assert 4 * min(span.frames for span in batch) >= 3 * longest


def test_thousands_of_tiny_clips_are_bounded_with_their_context():
    made = list(batches(spans([1] * 10_000, 1536), 114, 6144))
    assert max(len(batch) for batch in made) == 6144 // 115
    assert len(list(batches(spans([7] * 5, None), 0, 0))) == 5  # a limit of 0: each alone


@pytest.mark.parametrize(("start", "stop", "expected"), [(-2, 3, [0, 0, 10, 11, 12]), (3, 8, [13, 14, 0, 0, 0])])
def test_copies_only_what_there_is(start, stop, expected):
    row = np.zeros(5, int)
    copy_span(row, np.arange(10, 15), start, stop)
    assert row.tolist() == expected


def test_joins_in_order_per_clip():
    found = {Span(1, 0, 1): np.array([3]), Span(0, 2, 3): np.array([2]), Span(0, 0, 2): np.array([0, 1])}
    assert [part.tolist() for part in joined(found, 2)] == [[0, 1, 2], [3]]
