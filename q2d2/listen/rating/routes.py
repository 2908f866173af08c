"""What a listener's browser may ask for.

No `from __future__ import annotations`: FastAPI reads the types. Handlers that reach the database are plain functions,
which FastAPI runs in threads.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Header, HTTPException, Request, Response
from pydantic import BaseModel, Field

from q2d2.listen.rating.links import Links
from q2d2.listen.rating.newest import Newest
from q2d2.listen.rating.progress import Place, Progress, Sheet
from q2d2.listen.rating.views import sheet_view
from q2d2.listen.store import ClosedError, Rater, Score, UnknownRaterError
from q2d2.listen.study import audio_path
from q2d2.listen.web import CSRF_HEADER, Csrf, templates

_MOST_PLAYS = 1_000_000
_MOST_SECONDS = 1e7
_LONGEST_COMMENT = 2000

_pages = templates()
router = APIRouter()


class Site(NamedTuple):
    """What all requests share."""

    folder: Path
    progress: Progress
    links: Links
    csrf: Csrf
    newest: Newest


class Listener:
    """Who asks: a number that we have signed."""

    def __init__(self, site: Site, number: int) -> None:
        self.site = site
        self.number = number

    @cached_property
    def rater(self) -> Rater:
        """What the store knows of them; a number that is nobody's any more leads nowhere."""
        try:
            return self.site.progress.store.rater(self.number)
        except UnknownRaterError as error:
            raise HTTPException(404) from error

    @property
    def place(self) -> Place:
        return self.site.progress.place(self.rater)


class Answer(BaseModel):
    """A place on the scale, and how often the sound was heard (of a choice: all sounds)."""

    score: Annotated[float, Field(strict=True)]
    plays: Annotated[int, Field(strict=True, ge=0, le=_MOST_PLAYS)] = 0


class AnswerBody(Answer):
    """One that is saved at once: which window sent it, and which of its changes it is."""

    window: Annotated[str, Field(max_length=40)] = ""
    change: Annotated[int, Field(ge=0)] = 0


class SubmitBody(BaseModel):
    """A finished page: all that it shows, so that nothing else is kept."""

    answers: dict[str, Answer]
    seconds: Annotated[float, Field(ge=0, le=_MOST_SECONDS)]
    comment: Annotated[str, Field(max_length=_LONGEST_COMMENT)] = ""


# Both look at signatures only, and so need no thread: each change of threads costs as much as a query.


async def find_listener(request: Request, token: str) -> Listener:
    """Whose link this is; a link that is nobody's leads nowhere."""
    site: Site = request.app.state.site
    number = site.links.number(token)
    if number is None:
        raise HTTPException(404)
    return Listener(site, number)


Reads = Annotated[Listener, Depends(find_listener)]


async def find_writer(listener: Reads, csrf_token: Annotated[str | None, Header(alias=CSRF_HEADER)] = None) -> Listener:
    """The same, of a request that changes something: only our own page knows how to send it."""
    if not listener.site.csrf.check(csrf_token, str(listener.number)):
        raise HTTPException(403, "That did not come from the page of this test; reload it and try again.")
    return listener


Writes = Annotated[Listener, Depends(find_writer)]


def current_sheet(listener: Listener, number: int) -> Sheet:
    """The page that a listener is on; 409 for any other: an old tab, or one that is ahead of the server."""
    if listener.place != Place("trial", number):
        raise HTTPException(409, "You are on another page of this test by now, perhaps in another window.")
    return listener.site.progress.sheet(listener.rater, number)


@router.get("/healthz")
async def healthz() -> dict[str, bool]:
    return {"ok": True}


@router.get("/")
def front(request: Request) -> Response:
    """For whoever comes without a link."""
    sentence = "This is a listening test. To take part, open the personal link that you were given."
    return _pages.TemplateResponse(request, "rating_refusal.html", {"sentence": sentence})


