"""What a listener or their browser gets instead of an answer: one plain sentence, as a page or as JSON.

Nothing of what went on inside is said. No `from __future__ import annotations`: Starlette looks at handlers.
"""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from q2d2.listen.web import templates

_SAID = {
    404: "There is no such page. If you were given a personal link, look whether it is complete.",
    405: "That cannot be done here.",
    500: "Something went wrong on the server. What was saved is still there; please try again.",
}


def add_refusals(app: FastAPI) -> None:
    """Every error of the application as a sentence."""
    pages = templates()

    def refuse(request: Request, status: int, sentence: str) -> Response:
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return pages.TemplateResponse(request, "rating_refusal.html", {"sentence": sentence}, status_code=status)
        return JSONResponse({"error": sentence}, status)

    async def of_status(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return refuse(request, error.status_code, _SAID.get(error.status_code, error.detail))

    async def of_input(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return refuse(request, 422, f"{first['loc'][-1]}: {first['msg']}")

    async def of_failure(request: Request, error: Exception) -> Response:
        return refuse(request, 500, _SAID[500])

    app.add_exception_handler(HTTPException, of_status)
    app.add_exception_handler(RequestValidationError, of_input)
    app.add_exception_handler(Exception, of_failure)
