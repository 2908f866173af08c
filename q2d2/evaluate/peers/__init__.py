"""What a codec is compared with: programs, other projects' networks, adapters, and folders of outputs.

`peer("opus-8")` makes one from a name. A codec of another kind joins by being a `System`. Nothing is fetched, and
nothing heavy is imported before a peer codes its first clip.
"""

from collections.abc import Callable, Mapping

from q2d2.evaluate.peers import adapter, codec2, dac, encodec, folder, opus, snac
from q2d2.evaluate.peers.base import Clip, Coded, PeerError, System
from q2d2.evaluate.peers.codec2 import Codec2
from q2d2.evaluate.peers.opus import Opus, ogg_packet_bytes

__all__ = ["FORMS", "Clip", "Codec2", "Coded", "Opus", "PeerError", "System", "ogg_packet_bytes", "peer"]

FORMS = tuple(family.FORM for family in (opus, codec2, encodec, dac, snac, folder, adapter))  # what `peer` takes

_FAMILIES: Mapping[str, Callable[[str], System | None]] = {
    "opus": opus.parse,
    "codec2": codec2.parse,
    "encodec": encodec.parse,
    "dac": dac.parse,
    "snac": snac.parse,
}


def peer(text: str) -> System:
    """The peer that a text names, as `FORMS` says: opus-6, dac-24x4, NAME=DECODED:CODED, FILE.py:CLASS.

    PeerError if there is none. Whether it can run here is another question: `missing`.
    """
    if adapter.is_adapter(text):
        return adapter.parse(text)
    if "=" in text:
        return folder.parse(text)
    family, _, setting = text.partition("-")
    found = _FAMILIES[family](setting) if family in _FAMILIES else None
    if found is None:
        raise PeerError(f"there is no peer {text!r}: give {'; '.join(FORMS)}")
    return found
