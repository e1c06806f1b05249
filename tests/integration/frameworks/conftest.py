"""One server for each framework's app of `apps/`, used as its visitors do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.helpers import Serve, Server

APPS = Path(__file__).parent / "apps"

Client = Callable[[Server], httpx.Client]


@pytest.fixture(scope="module")
def server_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """`server_of("flask_app")` runs that module's `application` until the module's tests are done."""
    launcher = Serve(tmp_path_factory.mktemp("frameworks"))
    yield lambda app, *options: launcher(f"{app}:application", *options, cwd=APPS)
    for server in launcher.servers:
        server.end()


@pytest.fixture
def client() -> Iterator[Client]:
    """`client(server)`: an HTTP client that keeps its connections."""
    clients = []

    def make(server: Server) -> httpx.Client:
        # trust_env: a proxy of the developer's machine has no place between us and the server.
        clients.append(httpx.Client(base_url=server.url(), trust_env=False, timeout=10))
        return clients[-1]

    yield make
    for each in clients:
        each.close()
