"""Logs into Python's logging and into syslog, for those who gather the logs of many servers.

The logging module is the application's; the server loads it only for these. A line that cannot be delivered is lost,
and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.config
import logging.handlers
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hostler.errors import ConfigError, HostlerError
from hostler.proc.trusted import open_log, opener
from hostler.proc.unix import Reached

if TYPE_CHECKING:
    from hostler.config import Config
    from hostler.proc.places import Ids

__all__ = ["Sinks"]

_SYSLOG_PORT = 514
# What a configuration may refer to without defining it, as in gunicorn's.
_USUAL: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "generic": {
            "class": "logging.Formatter",
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
        }
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stdout"},
        "error_console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stderr"},
    },
}


class Sinks:
    """Where log lines go beside the files. `error` and `access` are empty lists where nobody wants them."""

    def __init__(self, config: Config, workers: Ids | None = None) -> None:
        """Raises HostlerError, one line, for what cannot be set up. Files that root makes belong to `workers`."""
        self.error: list[Callable[[int, str], None]] = []
        self.access: list[Callable[[str], None]] = []
        self.replaces_file = False  # the error log's own file gets nothing any more
        if config.log_config is not None:
            _guard_files(workers)
            with _beside_app(config):
                _configure(config)
            self._use_logging()
        if config.syslog is not None:
            self._use_syslog(config)

    def reopen(self) -> None:
        """Open the files of logging's handlers again, after logrotate has moved them."""
        loggers = [logging.root, *(each for each in logging.root.manager.loggerDict.values())]
        for logger in loggers:
            for handler in getattr(logger, "handlers", ()):
                if isinstance(handler, logging.FileHandler):
                    handler.acquire()
                    try:
                        if handler.stream is not None:
                            handler.mode = handler.mode.replace("w", "a")  # what other processes write there stays
                            fresh = handler._open()
                            handler.stream.close()
                            handler.stream = fresh
                    except OSError:  # the old file is used on
                        pass
                    finally:
                        handler.release()

    def _use_logging(self) -> None:
        logger = logging.getLogger(_named("gunicorn.error") or "hostler.error")
        logger.setLevel(logging.DEBUG)  # our own option decides
        self.error.append(lambda level, message: logger.log(level, "%s", message))
        self.replaces_file = True
        name = _named("hostler.access") or _named("gunicorn.access")
        if name:
            access = logging.getLogger(name)
            self.access.append(lambda line: access.info("%s", line))

    def _use_syslog(self, config: Config) -> None:
        assert config.syslog is not None
        names = ["error", *(["access"] if config.syslog_access == "on" else [])]
        for name in names:
            handler = _handler(config.syslog, config.syslog_facility, config.complaint)
            prefix = f"{config.syslog_prefix or 'hostler'}.{name}"
            handler.setFormatter(logging.Formatter(f"{prefix.replace('%', '%%')}: [%(process)d] %(message)s"))
            if name == "error":
                self.error.append(lambda level, message, to=handler: _send(to, level, message))  # type: ignore[misc]
            else:
                self.access.append(lambda line, to=handler: _send(to, logging.INFO, line))  # type: ignore[misc]


def _guard_files(workers: Ids | None) -> None:
    """Have logging's own handlers open their files by the rule of places.py while this process is root.

    A handler opens its file at once when it is made, so this must stand before the configuration is read.
    """
    if os.geteuid() != 0:
        return

    def open_file(handler: logging.FileHandler) -> Any:
        def opener(path: str, flags: int) -> int:
            return open_log(path, workers, flags)

        name, mode = handler.baseFilename, handler.mode
        return open(name, mode, encoding=handler.encoding, errors=handler.errors, opener=opener)

    setattr(logging.FileHandler, "_open", open_file)  # noqa: B010 - mypy: a method cannot be assigned


@contextlib.contextmanager
def _beside_app(config: Config) -> Iterator[None]:
    """Let a configuration name the application's classes, as it can for gunicorn: from its directories, for so long.

    Behind all others, or a json.py there would run in the arbiter, as its user.
    """
    before = list(sys.path)
    sys.path += [os.getcwd(), *map(os.path.abspath, config.pythonpath)]
    try:
        yield
    finally:
        sys.path[:] = before


def _named(name: str) -> str:
    """The logger's name, if the configuration has it."""
    known = logging.root.manager.loggerDict.get(name)
    return name if isinstance(known, logging.Logger) and (known.handlers or known.propagate) else ""


def _configure(config: Config) -> None:
    given = config.log_config
    try:
        if isinstance(given, str) and not given.endswith(".json"):
            _configure_by_file(given)
            return
        table: dict[str, Any] = _read_json(given) if isinstance(given, str) else dict(given or {})
        merged = {**_USUAL, **table}
        for part in ("formatters", "handlers"):
            merged[part] = {**_USUAL[part], **table.get(part, {})}
        logging.config.dictConfig(merged)
    except OSError as error:
        raise config.complaint("log_config", f'"{given}": {error.strerror}') from None
    except Exception as error:  # whatever a handler's class may raise
        reason = " ".join(str(error.__cause__ or error).split())
        raise config.complaint("log_config", f"it is not a configuration for logging: {reason}") from None


def _configure_by_file(path: str) -> None:
    with open(path, encoding="utf-8", opener=opener) as file:
        logging.config.fileConfig(file, disable_existing_loggers=False)


def _read_json(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8", opener=opener) as file:
        table = json.load(file)
    if not isinstance(table, Mapping):
        raise ValueError("it holds no object")
    return dict(table)


def _handler(
    address: str, facility: str, complaint: Callable[[str, str], ConfigError]
) -> logging.handlers.SysLogHandler:
    kind, _, rest = address.partition("://")
    number = logging.handlers.SysLogHandler.facility_names[facility]
    try:
        if kind == "unix":
            path, _, transport = rest.partition("#")
            types = {"stream": [socket.SOCK_STREAM], "dgram": [socket.SOCK_DGRAM]}
            return _Syslog(path, number, _transport(path, types.get(transport)))
        host, _, port = rest.rpartition(":")
        where = (host, int(port)) if host else (rest, _SYSLOG_PORT)
        transport_type = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
        return _Syslog(where, number, transport_type)
    except OSError as error:
        raise HostlerError(complaint("syslog", f"{address}: {error.strerror or error}").message) from None


def _transport(path: str, types: list[socket.SocketKind] | None) -> socket.SocketKind:
    """How the socket at `path` is spoken to; OSError when nobody is there, which the handler itself would pass over."""
    problem = OSError()
    for kind in types or (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_UNIX, kind) as sock:
            try:
                with Reached(path) as address:
                    sock.connect(address)
            except OSError as error:
                problem = error
            else:
                return kind
    raise problem


def _send(handler: logging.Handler, level: int, message: str) -> None:
    handler.handle(logging.LogRecord("hostler", level, "", 0, message, None, None))


class _Syslog(logging.handlers.SysLogHandler):
    """A line that cannot be sent is not worth a traceback on standard error; a file's name is followed as root may."""

    def _connect_unixsocket(self, address: str) -> None:
        with Reached(address) as reached:
            super()._connect_unixsocket(reached)  # type: ignore[misc]  # which the stubs do not know

    def handleError(self, record: logging.LogRecord) -> None:
        """Pass it over."""
