"""The page and the API of one model, as an ASGI application."""

from __future__ import annotations

import ctypes
import json
from contextlib import suppress
from importlib.resources import files
from io import BytesIO
from typing import Annotated, Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from PIL import Image
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from guided_dml.blocks import InferenceParameters
from guided_dml.errors import InputError, known
from guided_dml.inference.images import FORMATS
from guided_dml.serving.guard import Guard, read_body
from guided_dml.serving.model import ServedModel, data_url, png

#: Pixels from which an image is large: one of these at a time is decoded, 4 bytes a pixel or more.
LARGE = 4_000_000

#: Images that may wait at once: so many files are held in memory, at most.
WAITING = 32

#: Neighbours that may be asked for, at most; more only if they are the project's default.
MOST = 100

#: The files of the pages by their addresses; dots are drawn as on the project's other pages.
WEB = {
    "/": ("serving/web/page.html", "text/html"),
    "/page.css": ("serving/web/page.css", "text/css"),
    "/page.js": ("serving/web/page.js", "text/javascript"),
    "/raster.js": ("figures/web/raster.js", "text/javascript"),
    "/map.js": ("serving/web/map.js", "text/javascript"),
    "/docs": ("serving/web/docs.html", "text/html"),
    "/docs.js": ("serving/web/docs.js", "text/javascript"),
}


class Failure(BaseModel):
    """Why there is no answer."""

    error: str


class Health(BaseModel):
    """What is served."""

    status: str
    model: str
    version: str = Field(description="Of the export.")
    gallery_images: int
    validation_images: int = Field(
        description="Of so many no p-value is below 1 / (validation_images + 1)."
    )
    k: int = Field(description="Neighbours that are told where nothing else is asked for.")
    alpha: float = Field(description="Likewise.")


class Answer(BaseModel):
    """What the model says of an image."""

    label: str = Field(description="The class of most of the k nearest training images.")
    confidence: float = Field(description="The share of them that are of this class.")
    distance: float = Field(description="To the nearest image that the network learned from.")
    p_value: float = Field(description="Share of known images that lie as far or farther.")
    known: bool = Field(description="Whether p_value > alpha.")
    neighbours: list[str] = Field(description="Files of the k nearest training images.")
    neighbour_labels: list[str] = Field(description="Their classes.")
    neighbour_numbers: list[int] = Field(description="Their n in /neighbours/{n}.")
    distances: list[float] = Field(description="To each of them.")
    embedding: list[float] = Field(description="The image's own.")
    place: list[float] = Field(description="x and y on the map.")
    model: str
    version: str
    seen: str | None = Field(None, description="What the network sees, a PNG as data URL, if asked")


class Answering:
    """Computes answers, a bounded number at a time."""

    def __init__(self, model: ServedModel, threads: int) -> None:
        """Compute up to ``threads`` answers at once."""
        self._model, self._waiting = model, 0
        self._small, self._large = CapacityLimiter(threads), CapacityLimiter(1)

    async def answer(self, request: Request, k: int, alpha: float, seen: bool) -> dict[str, Any]:
        """Return what is said of the image in a request's body.

        Raises:
            HTTPException: It is too large or too slow, or too many others wait.
            InputError: It cannot be read.
        """
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise HTTPException(415, "send the image's bytes as they are, not a form with a file")
        if self._waiting >= WAITING:
            raise HTTPException(503, "too many images wait; send it again", {"Retry-After": "1"})
        self._waiting += 1
        try:
            body = await read_body(request)
            large = await run_sync(_pixel_count, body, limiter=self._small) > LARGE
            limiter = self._large if large else self._small
            read = self._read_large if large else self._model.predictor.read
            image = await run_sync(read, body, limiter=limiter)
            del body
            told = await run_sync(self._model.answer, image, k, alpha, limiter=self._small)
        finally:
            self._waiting -= 1
        return told | {"seen": data_url(png(image)) if seen else None}

    def _read_large(self, content: bytes) -> Any:
        try:
            return self._model.predictor.read(content)
        finally:
            with suppress(AttributeError, OSError):  # (other systems' C libraries give back)
                ctypes.CDLL(None).malloc_trim(0)


def _pixel_count(content: bytes) -> int:
    with suppress(Exception):  # (what is wrong with it is said when it is read)
        width, height = Image.open(BytesIO(content), formats=FORMATS).size
        return width * height
    return 0


