"""One server for each app of `apps/`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.helpers import Connection, Response, Serve, Server

APPS = Path(__file__).parent / "apps"

ServerOf = Callable[..., Server]


@pytest.fixture(scope="session")
def asgi_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerOf]:
    """`asgi_server("requests", "--root-path", "/x")` runs that app; the same words give the same server."""
    launcher = Serve(tmp_path_factory.mktemp("asgi"))
    known: dict[tuple[str, ...], Server] = {}

    def server(app: str, *options: str) -> Server:
        words = (app, *options)
        if words not in known:
            known[words] = launcher(f"{app}:application", *options, cwd=APPS)
        return known[words]

    yield server
    for each in launcher.servers:
        each.end()


@pytest.fixture(scope="session", params=["asyncio", "uvloop"])
def server(asgi_server: ServerOf, request: pytest.FixtureRequest) -> Server:
    """The app `requests`, on each event loop."""
    return asgi_server("requests", "--loop", request.param)


def ask(target: str, *fields: str, method: str = "GET", version: str = "1.1", body: bytes = b"") -> bytes:
    """A request's bytes."""
    lines = [f"{method} {target} HTTP/{version}", "Host: x", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def get(server: Server, target: str, *fields: str, method: str = "GET", version: str = "1.1") -> Response:
    """One request on a connection of its own."""
    with server.connect() as connection:
        return connection.request(ask(target, *fields, method=method, version=version), head=method == "HEAD")


def seen(server: Server, key: str) -> list[Any]:
    """What the app saw."""
    found: list[Any] = json.loads(get(server, f"/seen?{key}").body)
    return found


def wait_seen(server: Server, key: str, wanted: list[Any]) -> None:
    """Wait until the app has seen exactly this."""
    server.wait_for(lambda: len(seen(server, key)) >= len(wanted), f"{key}: {wanted}")
    assert seen(server, key) == wanted


def pushed(connection: Connection, block: bytes, most: int) -> int:
    """Send `block` again and again; how many bytes were taken until none were for a second, or there were `most`."""
    connection.sock.settimeout(1.0)
    sent = 0
    try:
        while sent < most:
            sent += connection.sock.send(block[sent % len(block) :])
    except TimeoutError:
        pass
    return sent


__all__ = ["Connection", "ask", "get", "pushed", "seen", "wait_seen"]
