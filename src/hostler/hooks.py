"""Server hooks, by gunicorn's names and with its arguments: functions of the operator that are called on the way.

Loaded only where the option `hooks` names a file. A hook that raises is logged, and nothing else happens; but those
that prepare what follows (`on_starting`, `post_fork`, `post_worker_init`) end it. The source of names, order and
arguments is gunicorn's documentation, "Server Hooks"; what differs here stands in docs/hooks.md.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hostler.config.hook_source import HookSource
from hostler.errors import BootError, HostlerError
from hostler.hook_file import functions_of
from hostler.proc.patches import operator_code

if TYPE_CHECKING:
    from hostler.logs import Logs
    from hostler.proc.sockets import Listener

__all__ = ["Hooks", "Server", "Worker"]

_CRITICAL = 50
# Hooks whose failure must not be passed over.
_PREPARING = ("post_fork", "post_worker_init")


class Settings:
    """`cfg` of hooks: gunicorn's settings by their names, as attributes; `settings` has them all."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = dict(settings)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["settings"][name]
        except KeyError:
            raise AttributeError(f"there is no setting {name!r}") from None


class Log:
    """`log` of hooks: what of a logger's methods write to the error log."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    @property
    def error_log(self) -> Any:
        """The logger gunicorn.error of the logging module."""
        return _logger("gunicorn.error")

    @property
    def access_log(self) -> Any:
        """The logger gunicorn.access."""
        return _logger("gunicorn.access")

    def debug(self, message: str, *args: Any, **ignored: Any) -> None:
        """Log for those who look for a fault."""
        self.log(10, message, *args, **ignored)

    def info(self, message: str, *args: Any, **ignored: Any) -> None:
        """Log what goes as it should."""
        self.log(20, message, *args, **ignored)

    def warning(self, message: str, *args: Any, **ignored: Any) -> None:
        """Log what someone may have to look at."""
        self.log(30, message, *args, **ignored)

    def error(self, message: str, *args: Any, **ignored: Any) -> None:
        """Log what failed."""
        self.log(40, message, *args, **ignored)

    def critical(self, message: str, *args: Any, **ignored: Any) -> None:
        """Log what failed badly."""
        self.log(_CRITICAL, message, *args, **ignored)

    def exception(self, message: str, *args: Any, **ignored: Any) -> None:
        """Log what failed, with the traceback of the exception that is being handled."""
        self.log(40, message, *args, exc_info=True)

    def log(self, level: int, message: str, *args: Any, exc_info: Any = None, **ignored: Any) -> None:
        """Log at a level of the logging module; `args` go into the message as they do there."""
        text = str(message)
        if args:
            text = text % (args[0] if len(args) == 1 and isinstance(args[0], Mapping) else args)
        trace = traceback.format_exc().rstrip("\n") if exc_info else ""
        self._logs.log(level, f"{text}\n{trace}" if trace else text)

    warn = warning


def _logger(name: str) -> Any:
    import logging  # for the hooks alone that ask

    return logging.getLogger(name)


class App:
    """`app` of a server or a worker."""

    def __init__(self, cfg: Settings) -> None:
        self.cfg = cfg
        self.callable: Any = None  # the application, in a worker from `post_worker_init` on

    def wsgi(self) -> Any:
        """The application. In the arbiter a hook that asks has it imported there, as under gunicorn."""
        if self.callable is None:
            from importlib import import_module

            module, _, name = str(self.cfg.settings.get("wsgi_app") or "").partition(":")
            found: Any = import_module(module)
            for part in (name or "application").removesuffix("()").split("."):
                found = getattr(found, part)
            self.callable = found() if name.endswith("()") else found
        return self.callable


class Heartbeat:
    """`tmp` of a worker: hooks that notify the arbiter have nothing to do here, where the worker does it."""

    def notify(self) -> None:
        """Do nothing: the heartbeat is a number in shared memory."""

    def last_update(self) -> float:
        """Now, in seconds of the monotonic clock."""
        return time.monotonic()


class Bound:
    """One of `server.LISTENERS`: what a socket has, the socket itself as `sock`, and its URL as text."""

    def __init__(self, listener: Listener) -> None:
        self.sock = listener.socket
        self._url = listener.url

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["sock"], name)

    def __str__(self) -> str:
        return self._url


class Server:
    """`server` of hooks: the arbiter."""

    def __init__(self, log: Log, cfg: Settings) -> None:
        self.log = log
        self.cfg = cfg
        self.pid = os.getpid()
        self.num_workers = int(cfg.settings.get("workers") or cfg.settings.get("min_workers") or 1)
        self.WORKERS: dict[int, Worker] = {}
        self.worker_age = 0
        self.app = App(cfg)
        self.LISTENERS: list[Any] = []
        self.address: Any = cfg.settings.get("address", [])
        self.proc_name = cfg.settings.get("proc_name")


class Worker:
    """`worker` of hooks: a process that serves; before its fork without a pid, as in gunicorn."""

    def __init__(self, age: int, log: Log, cfg: Settings) -> None:
        self.age = age
        self.log = log
        self.cfg = cfg
        self.ppid = os.getpid()
        self.pid: Any = "[booting]"
        self.booted = False
        self.aborted = False
        self.alive = True
        self.nr = 0  # requests so far; counted only where a request hook is set
        timeout = cfg.settings.get("timeout")
        self.timeout = timeout / 2 if isinstance(timeout, int) else None  # gunicorn's is half of its setting
        self.app = App(cfg)
        self.sockets: list[Any] = []
        self.tmp = Heartbeat()
        self.nr_conns = 0  # connections are the native core's
        self.futures: list[Any] = []

    @property
    def wsgi(self) -> Any:
        """The application, from `post_worker_init` on."""
        return self.app.callable

    @wsgi.setter
    def wsgi(self, app: Any) -> None:
        self.app.callable = app

    def notify(self) -> None:
        """As gunicorn's: here the worker's heartbeat needs no help."""

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"


class _Shared:
    """What stays over all reloads."""

    def __init__(self) -> None:
        self.workers: dict[int, Worker] = {}
        self.age = 0
        self.size: int | None = None


class Hooks:
    """The hooks that are set, and what they get."""

    def __init__(
        self, source: HookSource, settings: Mapping[str, Any], logs: Logs, before: Hooks | None = None
    ) -> None:
        """`before`: those of the configuration until now; its workers are these hooks' own."""
        self.functions: dict[str, Callable[..., Any]] = functions_of(source)
        self._around = source.around
        self._log = Log(logs)
        self._logs = logs
        self._cfg = Settings({**settings, **(source.settings or {})})
        self.server = Server(self._log, self._cfg)
        # Of all configurations: the workers that live, how many there have been, what nworkers_changed was told last.
        self._shared: _Shared = before._shared if before is not None else _Shared()
        self.server.WORKERS = self._shared.workers
        self.server.worker_age = self._shared.age
        self.server.num_workers = self._shared.size or self.server.num_workers
        self._next: Worker | None = None  # about to be forked

    def starting(self) -> None:
        """Before anything is opened. HostlerError when the hook raises: there is nothing to keep running yet."""
        if "on_starting" in self.functions:
            try:
                with operator_code():
                    self.functions["on_starting"](self.server)
            except Exception as error:
                raise HostlerError(f"the hook on_starting raised {error!r}", traceback.format_exc()) from error

    def call(self, name: str, *arguments: Any) -> None:
        """Call a hook, if it is set."""
        function = self.functions.get(name)
        if function is None:
            return
        try:
            with operator_code():
                function(*arguments)
        except Exception as error:
            if name in _PREPARING:
                raise BootError(f"the hook {name} raised {error!r}", traceback.format_exc()) from error
            self._logs.error(f"the hook {name} raised {error!r}\n{traceback.format_exc().rstrip()}")

    # --- In the arbiter ---

    def listening(self, listeners: Sequence[Listener]) -> None:
        """These are open now."""
        self.server.address = [listener.url for listener in listeners]
        self.server.LISTENERS = [Bound(listener) for listener in listeners if not listener.is_admin]

    def tell(self, name: str) -> None:
        """on_reload, when_ready, pre_exec, on_exit."""
        self.call(name, self.server)

    def forking(self) -> Worker:
        """A worker is about to be forked."""
        self._shared.age += 1
        self.server.worker_age = self._shared.age
        worker = Worker(self._shared.age, self._log, self._cfg)
        self.call("pre_fork", self.server, worker)
        self._next = worker
        return worker

    def forked(self, worker: Worker, pid: int) -> None:
        """It has been."""
        worker.pid = pid
        self.server.WORKERS[pid] = worker

    def ended(self, pid: int) -> None:
        """A worker's process is gone."""
        worker = self.server.WORKERS.pop(pid, None)
        if worker is not None:
            self.call("child_exit", self.server, worker)

    def resized(self, size: int) -> None:
        """So many workers are wanted now."""
        before, self._shared.size = self._shared.size, size
        self.server.num_workers = size
        if before != size:
            self.call("nworkers_changed", self.server, size, before)

    # --- In a worker ---

    def begin(self, age: int = 0) -> Worker:
        """In a new worker's process; `age`: where it was not forked by the arbiter itself."""
        worker = self._next if self._next is not None and not age else Worker(age, self._log, self._cfg)
        worker.ppid, worker.pid = os.getppid(), os.getpid()
        worker.sockets = self.server.LISTENERS
        self.call("post_fork", self.server, worker)
        return worker

    def wrap(self, worker: Worker, app: Any, is_asgi: bool) -> Any:
        """The application with the request hooks around it; itself where none is set."""
        if self._around is not None and not is_asgi:
            app = self._around(app)
        if not {"pre_request", "post_request"}.intersection(self.functions):
            return app
        return self._around_asgi(worker, app) if is_asgi else self._around_wsgi(worker, app)

    def _around_wsgi(self, worker: Worker, app: Any) -> Callable[..., Any]:
        def called(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            request = Request.of_wsgi(environ)
            response = Response()
            worker.nr += 1
            self.call("pre_request", worker, request)

            def started(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                response.start(status, headers)
                return start_response(status, headers, exc_info)

            try:
                body = app(environ, started)
            except BaseException:
                self._after(worker, request, environ, response)
                raise
            return _Body(body, response, lambda: self._after(worker, request, environ, response))

        return called

    def _around_asgi(self, worker: Worker, app: Any) -> Callable[..., Any]:
        async def called(scope: dict[str, Any], receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            request = Request.of_asgi(scope)
            response = Response()
            worker.nr += 1
            self.call("pre_request", worker, request)

            async def sent(event: Any) -> None:
                if event["type"] == "http.response.start":
                    pairs = [
                        (bytes(k).decode("latin-1"), bytes(v).decode("latin-1")) for k, v in event.get("headers", ())
                    ]
                    response.start(str(event["status"]), pairs)
                elif event["type"] == "http.response.body":
                    response.sent += len(event.get("body", b""))
                await send(event)

            try:
                await app(scope, receive, sent)
            finally:
                self._after(worker, request, scope, response)

        return called

    def _after(self, worker: Worker, request: Request, environ: Any, response: Response) -> None:
        function = self.functions.get("post_request")
        if function is None:
            return
        given = (worker, request, environ, response)
        count = getattr(getattr(function, "__code__", None), "co_argcount", len(given))  # older files take two or three
        self.call("post_request", *given[: max(2, min(count, len(given)))])


class Request:
    """`req` of the request hooks."""

    def __init__(self, method: str, path: str, query: str, headers: list[tuple[str, str]], peer: Any) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.uri = f"{path}?{query}" if query else path
        self.headers = headers  # names in capitals
        self.remote_addr = self.peer_addr = peer
        self.version = (1, 1)
        self.fragment = ""

    @classmethod
    def of_wsgi(cls, environ: Mapping[str, Any]) -> Request:
        """From PEP 3333's environ."""
        named = ((name[5:], value) for name, value in environ.items() if name.startswith("HTTP_"))
        others = ((name, environ[name]) for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(name))
        headers = [(name.replace("_", "-"), value) for name, value in (*named, *others)]
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        peer = (environ.get("REMOTE_ADDR", ""), environ.get("REMOTE_PORT", ""))
        return cls(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""), headers, peer)

    @classmethod
    def of_asgi(cls, scope: Mapping[str, Any]) -> Request:
        """From ASGI's scope."""
        headers = [(name.decode("latin-1").upper(), value.decode("latin-1")) for name, value in scope["headers"]]
        query = bytes(scope["query_string"]).decode("latin-1")
        return cls(scope["method"], scope["path"], query, headers, scope.get("client"))


class Response:
    """`resp` of `post_request`."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.sent = 0

    def start(self, status: str, headers: list[tuple[str, str]]) -> None:
        """The head is known."""
        self.status = status
        self.headers = list(headers)

    @property
    def status_code(self) -> int | None:
        """The status as a number; None: there was no answer."""
        number = self.status[:3]
        return int(number) if number.isdigit() else None


class _Body:
    """An answer's parts; `after` is called once, when the last one is out or the server has let go of it."""

    def __init__(self, parts: Any, response: Response, after: Callable[[], None]) -> None:
        self._parts = parts
        self._response = response
        self._after: Callable[[], None] | None = after

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            self._response.sent += len(part)
            yield part

    def close(self) -> None:
        """PEP 3333: called at the end, whatever it was."""
        try:
            if hasattr(self._parts, "close"):
                self._parts.close()
        finally:
            after, self._after = self._after, None
            if after is not None:
                after()
