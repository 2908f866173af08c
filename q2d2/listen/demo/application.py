"""The demo's server: takes clips, says how far they are, and hands out what has become of them.

Every clip has a random name of its own and no list is kept that a page could ask for: who sent it alone can fetch it.
No `from __future__ import annotations` here: FastAPI reads the types.
"""

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

import anyio
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from q2d2.codec import Codec
from q2d2.listen.demo.clips import Clip, FullError, Shelf
from q2d2.listen.demo.limits import Limits
from q2d2.listen.demo.worker import Worker
from q2d2.listen.web import CSRF_HEADER, Csrf, Guarded, static_files, templates

SAMPLE = Path(__file__).parents[2] / "assets" / "clip.flac"
_SUBJECT = "demo"  # nobody has a name here
_TYPES = {".wav": "audio/wav", ".json": "application/json", ".q2d2": "application/octet-stream"}
_GONE = "that clip is no longer kept; send it again"


def create_app(
    codec: Codec, limits: Limits | None = None, hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
) -> ASGIApp:
    """The demo of one codec, as an ASGI application; it keeps everything in a folder that goes with it."""
    demo = _Demo(codec, limits or Limits())
    app = FastAPI(lifespan=demo.lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(StarletteHTTPException, _one_line)
    genuine = [Depends(demo.check_page)]
    app.get("/")(demo.page)
    app.get("/healthz")(demo.health)
    app.post("/clips", status_code=202, dependencies=genuine)(demo.receive)
    app.post("/clips/sample", status_code=202, dependencies=genuine)(demo.take_sample)
    app.get("/clips/{clip_id}")(demo.progress)
    app.get("/clips/{clip_id}/{file}")(demo.file)
    app.mount("/static", static_files())
    return Guarded(app, hosts, larger={"/clips": demo.limits.most_bytes})


async def _one_line(_: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


class _Demo:
    """What the routes share."""

    shelf: Shelf  # from the start of the server to its end, as is `worker`
    worker: Worker

    def __init__(self, codec: Codec, limits: Limits) -> None:
        self.codec, self.limits = codec, limits
        self.rates = codec.rates
        self.csrf = Csrf(secrets.token_hex())
        self.templates = templates()

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="q2d2-demo-") as folder:
            self.shelf = Shelf(Path(folder), self.limits)
            self.worker = Worker(self.codec, self.shelf, self.limits)
            with self.worker:
                yield

    def check_page(self, token: Annotated[str | None, Header(alias=CSRF_HEADER)] = None) -> None:
        if not self.csrf.check(token, _SUBJECT):
            raise HTTPException(403, "this does not come from the demo's page, or the page is old: load it again")

    def page(self, request: Request) -> HTMLResponse:
        bps = {rate: self.codec.bitrate_bps(pairs) for rate, pairs in self.rates.items()}
        context = {"csrf": self.csrf.token(_SUBJECT), "model": self.codec.config.name, "rates": bps}
        return self.templates.TemplateResponse(request, "demo.html", context | {"limits": self.limits})

    def health(self) -> dict[str, str]:
        return {"status": "ok"}

    async def receive(self, request: Request, name: str = "", rates: str = "") -> dict[str, str]:
        """The body is the file; `rates`: names with commas between, all if there are none."""
        try:
            clip = self._place(name, rates)
        except HTTPException:
            # a browser listens to no answer before it has said all
            with anyio.move_on_after(self.limits.uploading_s), suppress(ClientDisconnect):
                async for _ in request.stream():
                    pass
            raise
        try:
            with anyio.fail_after(self.limits.uploading_s), clip.source.open("wb") as file:
                async for part in request.stream():
                    file.write(part)
                size = file.tell()
        except TimeoutError as error:
            self.shelf.remove(clip)
            raise HTTPException(408, f"{clip.name}: arrives too slowly; send a shorter clip") from error
        except ClientDisconnect as error:
            self.shelf.remove(clip)
            raise HTTPException(400, f"{clip.name}: was broken off; send it again") from error
        except BaseException:
            self.shelf.remove(clip)
            raise
        if not size:
            self.shelf.remove(clip)
            raise HTTPException(400, f"{clip.name}: is empty; choose another file")
        self.worker.put(clip)
        return {"id": clip.id, "name": clip.name}

    def take_sample(self, rates: str = "") -> dict[str, str]:
        """The clip that comes with the package."""
        clip = self._place("sample.flac", rates)
        try:
            shutil.copyfile(SAMPLE, clip.source)
        except BaseException:
            self.shelf.remove(clip)
            raise
        self.worker.put(clip)
        return {"id": clip.id, "name": clip.name}

    def progress(self, clip_id: str) -> dict[str, str | float | None]:
        return self._clip(clip_id).progress._asdict()

    def file(self, clip_id: str, file: str) -> Response:
        """original.wav, RATE.wav, RATE.q2d2 or picture.json."""
        clip = self._clip(clip_id)
        path = clip.files.get(file)
        if path is None:
            raise HTTPException(404, "there is no such file, or not yet")
        if not path.is_file():  # it has just been dropped
            raise HTTPException(404, _GONE)
        disposition = f'attachment; filename="{clip.download_name(file)}"'
        # bit by bit: whoever is slow to read it takes no memory
        return FileResponse(path, media_type=_TYPES[path.suffix], headers={"content-disposition": disposition})

    def _place(self, name: str, rates: str) -> Clip:
        chosen = tuple(dict.fromkeys(rates.split(","))) if rates else tuple(self.rates)
        if unknown := [rate for rate in chosen if rate not in self.rates]:
            raise HTTPException(400, f"there is no rate {unknown[0][:20]!r}: choose from {', '.join(self.rates)}")
        try:
            # in the codec's order, lowest first
            return self.shelf.add(name, tuple(rate for rate in self.rates if rate in chosen))
        except FullError as error:
            raise HTTPException(503, "too many clips are waiting; try again in a minute") from error

    def _clip(self, clip_id: str) -> Clip:
        clip = self.shelf.get(clip_id)
        if clip is None:
            raise HTTPException(404, _GONE)
        return clip
