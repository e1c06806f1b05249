"""A Redis of one's own, from Debian's package."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


class Redis:
    """A server on a unix socket, without a file of its data."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "redis.sock"
        self.url = f"unix://{self._path}"
        self._process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(self._path), "--save", "", "--dir", str(directory)],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while not self._answers():
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._path)) == 0

    def end(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(20)
