"""sse-starlette: numbered events that go on where the browser was, a stream that is silent, one that ends by itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

PAGE = """<!doctype html><script>
var seen = [], workers = [];
var source = new EventSource("/numbers");
source.onmessage = (event) => {
  seen.push(Number(event.lastEventId));
  if (workers.at(-1) != event.data) workers.push(event.data);
};
</script>"""


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    print("the lifespan has ended", flush=True)


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def numbers(request: Request) -> EventSourceResponse:
    async def events(number: int) -> AsyncIterator[dict[str, Any]]:
        try:
            while True:
                number += 1
                yield {"id": str(number), "data": str(os.getpid()), "retry": 20}
                await asyncio.sleep(0.02)
        finally:
            print("numbers have ended", flush=True)

    return EventSourceResponse(events(int(request.headers.get("Last-Event-ID", 0))))


async def silent(request: Request) -> EventSourceResponse:
    async def events() -> AsyncIterator[dict[str, Any]]:
        try:
            yield {"data": "hello"}
            await asyncio.Event().wait()
        finally:
            print("silence has ended", flush=True)

    return EventSourceResponse(events(), ping=float(request.query_params.get("ping", 15)))


async def finite(request: Request) -> EventSourceResponse:
    async def events() -> AsyncIterator[str]:
        for number in range(3):
            yield str(number)

    return EventSourceResponse(events())


application = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", page),
        Route("/numbers", numbers),
        Route("/silent", silent),
        Route("/finite", finite, methods=["GET", "POST"]),
    ],
)