def create_app(model: ServedModel, defaults: InferenceParameters, threads: int) -> ASGIApp:
    """Return the application.

    Args:
        model: What is served.
        defaults: k and alpha, where a request names none.
        threads: Answers that are computed at once.
    """
    app = FastAPI(
        title=model.name,
        version=model.version,
        description="What a trained network says of images. Nothing is stored.",
        docs_url=None,
        redoc_url=None,
    )
    _add_failures(app)
    _add_predict(app, Answering(model, threads), defaults)
    _add_pages(app, model)

    @app.get("/health", summary="Whether the server runs, and what it serves")
    async def health() -> Health:
        return Health(
            status="ok",
            model=model.name,
            version=model.version,
            gallery_images=len(model),
            validation_images=len(model.predictor.calibration),
            k=defaults.k,
            alpha=defaults.alpha,
        )

    return Guard(app)


FAILURES: dict[int | str, str] = {
    400: "the image cannot be read, or a parameter is not known",
    403: "asked by a page of another address",
    408: "the image came too slowly",
    413: "the file is too large",
    415: "a form in place of an image",
    422: "k, alpha or seen is not as allowed",
    503: "too many images wait",
}


def _add_predict(app: FastAPI, answering: Answering, defaults: InferenceParameters) -> None:
    """Let the app answer."""
    image = {"schema": {"type": "string", "format": "binary"}}

    @app.post(
        "/predict",
        response_model=Answer,
        summary="What the model says of an image: the body is a PNG, JPEG or WebP file",
        responses={code: {"model": Failure, "description": why} for code, why in FAILURES.items()},
        openapi_extra={"requestBody": {"required": True, "content": {"image/*": image}}},
    )
    async def predict(
        request: Request,
        k: int = Query(defaults.k, ge=1, le=max(MOST, defaults.k), description="Neighbours."),
        alpha: Annotated[
            float, Query(ge=0, lt=1, description="Known images that may be taken for unknown.")
        ] = defaults.alpha,
        seen: Annotated[bool, Query(description="Return what the network sees.")] = False,
    ) -> Response:
        known("parameter", request.query_params, ["k", "alpha", "seen"])
        told = await answering.answer(request, k, alpha, seen)
        # (in ASCII: names of files may hold what UTF-8 cannot)
        return Response(json.dumps(told), media_type="application/json")


def _add_pages(app: FastAPI, model: ServedModel) -> None:
    """Let the app show the page, and what it needs."""
    package, points = files("guided_dml"), model.map()
    for path, (name, kind) in WEB.items():
        content = package.joinpath(name).read_bytes()

        async def show(_: Request, content: bytes = content, kind: str = kind) -> Response:
            return Response(content, media_type=kind)

        app.add_route(path, show, include_in_schema=False)

    @app.get("/map", include_in_schema=False)
    async def map_() -> Response:
        return Response(points, media_type="application/json")

    @app.get(
        "/neighbours/{n}",
        summary="A training image, small, as PNG",
        response_class=Response,
        responses={
            200: {"content": {"image/png": {}}},
            404: {"model": Failure, "description": "there is no such training image"},
            422: {"model": Failure, "description": "n is no number"},
        },
    )
    def neighbour(n: int) -> Response:
        if not 0 <= n < len(model):
            raise HTTPException(404, f"there is no training image {n}; 0 to {len(model) - 1}")
        return Response(model.thumbnail(n), media_type="image/png")


def _add_failures(app: FastAPI) -> None:
    """Let every failure be one clear sentence in JSON; of our own faults the log has more."""

    @app.exception_handler(InputError)
    async def unreadable(_: Request, error: InputError) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, error: StarletteHTTPException) -> Response:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def wrong_parameter(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        allowed = first["msg"].replace("Input should be ", "must be ")
        message = f"{first['loc'][-1]}: {first['input']!r:.80} given; {allowed}"
        return JSONResponse({"error": message}, 422)

    @app.exception_handler(ClientDisconnect)
    async def gone(*_: Any) -> Response:
        return Response(status_code=400)

    @app.exception_handler(Exception)
    async def ours(*_: Any) -> Response:
        return JSONResponse({"error": "an unexpected error; the server's log says more"}, 500)
