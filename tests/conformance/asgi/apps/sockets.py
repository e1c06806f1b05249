"""WebSockets by path; GET /seen?KEY tells what the app saw, as JSON."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from looks import described, watched

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

seen: defaultdict[str, list[Any]] = defaultdict(list)


class Sockets:
    """One method for each path."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        self.key = scope["query_string"].decode()
        self.seen = seen[self.key]

    async def accept(self, **more: Any) -> None:
        assert (await self.receive()) == {"type": "websocket.connect"}
        await self.send({"type": "websocket.accept", **more})

    async def echo(self) -> None:
        """What comes goes back, until the end, which is noted."""
        await self.accept()
        while True:
            message = await self.receive()
            if message["type"] == "websocket.disconnect":
                self.seen.append([message["code"], message["reason"]])
                return
            await self.send({**message, "type": "websocket.send"})

    async def scope_(self) -> None:
        await self.accept()
        scope = {key: value for key, value in self.scope.items() if key not in ("headers", "state")}
        await self.send({"type": "websocket.send", "text": json.dumps(scope, default=lambda value: value.decode())})

    async def callables(self) -> None:
        await self.accept()
        await self.send({"type": "websocket.send", "text": json.dumps(described(self.receive, self.send))})

    async def subprotocol(self) -> None:
        await self.accept(
            subprotocol=self.scope["subprotocols"][1], headers=[(b"x-greeting", b"hi"), (b"upgrade", b"x")]
        )

    async def bad_header(self) -> None:
        await self.accept(headers=[(b"sec-websocket-protocol", b"x")])

    async def refuses(self) -> None:
        await self.receive()
        await self.send({"type": "websocket.close"})

    async def denies(self) -> None:
        await self.receive()
        headers = [(b"content-type", b"text/plain"), (b"x-why", b"full")]
        await self.send({"type": "websocket.http.response.start", "status": 429, "headers": headers})
        await self.send({"type": "websocket.http.response.body", "body": b"come ", "more_body": True})
        await self.send({"type": "websocket.http.response.body", "body": b"later"})

    async def denies_and_fails(self) -> None:
        start = {"type": "websocket.http.response.start", "status": 429, "headers": [(b"x-why", b"full")]}
        await self.send(start)
        raise ValueError("after the start of a denial")

    async def denies_and_returns(self) -> None:
        await self.send({"type": "websocket.http.response.start", "status": 429, "headers": []})

    async def denies_for_ever(self) -> None:
        """Sends more than its Content-Length until send() raises."""
        await self.receive()
        headers = [(b"content-length", b"4")]
        await self.send({"type": "websocket.http.response.start", "status": 429, "headers": headers})
        try:
            while True:
                await self.send({"type": "websocket.http.response.body", "body": b"ab", "more_body": True})
        except RuntimeError as error:
            self.seen.append(str(error))
            raise

    async def raises(self) -> None:
        raise ValueError("before accept")

    async def returns(self) -> None:
        return

    async def raises_after(self) -> None:
        await self.accept()
        raise ValueError("after accept")

    async def returns_after(self) -> None:
        await self.accept()

    async def closes(self) -> None:
        await self.accept()
        await self.send({"type": "websocket.close", "code": 4321, "reason": "enough"})
        for message in ({"type": "websocket.send", "text": "x"}, {"type": "websocket.close"}):
            try:
                await self.send(message)
            except OSError:
                self.seen.append("OSError")
        end = await self.receive()
        self.seen.append([end["type"], end["code"], end["reason"]])

    async def mistakes(self) -> None:
        await self.accept()
        for message in (
            {"type": "websocket.send"},
            {"type": "websocket.send", "text": "a", "bytes": b"b"},
            {"type": "websocket.send", "text": b"bytes"},
            {"type": "websocket.accept"},
            {"type": "websocket.close", "code": 1005},
            {"type": "http.response.start", "status": 200},
        ):
            try:
                await self.send(message)
            except Exception as error:
                self.seen.append(str(error))
        await self.send({"type": "websocket.send", "text": "x", "bytes": None})

    async def accepts_late(self) -> None:
        await asyncio.sleep(0.3)
        await self.accept()
        message = await self.receive()
        await self.send({"type": "websocket.send", "text": message["text"]})

    async def never_accepts(self) -> None:
        await self.receive()
        end = await self.receive()
        self.seen.append([end["type"], end["code"]])

    async def never_reads(self) -> None:
        await self.accept()
        await asyncio.sleep(30)

    async def floods(self) -> None:
        await self.accept()
        sent = 0
        try:
            while True:
                await watched(self.send({"type": "websocket.send", "bytes": b"x" * 65536}), self.seen)
                sent += 65536
                self.seen[:] = [sent]
                await asyncio.sleep(0)
        except OSError:
            self.seen.append("OSError")

    async def pushes(self) -> None:
        """Never reads; sends until the client is gone."""
        await self.accept()
        try:
            while True:
                await self.send({"type": "websocket.send", "text": "tick"})
                await asyncio.sleep(0.01)
        except OSError as error:
            self.seen.append(str(error))


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["type"] == "http":
        body = json.dumps(seen[scope["query_string"].decode()]).encode()
        if scope["path"] != "/seen":
            body = scope["type"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
        return
    name = scope["path"].strip("/").replace("-", "_")
    sockets = Sockets(scope, receive, send)
    await (getattr(sockets, f"{name}_", None) or getattr(sockets, name))()
