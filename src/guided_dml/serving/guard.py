"""Who is answered: programs and pages of this machine, and nobody too large or too slow."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes of an image's file, and seconds that it may take to come.
BYTES, SECONDS = 20_000_000, 60

#: What this machine is called from its own browser. Under another name a foreign page may have
#: come here ("DNS rebinding"), and would read the answers as if they were its own.
HOSTS = {"127.0.0.1", "localhost", "::1"}

#: Of every answer: it is for now, for our own pages, and no page runs or loads what is not ours.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses requests that come through foreign pages, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wrong = _refusal(Headers(scope=scope))

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = JSONResponse({"error": wrong}, 403) if wrong else self._app
        await answer(scope, receive, send_on)


def _refusal(headers: Headers) -> str:
    """Return why a request is refused; nothing if it is not."""
    host, origin = headers.get("host", ""), headers.get("origin")
    try:
        local = urlsplit(f"//{host}").hostname in HOSTS
        own = origin is None or urlsplit(origin).netloc == host
    except ValueError:
        local = own = False
    if not local:
        return "this server is for its own machine: ask 127.0.0.1 or localhost"
    return "" if own else "pages of other addresses are not answered"


async def read_body(request: Request) -> bytes:
    """Return the content of a request, which is given up as soon as it is too large.

    Raises:
        HTTPException: It is too large, or comes too slowly.
    """
    too_large = HTTPException(413, f"more than {BYTES:,} bytes: make the image smaller")
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                if len(body) + len(part) > BYTES:
                    raise too_large
                body += part
    except TimeoutError as error:
        raise HTTPException(408, f"the image did not come within {SECONDS} s") from error
    return bytes(body)
