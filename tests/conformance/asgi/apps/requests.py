"""An ASGI app whose path says what it does; /seen?KEY tells what it saw, as JSON lines."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from looks import described, watched

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

seen: defaultdict[str, list[Any]] = defaultdict(list)
started: contextvars.ContextVar[str] = contextvars.ContextVar("started", default="no")
request_var: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="fresh")
HERE = os.path.abspath(__file__)


def plain(value: object) -> Any:
    """What JSON can hold."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {"tuple": [plain(item) for item in value]}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


async def answer(send: Send, body: bytes = b"ok", status: int = 200, headers: list[Any] | None = None) -> None:
    if headers is None:
        headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body", False):
            return body


async def note(key: str, awaitable: Awaitable[Any]) -> Any:
    """Await, and remember what came of it."""
    try:
        result = await awaitable
    except Exception as error:
        seen[key].append([type(error).__mro__[-3].__name__, type(error).__name__, str(error)])
        raise
    seen[key].append(plain(result))
    return result


class Pages:
    """One method for each path."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.receive, self.send = scope, receive, send
        self.key = scope["query_string"].decode("latin-1")

    async def hello(self) -> None:
        await answer(self.send)

    async def scope_(self) -> None:
        await answer(self.send, json.dumps(plain(self.scope)).encode())

    async def seen_(self) -> None:
        await answer(self.send, json.dumps(seen[self.key]).encode())

    async def echo(self) -> None:
        await answer(self.send, await read(self.receive))

    async def parts(self) -> None:
        """Each part of the body as it comes, and the end."""
        await self.send({"type": "http.response.start", "status": 200})
        while True:
            message = await self.receive()
            part = f"<{len(message['body'])}>".encode()
            more = message["more_body"]
            await self.send({"type": "http.response.body", "body": part, "more_body": more})
            if not more:
                return

    async def before_body(self) -> None:
        """Answers without reading."""
        await answer(self.send, b"early")

    async def never_reads(self) -> None:
        await asyncio.sleep(30)

    async def counts(self) -> None:
        total = 0
        while True:
            message = await self.receive()
            total += len(message["body"])
            if not message["more_body"]:
                break
        await answer(self.send, str(total).encode())

    # --- Framing ---

    async def no_headers(self) -> None:
        await self.send({"type": "http.response.start", "status": 200})
        await self.send({"type": "http.response.body", "body": b"plain"})

    async def lists(self) -> None:
        headers = ([name, value] for name, value in [(b"x-a", b"1"), (b"x-a", b"2")])
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": bytearray(b"by"), "more_body": True})
        await self.send({"type": "http.response.body", "body": memoryview(b"tes"), "more_body": False})

    async def chunks(self) -> None:
        await self.send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"a", b"", b"bc"):
            await self.send({"type": "http.response.body", "body": part, "more_body": True})
        await self.send({"type": "http.response.body"})

    async def transfer_encoding(self) -> None:
        await answer(self.send, b"body", headers=[(b"transfer-encoding", b"chunked"), (b"content-length", b"4")])

    async def short(self) -> None:
        await answer(self.send, b"abc", headers=[(b"content-length", b"10")])

    async def long(self) -> None:
        await answer(self.send, b"abcdef", headers=[(b"content-length", b"3")])

    async def status(self) -> None:
        await answer(self.send, b"not to be seen", int(self.key), headers=[])

    async def head_first(self) -> None:
        await self.send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.5)
        await self.send({"type": "http.response.body", "body": b"later"})

    async def large_parts(self) -> None:
        """Large parts one after the other, then a rest; twice: in the first step and in a later one."""
        length = [(b"content-length", b"1310720")] if self.key == "length" else []
        await self.send({"type": "http.response.start", "status": 200, "headers": length})
        for turn in (b"0", b"1"):
            for number in range(10):
                part = (turn + b"%d" % number) * 32768
                await self.send({"type": "http.response.body", "body": part, "more_body": True})
            seen["large-parts"].append(turn.decode())
            await asyncio.sleep(0.5)
        await self.send({"type": "http.response.body"})

    async def large_parts_then_fails(self) -> None:
        await self.send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            await self.send({"type": "http.response.body", "body": b"%d" % number * 32768, "more_body": True})
        raise ValueError("in the middle")

    async def trailers(self) -> None:
        await self.send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await self.send({"type": "http.response.body", "body": b"body"})
        await self.send({"type": "http.response.trailers", "headers": [(b"x-one", b"1")], "more_trailers": True})
        await self.send({"type": "http.response.trailers", "headers": [(b"x-two", b"2"), (b"content-length", b"9")]})

    async def hints(self) -> None:
        await self.send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>"]})
        await answer(self.send)

    async def pathsend(self) -> None:
        await self.send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/x")]})
        await self.send({"type": "http.response.pathsend", "path": HERE})

    async def zerocopy(self) -> None:
        await self.send({"type": "http.response.start", "status": 200, "headers": []})
        with open(HERE, "rb") as file:
            message = {"type": "http.response.zerocopysend", "file": file.fileno()}
            await self.send({**message, "offset": 3, "count": 7, "more_body": True})
            await self.send({**message, "offset": 0, "count": 3})

    async def zerocopy_whole(self) -> None:
        await self.send({"type": "http.response.start", "status": 200, "headers": []})
        with open(HERE, "rb") as file:
            await self.send({"type": "http.response.zerocopysend", "file": file})

    async def made(self) -> None:
        """A file that the kernel makes when it is read; ?way,path."""
        way, path = self.key.split(",")
        await self.send({"type": "http.response.start", "status": 200, "headers": []})
        if way == "path":
            await self.send({"type": "http.response.pathsend", "path": path})
            return
        with open(path, "rb") as file:
            message = {"type": "http.response.zerocopysend", "file": file}
            if way == "copy":
                await self.send(message)
            else:
                await self.send({**message, "offset": 0, "count": 1, "more_body": True})
                await self.send({**message, "offset": 1, "count": 1_000_000})

    # --- Mistakes of the app ---

    async def mistake(self) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": []}
        body = {"type": "http.response.body", "body": b"x"}
        messages: dict[str, list[Any]] = {
            "no-type": [{}],
            "not-a-dict": ["x"],
            "unknown-type": [{"type": "http.response.begin"}],
            "websocket-type": [{"type": "websocket.accept"}],
            "no-status": [{"type": "http.response.start"}],
            "status-str": [{"type": "http.response.start", "status": "200"}],
            "status-99": [{"type": "http.response.start", "status": 99}],
            "status-1000": [{"type": "http.response.start", "status": 1000}],
            "status-101": [{"type": "http.response.start", "status": 101}],
            "header-str": [{"type": "http.response.start", "status": 200, "headers": [("a", "b")]}],
            "header-alone": [{"type": "http.response.start", "status": 200, "headers": [(b"a",)]}],
            "header-crlf": [{"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nc: d")]}],
            "body-first": [body],
            "body-str": [start, {"type": "http.response.body", "body": "x"}],
            "start-twice": [start, start],
            "trailers-unannounced": [start, {"type": "http.response.trailers", "headers": []}],
            "relative-path": [start, {"type": "http.response.pathsend", "path": "x"}],
        }
        for message in messages[self.key]:
            await note(self.key, self.send(message))

    async def after_the_end(self) -> None:
        await answer(self.send)
        await note(self.key, self.send({"type": "http.response.body", "body": b"more"}))

    async def raises(self) -> None:
        raise ValueError("before the start")

    async def raises_after(self) -> None:
        await self.send({"type": "http.response.start", "status": 200, "headers": []})
        await self.send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise ValueError("after the start")

    async def returns(self) -> None:
        return

    async def returns_early(self) -> None:
        await self.send({"type": "http.response.start", "status": 200, "headers": []})
        await self.send({"type": "http.response.body", "body": b"part", "more_body": True})

    async def exits(self) -> None:
        raise SystemExit(7)

    # --- Disconnects ---

    async def waits_for_end(self) -> None:
        """Reads until http.disconnect, and sends then."""
        await read(self.receive)
        seen[self.key].append("waiting")
        message = await self.receive()
        seen[self.key].append(message["type"])
        try:
            await answer(self.send)
        except OSError as error:
            seen[self.key].append(f"OSError {error}")
        seen[self.key].append((await self.receive())["type"])

    async def end_after_answer(self) -> None:
        await read(self.receive)
        waits = asyncio.ensure_future(self.receive())
        await asyncio.sleep(0.05)
        seen[self.key].append("waits" if not waits.done() else "too early")
        await answer(self.send)
        seen[self.key].append((await waits)["type"])

    async def streams_for_ever(self) -> None:
        await self.send({"type": "http.response.start", "status": 200, "headers": []})
        sent = 0
        try:
            while True:
                sending = self.send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                await watched(sending, seen[self.key])
                sent += 65536
                seen[self.key][:] = [sent]
                await asyncio.sleep(0)
        except OSError:
            seen[self.key].append("OSError")

    async def never_ends(self) -> None:
        """Sends without a pause of its own until send() raises; ?key,status,length."""
        key, status, length = self.key.split(",")
        headers = [(b"content-length", length.encode())] if length else []
        await self.send({"type": "http.response.start", "status": int(status), "headers": headers})
        while True:
            for part in (b"", b"ab"):
                await note(key, self.send({"type": "http.response.body", "body": part, "more_body": True}))
                seen[key][:] = seen[key][-1:]

    async def zerocopy_past_length(self) -> None:
        """The same with a file's bytes."""
        headers = [(b"content-length", b"4")]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        message = {"type": "http.response.zerocopysend", "offset": 0, "count": 2, "more_body": True}
        with open(HERE, "rb") as file:
            while True:
                await note(self.key, self.send({**message, "file": file}))

    async def half_closed(self) -> None:
        """Never looks whether the client is there."""
        await asyncio.sleep(0.1)
        await answer(self.send, b"still here")

    async def goes_on(self) -> None:
        """Work behind the answer."""
        await answer(self.send)
        await asyncio.sleep(0.05)
        seen[self.key].append("done")

    # --- Tasks and contexts ---

    async def tools(self) -> None:
        """What needs a task, from the first line on."""
        import anyio
        import sniffio

        found = [asyncio.current_task() is not None, sniffio.current_async_library()]
        async with asyncio.timeout(5):
            async with asyncio.TaskGroup() as group:
                one = group.create_task(asyncio.sleep(0, "one"))
        found.append(one.result())
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep(5)
        found.append(scope.cancelled_caught)
        found.append(await anyio.to_thread.run_sync(lambda: "thread"))
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(5)
        except TimeoutError:
            found.append("timeout")
        await answer(self.send, json.dumps(found).encode())

    async def context(self) -> None:
        before = request_var.get()
        request_var.set(self.key)
        await asyncio.sleep(0.02)
        await answer(self.send, f"{before} {request_var.get()} {started.get()}".encode())

    async def state(self) -> None:
        self.scope["state"]["count"] += 1
        self.scope["state"]["shared"].append(1)
        await answer(self.send, json.dumps(self.scope["state"]).encode())

    async def as_tasks(self) -> None:
        """Messages by way of tasks, as some frameworks do."""
        message = await asyncio.create_task(self.receive())  # type: ignore[arg-type, var-annotated]
        late = asyncio.create_task(self.receive())  # type: ignore[arg-type, var-annotated]
        await asyncio.sleep(0)
        late.cancel()
        try:
            await late
        except asyncio.CancelledError:
            seen[self.key].append("cancelled")
        start = {"type": "http.response.start", "status": 200, "headers": []}
        await asyncio.ensure_future(self.send(start))
        await asyncio.wait_for(self.send({"type": "http.response.body", "body": message["body"]}), 5)

    async def callables(self) -> None:
        await answer(self.send, json.dumps(described(self.receive, self.send)).encode())

    async def cancelled_reader_loses_nothing(self) -> None:
        total = b""
        while True:
            waits = asyncio.ensure_future(self.receive())
            done, _ = await asyncio.wait({waits}, timeout=0.02)
            if not done:
                waits.cancel()
                seen["reader"].append("cancelled")
                continue
            message = waits.result()
            total += message["body"]
            if not message["more_body"]:
                break
        await answer(self.send, total)


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            scope["state"].update(count=0, shared=[])
            started.set("yes")
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    name = scope["path"].strip("/").partition("/")[0].replace("-", "_")
    pages = Pages(scope, receive, send)
    page = getattr(pages, f"{name}_", None) or getattr(pages, name, None) or pages.scope_
    await page()
