"""What both web applications share: headers, hosts, sizes of requests, and tokens against forged ones.

No `from __future__ import annotations` in files with routes: FastAPI reads the types.
"""

import secrets
from contextlib import suppress
from pathlib import Path

from itsdangerous import BadSignature, Signer
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STATIC = Path(__file__).parent / "static"
CSRF_HEADER = "x-csrf-token"
_MOST_BYTES = 2**16

# Nothing from elsewhere, nothing inline, no frames around us. Sounds are fetched, and decoded by scripts.
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",  # a personal link is a secret
    "x-content-type-options": "nosniff",
}


def templates() -> Jinja2Templates:
    """The pages; everything that is put into them is escaped."""
    return Jinja2Templates(directory=Path(__file__).parent / "templates")


def static_files() -> ASGIApp:
    """static/ as an application: asked for each time and sent if it changed, so that modules fit each other."""
    files = StaticFiles(directory=_STATIC)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_revalidated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["cache-control"] = "no-cache"
            await send(message)

        await files(scope, receive, send_revalidated)

    return app


class Guarded:
    """An application behind the checks that every request goes through.

    421 for a host that is not one of `hosts` (a page elsewhere may have a name of its own that leads here); 413 for
    a body above 64 KiB, declared or not, or above what `larger` has for the beginning of the path. Every answer has
    headers that keep the page to itself, and is not cached unless it says otherwise.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], larger: dict[str, int] | None = None) -> None:
        self.app = app
        self.hosts = hosts
        self.larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
                answer.setdefault("cache-control", "no-store")
            await send(message)

        if not self._knows(headers.get("host", "")):
            refusal = JSONResponse({"error": "this server has another name; --url says by which it is called"}, 421)
            await refusal(scope, receive, send_with_headers)
            return
        most = next((size for start, size in self.larger.items() if scope["path"].startswith(start)), _MOST_BYTES)
        declared = headers.get("content-length", "")
        too_large = JSONResponse({"error": f"that is larger than {most // 1024} KiB"}, 413)
        if declared.isdigit() and int(declared) > most:
            await too_large(scope, receive, send_with_headers)
            return
        received, started = 0, False

        async def receive_up_to_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise _TooLargeError
            return message

        async def send_and_note(message: Message) -> None:
            nonlocal started
            if received > most and not started:
                return  # the application's own answer, that something went wrong
            started = True
            await send_with_headers(message)

        with suppress(_TooLargeError):
            await self.app(scope, receive_up_to_limit, send_and_note)
        if received > most and not started:
            await too_large(scope, receive, send_with_headers)

    def _knows(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        return name.strip("[]").lower() in self.hosts


class _TooLargeError(Exception):
    """A body that went on beyond its limit."""


class Csrf:
    """Tokens that only a page of ours can know: a subject (a listener, the demo), signed."""

    def __init__(self, key: str) -> None:
        self._signer = Signer(key, salt="q2d2.csrf")

    def token(self, subject: str) -> str:
        return self._signer.sign(subject).decode()

    def check(self, token: str | None, subject: str) -> bool:
        """Whether this is the token of this subject."""
        try:
            return secrets.compare_digest(self._signer.unsign(token or ""), subject.encode())
        except BadSignature:
            return False
