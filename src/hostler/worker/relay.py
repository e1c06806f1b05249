"""Lines of the core on their way to logging, syslog or JSON: a thread takes them out of a pipe."""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable, Sequence

from hostler.logs import ERROR, LEVELS, Logs

__all__ = ["Relay", "error_sink", "start_relays"]

_CHUNK = 65536
_LEVELS = {name.upper(): level for name, level in LEVELS.items()}
# As they are before gevent has its own in their place: a greenlet that reads a pipe would stop all the others, and its
# close() waits for the hub.
_start_new_thread, _allocate_lock, _close = _thread.start_new_thread, _thread.allocate_lock, os.close


class Relay:
    """The core writes to `fd` in place of a log; what comes there goes to `sinks`, and to `file`."""

    def __init__(self, sinks: Sequence[Callable[[str], None]], file: int) -> None:
        self._sinks = sinks
        self._file = file  # -1: no file
        self._reader, self.fd = os.pipe()
        self._is_running = _allocate_lock()
        self._is_running.acquire()
        _start_new_thread(self._run, ())

    def close(self, seconds: float) -> None:
        """Pass on what has come; the core writes no more."""
        _close(self.fd)
        self._is_running.acquire(timeout=max(0.0, seconds))

    def _run(self) -> None:
        try:
            self._pass_on()
        finally:
            _close(self._reader)
            self._is_running.release()

    def _pass_on(self) -> None:
        rest = b""
        while chunk := os.read(self._reader, _CHUNK):
            if self._file >= 0:
                try:
                    os.write(self._file, chunk)
                except OSError:  # a full disk, a closed pipe: a log is not worth a request
                    pass
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                for sink in self._sinks:
                    sink(line.decode("utf-8", "replace"))


def error_sink(sinks: Sequence[Callable[[int, str], None]]) -> Callable[[str], None]:
    """Take lines of the error log apart: "[date] [pid] [LEVEL] message"; what has no such beginning is an error."""

    def take(line: str) -> None:
        head, _, message = line.partition("] ")
        pid, _, rest = message.partition("] ")
        name, _, text = rest.partition("] ")
        is_ours = head.startswith("[") and pid.startswith("[") and name.startswith("[") and name[1:] in _LEVELS
        for sink in sinks:
            sink(_LEVELS[name[1:]] if is_ours else ERROR, text if is_ours else line)

    return take


def start_relays(logs: Logs) -> list[Relay]:
    """Where logging, syslog or JSON gets the logs, have the core's lines go there by a pipe."""
    relays = []
    if logs.access_sinks:
        relays.append(Relay(logs.access_sinks, logs.access_fd if logs.has_access_file else -1))
        logs.access_fd = relays[-1].fd
    if logs.sinks or logs.is_json:
        is_json = logs.has_file and logs.is_json
        file = logs.error_fd if logs.has_file and not is_json else -1
        relays.append(Relay([error_sink([*logs.sinks, logs.write] if is_json else logs.sinks)], file))
        logs.core_error_fd = relays[-1].fd
    return relays
