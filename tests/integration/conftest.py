"""Fixtures for tests that run real processes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.helpers import Serve


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers on random ports; each is ended with the test, and must end cleanly."""
    launcher = Serve(tmp_path)
    yield launcher
    failures = []
    for server in launcher.servers:
        try:
            server.end()
        except AssertionError as error:
            failures.append(error)
        # Shown by pytest only when the test failed.
        print(f"--- {server.log_path.name}\n{server.log}")
    if failures:
        raise failures[0]


@pytest.fixture
def public() -> Iterator[Serve]:
    """In a directory that everybody may enter, unlike the tests' own."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        launcher = Serve(Path(directory))
        yield launcher
        for server in launcher.servers:
            server.end()
