"""An application on a port, until it is interrupted. Knows uvicorn and sockets, not what is served."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from q2d2.console import UsageError
from q2d2.opening import FileError

_LOCAL = ("127.0.0.1", "localhost", "::1")
_EVERYWHERE = ("", "0.0.0.0", "::")
_KEPT_ALIVE_S = 75  # a connection on which nothing is asked: listeners listen for longer than uvicorn's 5 s
_STOP_S = 5.0  # what is still being answered when the server is told to stop gets this long


@dataclass(frozen=True)
class Address:
    """Where a server listens, and how the world calls it."""

    host: str = "127.0.0.1"
    port: int = 8000
    url: str | None = None  # as people type it, where that is something else: behind a proxy, or on a network
    certificate: Path | None = None
    private_key: Path | None = None

    @property
    def base_url(self) -> str:
        """What links begin with, without a slash at the end."""
        if self.url is not None:
            return self.url.rstrip("/")
        scheme = "http" if self.certificate is None else "https"
        host = "127.0.0.1" if self.host in _EVERYWHERE else self.host
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names under which requests are answered: `web.Guarded` refuses all others."""
        named = urlsplit(self.base_url).hostname
        names = (*_LOCAL, *([] if self.host in _EVERYWHERE else [self.host.lower()]), *([named] if named else []))
        return tuple(dict.fromkeys(names))

    def check(self) -> None:
        """UsageError for an address that cannot be one."""
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port {self.port}: give 0 to 65535")
        if self.url is not None:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
                raise UsageError(f"--url {self.url}: give a server, such as https://listen.example.org")
        if (self.certificate is None) != (self.private_key is None):
            raise UsageError("--certificate and --private-key belong together")
        for path in (self.certificate, self.private_key):
            if path is not None and not path.is_file():
                raise FileError(f"{path}: is not a file; give a certificate and its private key as PEM")


def serve(app: ASGIApp, address: Address, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; `ready` is called with the base URL once the port is taken, before any answer.

    FileError where the port cannot be had. Port 0 takes a free one.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        listening = socket.create_server((address.host, address.port), family=family, backlog=2048)
    except OSError as error:
        where = f"{address.host}:{address.port}"
        raise FileError(f"{where}: cannot listen there ({error.strerror}); --port takes another") from error
    with listening:
        # asyncio does this for sockets of its own making only; without it every answer waits 40 ms
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port = listening.getsockname()[1]
        ready(Address(address.host, port, address.url, address.certificate, address.private_key).base_url)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,  # personal links are secrets
            server_header=False,
            ssl_certfile=address.certificate,
            ssl_keyfile=address.private_key,
            timeout_graceful_shutdown=round(_STOP_S),
            timeout_keep_alive=_KEPT_ALIVE_S,
        )
        uvicorn.Server(config).run(sockets=[listening])
