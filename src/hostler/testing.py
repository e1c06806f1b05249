"""A server for the tests of applications."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["LiveServer"]

_LISTENING = re.compile(r"listening on http://(?:\[[^\]]+\]|[^:\s]+):(\d+)")
_PATIENCE = 60.0
_POLL = 0.02


class LiveServer:
    """Stands in for daphne's `DaphneProcess`, e.g. as Channels' `ChannelsLiveServerTestCase.ProtocolServerProcess`.

    `get_application` is called in the server's process, after `setup`; what it returns is served as ASGI on a port of
    `host` that the kernel chooses. `start()`, `ready.wait()`, `errors`, `port.value`, `terminate()` and `join()` are
    those of daphne's process. When the server does not come up, `start()` raises RuntimeError, whose cause is the
    exception of the server's process and whose text has its traceback; `errors` has both, as (exception, traceback).
    """

    def __init__(
        self,
        host: str,
        get_application: Callable[[], Callable[..., Any]],
        kwargs: dict[str, Any] | None = None,
        setup: Callable[[], object] | None = None,
        teardown: Callable[[], object] | None = None,
        port: int | None = None,
    ) -> None:
        context = multiprocessing.get_context("fork")  # the tests' settings and database go along
        self.ready = context.Event()
        self.errors: Any = context.SimpleQueue()
        self.port = context.Value("i", port or 0)
        self._host = host
        self._application = get_application
        self._options = kwargs or {}
        self._setup = setup
        self._teardown = teardown
        fd, self._log = tempfile.mkstemp(suffix=".log")
        os.close(fd)
        self._process = context.Process(target=self._run)

    def start(self) -> None:
        """Start, and wait until it listens."""
        self._process.start()
        deadline = time.monotonic() + _PATIENCE
        while not self.ready.is_set():
            with open(self._log, encoding="utf-8", errors="replace") as log:
                text = log.read()
            found = _LISTENING.search(text)
            if found:
                self.port.value = int(found.group(1))
                self.ready.set()
            elif not self._process.is_alive() or time.monotonic() > deadline:
                raise self._failure(text)
            else:
                time.sleep(_POLL)

    def _failure(self, log: str) -> RuntimeError:
        """Why it did not start."""
        if self.errors.empty():
            return RuntimeError(f"the live server did not start:\n{log}")
        error, trace = self.errors.get()
        self.errors.put((error, trace))  # for those who look there, as with daphne
        failure = RuntimeError(f"the live server did not start:\n{log}{trace}")
        failure.__cause__ = error
        return failure

    def terminate(self) -> None:
        """Ask it to stop."""
        if self._process.is_alive() and self._process.pid is not None:
            os.kill(self._process.pid, signal.SIGTERM)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""
        self._process.join(timeout)
        if not self._process.is_alive() and os.path.exists(self._log):
            os.unlink(self._log)

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.is_alive()

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            self._keep(error)
            raise

    def _keep(self, error: BaseException) -> None:
        """Send the exception and its traceback to the process of the tests."""
        trace = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))  # some can be written and not read
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        self.errors.put((error, trace))

    def _serve(self) -> None:
        from hostler import serve

        options: dict[str, Any] = {
            "bind": [f"[{self._host}]:0" if ":" in self._host else f"{self._host}:{self.port.value}"],
            "interface": "asgi",
            "error_log": self._log,
            "graceful_timeout": "1s",
            "control": "off",
            "workers": 1,  # what a test finds in its memory is what the application has put there
            **self._options,
        }
        if self._setup is not None:
            self._setup()
        try:
            code = serve(self._application(), **options)
            if code:
                raise RuntimeError(f"the server ended with code {code}: its log says why")
        finally:
            if self._teardown is not None:
                self._teardown()
