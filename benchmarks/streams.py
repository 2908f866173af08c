"""What live streams cost: CPU time per push, to begin one, and memory for many at once.

    python benchmarks/streams.py                         # shipped weights, one thread, 1,000 streams there and back
    python benchmarks/streams.py --preset speech-live    # another preset, with random weights

CPU time, so that other work on the machine counts little; the shortest of a few rounds.
"""

import resource
import time
from collections.abc import Callable

import numpy as np
import torch
import tyro

import q2d2
from q2d2.codec import Codec
from q2d2.presets import find

PUSHES = (1, 2, 5, 10, 50, 500)  # frames
SECONDS = 12.0


def shortest_s(call: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


def resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def main(preset: str | None = None, streams: int = 1000, rounds: int = 3, threads: int = 1, rate: str = "1k") -> None:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    codec = q2d2.load() if preset is None else Codec(find(preset)).eval()
    codec.measure_silence()
    hop, wav = codec.hop, 0.05 * np.random.default_rng(0).standard_normal(round(SECONDS * 24_000)).astype(np.float32)
    indices = codec.encode(wav, 24_000, rate).indices
    begin = [1000 * shortest_s(make, rounds) for make in (codec.streaming, codec.streaming_decoder)]
    print(f"delay {1000 * codec.latency_s:.1f} ms; to begin: encoder {begin[0]:.1f} ms, decoder {begin[1]:.1f} ms\n")
    print("| frames a push | ms of sound | encode ms | decode ms | x real time, both |\n|---|---|---|---|---|")
    for frames in PUSHES:
        turns = min(len(indices) // frames, 200)

        def encode(frames: int = frames, turns: int = turns) -> None:
            stream = codec.streaming(rate)
            for turn in range(turns):
                stream.push(wav[turn * frames * hop : (turn + 1) * frames * hop])

        def decode(frames: int = frames, turns: int = turns) -> None:
            stream = codec.streaming_decoder(rate)
            for turn in range(turns):
                stream.push(indices[turn * frames : (turn + 1) * frames])

        each = [
            (1000 * shortest_s(call, rounds) - less) / turns for call, less in zip((encode, decode), begin, strict=True)
        ]
        sound_ms = 1000 * frames * hop / 24_000
        print(f"| {frames} | {sound_ms:.0f} | {each[0]:.2f} | {each[1]:.2f} | {sound_ms / sum(each):.1f} |", flush=True)

    before = resident_mib()
    running = [(codec.streaming(rate), codec.streaming_decoder(rate)) for _ in range(streams)]
    for turn in range(3):
        for encoder, decoder in running:
            decoder.push(encoder.push(wav[turn * 4800 : (turn + 1) * 4800]))
    print(f"\n{streams} streams there and back: {resident_mib() - before:.0f} MiB more")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
