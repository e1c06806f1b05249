"""A headless Chromium, from Debian's package, by its DevTools protocol."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")

_WITHIN = 30.0


class Chromium:
    """One browser with one page."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "chromium.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                    "--no-first-run", "--no-proxy-server", "--remote-debugging-port=0",
                    f"--user-data-dir={directory / 'profile'}", "about:blank",
                ],
                stdout=log,
                stderr=log,
            )  # fmt: skip
        self._numbers = itertools.count(1)
        self._open = ExitStack()
        self._socket = self._open.enter_context(connect(self._address(), max_size=None, proxy=None))
        self._session = ""

    def _address(self) -> str:
        deadline = time.monotonic() + _WITHIN
        while True:
            found = re.search(r"DevTools listening on (ws://\S+)", self._log.read_text(errors="replace"))
            if found:
                return found.group(1)
            assert time.monotonic() < deadline, self._log.read_text(errors="replace")
            time.sleep(0.05)

    def open(self, url: str) -> None:
        """Show a page."""
        target = self._call("Target.createTarget", url=url)["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def evaluate(self, expression: str) -> Any:
        """The value of some JavaScript in the page."""
        result = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result.get("result", {}).get("value")

    def wait(self, expression: str) -> Any:
        """Wait until it is true there."""
        deadline = time.monotonic() + _WITHIN
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.05)
        return value

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        socket: ClientConnection = self._socket
        socket.send(json.dumps(message))
        while True:
            answer: dict[str, Any] = json.loads(socket.recv(timeout=_WITHIN))
            if answer.get("id") == number:
                # An error means that the page is not there yet: the caller asks again.
                result: dict[str, Any] = answer.get("result", {})
                return result

    def end(self) -> None:
        """Close it, with all its processes."""
        self._session = ""
        self._call("Browser.close")
        self._open.close()
        self._process.wait(_WITHIN)
