"""Hello, and requests that wait or compute: what the scenarios of waiting apps ask."""

import time
from typing import Any

HELLO = b"Hello, World!"


def burn(seconds: float) -> None:
    """Compute for as much processor time of this thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(200))


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    path = environ["PATH_INFO"]
    if path == "/sleep100":
        time.sleep(0.1)
    elif path == "/sleep1000":
        time.sleep(1)
    elif path == "/burn50":
        burn(0.05)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [HELLO]
