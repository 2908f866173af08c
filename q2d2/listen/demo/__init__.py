"""The demo page: a clip or the microphone through the codec, at every rate, to hear and to see.

`application` is the server, `clips` what it keeps, `making` the work, `reading` the opening of strangers' files,
`drawing` the numbers of the pictures. Names are imported when they are used: `reading` runs in a process that has no
room for torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from q2d2.listen.demo.application import create_app
    from q2d2.listen.demo.limits import Limits

__all__ = ["Limits", "create_app"]


def __getattr__(name: str) -> object:
    if name == "create_app":
        from q2d2.listen.demo.application import create_app

        return create_app
    if name == "Limits":
        from q2d2.listen.demo.limits import Limits

        return Limits
    raise AttributeError(f"module 'q2d2.listen.demo' has no attribute {name!r}")
