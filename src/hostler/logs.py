"""The two log files: errors (for people) and access (written by the native core).

Every line is one write() of its own, so lines of several processes never mix. A log that cannot be written
(full disk, closed pipe, a reader that has stalled) loses lines and nothing else. On USR1 each process opens
the same paths again and puts them onto the same descriptor numbers, so code that holds a number needs no news.
The `logging` module is the app's, and is not used.
"""

from __future__ import annotations

import io
import os
import select
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from hostler.errors import HostlerError
from hostler.proc.places import Ids
from hostler.proc.printable import printable, printable_lines
from hostler.proc.trusted import open_log

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

__all__ = [
    "DEBUG",
    "ERROR",
    "INFO",
    "LEVELS",
    "WARNING",
    "Logs",
    "counted",
    "ensure_standard_streams",
    "facts",
    "printable",
    "printable_lines",
]

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR}
_NAMES = {DEBUG: "DEBUG", INFO: "INFO", WARNING: "WARNING", ERROR: "ERROR"}
_STDOUT, _STDERR = 1, 2
# How long the reader of a pipe may keep us waiting, in milliseconds: the arbiter has workers to look after.
_READER_MS = 100


class Logs:
    """The open logs of this process and its children; `error` and `access` are paths or "-"."""

    def __init__(
        self, error: str = "-", access: str | None = None, level: int = INFO, owner: Ids | None = None
    ) -> None:
        self.level = level
        # User and group who must be able to open the files again; None: we.
        self.owner = owner
        # Who gets the lines of the error log too, or instead of its file: (level, message). None of them raises.
        self.sinks: Sequence[Callable[[int, str], None]] = ()
        self.access_sinks: Sequence[Callable[[str], None]] = ()  # who gets the lines of the access log too
        self.is_json = False  # whether a line of the file is a JSON object
        self.has_file = True  # whether the file gets them still
        self.has_access_file = True  # whether the access log's file gets them still, beside `access_sinks`
        self._reopeners: Sequence[Callable[[], None]] = ()  # of the sinks
        self.core_error_fd = -1  # where the core and applications write in place of the error log; -1: there
        self._lost = 0  # lines that could not be written, in a row
        # Descriptor -> path, for those that are files.
        self._paths: dict[int, str] = {}
        self.error_fd = self._open("error_log", error, _STDERR)
        try:
            self.access_fd = -1 if access is None else self._open("access_log", access, _STDOUT)
        except HostlerError:
            self.close()
            raise

    def send_errors_to(self, sinks: Iterable[Callable[[int, str], None]], *, has_file: bool = True) -> None:
        """Give lines of the error log to `sinks` from now on, and to its file only if `has_file`.

        What they raise costs that line, and nothing else: handlers and filters may be anybody's code.
        """
        self.sinks, self.has_file = [_Guarded("error_log", sink) for sink in sinks], has_file

    def send_access_to(self, sinks: Iterable[Callable[[str], None]], *, has_file: bool = True) -> None:
        """As `send_errors_to`, for the access log."""
        self.access_sinks, self.has_access_file = [_Guarded("access_log", sink) for sink in sinks], has_file

    def reopen_too(self, reopeners: Iterable[Callable[[], None]]) -> None:
        """What opens the files of the sinks again; called after our own."""
        self._reopeners = [_Guarded("reopening", again) for again in reopeners]

    def log(self, level: int, message: str, **values: object) -> None:
        """Write one line, or several that belong together, if `level` is wanted; escaped, but for its line ends.

        A line is an event, which stays the same, and `values` as facts behind it: see `facts`. Text from outside that
        is part of it must be `printable`, so that it begins no line of its own.
        """
        if level < self.level:
            return
        if values:
            event, newline, rest = message.partition("\n")
            message = f"{event} {facts(**values)}{newline}{rest}"
        # Only a line of ours begins with a bracket: an exception's text may have lines of its own.
        message = printable_lines(message).replace("\n[", "\n [")
        for sink in self.sinks:
            sink(level, message)
        if self.has_file:
            self.write(level, message)

    def write(self, level: int, message: str) -> None:
        """Write to the error log's file, or say elsewhere that it cannot be; when it can again, how much is lost."""
        line = self._line(level, message)
        if self._lost:
            lost = self._line(WARNING, f"{counted(self._lost, 'line')} of the error log could not be written")
            if _write(self.error_fd, lost.encode()) is not None:
                self._lost += 1
                return
            self._lost = 0
        problem = _write(self.error_fd, line.encode("utf-8", "backslashreplace"))
        if problem is None:
            return
        self._lost = 1
        if self.error_fd != _STDERR:
            path = self._paths.get(self.error_fd, "-")
            text = f"hostler: error_log {path}: {problem.strerror}; its lines are lost until it can be written\n"
            _write(_STDERR, text.encode("utf-8", "backslashreplace"))

    def _line(self, level: int, message: str) -> str:
        """As it stands in the file."""
        name, now = _NAMES.get(level, str(level)), time.time()
        if not self.is_json:
            stamp = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now))
            return f"[{stamp}] [{os.getpid()}] [{name}] {message}\n"
        import json  # only for those that want it

        date, zone = time.strftime("%Y-%m-%dT%H:%M:%S %z", time.localtime(now)).split()
        stamp = f"{date}.{int(now * 1000) % 1000:03}{zone[:3]}:{zone[3:]}"  # RFC 3339
        return json.dumps({"time": stamp, "level": name, "pid": os.getpid(), "message": message}) + "\n"

    def debug(self, message: str, **values: object) -> None:
        """Log what only helps to find a fault of the server."""
        self.log(DEBUG, message, **values)

    def info(self, message: str, **values: object) -> None:
        """Log what goes as it should."""
        self.log(INFO, message, **values)

    def warning(self, message: str, **values: object) -> None:
        """Log what someone may have to look at."""
        self.log(WARNING, message, **values)

    def error(self, message: str, **values: object) -> None:
        """Log what failed."""
        self.log(ERROR, message, **values)

    def app_error(self, request: str, client: str, error: BaseException) -> None:
        """Log an exception that the app raised while it ran `request`, with its traceback."""
        import traceback

        text = "".join(traceback.format_exception(error)).rstrip("\n")
        self.error(f"{printable(request)} from {printable(client)} failed in the app\n{text}")

    def errors_stream(self) -> TextIO:
        """A text stream into the error log, for `wsgi.errors`."""
        return io.TextIOWrapper(
            _Descriptor(self.error_fd if self.core_error_fd < 0 else self.core_error_fd),
            encoding="utf-8",
            errors="backslashreplace",
            line_buffering=True,  # what ends with a newline goes out at once, and in one piece
        )

    def reopen(self) -> None:
        """Open the files again after they were moved away; one that cannot be stays as it is."""
        for fd, path in self._paths.items():
            try:
                if _is_open_as(fd, path):
                    continue  # not moved; and a worker may have no right to open it
                fresh = open_log(path, self.owner)
            except OSError as error:
                self.error(f"cannot reopen {path}: {error.strerror}; the old file is used on")
                continue
            os.dup2(fresh, fd, inheritable=fd <= _STDERR)  # what the app starts has the standard streams
            os.close(fresh)
        for again in self._reopeners:
            again()

    def capture(self) -> None:
        """Have standard output and standard error go to the error log's file, in this process and its children."""
        path = self._paths.get(self.error_fd)
        if self.access_fd == _STDOUT:  # what is written there on purpose stays there
            self.access_fd = os.dup(_STDOUT)
        for fd in (_STDOUT, _STDERR):
            if fd != self.error_fd:
                os.dup2(self.error_fd, fd)
                if path is not None:
                    self._paths[fd] = path  # opened again with the others

    def change(self, error: str, access: str | None, level: int) -> None:
        """Write elsewhere from now on; HostlerError when that cannot be opened, and then nothing has changed."""
        fresh = Logs(error, access, level, self.owner)
        self.close()
        self.level = level
        self._paths, self.error_fd, self.access_fd = fresh._paths, fresh.error_fd, fresh.access_fd

    def close(self) -> None:
        """Close the files."""
        for fd in self._paths:
            os.close(fd)
        self._paths.clear()

    def _open(self, option: str, path: str, standard: int) -> int:
        if path == "-":
            return standard
        path = os.path.abspath(path)
        try:
            fd = open_log(path, self.owner)
        except OSError as error:
            raise HostlerError(f"{option} {path}: {error.strerror}") from None
        self._paths[fd] = path
        return fd


