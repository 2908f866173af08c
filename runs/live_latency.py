"""How long sound takes through `encode - - | decode - -`, in real time: `python runs/live_latency.py [MODEL [CHUNK]]`.

Ten seconds of noise bursts go in, 20 ms at a time, each when it would have been heard; what comes out is timed. Of
every sample, the time from its going in to its coming out; nothing before the first second counts, while both start.
"""

import subprocess
import sys
import threading
import time

import numpy as np

from q2d2.audio.pcm import to_int16, wav_header

RATE_HZ, PIECE, SECONDS = 24_000, 480, 10


def main(model: str | None = None, chunk: str = "16") -> None:
    own = [] if model is None else ["--model", model]
    program = [sys.executable, "-m", "q2d2"]
    encoder = subprocess.Popen(
        [*program, "encode", "-", "-", "--rate", "1k", "--chunk", chunk, *own],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    decoder = subprocess.Popen([*program, "decode", "-", "-", *own], stdin=encoder.stdout, stdout=subprocess.PIPE)
    wav = 0.1 * np.random.default_rng(0).standard_normal(RATE_HZ * SECONDS).astype(np.float32)
    time.sleep(8)  # both have loaded by then
    began = time.monotonic()

    def feed() -> None:
        encoder.stdin.write(wav_header(RATE_HZ, 1, None, "int16"))
        for number in range(len(wav) // PIECE):
            time.sleep(max(0.0, began + (number + 1) * PIECE / RATE_HZ - time.monotonic()))
            encoder.stdin.write(to_int16(wav[number * PIECE : (number + 1) * PIECE]).tobytes())
            encoder.stdin.flush()
        encoder.stdin.close()

    threading.Thread(target=feed, daemon=True).start()
    heard, waits = -44, []
    while data := decoder.stdout.read1(65_536):
        now = time.monotonic() - began
        first, heard = max(0, heard) // 2, heard + len(data)
        if first >= RATE_HZ and now < SECONDS:
            waits.append(now - first / RATE_HZ)
    print(
        f"{1000 * np.median(waits):.0f} ms (median of the oldest sample of each block), at most {1000 * max(waits):.0f}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
