"""Audio files and pipes, mono and resampling: the only part of the package that opens audio files.

Samples are float32, [samples channels] as in the file, full scale at -1 and 1. A file may be longer than
memory, so reading, resampling and writing work on blocks; the whole-file functions are those same blocks,
joined. "-" is standard input or output. Every failure is an `AudioError`. Knows nothing of torch and codecs.
"""

from q2d2.audio.errors import AudioError
from q2d2.audio.pcm import to_int16
from q2d2.audio.reading import Blocks, list_audio, open_blocks, read, read_int16
from q2d2.audio.writing import Writer, write
from q2d2.resampling import resample, resample_blocks, resampled_length, to_mono

__all__ = [
    "AudioError",
    "Blocks",
    "Writer",
    "list_audio",
    "open_blocks",
    "read",
    "read_int16",
    "resample",
    "resample_blocks",
    "resampled_length",
    "to_int16",
    "to_mono",
    "write",
]
