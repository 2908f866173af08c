"""An application on a port, until it is interrupted. Knows uvicorn and sockets, not what is served."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvicorn
from starlette.types import ASGIApp

from q2d2.listen.address import Address
from q2d2.opening import FileError

_KEPT_ALIVE_S = 75  # a connection on which nothing is asked: listeners listen for longer than uvicorn's 5 s
_STOP_S = 5.0  # what is still being answered when the server is told to stop gets this long


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
        ready(replace(address, port=port).base_url)
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
        with _hang_up_ends():
            uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def _hang_up_ends() -> Iterator[None]:
    """A terminal that closes ends the server as an interrupt does, so that it can clean up."""
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(hang_up, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(hang_up, before)
