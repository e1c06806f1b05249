"""The variables that gunicorn sets in all its processes, the arbiter included."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator

from hostler import __version__

__all__ = ["SERVER_SOFTWARE", "Environment"]

# Applications look for gunicorn's name there.
SERVER_SOFTWARE = f"gunicorn (hostler/{__version__})"


class Environment:
    """`raw_env` and SERVER_SOFTWARE in this process, and what was there before them.

    Hooks of the arbiter read them, such as PROMETHEUS_MULTIPROC_DIR in `child_exit`.
    """

    def __init__(self) -> None:
        self._before: dict[str, str | None] = {}

    def change(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Set these variables, and no longer those of the last call."""
        self._restore()
        wanted = {"SERVER_SOFTWARE": SERVER_SOFTWARE, **dict(pairs)}
        self._before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        time.tzset()  # TZ may be among them

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Read the configuration as at the start: they are no source of options."""
        set_now = {name: os.environ.get(name, "") for name in self._before}
        self._restore()
        try:
            yield
        finally:
            self.change((name, value) for name, value in set_now.items() if name != "SERVER_SOFTWARE")

    def _restore(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before = {}
