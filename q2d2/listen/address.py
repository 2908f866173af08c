"""Where a server listens, and how the world calls it. Light: the command line makes its options of it.

No `from __future__ import annotations` here: tyro reads the types.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from tyro.conf import arg

from q2d2.console import UsageError
from q2d2.opening import FileError

_LOCAL = ("127.0.0.1", "localhost", "::1")
_EVERYWHERE = ("", "0.0.0.0", "::")
_PLAIN = "(default: plain http)"


@dataclass(frozen=True)
class Address:
    """Where a server listens, and how the world calls it."""

    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    """where to listen: 0.0.0.0 is every network, and then --url says how it is called there"""
    port: Annotated[int, arg(metavar="PORT")] = 8000
    """0 takes a free one"""
    url: Annotated[str | None, arg(metavar="URL", help_behavior_hint="(default: http://HOST:PORT)")] = None
    """how people reach it, where that is not the address itself: behind a proxy, or on a network"""
    certificate: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint=_PLAIN)] = None
    """PEM file for https"""
    private_key: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint=_PLAIN)] = None
    """its key"""

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
            try:
                parts = urlsplit(self.url)
                is_server = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
            except ValueError:  # half an address in brackets, a port that is no number
                is_server = False
            if not is_server or parts.path.strip("/") or parts.query or parts.fragment:
                raise UsageError(f"--url {self.url}: give a server, such as https://listen.example.org")
        if (self.certificate is None) != (self.private_key is None):
            raise UsageError("--certificate and --private-key belong together")
        for path in (self.certificate, self.private_key):
            if path is not None and not path.is_file():
                raise FileError(f"{path}: is not a file; give a certificate and its private key as PEM")
        if self.certificate is not None:
            try:
                ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self.certificate, self.private_key)
            except (ssl.SSLError, OSError) as error:
                both = f"{self.certificate} and {self.private_key}"
                raise FileError(f"{both}: are no certificate and its private key as PEM ({error})") from error
