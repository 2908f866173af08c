"""The application of one study: its routes, its static files and its guard."""

from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from q2d2.listen.rating.links import Links
from q2d2.listen.rating.newest import Newest
from q2d2.listen.rating.progress import Progress
from q2d2.listen.rating.refusals import add_refusals
from q2d2.listen.rating.routes import Site, router
from q2d2.listen.store import Store
from q2d2.listen.study import Study, audio_path, key, load
from q2d2.listen.web import Csrf, Guarded, static_files
from q2d2.opening import FileError


def create_app(study_folder: Path, store: Store, hosts: tuple[str, ...] = ("127.0.0.1", "localhost")) -> ASGIApp:
    """An ASGI application for the listeners of the study in a folder, under the names `hosts`.

    FileError for a folder without a study, with sounds missing, or a store that holds another study's ratings.
    The store stays open and is closed by whoever opened it.
    """
    study = load(study_folder)
    _check_sounds(study_folder, study)
    store.bind(study.study_id)
    signing_key = key(study_folder)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.site = Site(study_folder, Progress(study, store), Links(signing_key), Csrf(signing_key), Newest())
    app.include_router(router)
    app.mount("/static", static_files())
    add_refusals(app)
    return Guarded(app, hosts)


def _check_sounds(folder: Path, study: Study) -> None:
    """Rather now than before a listener."""
    for trial in (*study.training, *study.trials):
        for file in (*trial.stimuli.values(), *([trial.reference] if trial.reference else [])):
            if not audio_path(folder, file).is_file():
                raise FileError(f"{audio_path(folder, file)}: is missing, and {folder} needs it; copy the whole study")