class _Guarded:
    """A sink that raises loses the line; the first one in a row is told of on standard error."""

    def __init__(self, what: str, sink: Callable[..., None]) -> None:
        self._what = what
        self._sink = sink
        self._is_broken = False

    def __call__(self, *line: object) -> None:
        try:
            self._sink(*line)
        except Exception as error:
            if not self._is_broken:
                reason = printable(" ".join(f"{type(error).__name__}: {error}".split()))
                text = f"hostler: {self._what}: logging raised {reason}; lines are lost until it does not\n"
                _write(_STDERR, text.encode("utf-8", "backslashreplace"))
            self._is_broken = True
        else:
            self._is_broken = False


class _Descriptor(io.BufferedIOBase):
    """Bytes into the log, by one call each, or lost."""

    name = "<hostler error log>"  # what a TextIOWrapper shows of what it wraps

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: Buffer) -> int:
        _write(self._fd, data)
        return memoryview(data).nbytes


def ensure_standard_streams() -> None:
    """Fill the descriptors 0 to 2 where they are closed, or a socket would get their number and the logs."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd <= _STDERR:
        os.set_inheritable(fd, True)
        fd = os.dup(fd)
    os.close(fd)


def facts(**values: object) -> str:
    """What follows the event in a log line: `worker=0 pid=4712 reason="hostler ctl recycle"`.

    None is left out. Text in which a space, a quote or "=" stands is quoted as in JSON; an apostrophe is none.
    """
    return " ".join(f"{name}={_value(value)}" for name, value in values.items() if value is not None)


def _value(value: object) -> str:
    text = str(value)
    if text and not set(text) & set(' "=\n'):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def counted(number: int, noun: str) -> str:
    """ "1 worker", "2 workers"."""
    return f"{number} {noun}{'s' * (number > 1)}"


def _write(fd: int, data: Buffer) -> OSError | None:
    """One write() to a file. To anything that may have a reader: no more at once than the kernel keeps whole anyway.

    A log is not worth a request: what is in the way is returned, and nothing else happens.
    """
    rest = memoryview(data)
    try:
        step = len(rest) if stat.S_ISREG(os.fstat(fd).st_mode) else select.PIPE_BUF
        while rest and _takes(fd):
            rest = rest[os.write(fd, rest[:step]) :]
    except OSError as error:  # ENOSPC, EPIPE, EBADF, EAGAIN
        return error
    return None


def _takes(fd: int) -> bool:
    """Whether a write would not block; the reader of a pipe has a moment to catch up."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(_READER_MS))


def _is_open_as(fd: int, path: str) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
