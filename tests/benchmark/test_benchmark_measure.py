"""What a pass takes, with a clock that moves only when a codec works; whose memory is counted; clocks of a GPU."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from q2d2.benchmark import measure as measuring
from q2d2.benchmark.isolation import isolated
from q2d2.benchmark.measure import Pass, Setting, clip, device_clock, measure, peak_mib, stream
from q2d2.benchmark.systems import Preset, Subject

CPU = torch.device("cpu")
SETTING = Setting("cpu", threads=1, batch=2, way="clip", duration_s=5.0)


class FakeClock:
    """Time as it is told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def work(self, seconds, result=None):
        self.now += seconds
        return result


def _subject(encode, decode, codec=None, sample_rate_hz=16_000):
    return Subject(nn.Identity(), sample_rate_hz, encode, decode, codec)


def test_a_clip_is_as_long_as_the_codecs_own_rate_says():
    clock, shapes = FakeClock(), []
    subject = _subject(lambda wav: clock.work(2, shapes.append(wav.shape)), lambda codes: clock.work(3))
    assert clip(subject, SETTING, clock) == Pass(encode_s=2, decode_s=3, first_s=5, heard_s=5)
    assert shapes == [(2, 5 * 16_000)]


def test_a_stream_is_timed_in_turns():
    """Windows of 2 s, of which the decoder needs two to begin; encoding one takes 1 s, decoding one 10 s."""
    clock = FakeClock()

    def encode_blocks(blocks):
        held = 0
        for block in blocks:
            held += len(block)
            if held >= 20:
                held -= 20
                yield clock.work(1, np.zeros((1, 1)))

    def decode_blocks(chunks):
        waiting = 0
        for _ in chunks:
            waiting += 1
            if waiting == 2:
                waiting -= 1
                yield clock.work(10, np.zeros(20))

    codec = SimpleNamespace(encode_blocks=encode_blocks, decode_blocks=decode_blocks)
    subject = _subject(None, None, codec, sample_rate_hz=10)
    once = stream(subject, SETTING._replace(batch=1, way="stream", duration_s=8.0), clock)
    assert once == Pass(encode_s=4, decode_s=30, first_s=12, heard_s=4)


def test_a_real_stream_begins_at_once():
    found = measure(Preset("tiny"), SETTING._replace(batch=1, way="stream", duration_s=70.0))
    [once] = found.passes
    assert (found.audio_s, once.heard_s) == (70.0, 1.0)  # it comes in blocks of a second
    assert 0 < once.first_s < once.both_s and min(once.encode_s, once.decode_s) > 0


def test_measuring_warms_up_and_fills_a_round(monkeypatch):
    """A tenth of ten seconds, ten times; and what is longer once, after ten seconds that do not count."""
    clock, lengths = FakeClock(), []
    subject = _subject(lambda wav: clock.work(1, lengths.append(wav.shape[1])), lambda codes: clock.work(1), None, 10)
    system = SimpleNamespace(name="stand-in", open=lambda device: subject)
    monkeypatch.setattr(measuring, "device_clock", lambda device: clock)
    short = measure(system, SETTING._replace(batch=1, duration_s=1.0))
    assert (lengths, len(short.passes), short.audio_s) == ([10] * 11, 10, 1.0)
    lengths.clear()
    long = measure(system, SETTING._replace(batch=2, duration_s=30.0))
    assert (lengths, len(long.passes), long.audio_s) == ([100, 300], 1, 60.0)
    assert 0 < long.start_mib <= long.peak_mib


def test_memory_is_nobody_elses():
    """On Linux a process inherits the peak that getrusage gives; ours must be that of the process itself."""
    ballast = np.ones(800 * 2**17)
    assert peak_mib(CPU) > 800
    assert 50 < isolated(peak_mib, CPU) < 800
    assert ballast.all()


def test_a_gpu_has_finished_before_its_clock_is_read(monkeypatch):
    order = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: order.append(f"finished {device}"))
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: order.append("read") or 1.0)
    assert device_clock(torch.device("cuda", 0))() == 1.0
    assert order == ["finished cuda:0", "read"]


def test_memory_of_a_gpu_is_what_its_tensors_took(monkeypatch):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**20)
    assert peak_mib(torch.device("cuda")) == pytest.approx(3)
