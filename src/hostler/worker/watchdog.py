"""What the worker says when requests take long: slow ones, those that timed out, and queues that stand still.

The native core notices (it needs no thread of the app for that); the supervisor, which never runs the app, says it
here, with the Python stacks that only it can read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hostler.logs import facts, printable
from hostler.proc import owners
from hostler.worker.stacks import stack_of_thread

if TYPE_CHECKING:
    from hostler.config import Config
    from hostler.logs import Logs
    from hostler.native import Core
    from hostler.proc.sockets import Listener

__all__ = ["Watchdog", "describe_standstill"]

_SHOWN = 3  # requests that a line names; the others are counted


class Watchdog:
    """Turns the core's notices into log lines; `retire` asks the arbiter for a replacement, `stack_of` tells where the
    request of a thread (or greenlet) is."""

    def __init__(
        self,
        config: Config,
        core: Core,
        logs: Logs,
        listeners: Sequence[Listener],
        retire: Callable[[str], object],
        stack_of: Callable[[int], str] | None = None,
    ) -> None:
        self._config = config
        self._stack_of = stack_of or stack_of_thread
        self._core = core
        self._logs = logs
        self._ports = {listener.socket.getsockname()[1] for listener in listeners if not listener.is_unix}
        self._retire = retire
        self._is_retiring = False

    def hear(self, kind: str, request: tuple[str, str, str, float, int] | None) -> None:
        """One notice of `Core.attend`."""
        if kind == "standstill":
            self._standstill()
        elif request is not None and kind == "slow":
            limit = self._config.slow_request
            text = f"request slow {_words(request)} {facts(running_for=f'{request[3]:.1f}s', slow_request=limit)}"
            self._logs.warning(f"{text}\n{self._stack_of(request[4])}")
        elif request is not None:
            self._timed_out(request)

    def _timed_out(self, request: tuple[str, str, str, float, int]) -> None:
        limit = self._config.request_timeout
        said = facts(running_for=f"{request[3]:.1f}s", request_timeout=limit)
        text = f"request timed out; it is given up {_words(request)} {said}"
        self._logs.error(f"{text}\n{self._stack_of(request[4])}")
        if request[4] < 0:
            self._core.give_up(-request[4] - 1)  # a task can be ended, the worker need not be
            return
        if not self._is_retiring:
            self._is_retiring = True
            self._retire(f"a thread does not come back from {request[0]} {printable(request[1])}")

    def _standstill(self) -> None:
        queued = self._core.queued()
        if not queued:
            return  # it moves again
        callers = [_caller(address, port, self._ports) for _, _, address, port, _ in queued]
        self._logs.warning(describe_standstill(self._config, queued, self._core.in_flight(), callers))


def describe_standstill(
    config: Config,
    queued: Sequence[tuple[str, str, str, int, float]],
    running: Sequence[tuple[str, str, str, float, int]],
    callers: Sequence[str],
) -> str:
    """One line: what waits, for what, and what to change.

    `callers`: what process of this server sent each queued request, where that is known, else empty.
    """
    own = [(request, caller) for request, caller in zip(queued, callers, strict=True) if caller]
    busy = Counter(f"{method} {printable(path)}" for method, path, *_ in running)
    oldest = max((age for *_, age, _ in running), default=0.0)
    threads = len(running)
    remedy = _remedy(config)
    if own:
        (method, path, _, _, age), caller = own[0]
        event, by, count = "standstill; a request of this server to itself waits for its own thread", caller, len(own)
    else:
        method, path, _, _, age = queued[0]
        event, by, count = "standstill; requests wait for a thread", None, len(queued)
    said = facts(
        request=f"{method} {printable(path)}",
        sent_by=by,
        waiting_for=f"{age:.1f}s",
        waiting=count,
        threads=threads,
        running=_listed(busy),
        longest=f"{oldest:.1f}s",
        remedy=remedy,
    )
    return f"{event} {said}"


def _words(request: tuple[str, str, str, float, int]) -> str:
    method, path, client, _, _ = request
    return facts(request=f"{printable(method)} {printable(path)}", client=printable(client))


def _listed(names: Counter[str]) -> str:
    """ "GET /a (3 times), GET /b and 2 others"."""
    shown = [f"{name} ({count} times)" if count > 1 else name for name, count in names.most_common(_SHOWN)]
    others = len(names) - len(shown)
    return ", ".join(shown) + (f" and {others} others" if others else "")


def _remedy(config: Config) -> str:
    fate = f"they get 503 after queue_timeout ({config.queue_timeout})" if config.queue_timeout else ""
    if config.threads is not None:
        cure = f"set threads = auto (it is {config.threads})"
    else:
        cure = f"raise max_threads (it is {config.max_threads}) or shorten the waits: `hostler stacks` shows them"
    return f"{cure}; {fate}" if fate else cure


def _caller(address: str, port: int, ports: set[int]) -> str:
    """Who is at the other end, when it is this very server; else empty."""
    owner = owners.client_owner(address, port, ports)
    if owner is None:
        return ""
    if owner.pid == os.getpid():
        return "this very worker"
    return f"its worker {owner.pid}" if owners.is_sibling(owner.pid) else ""
