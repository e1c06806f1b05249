"""Calls this very server over HTTP, and tells who answered.

Applications do this more often than they know: a report that fetches its own pages, a webhook that points
home, a health check inside a request. While the outer request waits, the server needs somebody else to
answer the inner one.
"""

import json
import os
import threading
import urllib.request

from django.http import HttpRequest
from django.urls import reverse

MAX_DEPTH = 20
TIMEOUT = 40.0  # seconds that each call may take, with all calls inside it: longer than the server lets it queue


def depth_of(request: HttpRequest) -> int:
    """`?depth=N`, forced into 0 … MAX_DEPTH; 1 when it is missing or not a number."""
    try:
        return max(0, min(int(request.GET.get("depth", "1")), MAX_DEPTH))
    except ValueError:
        return 1


def call(request: HttpRequest, depth: int) -> list[dict[str, object]]:
    """Ask this server for `depth` hops; returns who made each, the outermost first.

    Raises OSError when the server does not answer in time.
    """
    # Safe to call: build_absolute_uri() refuses host names that are not in ALLOWED_HOSTS.
    url = request.build_absolute_uri(f"{reverse('hops')}?depth={depth}")
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        hops: list[dict[str, object]] = json.load(response)["hops"]
    return hops


def hops(request: HttpRequest, depth: int) -> list[dict[str, object]]:
    """Who runs this request, and whoever answers the calls below it."""
    me: dict[str, object] = {
        "depth": depth,
        "worker": os.getpid(),
        "thread": threading.current_thread().name,
    }
    return [me] if depth <= 1 else [me, *call(request, depth - 1)]
