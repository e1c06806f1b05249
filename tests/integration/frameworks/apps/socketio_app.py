"""python-socketio: events, acknowledgements, rooms."""

from __future__ import annotations

from typing import Any

import socketio

server = socketio.AsyncServer(async_mode="asgi")


@server.event  # type: ignore[untyped-decorator]
async def add(sid: str, data: dict[str, int]) -> int:
    return data["a"] + data["b"]


@server.event  # type: ignore[untyped-decorator]
async def shout(sid: str, text: str) -> None:
    await server.emit("heard", text.upper())


application: Any = socketio.ASGIApp(server)
