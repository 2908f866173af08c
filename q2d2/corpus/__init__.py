"""Speech to train on: the layouts of well-known data sets, manifests, and packed corpora. Knows nothing of torch."""

from q2d2.corpus.describing import SourceRow, describe
from q2d2.corpus.layouts import CorpusError, Utterance, find_utterances
from q2d2.corpus.packed import INDEX, Corpus, Part, Source, Spoken, is_packed, read_index
from q2d2.corpus.packing import Packed, pack
from q2d2.corpus.recordings import Files, PackedUtterances, Reader, Recordings

__all__ = [
    "INDEX",
    "Corpus",
    "CorpusError",
    "Files",
    "Packed",
    "PackedUtterances",
    "Part",
    "Reader",
    "Recordings",
    "Source",
    "SourceRow",
    "Spoken",
    "Utterance",
    "describe",
    "find_utterances",
    "is_packed",
    "pack",
    "read_index",
]
