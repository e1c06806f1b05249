"""Many connections at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.integration.helpers.raw import Connection
from tests.integration.helpers.server import Server


@contextmanager
def crowd(server: Server, count: int) -> Iterator[list[Connection]]:
    """`count` connections to the first listener; all are closed at the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(server.connect()) for _ in range(count)]
