"""A listener's personal link: their number, signed with the study's key, so that nobody makes up another's.

Whoever has the link is that listener: there are no passwords and no cookies.
"""

from __future__ import annotations

from pathlib import Path

from itsdangerous import BadData, URLSafeSerializer

from q2d2.listen.study import key

_SALT = "q2d2.rater"


class Links:
    """Numbers of listeners <-> tokens of links."""

    def __init__(self, signing_key: str) -> None:
        self._serializer = URLSafeSerializer(signing_key, salt=_SALT)

    def token(self, number: int) -> str:
        return str(self._serializer.dumps(number))

    def number(self, token: str) -> int | None:
        """Whose token this is; None for one that is not of our making, to the last letter."""
        try:
            number = self._serializer.loads(token)
        except BadData:
            return None
        # the last letter of base64 has bits that mean nothing, and several letters would do
        return number if type(number) is int and self.token(number) == token else None


def link(study_folder: Path, rater_number: int, base_url: str = "http://127.0.0.1:8000") -> str:
    """What a listener opens; FileError for a folder without the key of a study."""
    return f"{base_url.rstrip('/')}/r/{Links(key(study_folder)).token(rater_number)}"
