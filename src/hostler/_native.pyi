"""The native core of one worker: everything that touches bytes. See ARCHITECTURE.md."""

import asyncio
import contextvars
import mmap
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, Self, TextIO, TypeAlias, final

__all__ = [
    "VERSION",
    "Core",
    "FileWrapper",
    "Input",
    "Loop",
    "Upgrade",
    "kill_when_closed",
    "scoreboard_layout",
    "signal_handler",
    "widen_signal_stack",
]

VERSION: Final[str]

# method, path, client, age in seconds, the thread's native id; on the event loop: -1 - the request's number
_Running: TypeAlias = tuple[str, str, str, float, int]

@final
class Core:
    """One worker's connections, queue and app threads."""

    def __new__(
        cls,
        apps: list[Callable[..., Any] | None],  # WSGI apps, by mount; None: an ASGI app
        settings: dict[str, object],
        listeners: list[tuple[int, str, str, bool, bool]],  # (fd, SERVER_NAME, SERVER_PORT, is unix, is for probes)
        scoreboard: mmap.mmap,
        slot: int,
        errors: TextIO,
        app_error: Callable[[str, str, BaseException], None],  # ("GET /x", "127.0.0.1:5555", error)
        wait_writable: Callable[[int], object] | None = None,  # with greenlets: waits until a descriptor takes bytes
        raw_socket: Callable[[Upgrade], object] | None = None,  # makes "gunicorn.socket" for WebSocket handshakes
    ) -> Self: ...
    def start(self) -> None:
        """Accept from here on."""
    def look_at_listeners(self) -> None:
        """Accept what nobody has come for: the kernel tells one process of each connection, which may be stopped."""
    def run_thread(self, index: int) -> None:
        """The body of app thread `index`; returns after stop(), or when it had nothing to do for thread_idle."""
    def attention_fd(self) -> int:
        """Readable when attend() has something."""
    def attend(self) -> tuple[list[int], list[tuple[str, _Running | None]]]:
        """The numbers of the threads to start, and notices: ("slow" | "timeout", request),
        ("standstill" | "worn", None)."""
    def visit_main(self) -> None:
        """Have the main thread, if it is in run_thread(0), come out of its wait and run Python's signal handlers.

        Only for a core with one thread, which is the interpreter's main thread.
        """
    def call_attention(self) -> None:
        """Make attention_fd() readable."""
    def not_started(self, index: int) -> None:
        """Thread `index` could not be started; none is asked for during the next second."""
    def abandoned(self) -> int:
        """Requests that timed out and whose threads are still in the app."""
    def give_up(self, number: int) -> None:
        """Answer a request of the event loop, which timed out, in its app's place, and cancel its task."""
    def set_log_level(self, level: int) -> None:
        """Write error lines from this level on (10 debug ... 40 error), from now on."""
    def trim(self) -> None:
        """Give freed memory back to the system."""
    def poll_fd(self) -> int:
        """With greenlets: readable when poll() has something to do."""
    def poll(self) -> int:
        """With greenlets: handle the events that are there; returns how many requests are queued then."""
    def before_wait(self) -> tuple[int, int]:
        """With greenlets: the hub will wait; requests that are queued, milliseconds to the next deadline or -1."""
    def after_wait(self) -> None:
        """With greenlets: the hub has waited."""
    def keep_from_children(self, fds: list[int], signals: list[int]) -> None:
        """Have none of these descriptors in forked children, and these signals' (1 to 64) default actions."""
    def is_forked(self) -> bool:
        """Whether the app has forked this process off the worker: it never polls, serves or writes to connections."""
    def expire(self) -> None:
        """With greenlets: end what has waited too long."""
    def serve_next(self, index: int) -> bool:
        """With greenlets: serve the next request at place `index`; False when there is none."""
    def drain(self) -> None:
        """Accept what the kernel has queued, then nothing; close what is idle. WebSockets stay open."""
    def close_websockets(self) -> None:
        """Close every WebSocket with 1012: the drain has a deadline."""
    def cut(self) -> None:
        """Break the connections of the requests in app threads, so that their responses end."""
    def drained_fd(self) -> int:
        """Readable when a drain has nothing left to do."""
    def is_drained(self) -> bool:
        """Whether a drain has nothing left to do."""
    def in_flight(self) -> list[_Running]:
        """The requests that run."""
    def queued(self) -> list[tuple[str, str, str, int, float]]:
        """(method, path, client's address, its port, age in seconds) of the first 16 that wait for a thread."""
    def turn_away(self, reason: str) -> None:
        """Answer 503 to each request that has not begun or not come whole: the worker ends before its drain does."""
    def stop(self) -> None:
        """Wake the app threads; each returns when its request has ended."""
    def flush_logs(self) -> None:
        """Write what the logs have gathered."""
    def close(self) -> None:
        """Flush, and close descriptors; after stop() and the threads' end."""

