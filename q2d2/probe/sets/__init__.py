"""The labelled sets, each read as it is when unpacked: the twelve of ARCH, and one for data of one's own."""

from q2d2.probe.labelled import LabelledSet, ProbeError
from q2d2.probe.sets import folders, music, sounds, speech

__all__ = ["SETS", "labelled_set"]

SETS: dict[str, LabelledSet] = {
    each.name: each
    for each in (
        speech.RAVDESS,
        speech.SLURP,
        speech.EMOVO,
        speech.AUDIO_MNIST,
        sounds.ESC50,
        sounds.US8K,
        sounds.FSD50K,
        sounds.VIVAE,
        music.FMA_SMALL,
        music.MAGNATAGATUNE,
        music.IRMAS,
        music.MEDLEY_SOLOS,
        folders.FOLDERS,
    )
}


def labelled_set(name: str) -> LabelledSet:
    """The set of this name; ProbeError lists those that there are."""
    if name not in SETS:
        raise ProbeError(f"there is no set {name!r}: give one of {', '.join(SETS)}")
    return SETS[name]
