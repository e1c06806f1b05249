"""gunicorn's loggers under `hostler gunicorn`: gunicorn.error and gunicorn.access, with handlers and a level.

Applications copy these handlers and this level to loggers of their own, and put filters on them, such as one that
leaves health checks out of the access log. The server writes its lines itself, in native code, as long as nothing is
changed on a logger; when something is, its lines go through that logger.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from hostler.logs import Logs, printable_lines

__all__ = ["adopt", "error_and_access", "install"]

_FORMAT, _DATE = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s", "[%Y-%m-%d %H:%M:%S %z]"


class _Lines(logging.Handler):
    """Writes lines to a log of ours; a descriptor, since the log may become a pipe to here meanwhile."""

    def __init__(self, fd: int, formatter: logging.Formatter) -> None:
        super().__init__()
        self.usual = formatter
        self.setFormatter(formatter)
        self._fd = fd

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; only a record of ours begins with a bracket."""
        try:
            text = printable_lines(self.format(record)).replace("\n[", "\n [")
            os.write(self._fd, f"{text}\n".encode("utf-8", "backslashreplace"))
        except OSError:  # a full disk, a closed pipe: a log is not worth a request
            pass
        except Exception:
            self.handleError(record)


def error_and_access() -> tuple[logging.Logger, logging.Logger]:
    """The two loggers."""
    return logging.getLogger("gunicorn.error"), logging.getLogger("gunicorn.access")


def install(logs: Logs, make_logger: Callable[[], Any] | None = None) -> None:
    """Give the loggers their handlers, before the application is imported.

    `make_logger` makes an object of the operator's `logger_class`, which may give them others.
    """
    error, access = error_and_access()
    for logger, level in ((error, logs.level), (access, logging.INFO)):
        logger.propagate = False
        logger.setLevel(level)
    if make_logger is not None:
        try:
            make_logger()
        except Exception as problem:
            logs.warning(
                f"logger_class raised {problem!r}: gunicorn.error and gunicorn.access have their usual handlers"
            )
    if not error.handlers:
        error.addHandler(_Lines(logs.error_fd, logging.Formatter(_FORMAT, _DATE)))
    if logs.access_fd >= 0 and not access.handlers:
        access.addHandler(_Lines(logs.access_fd, logging.Formatter()))


def adopt(logs: Logs) -> None:
    """Have the server's lines go through a logger that the application or `logger_class` has changed."""
    error, access = error_and_access()
    if _is_changed(error):
        logs.send_errors_to([lambda level, message: error.log(level, "%s", message)], has_file=False)
    if logs.access_fd >= 0 and _is_changed(access):
        logs.send_access_to([lambda line: access.info("%s", line)], has_file=False)


def _is_changed(logger: logging.Logger) -> bool:
    if logger.filters or logger.propagate or len(logger.handlers) != 1:
        return True
    [handler] = logger.handlers
    return not isinstance(handler, _Lines) or bool(handler.filters) or handler.formatter is not handler.usual
