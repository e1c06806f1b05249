"""An application that names its version, and reloads of it."""

from __future__ import annotations

import subprocess
import sys

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.load import GET

APP = """
    import os
    import time

    time.sleep({pause})
    VERSION = "{version}"

    def application(environ, start_response):
        body = f"{{VERSION}} {{os.getpid()}}".encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def version(serve: Serve, name: str, pause: float = 0.0) -> str:
    return serve.source(APP.format(version=name, pause=pause))


def answer(server: Server, index: int = 0) -> str:
    with server.connect(index) as connection:
        response = connection.request(GET)
        assert response.status == 200
        return response.body.decode()


def reload(server: Server) -> subprocess.CompletedProcess[str]:
    """`hostler reload`, to its end."""
    command = [sys.executable, "-m", "hostler", "reload", "--pid", str(server.pid)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
