"""Litestar: routes of both kinds, a stream, a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.response import Stream


@get("/hello", sync_to_thread=False)
def hello(request: Request[Any, Any, Any]) -> dict[str, str]:
    return {"hello": request.query_params["name"]}


@post("/sum")
async def total(request: Request[Any, Any, Any]) -> dict[str, int]:
    return {"sum": sum(await request.json())}


@get("/stream")
async def stream() -> Stream:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(3):
            yield f"{number}\n".encode()

    return Stream(parts())


@websocket("/ws")
async def ws(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text((await socket.receive_text()).upper())
    await socket.close(code=4000, reason="done")


application = Litestar([hello, total, stream, ws])
