"""Any codec as a peer: `q2d2 evaluate --peers examples/adapter.py:MuLaw`, or the path of your own file.

This one is the telephone's: G.711, mu-law, 8 bits a sample at 8 kHz.
"""

import io

import soundfile

from q2d2 import audio
from q2d2.evaluate.peers import Clip, Coded


class MuLaw:
    name = "mu-law"  # in the tables
    may_delay = False  # True: a delay is the codec's right, and is taken out before scoring

    def missing(self) -> str | None:
        return None  # or what has to be installed before `code` can run, and how

    def code(self, clip: Clip) -> Coded:
        narrow = audio.to_int16(audio.resample(clip.wav, clip.sample_rate_hz, 8000))
        file = io.BytesIO()
        soundfile.write(file, narrow, 8000, format="AU", subtype="ULAW")
        file.seek(0)
        decoded, _ = soundfile.read(file, dtype="float32")
        return Coded(decoded, 8000, file_bytes=len(file.getvalue()), payload_bytes=len(narrow))
