"""One server for each framework's app of `apps/`, used as its visitors do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.chromium import Chromium

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


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Chromium]:
    """A browser with one page; the test is marked `needs_chromium`."""
    browser = Chromium(tmp_path)
    yield browser
    browser.end()


# Lines of the error log above INFO, but for that of a busy machine; what Python writes of exceptions and warnings.
_OURS = r"^\[.*\] \[(?:WARNING|ERROR)\] (?!event loop blocked).*$"
_OTHERS = r"^.*(?:Traceback|Warning:|Task .* never|Exception ignored).*$"


def complaints(server: Server, pattern: str = f"{_OURS}|{_OTHERS}") -> list[str]:
    """Lines of the log that would worry an operator."""
    return re.findall(pattern, server.log, re.MULTILINE)


def stop_in_order(server: Server, *, is_told: bool = False, app_may_complain: bool = False) -> None:
    """Stop the server by TERM (`is_told`: the test has sent it): it ends in time, with 0, cuts nothing, and its log
    would worry no operator."""
    assert (server.wait() if is_told else server.stop()) == 0
    server.wait_gone()
    assert complaints(server, *([_OURS] if app_may_complain else [])) == []