@router.get("/r/{token}")
def show(request: Request, listener: Reads, practice: int = 1) -> Response:
    """The page on which the listener is; `practice` leafs through the training."""
    progress, rater, place = listener.site.progress, listener.rater, listener.place
    seen: dict[str, object] = {
        "study": progress.study,
        "csrf": listener.site.csrf.token(str(rater.number)),
        "pages": len(progress.study.trials),
    }
    if place.step == "training":
        sheets = progress.training(rater)
        sheet = sheets[min(max(practice, 1), len(sheets)) - 1]
        seen |= sheet_view(progress.study, sheet, {}) | {"practice": len(sheets)}
    elif place.step == "trial":
        sheet = progress.sheet(rater, place.number)
        seen |= sheet_view(progress.study, sheet, progress.given(rater, sheet)) | {"practice": 0}
    elif place.step == "thanks":
        progress.store.finish(rater.number)  # in case the server was stopped right after the last page
    name = {"welcome": "welcome", "training": "sheet", "trial": "sheet", "thanks": "thanks"}[place.step]
    return _pages.TemplateResponse(request, f"rating_{name}.html", seen)


@router.get("/r/{token}/audio/{label}/{sound}")
def audio(listener: Reads, label: str, sound: str) -> Response:
    """A sound of the page on which the listener is, or of the training: nobody listens ahead."""
    progress, rater, place = listener.site.progress, listener.rater, listener.place
    sheets = progress.training(rater) if place.step == "training" else []
    if place.step == "trial":
        sheets = [progress.sheet(rater, place.number)]
    sheet = next((sheet for sheet in sheets if sheet.label == label), None)
    if sheet is None:
        raise HTTPException(403, "That is not on the page where you are.")
    file = sheet.file(sound)
    if file is None:
        raise HTTPException(404)
    return Response(audio_path(listener.site.folder, file).read_bytes(), media_type="audio/wav")


@router.post("/r/{token}/start", status_code=204)
def start(listener: Writes) -> None:
    """The welcome was read."""
    listener.site.progress.store.start(listener.rater.number)


@router.post("/r/{token}/trained", status_code=204)
def trained(listener: Writes) -> None:
    """The training was heard."""
    if listener.place.step == "welcome":
        raise HTTPException(409, "The test was not started yet.")
    listener.site.progress.store.finish_training(listener.rater.number)


@router.put("/r/{token}/pages/{number}/answers/{asked}", status_code=204)
def put_answer(listener: Writes, number: int, asked: str, body: AnswerBody) -> None:
    """The score of a letter, where each has one of its own; else "choice", how B compares with A, or which one X is."""
    progress, rater = listener.site.progress, listener.number
    sheet = current_sheet(listener, number)
    if asked not in progress.asked(sheet):
        raise HTTPException(404)
    given = _checked(progress, sheet, asked, body)
    with listener.site.newest.turn(rater, number, asked, body.window, body.change) as is_newest:
        if not is_newest:
            return
        try:
            progress.store.save(rater, sheet.page.trial, *given)
        except ClosedError as error:
            raise _closed() from error


@router.post("/r/{token}/pages/{number}/submit", status_code=204)
def submit(listener: Writes, number: int, body: SubmitBody) -> None:
    """The page is finished, for good."""
    progress, rater = listener.site.progress, listener.number
    sheet = current_sheet(listener, number)
    if set(body.answers) != set(progress.asked(sheet)):
        raise HTTPException(409, "Not everything on this page is rated yet.")
    scores = [_checked(progress, sheet, asked, answer) for asked, answer in body.answers.items()]
    try:
        progress.store.submit(rater, sheet.page.trial, body.seconds, body.comment, scores)
    except ClosedError as error:
        raise _closed() from error
    if listener.place.step == "thanks":
        progress.store.finish(rater)


def _checked(progress: Progress, sheet: Sheet, asked: str, answer: Answer) -> Score:
    """As it is stored; 422 for what is not on the scale."""
    protocol = progress.study.protocol
    if not protocol.accepts(answer.score):
        raise HTTPException(
            422, f"{answer.score:g} is not on the scale from {protocol.lowest:g} to {protocol.highest:g}."
        )
    return progress.answered(sheet, asked, answer.score, answer.plays)


def _closed() -> HTTPException:
    return HTTPException(409, "This page was submitted before.")
