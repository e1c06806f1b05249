"""One server for each app of `apps/`: conformance asks many small questions of the same process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server

APPS = Path(__file__).parent / "apps"

ServerOf = Callable[..., Server]


@pytest.fixture(scope="session")
def server_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerOf]:
    """`server_of("answers", "--threads", "1")` runs that app; the same words give the same server."""
    launcher = Serve(tmp_path_factory.mktemp("conformance"))
    known: dict[tuple[str, ...], Server] = {}

    def server(app: str, *options: str) -> Server:
        words = (app, *options)
        if words not in known:
            known[words] = launcher(f"{app}:application", *options, cwd=APPS)
        return known[words]

    yield server
    for each in launcher.servers:
        each.end()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Servers of one test."""
    launcher = Serve(tmp_path)
    yield launcher
    for each in launcher.servers:
        each.end()
