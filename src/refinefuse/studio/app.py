"""The HTTP interface of the studio. Names in requests are only looked up, never used as paths."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

import refinefuse
from refinefuse.studio.guard import Guard
from refinefuse.studio.jobs import Job, RefusedError, Slot
from refinefuse.studio.options import Kind, Options
from refinefuse.studio.runner import Runner
from refinefuse.studio.views import LAYERS, SOURCES
from refinefuse.weights.store import shipped

PAGE = Path(__file__).parent / "page"
_EXTRAS = {
    "volumes": ("nibabel", "pydicom"),
    "videos": ("av",),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
}
_PAGE_FILES = {
    "studio.html": "text/html",
    "studio.js": "text/javascript",
    "studio.css": "text/css",
    "licenses.txt": "text/plain",
}


def create_app(runner: Runner, token: str = "") -> FastAPI:
    """Create the application.

    Args:
        runner: runner of the jobs.
        token: token required from every browser; empty means none.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runner.start()
        yield
        await runner.close()

    app = FastAPI(title="RefineFuse studio", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.runner = runner
    app.include_router(_routes)
    app.add_middleware(Guard, token=token)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unknown)
    return app


def _runner(request: Request) -> Runner:
    runner: Runner = request.app.state.runner
    return runner


def _owner(request: Request) -> str:
    return str(request.scope["session"])


Jobs = Annotated[Runner, Depends(_runner)]
Owner = Annotated[str, Depends(_owner)]


def _job(identity: str, runner: Jobs, owner: Owner) -> Job:
    return runner.store.get(owner, identity)


OwnJob = Annotated[Job, Depends(_job)]
_routes = APIRouter()


@_routes.get("/api/info")
async def _info(runner: Jobs) -> dict[str, Any]:
    """Return the available choices."""
    known = {name: entry.intended_use for name, entry in shipped().items()}
    limits = runner.store.limits
    return {
        "version": refinefuse.__version__,
        "weights": [{"name": name, "use": known.get(name, "your own")} for name in runner.names()],
        "available": {name: all(map(find_spec, modules)) for name, modules in _EXTRAS.items()},
        "limits": {"upload": limits.upload, "files": limits.files, "hours": limits.hours},
    }


@_routes.get("/api/jobs")
async def _list(runner: Jobs, owner: Owner) -> list[dict[str, Any]]:
    return [_described(runner, job) for job in runner.store.owned(owner)]


@_routes.post("/api/jobs")
async def _create(kind: Kind, runner: Jobs, owner: Owner) -> dict[str, Any]:
    return _described(runner, runner.store.create(owner, kind))


@_routes.get("/api/jobs/{identity}")
async def _show(job: OwnJob, runner: Jobs) -> dict[str, Any]:
    return _described(runner, job)


@_routes.delete("/api/jobs/{identity}", status_code=204)
async def _delete(job: OwnJob, runner: Jobs) -> None:
    await runner.cancel(job)
    runner.store.remove(job)


@_routes.put("/api/jobs/{identity}/files/{slot}", status_code=204)
async def _upload(slot: Slot, name: str, job: OwnJob, runner: Jobs, request: Request) -> None:
    await runner.store.upload(job, slot, name, request.stream())


@_routes.delete("/api/jobs/{identity}/files/{slot}", status_code=204)
async def _clear(slot: Slot, job: OwnJob, runner: Jobs) -> None:
    await runner.cancel(job)
    job.clear(slot)


@_routes.post("/api/jobs/{identity}/swap", status_code=204)
async def _swap(job: OwnJob, runner: Jobs) -> None:
    await runner.cancel(job)
    job.swap()


@_routes.post("/api/jobs/{identity}/start")
async def _start(options: Options, job: OwnJob, runner: Jobs) -> dict[str, Any]:
    await runner.cancel(job)
    runner.enqueue(job, options)
    return _described(runner, job)


@_routes.post("/api/jobs/{identity}/cancel")
async def _cancel(job: OwnJob, runner: Jobs) -> dict[str, Any]:
    await runner.cancel(job)
    return _described(runner, job)


@_routes.get("/api/jobs/{identity}/files/{number}")
async def _download(number: int, job: OwnJob) -> FileResponse:
    files = job.result.get("files", [])
    if not 0 <= number < len(files):
        raise RefusedError(404, "This result does not exist.")
    path = job.folder / "out" / files[number]["name"]
    return FileResponse(path, filename=path.name)


@_routes.get("/api/jobs/{identity}/views/{layer}")
async def _view(layer: str, job: OwnJob) -> FileResponse:
    if layer not in LAYERS or layer not in job.result.get("views", {}):
        raise RefusedError(404, "This image does not exist.")
    return FileResponse(job.folder / "out" / f"view-{layer}.png")


@_routes.get("/api/jobs/{identity}/slices/{source}/{number}")
async def _slice(source: str, number: int, job: OwnJob) -> FileResponse:
    if source not in SOURCES or not 0 <= number < job.result.get("slices", 0):
        raise RefusedError(404, "This slice does not exist.")
    return FileResponse(job.folder / "out" / "slices" / f"{source}-{number}.png")


@_routes.get("/{name}")
async def _page(name: str) -> Response:
    if name not in _PAGE_FILES:
        raise RefusedError(404, "This page does not exist.")
    return FileResponse(PAGE / name, media_type=_PAGE_FILES[name])


@_routes.get("/")
async def _front() -> Response:
    return await _page("studio.html")


def _described(runner: Runner, job: Job) -> dict[str, Any]:
    return job.describe() | {"ahead": runner.ahead(job)}


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RefusedError) else 500
    return JSONResponse({"message": str(error)}, status)


async def _unknown(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"message": "The studio has no page at this address."}, status)


async def _invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    fields = ", ".join(dict.fromkeys(str(one["loc"][-1]) for one in found))
    return JSONResponse({"message": f"The studio does not understand this request: {fields}. Reload the page."}, 422)
