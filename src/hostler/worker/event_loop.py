"""The thread of the event loop: ASGI applications run here, beside the threads of WSGI ones.

The main thread stays free to supervise: whatever blocks the loop, signals are heard, and the blocked stack can be read.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from hostler.errors import BootError
from hostler.worker.lifespan import Lifespan
from hostler.worker.reader import add_reader
from hostler.worker.stacks import stack_of_thread, text_of_frames

if TYPE_CHECKING:
    from hostler.config import Config
    from hostler.logs import Logs
    from hostler.native import Core, Loop
    from hostler.proc.sockets import Listener
    from hostler.worker.interfaces import Mounted

__all__ = ["EventLoop"]

NAME = "hostler-loop"
# Seconds that cancelled tasks get to clean up.
_LAST_MOMENT = 0.5
# Seconds that applications get for lifespan.shutdown when graceful_timeout has passed. life.CUT_GRACE covers both.
_SHUTDOWN = 1.5


class EventLoop:
    """One event loop in a thread of its own. The methods are the main thread's."""

    def __init__(
        self, config: Config, core: Core, logs: Logs, apps: Sequence[Mounted], listeners: Sequence[Listener]
    ) -> None:
        self._config = config
        self._core = core
        self._logs = logs
        self._apps = apps
        self._listeners = listeners
        self._thread = threading.Thread(target=self._main, name=NAME)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._native: Loop | None = None
        self._failure: BaseException | None = None
        self._started, self._starting = os.pipe()
        self._deadline = 0.0
        self._context = contextvars.copy_context()  # as the import of the applications left it, in this thread
        self._starting_up: Lifespan | None = None

    # --- The main thread's side ---

    def start(self) -> int:
        """Begin; returns a descriptor that is readable when the applications are ready, or cannot be."""
        self._thread.start()
        return self._started

    def check(self) -> None:
        """Raise what kept the applications from starting."""
        os.close(self._started)
        if self._failure is not None:
            raise self._failure

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Have the loop call something."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(callback)

    def end_streams(self) -> None:
        """Tell open streams that the worker drains: their applications read http.disconnect."""
        if self._native is not None:
            self.call_soon(self._native.end_streams)

    def stop(self, deadline: float) -> bool:
        """Let tasks end and lifespans shut down until `deadline` (time.monotonic); False: not in time."""
        self._deadline = deadline
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(max(0.0, deadline - time.monotonic()) + 2 * _LAST_MOMENT + _SHUTDOWN)
        return not self._thread.is_alive()

    def stack(self) -> str:
        """Where the loop's thread is."""
        return stack_of_thread(self._thread.native_id or 0)

    def stack_of_start(self) -> str:
        """Where the lifespan is that has not started yet."""
        coroutine = self._starting_up.coroutine if self._starting_up is not None else None
        return self._text_of(coroutine) if coroutine is not None else self.stack()

    def stack_of(self, number: int) -> str:
        """Where the task of a request is: what it awaits, innermost last."""
        task = self._native.task_of(number) if self._native is not None else None
        if task is None:
            return "  (the request has ended meanwhile)"
        return self._text_of(task.get_coro())

    def _text_of(self, coroutine: Any) -> str:
        if getattr(coroutine, "cr_running", False):
            return self.stack()
        return text_of_frames(frames_of(coroutine)) or "  (no Python code of the app runs)"

    # --- The loop's side ---

    def _main(self) -> None:
        try:
            loop = self._new_loop()
            asyncio.set_event_loop(loop)
            self._size_executor(loop)
            self._loop = loop
            self._end = asyncio.Event()
            task = loop.create_task(self._serve())
            while not task.done():
                try:
                    loop.run_until_complete(task)
                except (SystemExit, KeyboardInterrupt) as error:
                    # An application that ends itself would take the others' requests with it.
                    if task.done():
                        break
                    self._logs.error(f"a task of the application raised {error!r}: the server goes on")
        except BaseException as error:
            self._fail(error)
        finally:
            self._tell()

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        if self._config.loop != "asyncio":
            try:
                import uvloop

                return uvloop.new_event_loop()
            except ImportError as error:
                if self._config.loop == "uvloop":
                    raise BootError(f"loop = uvloop needs uvloop (pip install 'hostler[uvloop]'): {error}") from None
        return asyncio.new_event_loop()

    def _size_executor(self, loop: asyncio.AbstractEventLoop) -> None:
        """daphne's ASGI_THREADS: how many threads `run_in_executor` and `sync_to_async` have."""
        threads = os.environ.get("ASGI_THREADS", "")
        if threads.isdigit() and int(threads) > 0:
            from concurrent.futures import ThreadPoolExecutor

            loop.set_default_executor(ThreadPoolExecutor(int(threads)))
        elif threads:
            self._logs.warning(f'ASGI_THREADS: "{threads}" is not a number of threads; the default is used')

    def _tell(self) -> None:
        """Say once that the start is over, one way or the other."""
        starting, self._starting = self._starting, -1
        if starting >= 0:
            os.close(starting)

    def _fail(self, error: BaseException) -> None:
        if self._starting >= 0:
            if not isinstance(error, BootError):
                import traceback

                text = "".join(traceback.format_exception(error))
                error = BootError(f"the event loop does not start: {type(error).__name__}: {error}", text)
            self._failure = error
        else:
            self._logs.error(f"please report this fault of hostler: the event loop ended: {error!r}")

    async def _serve(self) -> None:
        context, mode = self._context, self._config.lifespan
        lifespans = [Lifespan(app.app, mode, context.copy(), self._logs) if app.is_asgi else None for app in self._apps]
        try:
            for lifespan in lifespans:
                if lifespan is not None:
                    self._starting_up = lifespan
                    await lifespan.start()
            self._attach(lifespans, context)
        except BaseException as error:
            self._fail(error)
            self._tell()
            return
        self._tell()
        await self._end.wait()
        await self._wind_up([lifespan for lifespan in lifespans if lifespan is not None])

    def _attach(self, lifespans: Sequence[Lifespan | None], context: contextvars.Context) -> None:
        """Have the core's requests run here."""
        from hostler.native import Loop

        loop = asyncio.get_running_loop()
        root = self._config.root_path or ""
        front = root if self._config.prepend_root_path == "on" else ""
        self._native = Loop(
            self._core,
            loop,
            asyncio.Task,
            _coroutine,
            context,
            self._logs.app_error,
            [
                None if lifespan is None else (app.app, root + app.path, lifespan.state)
                for app, lifespan in zip(self._apps, lifespans, strict=True)
            ],
            [listener.server for listener in self._listeners],
            front,
        )
        for fd in self._native.filenos():
            add_reader(loop, fd, self._native.run)

    async def _wind_up(self, lifespans: Sequence[Lifespan]) -> None:
        """Every connection is closed: let what still runs end, then tell the applications."""
        loop = asyncio.get_running_loop()
        assert self._native is not None
        pending = set(self._native.pending())
        if pending:
            _, late = await asyncio.wait(pending, timeout=self._left())
            if late:
                self._logs.warning(f"tasks cancelled: graceful_timeout has passed; tasks={len(late)}")
                self._native.begin_cancelling()
                await _cancel(late)
        for lifespan in lifespans:
            try:
                await asyncio.wait_for(lifespan.stop(), self._left() + _SHUTDOWN)
            except TimeoutError:
                self._logs.error("the application did not stop within graceful_timeout")
        for fd in self._native.filenos():
            loop.remove_reader(fd)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await _cancel(others)
        await loop.shutdown_asyncgens()

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())


async def _coroutine(awaitable: Awaitable[Any]) -> Any:
    """A coroutine for what can be awaited and is none: a task wants one."""
    return await awaitable


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_LAST_MOMENT)


def frames_of(coroutine: Any) -> list[FrameType]:
    """The frames of a suspended coroutine, from the outermost to what it waits in."""
    frames = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        frame = frame or getattr(coroutine, "ag_frame", None)
        if frame is not None:
            frames.append(frame)
        coroutine = (
            getattr(coroutine, "cr_await", None)
            or getattr(coroutine, "gi_yieldfrom", None)
            or getattr(coroutine, "ag_await", None)
        )
    return frames
