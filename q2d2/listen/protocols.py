"""What a listener is asked: MUSHRA (ITU-R BS.1534-3), CMOS of quality and of prosody (the paper's Appendix C), AB, ABX.

Words and scales only; knows nothing of audio, servers and statistics.
"""

from dataclasses import dataclass
from typing import Literal

ProtocolName = Literal["mushra", "cmos-q", "cmos-p", "ab", "abx"]

REFERENCE = "reference"  # the condition that is the original itself, hidden among the others
ANCHORS = {"anchor35": 3500.0, "anchor70": 7000.0}  # condition -> up to which frequency it keeps the original, in Hz


@dataclass(frozen=True)
class Mark:
    """A place on a scale, and what it is called."""

    value: float
    label: str


@dataclass(frozen=True)
class Protocol:
    """One way to ask.

    `scale` is shown to the listener from its lowest to its highest value. With `kind` "multiple" every stimulus of a
    trial gets a score of its own between the first and the last mark; with "pair" one of the marks says how the second
    stimulus, B, compares with the first, A; with "identify" one says which of the two X is.
    """

    name: ProtocolName
    title: str
    kind: Literal["multiple", "pair", "identify"]
    question: str
    instructions: tuple[str, ...]  # a paragraph each
    scale: tuple[Mark, ...]

    @property
    def lowest(self) -> float:
        return self.scale[0].value

    @property
    def highest(self) -> float:
        return self.scale[-1].value

    def accepts(self, score: float) -> bool:
        """Whether a listener can have given this score."""
        if self.kind == "multiple":
            return self.lowest <= score <= self.highest and float(score).is_integer()
        return any(score == mark.value for mark in self.scale)


_COMPARISON = (
    Mark(-3.0, "much worse"),
    Mark(-2.0, "worse"),
    Mark(-1.0, "slightly worse"),
    Mark(0.0, "about the same"),
    Mark(1.0, "slightly better"),
    Mark(2.0, "better"),
    Mark(3.0, "much better"),
)
_SWITCH = "Both play in step: switch between them as often as you like, and mark a part to hear it again and again."

PROTOCOLS: dict[ProtocolName, Protocol] = {
    "mushra": Protocol(
        "mushra",
        "Sound quality",
        "multiple",
        "How good is each sound, compared with the reference?",
        (
            "Each page plays one recording in several versions. The one called reference is the original; another copy "
            "of it is hidden among the lettered ones.",
            "Give every letter a score from 0 to 100 for its basic audio quality: any difference from the reference "
            "that you hear counts. Whatever you cannot tell from the reference gets 100, so that at least one does.",
            "All versions play in step: switch between them as often as you like, and mark a part to hear it again "
            "and again.",
        ),
        # the borders of the five ranges of BS.1534, and their names in the middle
        (
            Mark(0.0, ""),
            Mark(10.0, "bad"),
            Mark(20.0, ""),
            Mark(30.0, "poor"),
            Mark(40.0, ""),
            Mark(50.0, "fair"),
            Mark(60.0, ""),
            Mark(70.0, "good"),
            Mark(80.0, ""),
            Mark(90.0, "excellent"),
            Mark(100.0, ""),
        ),
    ),
    "cmos-q": Protocol(
        "cmos-q",
        "Quality of speech",
        "pair",
        "How is the quality of B, compared with A?",
        (
            "Each page plays one sentence in two versions. Compare their quality: how clear they are, and how much "
            "of the high-frequency detail is there.",
            "Leave out everything else: do not mind how fast the sentence is spoken, where it pauses and how it is "
            "pitched.",
            _SWITCH,
        ),
        _COMPARISON,
    ),
    "cmos-p": Protocol(
        "cmos-p",
        "Prosody of speech",
        "pair",
        "How natural is the prosody of B, compared with A?",
        (
            "Each page plays one sentence in two versions. Compare their prosody: the rate of speech, the pauses and "
            "the pitch.",
            "Leave out everything else: do not mind how clear the sound is, or whether it hisses or is dull.",
            _SWITCH,
        ),
        _COMPARISON,
    ),
    "ab": Protocol(
        "ab",
        "Preference",
        "pair",
        "Which do you prefer?",
        ("Each page plays one recording in two versions. Say which one you would rather listen to.", _SWITCH),
        (Mark(-1.0, "A"), Mark(0.0, "no preference"), Mark(1.0, "B")),
    ),
    "abx": Protocol(
        "abx",
        "Can you hear the difference?",
        "identify",
        "Which one is X?",
        (
            "Each page plays one recording in two versions, A and B, and one of them once more as X. Say which one X "
            "is; if you cannot tell, guess.",
            _SWITCH,
        ),
        (Mark(-1.0, "X is A"), Mark(1.0, "X is B")),
    ),
}