@final
class Loop:
    """The event loop's side of one worker: ASGI apps."""

    def __new__(
        cls,
        core: Core,
        event_loop: asyncio.AbstractEventLoop,
        task_type: type[asyncio.Task[Any]],
        wrap: Callable[[Awaitable[Any]], Coroutine[Any, Any, Any]],
        context: contextvars.Context,  # requests run in copies of it
        log_error: Callable[[str, str, BaseException], None],  # ("GET /x", "127.0.0.1:5555", error)
        # by mount: app, root_path, and its state, which each scope has a copy of; None: a WSGI app
        apps: list[tuple[Callable[..., Any], str, dict[str, Any]] | None],
        servers: list[tuple[str, int | None]],  # by listener
        root_path: str,  # what a proxy has taken off the paths
    ) -> Self: ...
    def filenos(self) -> list[int]:
        """The descriptors to read: `run` has something to do when one is readable."""
    def run(self) -> None:
        """One turn: read what has come, and run apps as far as they go."""
    def flush(self) -> None:
        """Send the heads of responses whose bodies did not come with them."""
    def task_of(self, number: int) -> asyncio.Task[Any] | None:
        """The task of the request with this number; None: it is over, or has not been suspended yet."""
    def end_streams(self) -> None:
        """From here on, the app of each response without a Content-Length that has begun reads http.disconnect."""
    def begin_cancelling(self) -> None:
        """The caller cancels every task: what that raises is not reported."""
    def pending(self) -> set[asyncio.Task[Any]]:
        """Tasks that are not done."""

@final
class Input:
    """`wsgi.input`: a request body that is whole, in memory or in a temporary file."""

    def read(self, size: int | None = None, /) -> bytes: ...
    def readline(self, size: int | None = None, /) -> bytes: ...
    def readlines(self, hint: int | None = None, /) -> list[bytes]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...

@final
class Upgrade:
    """The socket of a WSGI request that asks for a WebSocket."""

    def take(self) -> int:
        """Its descriptor, which blocks and belongs to the caller; the core lets go of it. Raises ConnectionError."""

class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...

@final
class FileWrapper:
    """`wsgi.file_wrapper`: returned as the response, a regular file is sent by the kernel."""

    def __new__(cls, filelike: _Readable, blksize: int = 8192) -> Self: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None: ...

def kill_when_closed(line: int, signal: int, delay: float) -> None:
    """Kill this process `delay` seconds after the other end of a socket has closed, whatever its threads do.

    The kernel must send `signal` when something happens there. Raises OSError when there is no timer to be had.
    """

def widen_signal_stack() -> None:
    """Give this thread's signal handlers a stack that a burst of signals does not overflow. Raises OSError."""

def signal_handler(signal: int) -> int:
    """The address of a signal's handler; 0: the default action, 1: it is ignored. Raises OSError for no signal."""

def scoreboard_layout() -> dict[str, tuple[int, int]]:
    """Field of a scoreboard slot -> (offset, size)."""
