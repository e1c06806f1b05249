"""The lifespan of an ASGI application: told of the start before it is served, of the end after (ASGI lifespan 2.0)."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from collections.abc import Callable
from typing import Any

from hostler.errors import BootError
from hostler.logs import Logs

__all__ = ["Lifespan"]


class Lifespan:
    """One application's lifespan; all its methods are called on the loop. `mode`: "auto", "on" or "off"."""

    def __init__(self, app: Callable[..., Any], mode: str, context: contextvars.Context, logs: Logs) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._context = context  # its own copy: a span that is open in it must not become the parent of every request
        self._logs = logs
        self._task: asyncio.Task[None] | None = None
        self._inbox: asyncio.Queue[str] = asyncio.Queue()
        self._started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._stopped: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._is_stopping = False
        self._has_received = False  # the application has read lifespan.startup

    @property
    def coroutine(self) -> Any:
        """What runs in the application; None: nothing does."""
        return self._task.get_coro() if self._task is not None else None

    async def start(self) -> None:
        """Wait until the application is ready; BootError when it says that it cannot be."""
        if self._mode == "off":
            self._logs.debug("lifespan is off")
            return
        self._logs.debug("lifespan.startup sent")
        self._inbox.put_nowait("lifespan.startup")
        self._task = asyncio.get_running_loop().create_task(self._run(), context=self._context)
        self._task.add_done_callback(self._on_end)
        await _first(self._task, self._started)
        if self._started.done():
            failure = self._started.result()
            if failure:
                first, _, rest = failure.partition("\n")
                raise BootError(f"the application failed to start: {first}", rest)
            self._logs.debug("lifespan.startup.complete received")
            return
        self._judge_early_end()

    async def stop(self) -> None:
        """Tell the application of the end, and wait for it; its failure is logged."""
        if self._task is None or self._task.done():
            return
        self._is_stopping = True
        self._logs.debug("lifespan.shutdown sent")
        self._inbox.put_nowait("lifespan.shutdown")
        await _first(self._task, self._stopped)
        if self._stopped.done() and self._stopped.result():
            self._logs.error("lifespan.shutdown failed", said=self._stopped.result())
        if self._stopped.done() and not self._task.done():
            await asyncio.wait({self._task}, timeout=1)  # it has said all; what it still does is its own

    def _judge_early_end(self) -> None:
        """It ended before it said that it has started: an exception means "unsupported" to auto, and only that."""
        assert self._task is not None
        error = None if self._task.cancelled() else self._task.exception()
        if self._mode == "auto" and isinstance(error, Exception):
            self._task = None
            self._note_unsupported(error)
            return
        if error is not None:
            text = "".join(traceback.format_exception(error))
            raise BootError(f"the application failed to start: {type(error).__name__}: {error}", text)
        if self._mode == "on":
            raise BootError('the application ended its lifespan before it said "lifespan.startup.complete"')
        self._task = None  # it returned: nothing to tell it
        self._logs.debug("lifespan not supported; the application returned")

    def _note_unsupported(self, error: Exception) -> None:
        """One that has read the message knows what a lifespan is: its error is its own, more likely than not."""
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        if self._has_received:
            text = "the lifespan of the application failed, and it is served without one"
            self._logs.warning(f'{text}; error="{said}" remedy: lifespan = "on" shows the traceback, "off" skips it')
        else:
            self._logs.debug(f'lifespan not supported; error="{said}"')

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, str]:
        kind = await self._inbox.get()
        self._has_received = True
        return {"type": kind}

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        ends = {
            "lifespan.startup.complete": (self._started, False),
            "lifespan.startup.failed": (self._started, True),
            "lifespan.shutdown.complete": (self._stopped, False),
            "lifespan.shutdown.failed": (self._stopped, True),
        }
        if kind not in ends:
            raise ValueError(f'unknown ASGI message type "{kind}" in a lifespan')
        future, is_failure = ends[kind]
        if future.done():
            raise RuntimeError(f"the app sent {kind} twice, or after its opposite")
        if future is self._stopped and not self._started.done():
            raise RuntimeError(f"the app sent {kind} before lifespan.startup.complete")
        future.set_result((message.get("message") or "it gave no reason") if is_failure else "")

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """A lifespan that dies while its application is served is a fault that the operator should know of."""
        error = None if task.cancelled() else task.exception()
        if not self._started.done() or self._started.result():
            return
        if error is not None:
            text = "".join(traceback.format_exception(error)).rstrip()
            when = "while it was stopping" if self._is_stopping else "while the application was served"
            self._logs.error(f"the lifespan of the application ended with an error {when}\n{text}")
        elif not self._is_stopping:
            self._logs.warning("the lifespan of the application ended while the application was served")


async def _first(*futures: asyncio.Future[Any]) -> None:
    """Wait until one of them is done."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
