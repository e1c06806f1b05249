"""The event loop of ASGI applications, in the main thread, beside the threads of WSGI ones.

What an application makes while it is imported (SQLite connections, thread-locals, context variables, signal handlers)
is the loop's too then. Another thread supervises: whatever blocks the loop, signals are heard, and the blocked stack
can be read.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from hostler.errors import BootError
from hostler.worker.lifespan import Lifespan
from hostler.worker.loop_signals import LoopSignals
from hostler.worker.reader import add_reader
from hostler.worker.stacks import stack_of_thread, text_of_frames

if TYPE_CHECKING:
    from hostler.config import Config
    from hostler.logs import Logs
    from hostler.native import Core, Loop
    from hostler.proc.sockets import Listener
    from hostler.worker.interfaces import Mounted

__all__ = ["EventLoop"]

# Seconds that cancelled tasks get to clean up.
_LAST_MOMENT = 0.5
# Seconds that applications get for lifespan.shutdown when graceful_timeout has passed. life.CUT_GRACE covers both.
_SHUTDOWN = 1.5


class EventLoop:
    """One event loop: `run` in the main thread, and the supervisor's view of it."""

    def __init__(
        self,
        config: Config,
        core: Core,
        logs: Logs,
        apps: Sequence[Mounted],
        listeners: Sequence[Listener],
        signals: LoopSignals,
    ) -> None:
        self._config = config
        self._core = core
        self._logs = logs
        self._apps = apps
        self._listeners = listeners
        self._signals = signals
        self._loop: asyncio.AbstractEventLoop | None = None
        self._native: Loop | None = None
        self._failure: BaseException | None = None
        self._started, self._starting = os.pipe()
        self._is_over = threading.Event()
        self._deadline = 0.0
        self._context = contextvars.copy_context()  # as the import of the applications left it
        self._starting_up: Lifespan | None = None
        self._fault: str | None = None  # what the application did to the loop that only a new worker heals
        self._is_told = False

    # --- The supervisor's side ---

    @property
    def started(self) -> int:
        """A descriptor that is readable when the applications are ready, or cannot be."""
        return self._started

    def has_started(self) -> bool:
        """After `started`: whether the applications are ready; else `run` raises the reason."""
        os.close(self._started)
        return self._failure is None

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
        if not self._is_over.is_set():
            self.call_soon(self._end.set)
        return self._is_over.wait(max(0.0, deadline - time.monotonic()) + 2 * _LAST_MOMENT + _SHUTDOWN)

    def fail(self, error: BootError) -> None:
        """Have `run` end and raise `error`: something else did not start."""
        self._failure = error
        self.stop(time.monotonic())

    def take_fault(self) -> str | None:
        """Why a new worker is needed; once."""
        fault, is_told = self._fault, self._is_told
        self._is_told = fault is not None
        return None if is_told else fault

    def stack(self) -> str:
        """Where the loop's thread is."""
        return stack_of_thread(threading.main_thread().native_id or 0)

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

    def run(self) -> None:
        """Serve until `stop`. Raises BootError when the applications cannot be started."""
        try:
            self._run()
        except BaseException as error:
            self._fail(error)
        finally:
            self._tell()
            self._is_over.set()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        loop = self._find_loop()
        asyncio.set_event_loop(loop)
        self._signals.serve(loop)
        self._size_executor(loop)
        self._end = asyncio.Event()
        self._loop = loop
        task = loop.create_task(self._serve())
        while not task.done():
            try:
                loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt) as error:
                # An application that ends itself would take the others' requests with it.
                if task.done():
                    break
                self._logs.error("a task of the application wanted to end the server, which goes on", error=repr(error))
            except RuntimeError:
                if task.done() or loop.is_closed():
                    raise
                self._complain("stopped its event loop")  # loop.stop(): nothing else ends it before the task

    def _complain(self, what: str) -> None:
        """The application has broken the loop for its other requests: go on as well as possible, until a successor."""
        names = " ".join(filter(None, (app.name for app in self._apps if app.is_asgi)))
        if self._fault is None:
            self._fault = f"the application {what}{f' app={names}' if names else ''}"
            self._core.call_attention()

    def _find_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the application has made while it was imported, if it is of the wanted kind; else a new one."""
        wanted = self._config.loop
        try:
            if wanted != "asyncio":
                import uvloop

                return _loop_of_import(uvloop.Loop) or uvloop.new_event_loop()
        except ImportError as error:
            if wanted == "uvloop":
                raise BootError(f"loop = uvloop needs uvloop (pip install 'hostler[uvloop]'): {error}") from None
        return _loop_of_import(asyncio.BaseEventLoop) or asyncio.new_event_loop()

    def _size_executor(self, loop: asyncio.AbstractEventLoop) -> None:
        """daphne's ASGI_THREADS: how many threads `run_in_executor` and `sync_to_async` have."""
        threads = os.environ.get("ASGI_THREADS", "")
        if threads.isdigit() and int(threads) > 0:
            from concurrent.futures import ThreadPoolExecutor

            loop.set_default_executor(ThreadPoolExecutor(int(threads)))
        elif threads:
            self._logs.warning("ASGI_THREADS ignored; it is no number of threads", value=threads)

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
            self._fault = "its event loop has ended"
            self._core.call_attention()

    async def _serve(self) -> None:
        context, mode = self._context, self._config.lifespan
        lifespans = [Lifespan(app.app, mode, context.copy(), self._logs) if app.is_asgi else None for app in self._apps]
        try:
            for lifespan in lifespans:
                if lifespan is not None:
                    self._starting_up = lifespan
                    await lifespan.start()
            self._signals.guard()
            self._attach(lifespans, context)
        except BaseException as error:
            self._fail(error)
            return
        self._tell()
        while not self._end.is_set():
            try:
                await self._end.wait()
            except asyncio.CancelledError:
                self._complain("cancelled all tasks of the event loop, the server's among them")
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
                self._logs.warning("tasks cancelled; graceful_timeout has passed", tasks=len(late))
                self._native.begin_cancelling()
                await _cancel(late)
        for lifespan in lifespans:
            try:
                await asyncio.wait_for(lifespan.stop(), self._left() + _SHUTDOWN)
            except TimeoutError:
                self._logs.error("lifespan.shutdown not answered within graceful_timeout")
        for fd in self._native.filenos():
            loop.remove_reader(fd)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await _cancel(others)
        await loop.shutdown_asyncgens()

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())


def _loop_of_import(kind: type) -> asyncio.AbstractEventLoop | None:
    """The main thread's current loop: `get_event_loop()` in a module of the application has made it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # policies, from Python 3.14 on
        policy = asyncio.get_event_loop_policy()
    loop = getattr(getattr(policy, "_local", None), "_loop", None)  # get_event_loop() would make one
    if not isinstance(loop, asyncio.AbstractEventLoop) or not isinstance(loop, kind):
        return None
    return None if loop.is_closed() or loop.is_running() else loop


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
