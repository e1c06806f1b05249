"""What integration tests share: a real server, a raw connection, questions about processes."""

from tests.integration.helpers.crowd import crowd
from tests.integration.helpers.raw import Connection, Response, free_port
from tests.integration.helpers.serve import HELLO, Serve
from tests.integration.helpers.server import Server, ServerError

__all__ = ["HELLO", "Connection", "Response", "Serve", "Server", "ServerError", "crowd", "free_port"]
